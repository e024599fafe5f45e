"""Both stores keep the same promises: compare-and-swap, all or nothing, and a clear word when they
are away."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import bindparam, insert, select, text, update

from idp.kernel import revision, schema, sqlite
from idp.kernel.clock import Clock
from idp.kernel.connect import connect
from idp.kernel.database import Conflict, Database, Transaction
from idp.kernel.errors import Unavailable
from idp.kernel.postgres import Postgres
from idp.kernel.sqlite import sqlite_file
from idp.kernel.stamps import bump
from idp.kernel.tables import client_secrets, stamps

INSERT = insert(stamps)
READ = select(stamps).where(stamps.c.name == bindparam("id"))
ALL = select(stamps).order_by(stamps.c.name)
SWAP = (
    update(stamps)
    .where(stamps.c.name == bindparam("id"), stamps.c.value == bindparam("before"))
    .values(value=bindparam("after"))
)
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """The same store, as another process has it open."""
    store = await connect(database_url)
    yield store
    await store.close()


async def put(database: Database, name: str, value: int = 0) -> None:
    await database.write(lambda tx: tx.run(INSERT, name=name, value=value))


async def names(database: Database) -> list[str]:
    return [row["name"] for row in await database.all(ALL)]


async def test_reading(database: Database) -> None:
    """`one` gives a row or None, `all` a list; rows are read by the column's name."""
    assert await database.one(READ, id="a") is None
    assert await database.all(ALL) == []
    await put(database, "a", 7)
    row = await database.one(READ, id="a")
    assert row is not None
    assert dict(row) == {"name": "a", "value": 7}


async def test_the_row_count_decides(database: Database) -> None:
    """A compare-and-swap says how many rows it changed: one, or none."""
    await put(database, "a", 1)
    assert await database.write(lambda tx: tx.run(SWAP, id="a", before=1, after=2)) == 1
    assert await database.write(lambda tx: tx.run(SWAP, id="a", before=1, after=3)) == 0
    row = await database.one(READ, id="a")
    assert row is not None
    assert row["value"] == 2


async def test_of_many_swaps_one_wins(database: Database, other: Database) -> None:
    """At once, from two processes: one."""
    await put(database, "a", 0)
    stores = [database, other] * 20

    async def swap(store: Database, after: int) -> int:
        return await store.write(lambda tx: tx.run(SWAP, id="a", before=0, after=after))

    won = await asyncio.gather(*(swap(store, n + 1) for n, store in enumerate(stores)))
    assert sorted(won) == [0] * 39 + [1]


async def test_a_taken_key_is_a_conflict(database: Database) -> None:
    """A unique key that is taken is told apart from every other trouble."""
    await put(database, "a")
    with pytest.raises(Conflict):
        await put(database, "a")


async def test_a_conflict_is_seen_inside_the_work(database: Database) -> None:
    """The work may turn it into an error of its own; the transaction is over either way."""
    await put(database, "a")

    async def work(tx: Transaction) -> None:
        await tx.run(INSERT, name="b", value=0)
        try:
            await tx.run(INSERT, name="a", value=0)
        except Conflict:
            raise LookupError("taken") from None

    with pytest.raises(LookupError, match="taken"):
        await database.write(work)
    assert await names(database) == ["a"]


async def test_a_broken_reference_is_no_conflict(database: Database) -> None:
    """Only a taken key means that somebody was first."""
    row = {"digest": "d", "client_id": "nobody", "hint": "", "created_at": 0}
    row |= {"expires_at": None, "replaced_at": None}
    with pytest.raises(Unavailable):
        await database.write(lambda tx: tx.run(insert(client_secrets), **row))


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, KeyboardInterrupt])
async def test_nothing_of_a_failed_work_stays(
    database: Database, error: type[BaseException]
) -> None:
    """All or nothing, whatever is raised; the next work begins clean."""

    async def work(tx: Transaction) -> None:
        await tx.run(INSERT, name="a", value=0)
        assert await tx.one(READ, id="a")
        raise error

    with pytest.raises(error):
        await database.write(work)
    assert await names(database) == []
    await put(database, "a")
    assert await names(database) == ["a"]


async def test_others_see_only_what_is_committed(database: Database, other: Database) -> None:
    """Neither another process, nor a reader of this one."""

    async def work(tx: Transaction) -> None:
        await tx.run(INSERT, name="a", value=0)
        assert await names(database) == []
        assert await names(other) == []

    await database.write(work)
    assert await names(other) == ["a"]


async def test_the_work_s_result_comes_back(database: Database) -> None:
    """`write` returns what the work returns."""

    async def work(tx: Transaction) -> str:
        return "done"

    assert await database.write(work) == "done"


async def test_unknown_parameters_are_our_own_fault(database: Database) -> None:
    """A parameter that the statement does not have is a mistake, not an answer."""
    with pytest.raises(TypeError):
        await database.one(READ, id="a", name="b")
    with pytest.raises(KeyError):
        await database.one(READ)


