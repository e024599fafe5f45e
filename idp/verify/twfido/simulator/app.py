"""The wiring of the simulator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

import httpx
from starlette.applications import Starlette

from idp.verify.simulated.control import Control, refuse_production
from idp.verify.simulated.pages import Pages
from idp.verify.simulated.phone import Face, Phone
from idp.verify.simulated.weather import Sleep
from idp.verify.twfido.simulator.browser import Browser
from idp.verify.twfido.simulator.callbacks import Courier
from idp.verify.twfido.simulator.faults import INTERFACES, Conditions, Fault
from idp.verify.twfido.simulator.grammar import UUID
from idp.verify.twfido.simulator.interfaces import Interfaces
from idp.verify.twfido.simulator.personas import PERSONAS
from idp.verify.twfido.simulator.reading import MESSAGES
from idp.verify.twfido.simulator.world import SYSACTION, SimulatedSystem, World


def create_simulator(
    systems: Sequence[SimulatedSystem],
    *,
    public_url: str = "http://localhost:8100",
    clock: Callable[[], float] = time.time,
    sleep: Sleep = asyncio.sleep,
    transport: httpx.AsyncBaseTransport | None = None,
    beside_issuer: str | None = None,
    sandbox: bool = False,
    return_method: Literal["post", "get"] = "post",
) -> Starlette:
    """A pretend TW FidO that knows `systems`. `clock` in seconds since 1970; `sleep` makes slow
    answers slow; `transport` carries its callbacks. In a `sandbox` many share it, so nobody
    has its strings. ValueError beside a production issuer."""
    refuse_production(beside_issuer, sandbox=sandbox)
    world, pages = World(systems, clock), Pages("TW FidO")
    conditions = Conditions(Fault, INTERFACES, sleep)
    courier = Courier(world, conditions, transport)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await courier.close()

    rooms = (
        Interfaces(world, conditions, courier),
        Browser(world, conditions, pages, return_method),
        Phone(world, pages, public_url.rstrip("/"), face(world), ledger=not sandbox),
        *(() if sandbox else (Control(world, conditions, "qrid", world.register, courier.recall),)),
        pages,
    )
    app = Starlette(routes=[r for room in rooms for r in room.routes()], lifespan=lifespan)
    app.state.simulator = world
    return app


def face(world: World) -> Face:
    """The app of TW FidO. What a QR code carries is the bridge's template: only the qrid in it
    counts."""

    def scanned(content: str) -> str | None:
        qrid = UUID.search(content)
        return qrid[0] if qrid else None

    return Face(
        action=lambda _: SYSACTION,
        scanned=scanned,
        kind=lambda t: ("QR Code", "") if t.interface == "FEXCH-01" else ("推播", "Push"),
        people=PERSONAS.values,
        systems=lambda: [(s.name, s.syscode) for s in world.systems.values()],
        malformed=("9003", MESSAGES["9003"]),
        unknown=("2002", "查無此交易"),
    )
