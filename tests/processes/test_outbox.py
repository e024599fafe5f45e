"""Logout tokens from several workers over real connections, some of them killed on the way."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc import jws
from sqlalchemy import select, update

from idp.house import persons_of
from idp.kernel.database import Transaction
from idp.kernel.tables import outbox
from idp.login.endings import KIND
from tests import outside as world
from tests.actors import verify
from tests.outside import ADDRESS, NETWORK, Got, Outside
from tests.processes.people import Browser, Service, web_client
from tests.services.bridge import Bridge
from tests.services.fixtures import databases

LOGOUT = f"https://{ADDRESS}"  # a number: the workers ask the real name server


@pytest.fixture(scope="module", params=databases())
def caller(
    request: pytest.FixtureRequest, fresh_database: Callable[[str], str]
) -> Iterator[Bridge]:
    """A bridge with two workers that may call the hosts of these tests."""
    outward = {"allowed_networks": [NETWORK], "ca_file": str(world.authority().file)}
    with Bridge(fresh_database(request.param), outward=outward) as running:
        yield running


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with world.outside(ADDRESS) as found:
        found.at["/logout"] = b""
        yield found


async def told(bridge: Bridge, outside: Outside) -> Service:
    uri = f"{LOGOUT}:{outside.port}/logout"
    return await web_client(bridge, backchannel_logout_uri=uri)


async def until(true: Callable[[], Any], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come"
        await asyncio.sleep(0.02)


def jti(got: Got) -> str:
    """Of the logout token that a call brought."""
    (token,) = parse_qs(got.body.decode())["logout_token"]
    payload = jws.extract_compact(token.encode()).payload or b""
    return str(json.loads(payload)["jti"])


async def states(bridge: Bridge, service: Service) -> Counter[str]:
    mine = outbox.c.recipient == service.registered.id
    return Counter(row["state"] for row in await bridge.all(select(outbox).where(mine)))


async def queued(bridge: Bridge, service: Service, count: int) -> None:
    """As if `count` sessions had ended in another process."""
    async with bridge.services() as services:

        async def work(tx: Transaction) -> None:
            person = await persons_of(services).meet(tx, "A100000010")
            for _ in range(count):
                session = secrets.token_hex(32)
                await services.outbox.put(
                    tx, KIND, service.registered.id, session, {"person": person.id}
                )

        await services.database.write(work)


async def all_ended(bridge: Bridge, service: Service, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while (await states(bridge, service))["waiting"]:
        assert time.monotonic() < ends, "some still wait"
        await asyncio.sleep(0.2)


async def test_soon_after_the_press(caller: Bridge, outside: Outside) -> None:
    """The relying party is told within two seconds, by whichever worker."""
    service = await told(caller, outside)
    browser = Browser(caller)
    await browser.open(service.url())
    await service.redeem(await verify(browser))
    await browser.open("/logout")
    await browser.press("logout")
    await until(lambda: outside.got, 2)


async def test_each_once(caller: Bridge, outside: Outside) -> None:
    """A hundred messages, two workers: each arrives once."""
    service = await told(caller, outside)
    await queued(caller, service, 100)
    await all_ended(caller, service)
    assert await states(caller, service) == {"delivered": 100}
    assert set(Counter(map(jti, outside.got)).values()) == {1}
    assert len(outside.got) == 100


async def test_killed_between_delivery_and_mark(caller: Bridge, outside: Outside) -> None:
    """FT-01: both workers die while the receiver has the token and they wait for its answer. After
    the lease it comes again with the same jti, and then no more."""
    held = asyncio.Event()

    async def holds(_got: Got, _writer: asyncio.StreamWriter) -> None:
        await held.wait()

    service = await told(caller, outside)
    outside.at["/logout"] = holds
    await queued(caller, service, 1)
    await until(lambda: outside.got)
    caller.kill_worker()
    caller.kill_worker()
    held.set()
    outside.at["/logout"] = b""
    caller.wait_until(caller.ready, seconds=180)
    assert await states(caller, service) == {"waiting": 1}
    async with caller.services() as services:  # the minute of the lease is over
        await services.database.run(update(outbox).values(due_at=services.clock.now()))
    await all_ended(caller, service)
    first, second = outside.got
    assert jti(first) == jti(second)
    (row,) = await caller.all(select(outbox).where(outbox.c.recipient == service.registered.id))
    assert (row["state"], row["tries"]) == ("delivered", 2)
