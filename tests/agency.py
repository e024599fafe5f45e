"""An agency's API behind the guard, with tokens of the real bridge, and whoever calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from idp.guard import Guard, Limits, Rule
from tests.house import ISSUER, TestHouse
from tests.services.process import LOOPBACK, free_port

RULES = [
    Rule("/v1/", scope="api:read"),
    Rule("/v1/write", scope="api:write", role="editor"),
    Rule("/open/", public=True),
    Rule("/metered", plan="small"),
]


class Api:
    """An agency's API behind the guard, and whoever calls it."""

    def __init__(self, house: TestHouse, app: ASGIApp | None = None, **options: Any) -> None:
        self.house, self.away, self.asked = house, False, 0
        self.entered, self.leave = asyncio.Event(), asyncio.Event()
        bridge = httpx.ASGITransport(house.app, client=("198.51.100.30", 1))

        async def to_bridge(request: httpx.Request) -> httpx.Response:
            self.asked += 1
            if self.away:
                raise httpx.ConnectError("away")
            return await bridge.handle_async_request(request)

        known: dict[str, Any] = {
            "issuer": ISSUER,
            "rules": RULES,
            "limits": Limits(plans={"small": "2/day"}),
            "http": httpx.AsyncClient(transport=httpx.MockTransport(to_bridge)),
            "clock": house.clock.precise,
        }
        mine = Starlette(
            routes=[
                Route("/slow", self.slow),
                Route("/{rest:path}", self.fast, methods=["GET", "OPTIONS"]),
            ]
        )
        self.options = known | options
        self.guard = Guard(app or mine, **self.options)
        transport = httpx.ASGITransport(self.guard, client=("203.0.113.50", 1))
        self.http = httpx.AsyncClient(transport=transport, base_url="https://api.test")

    async def fast(self, request: Request) -> Response:
        claims = getattr(request.state, "token", {})
        return JSONResponse({"client": claims.get("client_id")})

    async def slow(self, _request: Request) -> Response:
        self.entered.set()
        await self.leave.wait()
        return JSONResponse({})

    async def get(self, path: str, token: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await self.http.get(path, headers=headers)


async def token(house: TestHouse, **fields: Any) -> str:
    program = await house.register_program(**fields)
    form = {"grant_type": "client_credentials"}
    auth = (program.id, program.secret or "")
    answer = await house.http().post("/token", data=form, auth=auth)
    return str(answer.json()["access_token"])


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[int]:
    """The port on which this loop serves an application."""
    port = free_port()
    config = uvicorn.Config(app, host=LOOPBACK, port=port, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[config.bind_socket()]))
    for _ in range(1000):
        if server.started:
            break
        await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        await running
