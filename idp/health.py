"""Whether this process is well, and how much it has done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from idp.kernel import metrics, stamps
from idp.kernel.database import Database
from idp.kernel.errors import Unavailable
from idp.kernel.services import Services
from idp.kernel.web import no_store

FRESH = 1.0  # seconds for which one look serves everybody who asks


class Readiness:
    """What every request needs, looked at by using it. The upstream being away does not count:
    whoever has a session is still served."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looked_at = float("-inf")
        self._look: asyncio.Task[list[str]] | None = None

    async def faults(self) -> list[str]:
        """What is away, in words for the operator. Who asks during a look waits for it: what was
        found before says nothing about a store that hangs now."""
        now = self._services.clock.monotonic()
        if self._look is None or (self._look.done() and now >= self._looked_at + FRESH):
            self._looked_at = now
            self._look = asyncio.create_task(self._faults())
        return await asyncio.shield(self._look)

    async def _faults(self) -> list[str]:
        looks = (can_write(self._services.database), self._services.throttle.check())
        return [fault for look in looks if (fault := await _fault(look))]


async def can_write(database: Database) -> None:
    """Raises Unavailable: a store that only reads lets nobody in."""
    await stamps.bump(database, "health")


async def _fault(look: Awaitable[None]) -> str:
    try:
        await look
    except Unavailable as away:
        return away.detail
    return ""


def routes(services: Services) -> list[Route]:
    async def alive(_request: Request) -> Response:
        return no_store(JSONResponse({"status": "ok"}))

    readiness = Readiness(services)

    async def ready(_request: Request) -> Response:
        if faults := await readiness.faults():
            body = {"status": "unavailable", "faults": faults}
            return no_store(JSONResponse(body, status_code=503))
        return no_store(JSONResponse({"status": "ok"}))

    async def measured(_request: Request) -> Response:
        return no_store(Response(metrics.exposition(), media_type="text/plain; version=0.0.4"))

    own_port = services.settings.metrics.port  # the process that starts the workers answers there
    return [
        Route("/health/live", alive, methods=["GET"]),
        Route("/health/ready", ready, methods=["GET"]),
        *([] if own_port else [Route("/metrics", measured, methods=["GET"])]),
    ]
