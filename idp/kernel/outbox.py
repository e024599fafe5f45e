"""What is to be delivered later: written in the transaction that causes it, delivered after it.

    services.outbox.serve(KIND, deliver)                            once, by the room that knows how
    await services.outbox.put(tx, KIND, recipient, about, content)  in the transaction of a change

A message is a row. A worker leases it by a compare-and-swap, so any number of workers share the
work; a worker that dies keeps a message for as long as its lease. The receiver sees one `id` at
every try: between a delivery and its mark a worker can die, so a message may arrive twice.
A message that is not taken is tried again, each time later, until its kind's `life` is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import structlog
from sqlalchemy import bindparam, func, insert, select, update

from idp.kernel import metrics
from idp.kernel.clock import Clock, token
from idp.kernel.database import Database, Reader, Row, Transaction
from idp.kernel.errors import Unavailable
from idp.kernel.housekeeping import kept
from idp.kernel.tables import outbox
from idp.kernel.vault import Vault

LEASE = 60  # seconds; no try takes longer
FIRST_WAIT, LONGEST_WAIT = 10, 3600  # seconds between two tries: doubled each time
AT_ONCE, AT_ONCE_EACH = 20, 4  # tries of one process, and of those to one recipient
BATCH = 100
MOST_SHOWN = 100  # messages to one recipient

log = structlog.get_logger("idp.outbox")


class State(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"  # and not tried again


@dataclass(frozen=True, slots=True)
class Message:
    """`about` is what it is about, for those who look later; `content` is sealed at rest."""

    id: str
    recipient: str
    about: str
    content: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a message fares: `answer` is what the last try heard, `due_at` when the next one is."""

    id: str
    about: str
    state: State
    tries: int
    answer: str
    created_at: int
    due_at: int | None
    ended_at: int | None


