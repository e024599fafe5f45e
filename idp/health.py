"""Whether this process is well, and how much it has done."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from idp.kernel import metrics
from idp.kernel.errors import Unavailable
from idp.kernel.services import Services
from idp.kernel.web import no_store


def routes(services: Services) -> list[Route]:
    async def alive(_request: Request) -> Response:
        return no_store(JSONResponse({"status": "ok"}))

    async def ready(_request: Request) -> Response:
        """Not ready while the store is away; the upstream being away does not count."""
        try:
            await services.database.time()
        except Unavailable:
            return no_store(JSONResponse({"status": "unavailable"}, status_code=503))
        return no_store(JSONResponse({"status": "ok"}))

    async def measured(_request: Request) -> Response:
        return no_store(Response(metrics.exposition(), media_type="text/plain; version=0.0.4"))

    own_port = services.settings.metrics.port  # the process that starts the workers answers there
    return [
        Route("/health/live", alive, methods=["GET"]),
        Route("/health/ready", ready, methods=["GET"]),
        *([] if own_port else [Route("/metrics", measured, methods=["GET"])]),
    ]