async def test_the_store_has_a_clock(database: Database) -> None:
    """UTC seconds: every replica decides by the same clock."""
    assert abs(await database.time() - Clock().precise()) < 60


async def test_a_store_that_is_away(database: Database) -> None:
    """Reading and writing raise Unavailable, which is answered 503 with Retry-After."""
    await database.close()
    for act in (
        lambda: database.one(READ, id="a"),
        lambda: database.all(ALL),
        lambda: put(database, "a"),
        lambda: database.time(),
    ):
        with pytest.raises(Unavailable) as away:
            await act()
        assert away.value.retry_after == 5


async def test_a_missing_table_is_unavailable(database: Database) -> None:
    """A store whose schema is not ours fails closed."""
    with pytest.raises(Unavailable):
        await database.all(text("SELECT 1 FROM nowhere"))


async def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    """Connecting says so as well."""
    with pytest.raises(Unavailable):
        await connect("postgresql://nobody@127.0.0.1:1/nothing")
    (tmp_path / "file").write_text("this is no database, and long enough to be read as one" * 20)
    with pytest.raises(Unavailable):
        await connect(f"sqlite:///{tmp_path / 'file'}")


# ── the lock of SQLite's one writer ─────────────────────────────────────────────────────────────


class Ticks:
    """Counts how often the loop comes round."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


@only_sqlite
async def test_another_process_writes(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process holds the lock, writers wait without freezing the loop, all no longer
    than one of them, and then say 503; readers go on. Afterwards all is well."""
    monkeypatch.setattr(sqlite, "WAIT", 0.3)
    await put(database, "a")
    elsewhere = sqlite3.connect(sqlite_file(database_url), isolation_level=None)
    elsewhere.execute("BEGIN EXCLUSIVE")
    ticks, began = Ticks(), asyncio.get_running_loop().time()
    ticking = asyncio.create_task(ticks.run())
    results = await asyncio.gather(
        *(put(database, f"b{n}") for n in range(10)), names(database), return_exceptions=True
    )
    took = asyncio.get_running_loop().time() - began
    ticking.cancel()
    assert results.pop() == ["a"]
    assert {type(r) for r in results} <= {Unavailable}
    assert all(r.retry_after for r in results if isinstance(r, Unavailable))
    assert took < 0.3 * 1.9, "a turn and a lock are waited for together, not one after the other"
    assert ticks.count > 100, "the loop stood still"
    elsewhere.execute("ROLLBACK")
    elsewhere.close()
    await put(database, "c")
    assert await names(database) == ["a", "c"]


@only_sqlite
async def test_the_file_is_for_its_user_alone(database_url: str, tmp_path: Path) -> None:
    """Whatever the umask, others of the machine cannot read the database or its companions."""
    url = f"sqlite:///{tmp_path}/made/idp.sqlite3"
    before = os.umask(0)
    try:
        await asyncio.to_thread(schema.upgrade, url)
        database = await connect(url)
        await bump(database, "x")
        modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "made").iterdir()}
        await database.close()
    finally:
        os.umask(before)
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


@only_sqlite
async def test_a_lock_that_is_given_back(database_url: str, database: Database) -> None:
    """Whoever waited long enough is served."""
    elsewhere = sqlite3.connect(sqlite_file(database_url), isolation_level=None)
    elsewhere.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(put(database, "a"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    elsewhere.execute("COMMIT")
    elsewhere.close()
    await waiting
    assert await names(database) == ["a"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_deadlock_is_tried_again(database: Database) -> None:
    """PostgreSQL ends one of two transactions that wait for one another; it runs once more."""
    assert isinstance(database, Postgres)
    await put(database, "a")
    await put(database, "b")
    tries: list[str] = []
    met, survived = asyncio.Barrier(2), asyncio.Event()

    async def crossing(first: str, second: str) -> None:
        async def work(tx: Transaction) -> None:
            tries.append(first)
            if len(tries) > 2:  # a new try may take its first row before the other, and meet it
                await survived.wait()
            await tx.all(text("SET LOCAL deadlock_timeout = '20ms'"))
            await tx.run(ADD, id=first)
            if len(tries) <= 2:
                await met.wait()
            await tx.run(ADD, id=second)

        await database.write(work)
        survived.set()

    await asyncio.gather(crossing("a", "b"), crossing("b", "a"))
    assert sorted(row["value"] for row in await database.all(ALL)) == [2, 2]
    assert len(tries) == 3


ADD = update(stamps).where(stamps.c.name == bindparam("id")).values(value=stamps.c.value + 1)


# ── the schema ──────────────────────────────────────────────────────────────────────────────────


def test_the_migrations_make_what_the_tables_say(database_url: str) -> None:
    """After `upgrade`, the database and tables.py agree, and a second upgrade changes nothing."""
    assert schema.differences(database_url) == []
    schema.upgrade(database_url)
    assert schema.differences(database_url) == []
    found, needed = revision.current(database_url)
    migrations = ScriptDirectory(str(Path(schema.__file__).with_name("migrations")))
    assert found == needed == migrations.get_current_head()
