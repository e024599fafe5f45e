"""The strings that a test pulls. JSON only and to a loopback name only: a web page elsewhere can
neither send application/json without asking first, nor rebind a name of its own to us."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from idp.verify.simulated.bodies import Unreadable, media_type, read_body
from idp.verify.simulated.numbers import is_loopback
from idp.verify.simulated.weather import Conditions, State
from idp.verify.simulated.world import World

Endpoint = Callable[[Request], Awaitable[Response]]
Act = Callable[[dict[str, Any]], Response]


def _refusal(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error}, status)


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        try:
            host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        except ValueError:
            host = ""
        if not is_loopback(host):
            return _refusal(403, "only under a loopback name")
        return await endpoint(request)

    return guarded


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body or b"{}")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("a JSON object is needed")
    return value


def refuse_production(issuer: str | None, *, sandbox: bool) -> None:
    """ValueError beside an issuer that real people use: anybody can approve anything here, so
    beside real tokens that would be a skeleton key. The tokens of a sandbox are none."""
    if issuer is None or sandbox:
        return
    url = urlsplit(issuer)
    if url.scheme == "https" and not is_loopback(url.hostname or ""):
        raise ValueError(f"a simulator does not run beside the production issuer {issuer}")


class Control:
    """`handle` is what the service calls a transaction's id; `register` describes one more
    connected system (ValueError, TypeError); `recall` drops what is under way."""

    def __init__(
        self,
        world: World[Any],
        conditions: Conditions[Any],
        handle: str,
        register: Callable[[dict[str, Any]], dict[str, str]],
        recall: Callable[[], None] = lambda: None,
    ) -> None:
        self._world = world
        self._conditions = conditions
        self._handle = handle
        self._register = register
        self._recall = recall

    def routes(self) -> list[Route]:
        posts: dict[str, Act] = {
            "/control": self._set,
            "/control/approve": self._approve,
            "/control/deny": self._deny,
            "/control/systems": self._add,
            "/control/reset": self._reset,
        }
        return [
            Route("/control", _guarded(self._get), methods=["GET"]),
            Route("/ledger", _guarded(self._ledger), methods=["GET"]),
            *(
                Route(path, _guarded(self._post(act)), methods=["POST"])
                for path, act in posts.items()
            ),
        ]

    def _post(self, act: Act) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            if media_type(request) != "application/json":
                return _refusal(415, "application/json only")
            try:
                return act(_object(await read_body(request)))
            except Unreadable:
                return _refusal(413, "too large")
            except (ValueError, TypeError) as error:
                return _refusal(400, str(error))

        return endpoint

    def _state(self) -> State[Any]:
        return self._conditions.state(
            clock_offset=self._world.clock_offset,
            latency=self._conditions.latency,
            faults=dict(self._conditions.faults),
        )

    async def _get(self, _: Request) -> Response:
        return self._shown()

    def _shown(self) -> Response:
        state = self._state().model_dump()
        state["faults"] = {
            name: fault.model_dump(exclude_defaults=True)
            for name, fault in self._conditions.faults.items()
        }
        return JSONResponse({**state, "now": self._world.now()})

    def _set(self, body: dict[str, Any]) -> Response:
        """What is not named stays as it was; nothing changes if anything is wrong."""
        wanted = self._conditions.state.model_validate(body)
        if "faults" in body:
            self._conditions.set_faults(wanted.faults)
        if "latency" in body:
            self._conditions.latency = wanted.latency
        if "clock_offset" in body:
            self._world.clock_offset = wanted.clock_offset
            self._world.settle_all()
        return self._shown()

    def _approve(self, body: dict[str, Any]) -> Response:
        return self._decide(body, lambda handle: self._world.approve(handle, body.get("pid")))

    def _deny(self, body: dict[str, Any]) -> Response:
        return self._decide(body, self._world.deny)

    def _decide(self, body: dict[str, Any], decide: Callable[[str], None]) -> Response:
        handle = str(body.get(self._handle))
        try:
            decide(handle)
        except LookupError as error:
            return _refusal(404, str(error.args[0]))
        except ValueError as error:
            return _refusal(409, str(error))
        outcome = self._world.transactions[handle].outcome
        return JSONResponse({self._handle: handle, "outcome": outcome})

    def _add(self, body: dict[str, Any]) -> Response:
        return JSONResponse(self._register(body), 201)

    def _reset(self, _: dict[str, Any]) -> Response:
        self._recall()
        self._conditions.reset()
        self._world.reset()
        return self._shown()

    async def _ledger(self, _: Request) -> Response:
        return JSONResponse([asdict(row) for row in self._world.ledger])
