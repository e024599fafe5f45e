"""Ready means that a request would be served: everything it needs is looked at by using it."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from idp.kernel.errors import Unavailable
from idp.kernel.sqlite import sqlite_file
from tests.house import TestHouse, empty_sqlite, running, settings_for
from tests.services.redis import Redis


async def ready(house: TestHouse) -> tuple[int, Any]:
    house.clock.pass_(2)
    answer = await house.http().get("/health/ready")
    return answer.status_code, answer.json()


async def test_all_is_well(house: TestHouse) -> None:
    """200, and nothing else is told."""
    assert await ready(house) == (200, {"status": "ok"})


async def test_a_store_that_only_reads_is_not_ready(
    house: TestHouse, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or a standby can be read and lets nobody in."""
    if database_url.startswith("sqlite"):
        from idp.kernel import sqlite

        monkeypatch.setattr(sqlite, "WAIT", 0.1)
        elsewhere = sqlite3.connect(sqlite_file(database_url), isolation_level=None)
        elsewhere.execute("BEGIN EXCLUSIVE")
        status, body = await ready(house)
        elsewhere.execute("ROLLBACK")
        elsewhere.close()
    else:

        async def refused(*_: Any, **__: Any) -> int:
            raise Unavailable(detail="PostgreSQL: ReadOnlySQLTransactionError")

        with monkeypatch.context() as patch:
            patch.setattr(type(house.services.database), "run", refused)
            status, body = await ready(house)
    assert (status, body["status"]) == (503, "unavailable")
    assert body["faults"]
    assert await ready(house) == (200, {"status": "ok"})


async def test_without_its_counters_it_is_not_ready(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """With Redis away the token endpoint answers 503, so the balancer must know."""
    url = empty_sqlite(tmp_path_factory.getbasetemp())
    with Redis() as redis:
        async with running(settings_for(url, web={"redis_url": redis.url})) as house:
            assert (await ready(house))[0] == 200
            redis.kill()
            status, body = await ready(house)
            assert status == 503
            assert body["faults"] == ["rate counters: no answer"]


async def test_a_crowd_of_checks_is_one_look(house: TestHouse) -> None:
    """Several balancers ask every second: the store is written once."""
    await ready(house)
    writes = 0

    async def counted(*_: Any, **__: Any) -> int:
        nonlocal writes
        writes += 1
        return 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(house.services.database), "run", counted)
        for _ in range(20):
            await house.http().get("/health/ready")
    assert writes == 0


async def test_who_asks_during_a_look_waits_for_it(house: TestHouse) -> None:
    """A store that hangs is no ready store, for nobody of a crowd that asks meanwhile."""
    assert await ready(house) == (200, {"status": "ok"})
    hanging = asyncio.Event()

    async def hangs(*_: Any, **__: Any) -> int:
        await hanging.wait()
        raise Unavailable(detail="no answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(house.services.database), "run", hangs)
        house.clock.pass_(2)
        crowd = [asyncio.create_task(house.http().get("/health/ready")) for _ in range(5)]
        await asyncio.sleep(0.1)
        assert not any(one.done() for one in crowd)
        hanging.set()
        assert {(await one).status_code for one in crowd} == {503}