class NotDelivered(Exception):
    """The text says why, without secrets: the recipient can read it. `final`: trying again is of
    no use."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


Deliver = Callable[[Message], Awaitable[str]]  # what was heard; raises NotDelivered


@dataclass(frozen=True, slots=True)
class _Kind:
    deliver: Deliver
    life: int  # seconds


_O = outbox.c
_INSERT = insert(outbox)
_TURN = func.row_number().over(partition_by=_O.recipient, order_by=(_O.due_at, _O.id))
_TURNS = (
    select(outbox, _TURN.label("turn"))
    .where(_O.kind == bindparam("kind"), _O.due_at <= bindparam("now"))
    .subquery()
)
_DUE = (  # a few to each recipient: one who is away does not hold up the others
    select(_TURNS).where(_TURNS.c.turn <= AT_ONCE_EACH).order_by(_TURNS.c.due_at).limit(BATCH)
)
_MINE = (_O.id == bindparam("key"), _O.tries == bindparam("seen"), _O.due_at.is_not(None))
_LEASE = (
    update(outbox)
    .where(*_MINE, _O.due_at <= bindparam("now"))
    .values(due_at=bindparam("until"), tries=_O.tries + 1)
)
_AGAIN = update(outbox).where(*_MINE).values(due_at=bindparam("at"), answer=bindparam("heard"))
_END = (
    update(outbox)
    .where(*_MINE)
    .values(
        state=bindparam("how"),
        answer=bindparam("heard"),
        due_at=None,
        ended_at=bindparam("now"),
        content_sealed=None,
    )
)
_TO = (
    select(outbox)
    .where(_O.kind == bindparam("kind"), _O.recipient == bindparam("recipient"))
    .order_by(_O.created_at.desc(), _O.id)
    .limit(MOST_SHOWN)
)
_WAITING = select(_O.kind, func.count().label("n")).where(_O.due_at.is_not(None)).group_by(_O.kind)

RETENTION = (kept(_O.ended_at, 7 * 86_400),)


class Outbox:
    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database, self._vault, self._clock = database, vault, clock
        self._kinds: dict[str, _Kind] = {}
        self._under_way = Counter[str]()  # tries, by recipient
        self._looks: set[asyncio.Task[None]] = set()
        self._called = False

    def serve(self, kind: str, deliver: Deliver, life: int = 86_400) -> None:
        """This process delivers this kind; a message is given up `life` seconds after it was
        written."""
        self._kinds[kind] = _Kind(deliver, life)

    async def put(
        self, tx: Transaction, kind: str, recipient: str, about: str, content: Mapping[str, str]
    ) -> None:
        """Delivered if the transaction is committed, and then at once."""
        now = self._clock.now()
        await tx.run(
            _INSERT,
            id=token(16),
            kind=kind,
            recipient=recipient,
            about=about,
            content_sealed=self._vault.seal("outbox", json.dumps(dict(content))),
            state=State.WAITING.value,
            tries=0,
            answer="",
            created_at=now,
            due_at=now,
            ended_at=None,
        )
        tx.afterwards(self._call)

    async def aclose(self) -> None:
        """Ends the tries under way; others make them when the leases are over."""
        for task in self._looks:
            task.cancel()
        await asyncio.gather(*self._looks, return_exceptions=True)

    # ── delivering ─────────────────────────────────────────────────────────────────────────────

    def _call(self) -> None:
        """Whoever calls several times before the look begins gets one."""
        if self._kinds and not self._called:
            self._called = True
            task = asyncio.create_task(self._come())
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)

    async def _come(self) -> None:
        self._called = False
        try:
            await self.look()
        except Exception as broken:  # the job looks again
            log.warning("outbox.look_failed", why=type(broken).__name__)

    async def look(self) -> None:
        """Tries everything that is due and free, each once."""
        tried = await asyncio.gather(*(self._look_at(*kind) for kind in self._kinds.items()))
        if any(tried):
            self._call()  # there may be more, which had no place

    async def _look_at(self, name: str, kind: _Kind) -> int:
        """How many were tried."""
        rows = await self._database.all(_DUE, kind=name, now=self._clock.now())
        mine = [row for row in rows if self._has_place(row) and await self._lease(row)]
        await asyncio.gather(*(self._try(name, kind, row) for row in mine))
        return len(mine)

    def _has_place(self, row: Row) -> bool:
        free = self._under_way.total() < AT_ONCE
        return free and self._under_way[row["recipient"]] < AT_ONCE_EACH

    async def _lease(self, row: Row) -> bool:
        """Whether this process has it now, and nobody else."""
        now, recipient = self._clock.now(), row["recipient"]
        self._under_way[recipient] += 1
        leased = 0
        with contextlib.suppress(Unavailable):  # a lease that is taken all the same runs out
            leased = await self._database.run(
                _LEASE, key=row["id"], seen=row["tries"], now=now, until=now + LEASE
            )
        if not leased:
            self._under_way[recipient] -= 1
        return bool(leased)

    async def _try(self, name: str, kind: _Kind, row: Row) -> None:
        try:
            await self._mark(name, kind, row, await self._deliver(name, kind, row))
        except Unavailable as away:  # delivered perhaps: the receiver knows the id
            log.warning("outbox.not_marked", kind=name, why=away.detail)
        finally:
            self._under_way[row["recipient"]] -= 1
            self._under_way += Counter()  # forgets those that have none

    async def _deliver(self, name: str, kind: _Kind, row: Row) -> str | NotDelivered:
        content = json.loads(self._vault.open("outbox", row["content_sealed"]))
        message = Message(row["id"], row["recipient"], row["about"], content)
        try:
            return await kind.deliver(message)
        except NotDelivered as refusal:
            return refusal
        except Exception as broken:  # ours to mend, not the recipient's
            log.error("outbox.broken", kind=name, exc_info=broken)
            return NotDelivered("not sent")

    async def _mark(self, name: str, kind: _Kind, row: Row, heard: str | NotDelivered) -> None:
        """Of no effect if the lease is over and somebody else has begun."""
        now, tried = self._clock.now(), row["tries"] + 1
        mine = {"key": row["id"], "seen": tried, "heard": str(heard)}
        if isinstance(heard, str):
            await self._database.run(_END, **mine, how=State.DELIVERED.value, now=now)
            outcome = "delivered"
        elif heard.final or now + (wait := pause(tried)) >= row["created_at"] + kind.life:
            await self._database.run(_END, **mine, how=State.FAILED.value, now=now)
            outcome = "failed"
            log.warning("outbox.failed", kind=name, recipient=row["recipient"], why=str(heard))
        else:
            await self._database.run(_AGAIN, **mine, at=now + wait)
            outcome = "put_off"
        metrics.DELIVERIES.labels(name, outcome).inc()

    # ── looking on ─────────────────────────────────────────────────────────────────────────────

    async def count(self) -> None:
        """Tells the metrics how many wait."""
        found = {row["kind"]: row["n"] for row in await self._database.all(_WAITING)}
        for kind in self._kinds:
            metrics.UNDELIVERED.labels(kind).set(found.get(kind, 0))


def pause(tries: int) -> int:
    """Seconds until the next try: twice as long each time, half of it by chance, so that those
    who wait for one host do not come back together."""
    most = min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT)
    return int(most / 2 + random.uniform(0, most / 2)) + 1  # noqa: S311


async def deliveries(reader: Reader, kind: str, recipient: str) -> list[Delivery]:
    """The newest first."""
    return [
        Delivery(
            id=row["id"],
            about=row["about"],
            state=State(row["state"]),
            tries=row["tries"],
            answer=row["answer"],
            created_at=row["created_at"],
            due_at=row["due_at"],
            ended_at=row["ended_at"],
        )
        for row in await reader.all(_TO, kind=kind, recipient=recipient)
    ]
