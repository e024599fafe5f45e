"""The guard where agencies put it: before FastAPI, WebSockets, several processes, behind nginx."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message

from idp.guard import INVALID, LACKING, NO_HEADER, USED_UP, Guard, Limits, Rule, gate
from tests.agency import RULES, Api, served, token
from tests.house import ISSUER, TestHouse, empty_sqlite, running, settings_for
from tests.services.fixtures import needs
from tests.services.nginx import GuardedApi


@pytest.fixture
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHouse]:
    """The guard does not touch the store: one kind is enough."""
    url = empty_sqlite(tmp_path_factory.getbasetemp())
    async with running(settings_for(url)) as found:
        yield found


# ── FastAPI ─────────────────────────────────────────────────────────────────────────────────────


def fast_api(started: list[str]) -> FastAPI:
    """An API as its maker wrote it, with the guard not yet before it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        started.append("up")
        yield
        started.append("down")

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/stops/{stop}")
    async def stop(stop: int, request: Request) -> dict[str, Any]:
        return {"stop": stop, "asked_by": request.state.token["client_id"]}

    return app


async def test_before_fastapi(house: TestHouse) -> None:
    """One call adds the middleware; the framework's own paths need a token too, its claims reach
    the handler, its lifespan runs, and its own errors stay its own."""
    started: list[str] = []
    app = fast_api(started)
    app.add_middleware(Guard, **Api(house).options)
    good = await token(house)
    async with served(app) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        assert started == ["up"]
        bearer = {"authorization": f"Bearer {good}"}
        answer = await http.get("/v1/stops/7", headers=bearer)
        assert answer.json()["stop"] == 7
        assert answer.json()["asked_by"]
        assert (await http.get("/v1/stops/x", headers=bearer)).status_code == 422
        for path in ("/v1/stops/7", "/docs", "/openapi.json"):
            assert (await http.get(path)).json() == {"message": NO_HEADER}
    assert started == ["up", "down"]


# ── WebSockets ──────────────────────────────────────────────────────────────────────────────────


async def open_socket(api: Api, good: str = "", /, **extensions: Any) -> list[Message]:
    """What the server is told when somebody opens a WebSocket at /v1/live."""
    told: list[Message] = []
    scope = {
        "type": "websocket",
        "path": "/v1/live",
        "headers": [(b"authorization", f"Bearer {good}".encode())] if good else [],
        "client": ("203.0.113.50", 1),
        "extensions": extensions,
    }

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        told.append(message)

    await api.guard(scope, receive, send)
    return told


async def live(scope: Any, _receive: Any, send: Any) -> None:
    """An application that accepts every WebSocket that reaches it."""
    assert scope["state"]["token"]["client_id"]
    await send({"type": "websocket.accept"})


