"""The outbox: what was committed is delivered, by whichever worker, and by one at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from idp.kernel import metrics
from idp.kernel.connect import connect
from idp.kernel.database import Database, Transaction
from idp.kernel.housekeeping import sweep
from idp.kernel.outbox import (
    LEASE,
    LONGEST_WAIT,
    RETENTION,
    Delivery,
    Message,
    NotDelivered,
    Outbox,
    State,
    deliveries,
    pause,
)
from idp.kernel.tables import outbox
from idp.kernel.vault import Vault
from tests.house import StillClock

KIND, DAY = "letters", 86_400


class Post:
    """What arrived, and where it goes wrong: `refuses` maps a recipient to what it says."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.refuses: dict[str, Exception] = {}
        self.hangs: set[str] = set()

    async def deliver(self, message: Message) -> str:
        self.got.append(message)
        if message.recipient in self.hangs:
            await asyncio.Event().wait()
        if message.recipient in self.refuses:
            raise self.refuses[message.recipient]
        return "taken"

    def counted(self) -> Counter[str]:
        return Counter(message.id for message in self.got)


@pytest.fixture
def post() -> Post:
    return Post()


Worker = Callable[[], Awaitable[Outbox]]


@pytest.fixture
async def worker(database_url: str, clock: StillClock, post: Post) -> AsyncIterator[Worker]:
    """Makes one more worker, with connections of its own, all of one master key."""
    made: list[tuple[Outbox, Database]] = []

    async def make() -> Outbox:
        database = await connect(database_url)
        box = Outbox(database, Vault(bytes(32)), clock)
        box.serve(KIND, post.deliver)
        made.append((box, database))
        return box

    yield make
    for box, database in made:
        await box.aclose()
        await database.close()


async def put(database: Database, box: Outbox, *recipients: str, kind: str = KIND) -> None:
    async def work(tx: Transaction) -> None:
        for number, recipient in enumerate(recipients):
            await box.put(tx, kind, recipient, f"about {number}", {"said": f"to {recipient}"})

    await database.write(work)


@pytest.fixture
def quiet(database: Database, clock: StillClock) -> Outbox:
    """Of a command: it writes and delivers nothing."""
    return Outbox(database, Vault(bytes(32)), clock)


async def log_of(database: Database, recipient: str) -> Delivery:
    (found,) = await deliveries(database, KIND, recipient)
    return found


