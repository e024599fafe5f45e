"""An agency's API behind the guard, as an agency would write it: five lines of guard."""

from __future__ import annotations

import httpx
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from idp.guard import Guard, Limits, Rule

STOPS = [
    {"StopUID": "TPE213044", "StopName": {"Zh_tw": "國家圖書館", "En": "National Library"}},
    {"StopUID": "TPE213036", "StopName": {"Zh_tw": "中正紀念堂", "En": "CKS Memorial Hall"}},
]
RULES = [
    Rule("/api/transport/", scope="transport:read", plan="basic"),
    Rule("/api/admin/", scope="transport:read", role="admin"),
    Rule("/api/open/", public=True),
]


async def stops(_request: Request) -> Response:
    return JSONResponse(STOPS)


async def whoami(request: Request) -> Response:
    """What the guard found out about the caller."""
    claims = request.state.token
    names = ("client_id", "scope", "realm_access", "exp")
    return JSONResponse({name: claims.get(name) for name in names})


async def hours(_request: Request) -> Response:
    return JSONResponse({"open": "09:00-21:00"})


def create_api(issuer: str, http: httpx.AsyncClient | None = None) -> ASGIApp:
    """`http` fetches the issuer's keys, if it needs a certificate of its own."""
    api = Starlette(
        routes=[
            Route("/api/transport/stops", stops),
            Route("/api/transport/whoami", whoami),
            Route("/api/admin/stops", stops),
            Route("/api/open/hours", hours),
        ]
    )
    return Guard(
        GZipMiddleware(api, minimum_size=256),  # TDX compresses, and its programs ask for it
        issuer=issuer,
        http=http,
        rules=RULES,
        limits=Limits(plans={"basic": "1000/minute;20000/day"}),
    )
