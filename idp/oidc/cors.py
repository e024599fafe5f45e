"""CORS: for listed origins, at the endpoints that browser programs call; never at /authorize
(RFC 9700 §2.6). Preflights of anybody else get an answer that allows nothing."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "authorization, content-type",
    "Access-Control-Max-Age": "600",
}


class Cors:
    def __init__(self, app: ASGIApp, origins: Collection[str], paths: Collection[str]) -> None:
        self._app, self._origins, self._paths = app, frozenset(origins), frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin", "")
        allowed = origin if origin in self._origins else ""
        if allowed:
            send = _allowing(send, allowed)
        app = self._app
        if scope["method"] == "OPTIONS":
            app = Response(status_code=204, headers=PREFLIGHT if allowed else None)
        await app(scope, receive, send)


def _allowing(send: Send, origin: str) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers.add_vary_header("Origin")
        await send(message)

    return sender
