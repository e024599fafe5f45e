"""A worker dies, the database goes away and comes back, somebody holds its lock."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from idp.health import FRESH
from idp.kernel.sqlite import sqlite_file
from idp.kernel.tables import audit
from tests.house import empty_database
from tests.processes.people import Service, code_for, program, statuses, web_client, withheld
from tests.services.bridge import Bridge
from tests.services.fixtures import needs
from tests.services.postgres import Postgres
from tests.services.process import signal_if_there

Fresh = Callable[[str], str]
PUBLIC = ("/jwks", "/.well-known/openid-configuration", "/health/live")


async def test_a_code_outlives_its_worker(bridge: Bridge) -> None:
    """FT-01: after kill -9 of a worker its code is redeemed once, on another, and the supervisor
    brings a new worker."""
    service = await web_client(bridge)
    code = await code_for(bridge, service)
    victim, began = bridge.kill_worker(), time.monotonic()
    assert (await service.redeem(code)).status_code == 200
    served = time.monotonic() - began
    assert (await service.redeem(code)).json()["error"] == "invalid_grant"
    bridge.wait_until(bridge.ready, seconds=120)
    print(f"served after {served:.2f} s, whole again after {time.monotonic() - began:.2f} s")
    assert victim not in bridge.worker_pids()


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def embedded(fresh_database: Fresh) -> Iterator[Bridge]:
    """A bridge on SQLite that may be stopped and started."""
    with Bridge(fresh_database("sqlite")) as running:
        yield running


async def test_a_locked_database_is_waited_for(embedded: Bridge) -> None:
    """FT-14: while another process writes, we wait, at most 5 s, and everything that only reads
    goes on."""
    service = await web_client(embedded)
    with locked(embedded):
        visits = [asyncio.create_task(timed(service.http.get(service.url()))) for _ in range(12)]
        await quick(embedded)
        answers = [await visit for visit in visits]
    assert statuses(answer for answer, _ in answers) == {503: 12}
    assert all("retry-after" in answer.headers for answer, _ in answers)
    slowest = max(seconds for _, seconds in answers)
    print(f"slowest refusal {slowest:.2f} s")
    assert slowest < 7  # the 5 s, and a busy machine
    assert (await service.http.get(service.url())).status_code == 303


async def test_a_short_lock_is_not_noticed(embedded: Bridge) -> None:
    """FT-14: a write that waited less than 5 s is done."""
    service = await web_client(embedded)
    with locked(embedded):
        visit = asyncio.create_task(service.http.get(service.url()))
        await asyncio.sleep(1.5)
    assert (await visit).status_code == 303


def locked(bridge: Bridge) -> Any:
    """Holds the database's only write lock, as a backup or another tool might."""
    file = sqlite_file(bridge.database_url)
    lock = sqlite3.connect(file, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    return contextlib.closing(lock)  # which rolls back


async def quick(bridge: Bridge) -> None:
    """What needs no database is answered at once."""
    async with bridge.http() as http:
        for path in PUBLIC:
            answer, seconds = await timed(http.get(path))
            assert answer.status_code == 200, path
            assert seconds < 1.5, path


async def timed(call: Awaitable[httpx.Response]) -> tuple[httpx.Response, float]:
    """The answer and the seconds that it took."""
    began = time.monotonic()
    return await call, time.monotonic() - began


async def test_termination_drains(embedded: Bridge) -> None:
    """FT-06: after SIGTERM open requests are answered, their audit entries are kept, nobody else
    is let in, and the process ends by itself."""
    machine = await program(embedded)
    request = machine.token_request(grant_type="client_credentials")
    async with withheld(request) as release:
        signal_if_there(embedded.pid, signal.SIGTERM)
        await asyncio.sleep(1.5)
        with pytest.raises(httpx.ConnectError):
            await machine.http.get("/health/live")
        answer = await release()
    assert answer.status == 200
    embedded.wait_for_end(10)
    mine = audit.c.client_id == machine.registered.id
    told = [row["event"] for row in await embedded.all(select(audit).where(mine))]
    assert "token.program" in told


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def faulty() -> Iterator[tuple[Postgres, Bridge]]:
    """A PostgreSQL server that may be hurt, and a bridge on it."""
    with needs("postgres"):
        server = Postgres(durable=True)
    with server, Bridge(empty_database("postgres", server.folder, lambda: server)) as running:
        yield server, running


async def test_a_frozen_database(faulty: tuple[Postgres, Bridge]) -> None:
    """FT-09: while PostgreSQL hangs, what needs it is refused in seconds and the rest goes on;
    afterwards everything works again."""
    server, bridge = faulty
    service, code, tokens = await begun(bridge)
    server.freeze()
    try:
        await refused_meanwhile(bridge, service, tokens)
    finally:
        server.thaw()
    await recovered(service, code)


async def test_a_restarted_database(faulty: tuple[Postgres, Bridge]) -> None:
    """FT-07: while PostgreSQL restarts there are only 503s, and no stale connection afterwards."""
    server, bridge = faulty
    service, code, tokens = await begun(bridge)
    server.stop()
    try:
        await refused_meanwhile(bridge, service, tokens)
    finally:
        server.serve()
    await recovered(service, code)


async def begun(bridge: Bridge) -> tuple[Service, str, dict[str, str]]:
    """A service, a code that it has yet to redeem, and tokens that it has."""
    service = await web_client(bridge)
    tokens = (await service.redeem(await code_for(bridge, service))).json()
    return service, await code_for(bridge, service), tokens


async def refused_meanwhile(bridge: Bridge, service: Service, tokens: dict[str, str]) -> None:
    """Three times each of what needs the database, while the rest is asked for."""
    await asyncio.sleep(FRESH)  # so long a look at the store may be told again
    calls: list[Callable[[], Awaitable[httpx.Response]]] = [
        lambda: service.http.get(service.url()),
        lambda: service.userinfo(tokens["access_token"]),
        lambda: service.refresh(tokens["refresh_token"]),
        lambda: service.http.get("/health/ready"),
        lambda: service.http.get("/wecard"),
        lambda: service.http.get(f"/login/{secrets.token_urlsafe(16)}/status"),
    ]
    waiting = [asyncio.create_task(timed(call())) for call in calls * 3]
    await quick(bridge)
    answers = [await each for each in waiting]
    assert statuses(answer for answer, _ in answers) == {503: len(waiting)}
    slowest = max(seconds for _, seconds in answers)
    print(f"slowest refusal {slowest:.2f} s")
    assert slowest < 7  # 5 s, and a busy machine


async def recovered(service: Service, code: str) -> None:
    """Ready again, the code from before is good, and no request meets a dead connection."""
    began = time.monotonic()
    while (await service.http.get("/health/ready")).status_code != 200:
        assert time.monotonic() - began < 60
        await asyncio.sleep(0.1)
    print(f"ready after {time.monotonic() - began:.2f} s")
    assert (await service.redeem(code)).status_code == 200
    answers = await asyncio.gather(*(service.http.get(service.url()) for _ in range(30)))
    assert statuses(answers) == {303: 30}
