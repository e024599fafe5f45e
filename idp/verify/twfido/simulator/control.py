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

from idp.verify.twfido.simulator.callbacks import Courier
from idp.verify.twfido.simulator.faults import Conditions, State
from idp.verify.twfido.simulator.grammar import is_loopback
from idp.verify.twfido.simulator.reading import Refused, read_body
from idp.verify.twfido.simulator.world import SimulatedSystem, World

MAX_SYSTEMS = 10_000
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


class Control:
    def __init__(self, world: World, conditions: Conditions, courier: Courier) -> None:
        self._world = world
        self._conditions = conditions
        self._courier = courier

    def routes(self) -> list[Route]:
        posts: dict[str, Act] = {
            "/control": self._set,
            "/control/approve": self._approve,
            "/control/deny": self._deny,
            "/control/systems": self._register,
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
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                return _refusal(415, "application/json only")
            try:
                return act(_object(await read_body(request)))
            except Refused:
                return _refusal(413, "too large")
            except (ValueError, TypeError) as error:
                return _refusal(400, str(error))

        return endpoint

    def _state(self) -> State:
        return State(
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
        wanted = State.model_validate(body)
        if "faults" in body:
            self._conditions.set_faults(wanted.faults)
        if "latency" in body:
            self._conditions.latency = wanted.latency
        if "clock_offset" in body:
            self._world.clock_offset = wanted.clock_offset
            self._world.settle_all()
        return self._shown()

    def _approve(self, body: dict[str, Any]) -> Response:
        return self._decide(body, lambda qrid: self._world.approve(qrid, body.get("pid")))

    def _deny(self, body: dict[str, Any]) -> Response:
        return self._decide(body, self._world.deny)

    def _decide(self, body: dict[str, Any], decide: Callable[[str], None]) -> Response:
        qrid = str(body.get("qrid"))
        try:
            decide(qrid)
        except LookupError as error:
            return _refusal(404, str(error.args[0]))
        except ValueError as error:
            return _refusal(409, str(error))
        return JSONResponse({"qrid": qrid, "outcome": self._world.transactions[qrid].outcome})

    def _register(self, body: dict[str, Any]) -> Response:
        """A known syscode gets its new key and addresses."""
        system = SimulatedSystem(**body)
        if len(self._world.systems) >= MAX_SYSTEMS and system.syscode not in self._world.systems:
            raise ValueError(f"at most {MAX_SYSTEMS} systems")
        self._world.systems[system.syscode] = system
        return JSONResponse({"syscode": system.syscode}, 201)

    def _reset(self, _: dict[str, Any]) -> Response:
        self._courier.recall()
        self._conditions.reset()
        self._world.reset()
        return self._shown()

    async def _ledger(self, _: Request) -> Response:
        return JSONResponse([asdict(row) for row in self._world.ledger])
