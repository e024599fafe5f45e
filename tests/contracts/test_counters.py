"""Counters of security limits: exact at once, on every worker, and for as long as they should."""

from __future__ import annotations

import asyncio

import pytest

from idp.kernel import counters
from idp.kernel.connect import connect
from idp.kernel.counters import Limit
from idp.kernel.database import Database, Transaction

NOW = 1_790_000_000
BUDGET = Limit("push", most=3, seconds=600)
LOCKOUT = Limit("password", most=3, seconds=600, lockout=True)


async def take(database: Database, limit: Limit, subject: str = "s", at: int = 0) -> int:
    return await database.write(lambda tx: counters.take(tx, limit, subject, NOW + at))


async def peek(database: Database, limit: Limit, subject: str = "s", at: int = 0) -> int:
    return await counters.peek(database, limit, subject, NOW + at)


@pytest.mark.parametrize("limit", [BUDGET, LOCKOUT], ids=["budget", "lockout"])
async def test_so_many_and_no_more(database: Database, limit: Limit) -> None:
    """The first `most` go on; the next are told how long to wait."""
    assert [await take(database, limit) for _ in range(5)] == [0, 0, 0, 600, 600]


async def test_twenty_at_once(database_url: str, database: Database) -> None:
    """Of twenty at once, from two workers, exactly `most` go on."""
    other = await connect(database_url)
    stores = [database, other] * 10
    waits = await asyncio.gather(*(take(store, BUDGET) for store in stores))
    assert sorted(waits) == [0] * 3 + [600] * 17
    await other.close()


async def test_a_budget_is_measured_from_its_first(database: Database) -> None:
    """Ten minutes after the first, all of it is there again, at once."""
    assert [await take(database, BUDGET, at=at) for at in (0, 100, 200, 300)] == [0, 0, 0, 300]
    assert await take(database, BUDGET, at=599) == 1
    assert [await take(database, BUDGET, at=600) for _ in range(4)] == [0, 0, 0, 600]


async def test_a_lockout_is_measured_from_the_latest(database: Database) -> None:
    """`most` failures always cost the full time, however slowly they came; being refused does not
    make it longer."""
    assert [await take(database, LOCKOUT, at=at) for at in (0, 500, 1000)] == [0, 0, 0]
    assert await take(database, LOCKOUT, at=1001) == 599
    assert await take(database, LOCKOUT, at=1599) == 1
    assert await take(database, LOCKOUT, at=1600) == 0


async def test_subjects_and_kinds_are_apart(database: Database) -> None:
    """One person's budget is nobody else's."""
    for _ in range(4):
        await take(database, BUDGET, "a")
    assert await take(database, BUDGET, "b") == 0
    assert await take(database, LOCKOUT, "a") == 0
    assert await take(database, BUDGET, "a") > 0


async def test_looking_does_not_count(database: Database) -> None:
    """`peek` says what the next attempt would be told."""
    for _ in range(10):
        assert await peek(database, BUDGET) == 0
    for _ in range(3):
        assert await peek(database, BUDGET) == 0
        assert await take(database, BUDGET) == 0
    assert await peek(database, BUDGET, at=10) == 590
    assert await take(database, BUDGET, at=10) == 590
    assert await peek(database, BUDGET, at=600) == 0


async def test_forgiven(database: Database) -> None:
    """A success forgets the failures before it."""
    for _ in range(4):
        await take(database, LOCKOUT)
    await database.write(lambda tx: counters.reset(tx, LOCKOUT, "s"))
    assert await take(database, LOCKOUT) == 0


async def test_what_is_rolled_back_was_not_counted(database: Database) -> None:
    """An attempt and what depends on it are one transaction."""

    async def work(tx: Transaction) -> None:
        await counters.take(tx, BUDGET, "s", NOW)
        raise RuntimeError

    for _ in range(5):
        with pytest.raises(RuntimeError):
            await database.write(work)
    assert await take(database, BUDGET) == 0