async def test_a_websocket_is_asked_when_it_opens(house: TestHouse) -> None:
    """With a token it reaches the application; without, it is answered like any call where the
    server can, and closed before it was accepted where it cannot."""
    api = Api(house, live)
    assert await open_socket(api, await token(house)) == [{"type": "websocket.accept"}]
    start, body = await open_socket(api, **{"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert json.loads(body["body"]) == {"message": NO_HEADER}
    [closed] = await open_socket(api, "nonsense")
    assert closed == {"type": "websocket.close", "code": 1008, "reason": INVALID}
    weak = await token(house, scopes=("api:write",))
    assert (await open_socket(api, weak))[0]["reason"] == LACKING


# ── several processes, one Redis ────────────────────────────────────────────────────────────────


async def test_redis_counts_for_all_of_them(house: TestHouse, empty_redis: str) -> None:
    """Two instances share quota and rate; each key keeps its own."""
    limits = Limits(per_second=4, plans={"small": "3/day"}, redis_url=empty_redis)
    first, second = Api(house, limits=limits), Api(house, limits=limits)
    good, other = await token(house), await token(house)
    answers = [await api.get("/metered", good) for api in (first, second, first, second)]
    used = [a for a in answers if a.status_code != 423]  # the seconds of a slow machine may turn
    assert [a.status_code for a in used][:3] == [200] * 3
    assert [a.headers["ratelimit-remaining"] for a in used][:3] == ["2", "1", "0"]
    refusal = await settled(second, "/metered", good)
    assert (refusal.status_code, refusal.json()) == (429, {"message": USED_UP})
    assert (await settled(first, "/metered", other)).status_code == 200
    crowd = [(first, second)[n % 2].get("/open/hours") for n in range(30)]
    statuses = [answer.status_code for answer in await asyncio.gather(*crowd)]
    assert statuses.count(200) <= 3 * limits.per_second
    assert 423 in statuses


async def settled(api: Api, path: str, good: str) -> httpx.Response:
    """The answer once the second has passed in which there were too many."""
    for _ in range(30):
        answer = await api.get(path, good)
        if answer.status_code != 423:
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError("still too many")


# ── nginx ───────────────────────────────────────────────────────────────────────────────────────


async def echo(request: Any) -> Response:
    """An API that trusts what nginx tells it."""
    return JSONResponse({"path": request.url.path, "headers": dict(request.headers)})


def plain(handler: Any) -> Starlette:
    return Starlette(routes=[Route("/{rest:path}", handler, methods=["GET", "POST", "OPTIONS"])])


@asynccontextmanager
async def behind_nginx(
    house: TestHouse, api: Any = echo, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of an API that nginx guards by the gate."""
    door = gate(**(Api(house).options | options))
    async with served(door) as gate_port, served(plain(api)) as api_port:
        with needs("nginx"):
            nginx = GuardedApi(gate_port, api_port)
        with nginx:
            async with httpx.AsyncClient(base_url=nginx.url, timeout=20) as http:
                yield http


async def test_nginx_asks_the_gate(house: TestHouse) -> None:
    """A good token passes, the API learns of the client from nginx and of the token nothing; each
    refusal has TDX's status, message and RFC 6750's challenge, as from the middleware."""
    good, weak = await token(house), await token(house, scopes=("api:write",), roles=())
    async with behind_nginx(house) as http:

        async def get(path: str, bearer: str = "", **more: str) -> httpx.Response:
            headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
            return await http.get(path, headers=headers | more)

        answer = await get("/v1/stops?a=%41", good, **{"x-client-id": "forged", "x-scope": "all"})
        assert answer.status_code == 200
        seen = answer.json()["headers"]
        assert seen["x-client-id"] not in ("", "forged")
        assert seen["x-scope"] == "api:read api:write"
        assert "authorization" not in seen
        posted = await http.post(
            "/v1/stops", content=b"a" * 10_000, headers={"authorization": f"Bearer {good}"}
        )
        assert posted.status_code == 200
        opened = await get("/open/hours", **{"x-client-id": "forged"})
        assert "x-client-id" not in opened.json()["headers"]
        for refusal, message, challenge in (
            (await get("/v1/stops"), NO_HEADER, 'Bearer realm="api"'),
            (await get("/v1/stops", good + "x"), INVALID, 'error="invalid_token"'),
            (await get("/v1/stops", weak), LACKING, 'error="insufficient_scope"'),
        ):
            assert refusal.status_code == 401
            assert refusal.headers["content-type"] == "application/json"
            assert refusal.json() == {"message": message}
            assert [challenge in c for c in refusal.headers.get_list("www-authenticate")] == [True]


async def test_nginx_lets_a_preflight_through(house: TestHouse) -> None:
    """A preflight reaches the API by nginx too, and a refusal is readable to a browser program."""
    asks = {"origin": "https://map.example", "access-control-request-method": "GET"}
    async with behind_nginx(house) as http:
        assert (await http.options("/v1/stops", headers=asks)).status_code == 200
        assert (await http.options("/v1/stops")).status_code == 401
        refused = await http.get("/v1/stops", headers={"origin": "https://map.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "*"
        assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]
        assert "access-control-allow-origin" not in (await http.get("/v1/stops")).headers


async def test_nginx_tells_the_limits(house: TestHouse) -> None:
    """Quota, rate and crooked paths keep their status through auth_request, which knows only 401
    and 403; RateLimit headers reach the caller of what passed."""
    limits = Limits(per_second=1000, plans={"small": "1/day"})
    good = await token(house)
    async with behind_nginx(house, limits=limits) as http:
        bearer = {"authorization": f"Bearer {good}"}
        passed, stopped = [await http.get("/metered", headers=bearer) for _ in range(2)]
        assert (passed.status_code, passed.headers["ratelimit-remaining"]) == (200, "0")
        assert (stopped.status_code, stopped.json()) == (429, {"message": USED_UP})
        assert int(stopped.headers["retry-after"]) >= 1
        for path in ("/open/%2e%2e/v1/stops", "/open/..%2fv1", "//v1/stops", "/open/%2fx"):
            url = http.base_url.copy_with(raw_path=path.encode())
            assert (await http.get(url)).status_code == 400, path
    async with behind_nginx(house, limits=Limits(per_second=1)) as http:
        crowd = await asyncio.gather(*(http.get("/open/hours") for _ in range(12)))
        assert {answer.status_code for answer in crowd} == {200, 423}
    async with behind_nginx(house, lacking=403) as http:
        answer = await http.get("/v1/write", headers=bearer)
        assert (answer.status_code, answer.json()) == (403, {"message": LACKING})
        [challenge] = answer.headers.get_list("www-authenticate")
        assert 'error="insufficient_scope"' in challenge


async def test_nginx_counts_connections(house: TestHouse) -> None:
    """The gate has answered before the API has, so nginx itself counts: the 61st is refused."""
    entered, leave = asyncio.Semaphore(0), asyncio.Event()

    async def slow(_request: Any) -> Response:
        entered.release()
        await leave.wait()
        return JSONResponse({})

    async with behind_nginx(house, slow, limits=Limits(per_second=1000)) as http:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=http.base_url, limits=limits, timeout=20) as crowd:
            waiting = [asyncio.create_task(crowd.get("/open/slow")) for _ in range(60)]
            for _ in waiting:
                await entered.acquire()
            one_more = await crowd.get("/open/slow")
            leave.set()
            assert {(await task).status_code for task in waiting} == {200}
    assert (one_more.status_code, one_more.json()) == (416, {"message": "too many connections"})


async def test_nothing_passes_without_the_gate(house: TestHouse) -> None:
    """The gate is away, or asked by somebody who does not say what: nobody passes."""
    async with served(plain(echo)) as api_port:
        with needs("nginx"):
            nginx = GuardedApi(1, api_port)
        with nginx:
            async with httpx.AsyncClient(base_url=nginx.url) as http:
                answer = await http.get("/open/hours")
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert answer.json() == {"message": "guard unavailable"}
                assert (await http.get("/guard-asks")).status_code == 404
    door = httpx.ASGITransport(gate(issuer=ISSUER, rules=RULES))
    async with httpx.AsyncClient(transport=door, base_url="http://gate.test") as http:
        for headers in ({}, {"x-original-uri": "/open/"}, {"x-real-ip": "203.0.113.1"}):
            assert (await http.get("/", headers=headers)).status_code == 403


async def test_without_issuer_the_gate_says_so(house: TestHouse) -> None:
    """No key set was ever had: 503 through nginx, never a pass."""
    away = httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: httpx.Response(500)))
    async with behind_nginx(house, http=away, rules=[Rule("/open/", public=True)]) as http:
        bearer = {"authorization": f"Bearer {await token(house)}"}
        answer = await http.get("/v1/stops", headers=bearer)
        assert (answer.status_code, answer.json()) == (503, {"message": "keys unavailable"})
        assert answer.headers["retry-after"] == "5"
        assert (await http.get("/open/hours")).status_code == 200
