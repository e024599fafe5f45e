"""What the bridge and its guard are compared with: the least that Starlette can do.

`uvicorn --factory bench.apps:create`; BENCH_ISSUER names the issuer whose tokens the guard takes.
"""

from __future__ import annotations

import os
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from idp.guard import Guard, Limits, Rule

AUDIENCE = "https://api.bench.test"
PLENTY = 1_000_000
PLAN = f"{PLENTY}/second;{PLENTY * 1000}/day"


async def floor(request: Request) -> Response:
    """Reads a form, answers JSON."""
    return JSONResponse(dict(parse_qsl((await request.body()).decode())))


async def api(_request: Request) -> Response:
    """An agency's API that has next to nothing to do."""
    return JSONResponse({"stops": 1})


def create() -> ASGIApp:
    """The same API bare, behind the guard, and behind the guard with a plan that is counted."""
    apis = [Route(path, api) for path in ("/api", "/guarded", "/planned")]
    bare = Starlette(routes=[Route("/floor", floor, methods=["POST"]), *apis])
    guarded = Guard(
        bare,
        issuer=os.environ.get("BENCH_ISSUER", ""),
        audience=AUDIENCE,
        rules=[
            Rule("/guarded", scope="api:read"),
            Rule("/planned", scope="api:read", plan="bench"),
        ],
        limits=Limits(per_second=PLENTY, connections=PLENTY, plans={"bench": PLAN}),
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        inner = guarded if scope.get("path") in ("/guarded", "/planned") else bare
        await inner(scope, receive, send)

    return app
