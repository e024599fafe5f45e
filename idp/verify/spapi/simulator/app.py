"""The wiring of the simulator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from idp.verify.simulated.control import Control, refuse_production
from idp.verify.simulated.pages import Pages
from idp.verify.simulated.phone import Face, Phone
from idp.verify.simulated.weather import Sleep
from idp.verify.spapi.simulator import ticket
from idp.verify.spapi.simulator.authority import Authority
from idp.verify.spapi.simulator.browser import Browser
from idp.verify.spapi.simulator.faults import INTERFACES, Conditions, Fault
from idp.verify.spapi.simulator.interfaces import Interfaces
from idp.verify.spapi.simulator.personas import PERSONAS
from idp.verify.spapi.simulator.reading import MESSAGES
from idp.verify.spapi.simulator.world import SimulatedService, World


def create_simulator(
    services: Sequence[SimulatedService],
    *,
    public_url: str = "http://localhost:8100",
    clock: Callable[[], float] = time.time,
    sleep: Sleep = asyncio.sleep,
    authority: Authority | None = None,
    beside_issuer: str | None = None,
    sandbox: bool = False,
) -> Starlette:
    """A pretend SP-API that knows `services`. `clock` in seconds since 1970; `sleep` makes slow
    answers slow; `authority` issues the citizens' certificates. In a `sandbox` many share it,
    so nobody has its strings. ValueError beside a production issuer."""
    refuse_production(beside_issuer, sandbox=sandbox)
    world, pages = World(services, clock), Pages("行動自然人憑證")
    authority = authority or Authority()
    conditions = Conditions(Fault, INTERFACES, sleep)

    async def issuers(_: Request) -> Response:
        return Response(authority.pem, media_type="application/x-pem-file")

    rooms = (
        Interfaces(world, conditions, authority),
        Browser(world, conditions, pages, authority),
        Phone(world, pages, public_url.rstrip("/"), face(world), ledger=not sandbox),
        *(() if sandbox else (Control(world, conditions, "transaction_id", world.register),)),
        pages,
    )
    routes = [route for room in rooms for route in room.routes()]
    app = Starlette(routes=[*routes, Route("/issuers.pem", issuers)])
    app.state.simulator = world
    return app


def face(world: World) -> Face:
    """The app of 行動自然人憑證: a QR code carries the ticket."""
    return Face(
        action=lambda t: t.hint,  # type: ignore[attr-defined]
        scanned=lambda text: ticket.transaction_of(text) if text.isascii() else None,
        kind=lambda t: ("QR Code", "") if t.interface == "ATH-01" else ("推播", "Push"),
        people=PERSONAS.values,
        systems=lambda: [(s.name, s.sp_service_id) for s in world.services.values()],
        malformed=("PM_INV_NF", MESSAGES["PM_INV_NF"]),
        unknown=("SPTKTID_SPTKT_NF", "查無此交易"),
    )
