"""An agency's API behind the guard, for the plans without OpenID Connect, which have no UserInfo.

OP=https://op.test API=https://api.op.test uvicorn --factory tests.conformance.resource:create

nginx ends TLS before it, asks for certificates (`ssl_verify_client optional_no_ca`) and hands them
over: `proxy_set_header X-Client-Certificate $ssl_client_escaped_cert`.
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from idp.guard import Guard, Rule

SCOPE = "api:read"


def create() -> ASGIApp:
    return Guard(
        Starlette(routes=[Route("/v1", _answer)]),
        issuer=os.environ["OP"],
        audience=os.environ["API"],
        rules=[Rule("/", scope=SCOPE, bound=True)],
        certificate=_certificate,
    )


async def _answer(request: Request) -> JSONResponse:
    return JSONResponse({"sub": request.state.token["sub"]})


def _certificate(scope: Scope) -> str:
    return Headers(scope=scope).get("x-client-certificate", "")
