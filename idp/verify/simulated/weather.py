"""Accidents on demand: what can be made to go wrong, per interface. Each service adds its lies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

EVERYWHERE = "*"
HUGE = 20 * 1024 * 1024
_CHUNK = 64 * 1024
_GARBAGE = "<!doctype html><title>502</title><p>系統維護中 Bad gateway"
Sleep = Callable[[float], Awaitable[None]]


class Fault(BaseModel):
    """Combinable. `status`: HTTP status; `garbage`: HTML for JSON; `cut`: half the JSON; `huge`:
    20 MiB; `hang`: seconds. `every` nth call only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int | None = Field(None, ge=200, le=599)
    garbage: bool = False
    cut: bool = False
    huge: bool = False
    hang: float = Field(0, ge=0, le=3600)
    every: int = Field(1, ge=1)


F = TypeVar("F", bound=Fault)


def _shorthand(value: object) -> object:
    """503 for {"status": 503}, "cut" for {"cut": true}."""
    if isinstance(value, int):
        return {"status": value}
    return {value: True} if isinstance(value, str) else value


class State(BaseModel, Generic[F]):
    """What `/control` reads and writes: `clock_offset` and `latency` in seconds, `faults` by
    interface, or "*" for all."""

    model_config = ConfigDict(extra="forbid")

    clock_offset: float = Field(0, allow_inf_nan=False, ge=-(10**9), le=10**9)
    latency: float = Field(0, ge=0, le=3600)
    faults: dict[str, Annotated[F, BeforeValidator(_shorthand)]] = {}


class Conditions(Generic[F]):
    """The weather in which every interface answers. `fault` is the service's class of faults,
    `sleep` is handed in."""

    def __init__(self, fault: type[F], interfaces: Collection[str], sleep: Sleep) -> None:
        self.state: type[State[F]] = State[fault]  # type: ignore[valid-type]
        self._interfaces, self._fine = interfaces, fault()
        self.sleep = sleep
        self.reset()

    def reset(self) -> None:
        self.latency = 0.0
        self.set_faults({})

    def set_faults(self, faults: Mapping[str, F]) -> None:
        """ValueError for an interface that there is not. Counting starts again."""
        unknown = set(faults) - {*self._interfaces, EVERYWHERE}
        if unknown:
            raise ValueError(f"no such interface: {', '.join(sorted(unknown))}")
        self.faults = dict(faults)
        self._calls: Counter[str] = Counter()

    def strike(self, interface: str) -> F:
        """The fault that befalls this call."""
        fault = self.faults.get(interface) or self.faults.get(EVERYWHERE)
        if fault is None:
            return self._fine
        self._calls[interface] += 1
        return self._fine if self._calls[interface] % fault.every else fault

    async def pause(self, seconds: float) -> None:
        if seconds + self.latency > 0:
            await self.sleep(seconds + self.latency)


def spoil(body: bytes, media_type: str, fault: Fault) -> Response:
    """The HTTP answer, as damaged as the fault demands."""
    status = fault.status or 200
    if status in (204, 304):  # HTTP gives them no body
        return Response(status_code=status)
    if fault.huge:
        # No Content-Length: a reader must count what it reads.
        return StreamingResponse(_padded(body), status, media_type=media_type)
    if fault.garbage:
        return Response(_GARBAGE, status, media_type="text/html")
    return Response(body[: len(body) // 2] if fault.cut else body, status, media_type=media_type)


async def _padded(body: bytes) -> AsyncIterator[bytes]:
    """White space after it: still the same JSON, only too much of it."""
    yield body
    for _ in range(HUGE // _CHUNK):
        yield b" " * _CHUNK


def to_json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