async def until(true: Callable[[], Any]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come")


# ── who delivers ────────────────────────────────────────────────────────────────────────────────


async def test_at_once_after_the_commit(database: Database, worker: Worker, post: Post) -> None:
    """The worker that wrote it does not wait for its next look; what is rolled back is nothing."""
    box = await worker()

    async def broken(tx: Transaction) -> None:
        await box.put(tx, KIND, "nobody", "", {})
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(broken)
    await put(database, box, "alice")
    await until(lambda: post.got)
    (message,) = post.got
    assert (message.recipient, message.about, message.content) == (
        "alice",
        "about 0",
        {"said": "to alice"},
    )


async def test_each_by_one_worker(
    database: Database, quiet: Outbox, worker: Worker, post: Post
) -> None:
    """Of three workers that look at once each message has one, until all are delivered."""
    await put(database, quiet, *(f"r{n}" for n in range(90)))
    boxes = [await worker() for _ in range(3)]
    states: set[str] = set()
    for _ in range(100):
        await asyncio.gather(*(box.look() for box in boxes))
        states = {row["state"] for row in await database.all(select(outbox))}
        if states == {State.DELIVERED.value}:  # looks that a look called mark in their own time
            break
        await asyncio.sleep(0.01)
    assert states == {State.DELIVERED.value}
    assert set(post.counted().values()) == {1}
    assert len(post.got) == 90


async def test_a_worker_dies(
    database: Database, clock: StillClock, quiet: Outbox, worker: Worker, post: Post
) -> None:
    """Between delivery and mark: nobody else tries while the lease lasts, then another does, and
    the receiver sees the same id."""
    await put(database, quiet, "alice")
    first, second = await worker(), await worker()
    post.hangs = {"alice"}
    dying = asyncio.create_task(first.look())
    await until(lambda: post.got)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    post.hangs = set()
    clock.pass_(LEASE - 1)
    await second.look()
    assert len(post.got) == 1
    assert (await log_of(database, "alice")).state is State.WAITING
    clock.pass_(1)
    await second.look()
    assert list(post.counted().values()) == [2]
    log = await log_of(database, "alice")
    assert (log.state, log.tries, log.answer) == (State.DELIVERED, 2, "taken")


async def test_a_worker_that_was_asleep(
    database: Database, clock: StillClock, quiet: Outbox, worker: Worker, post: Post
) -> None:
    """Its lease is over and another has delivered: what it heard changes nothing any more."""
    await put(database, quiet, "alice")
    awake, sleeper = await worker(), await worker()
    woken = asyncio.Event()

    async def slow(_message: Message) -> str:
        await woken.wait()
        raise NotDelivered("too late", final=True)

    sleeper.serve(KIND, slow)
    sleeping = asyncio.create_task(sleeper.look())
    await asyncio.sleep(0.05)
    clock.pass_(LEASE)
    await awake.look()
    woken.set()
    await sleeping
    log = await log_of(database, "alice")
    assert (log.state, log.answer, log.tries) == (State.DELIVERED, "taken", 2)


async def test_who_does_not_know_how(
    database: Database, quiet: Outbox, worker: Worker, post: Post
) -> None:
    """A kind of a newer release waits for a worker that knows it."""
    await put(database, quiet, "alice", kind="pictures")
    await (await worker()).look()
    assert post.got == []
    (row,) = await database.all(select(outbox))
    assert (row["state"], row["tries"]) == ("waiting", 0)


# ── who takes it ────────────────────────────────────────────────────────────────────────────────


async def test_one_who_hangs_holds_up_nobody(
    database: Database, quiet: Outbox, worker: Worker, post: Post
) -> None:
    """A thousand messages to somebody who never answers; one to somebody else is delivered."""
    box, post.hangs = await worker(), {"away"}
    await put(database, quiet, *["away"] * 1000)
    await put(database, quiet, "here")
    looks = [asyncio.create_task(box.look()) for _ in range(3)]
    await until(lambda: any(m.recipient == "here" for m in post.got))
    assert sum(m.recipient == "away" for m in post.got) <= 4
    for look in looks:
        look.cancel()
    await asyncio.gather(*looks, return_exceptions=True)


async def test_a_fault_of_ours(
    database: Database, clock: StillClock, quiet: Outbox, worker: Worker, post: Post
) -> None:
    """It is tried again too, and tells the recipient nothing of what broke."""
    box, post.refuses = await worker(), {"alice": RuntimeError("secret")}
    await put(database, quiet, "alice")
    await box.look()
    log = await log_of(database, "alice")
    assert (log.state, log.answer) == (State.WAITING, "not sent")
    assert log.due_at is not None and log.due_at > clock.now()


async def test_tried_again(
    database: Database, clock: StillClock, quiet: Outbox, worker: Worker, post: Post
) -> None:
    """Later each time; a day after it was written it is given up."""
    box, began = await worker(), clock.now()
    await put(database, quiet, "alice")
    post.refuses = {"alice": NotDelivered("HTTP 503")}
    waits: list[int] = []
    while (log := await log_of(database, "alice")).due_at is not None or not log.tries:
        assert log.tries < 60
        if log.due_at is not None and log.tries:
            waits.append(log.due_at - clock.now())
            clock.pass_(waits[-1])
        await box.look()
    assert (log.state, log.answer) == (State.FAILED, "HTTP 503")
    assert log.ended_at is not None and DAY - LONGEST_WAIT <= log.ended_at - began <= DAY
    assert waits[0] <= 11 and waits[-1] > 1800


@given(st.integers(1, 60))
def test_the_pauses(tries: int) -> None:
    """Twice as long each time up to an hour, and never less than half of that."""
    most = min(10 * 2 ** (tries - 1), 3600)
    assert most // 2 < pause(tries) <= most + 1


async def test_a_refusal_for_good(
    database: Database, quiet: Outbox, worker: Worker, post: Post
) -> None:
    """Not tried again; what was to be said is not kept."""
    await put(database, quiet, "alice")
    post.refuses = {"alice": NotDelivered("HTTP 400", final=True)}
    await (await worker()).look()
    log = await log_of(database, "alice")
    assert (log.state, log.tries, log.due_at) == (State.FAILED, 1, None)
    (row,) = await database.all(select(outbox))
    assert row["content_sealed"] is None


# ── what is kept ────────────────────────────────────────────────────────────────────────────────


async def test_it_is_sealed(database: Database, quiet: Outbox) -> None:
    """What is said may name a person: at rest only the vault reads it."""
    await put(database, quiet, "alice")
    (row,) = await database.all(select(outbox))
    assert "to alice" not in repr(dict(row))
    assert b"to alice" in Vault(bytes(32)).open("outbox", row["content_sealed"])


async def test_a_week_later(
    database: Database, clock: StillClock, quiet: Outbox, worker: Worker, post: Post
) -> None:
    """Those that have ended go after seven days; those that wait stay."""
    await put(database, quiet, "alice")
    await (await worker()).look()
    await put(database, quiet, "bob")
    clock.pass_(7 * DAY)
    assert await sweep(database, RETENTION, clock.now()) == 0
    assert await sweep(database, RETENTION, clock.now() + 1) == 1
    assert [row["recipient"] for row in await database.all(select(outbox))] == ["bob"]


async def test_how_many_wait(database: Database, quiet: Outbox, worker: Worker) -> None:
    """The operator sees a backlog, and that it is gone."""
    box = await worker()

    def waiting() -> float | None:
        return metrics.registry.get_sample_value("idp_outbox_waiting", {"kind": KIND})

    await put(database, quiet, "alice", "bob")
    await box.count()
    assert waiting() == 2
    await box.look()
    await box.count()
    assert waiting() == 0
