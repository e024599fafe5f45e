"""The guard for an API that is no ASGI application: it answers nginx's auth_request.

    from idp.guard import Rule, gate
    app = gate(issuer="https://id.example.gov.tw", rules=[Rule("/v1/", scope="transport:read")])

Served beside nginx with uvicorn, reachable for nginx alone: it believes the address and the path
that nginx names. deploy/nginx/guard.conf.template is the other half.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..mtls import HEADER
from .answers import ANSWERS, Stopped
from .middleware import Guard, straight


def gate(**options: Any) -> Starlette:
    """`options` are those of Guard. 204 lets the call pass, with X-Client-Id and X-Scope for the
    API; 401 or 403 stops it, since auth_request knows no others: X-Guard-Status and X-Guard-Body
    are what the caller shall see."""
    guard = Guard(_nothing, certificate=_certificate, **options)

    async def answer(request: Request) -> Response:
        try:
            scope, address = _asked(request)
            told = await guard.admit(scope, address)
        except Stopped as stopped:
            ANSWERS.labels(str(stopped.status)).inc()
            return _refusal(stopped)
        ANSWERS.labels("passed").inc()
        claims = scope["state"].get("token", {})
        names = {"X-Client-Id": claims.get("client_id", ""), "X-Scope": claims.get("scope", "")}
        return Response(status_code=204, headers={**told, **names})

    routes = [Route("/", answer)]
    if guard.described.path:
        routes.append(Route(guard.described.path, guard.described.answer))
    return Starlette(routes=routes)


async def _nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Nothing stands behind a gate."""


def _certificate(scope: Scope) -> str:
    """As nginx names it; two of them are none."""
    found = [v.decode("latin-1") for k, v in scope["headers"] if k == HEADER.encode()]
    return ", ".join(found)


def _asked(request: Request) -> tuple[Scope, str]:
    """(the call that nginx holds back, its address). The API reads the path as it was sent, so
    one that decodes to something else is nobody's. Raises Stopped (403) if nginx did not say."""
    uri, address = request.headers.get("x-original-uri", ""), request.headers.get("x-real-ip", "")
    if not uri.startswith("/") or not address:
        raise Stopped(403, "the gate is not told of the call")
    raw = uri.partition("?")[0]
    path = unquote(straight(raw))  # Guard looks at it again as it is now
    method = request.headers.get("x-original-method", "GET")
    call = {"method": method, "path": path, "raw_path": raw.encode("latin-1"), "root_path": ""}
    return {**request.scope, **call, "state": {}}, address


def _refusal(stopped: Stopped) -> Response:
    said = {
        "X-Guard-Status": str(stopped.status),
        "X-Guard-Body": json.dumps({"message": stopped.message}),
    }
    status = 401 if stopped.status == 401 else 403
    return Response(status_code=status, headers={**stopped.headers, **said})
