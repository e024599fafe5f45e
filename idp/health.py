"""Whether this process is well, and how much it has done."""

from __future__ import annotations

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
        self._faults: list[str] = []

    async def faults(self) -> list[str]:
        """What is away, in words for the operator."""
        now = self._services.clock.monotonic()
        if now >= self._looked_at + FRESH:
            self._looked_at = now
            looks = (can_write(self._services.database), self._services.throttle.check())
            self._faults = [fault for look in looks if (fault := await _fault(look))]
        return self._faults


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
