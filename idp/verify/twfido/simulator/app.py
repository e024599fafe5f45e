"""The wiring of the simulator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette

from idp.verify.twfido.simulator.browser import Browser
from idp.verify.twfido.simulator.callbacks import Courier
from idp.verify.twfido.simulator.control import Control
from idp.verify.twfido.simulator.faults import Conditions, Sleep
from idp.verify.twfido.simulator.grammar import is_loopback
from idp.verify.twfido.simulator.interfaces import Interfaces
from idp.verify.twfido.simulator.pages import Pages
from idp.verify.twfido.simulator.phone import Phone
from idp.verify.twfido.simulator.world import SimulatedSystem, World


def create_simulator(
    systems: Sequence[SimulatedSystem],
    *,
    public_url: str = "http://localhost:8100",
    clock: Callable[[], float] = time.time,
    sleep: Sleep = asyncio.sleep,
    transport: httpx.AsyncBaseTransport | None = None,
    beside_issuer: str | None = None,
    return_method: Literal["post", "get"] = "post",
) -> Starlette:
    """A pretend TW FidO that knows `systems`. `clock` in seconds since 1970; `sleep` makes slow
    answers slow; `transport` carries its callbacks. ValueError beside a production issuer."""
    _refuse_production(beside_issuer)
    world, conditions, pages = World(systems, clock), Conditions(sleep), Pages()
    courier = Courier(world, conditions, transport)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await courier.close()

    rooms = (
        Interfaces(world, conditions, courier),
        Browser(world, conditions, pages, return_method),
        Phone(world, pages, public_url.rstrip("/")),
        Control(world, conditions, courier),
        pages,
    )
    app = Starlette(routes=[r for room in rooms for r in room.routes()], lifespan=lifespan)
    app.state.simulator = world
    return app


def _refuse_production(issuer: str | None) -> None:
    # Anybody can approve anything here: beside real tokens that would be a skeleton key.
    if issuer is None:
        return
    url = urlsplit(issuer)
    if url.scheme == "https" and not is_loopback(url.hostname or ""):
        raise ValueError(
            f"the TW FidO simulator does not run beside the production issuer {issuer}"
        )
