"""CORS: at the endpoints that browser programs call, for the origins that may; never at
/authorize (RFC 9700 §2.6).

Starlette's middleware answers those; anybody else learns nothing, not even what is allowed to
others. It cannot stand at each route: a route refuses OPTIONS before its middleware is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ("GET", "POST")
HEADERS = ("authorization", "content-type", "dpop", "if-none-match")
# what a program must read beside the body
EXPOSED = ("WWW-Authenticate", "DPoP-Nonce", "Retry-After", "ETag")

Allows = Callable[[str], Awaitable[bool]]


class Cors:
    """`paths` with whether programs of any origin may read them; `allows` tells the others."""

    def __init__(self, app: ASGIApp, allows: Allows, paths: Mapping[str, bool]) -> None:
        self._app, self._allows, self._paths = app, allows, paths
        self._anybody = CORSMiddleware(app, ("*",), METHODS, HEADERS, expose_headers=EXPOSED)
        self._allowed = CORSMiddleware(
            app, (), METHODS, HEADERS, allow_origin_regex="(?s:.*)", expose_headers=EXPOSED
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        app = self._app
        if origin is not None and scope["path"] in self._paths:
            if self._paths[scope["path"]]:
                app = self._anybody
            elif await self._allows(origin):
                app = self._allowed
            elif scope["method"] == "OPTIONS":
                app = Response(status_code=204)
        await app(scope, receive, send)
