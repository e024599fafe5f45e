"""Calls to an upstream: time limits, a place among those in flight, a circuit breaker.

What is sent and what an answer means is the scheme's. Raises UpstreamAway where there was no
answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from idp.kernel import metrics
from idp.kernel.errors import UpstreamAway
from idp.kernel.reasons import reason_of
from idp.kernel.strictjson import MOST_BYTES, NotStrict, read_object
from idp.verify.breaker import Breaker
from idp.verify.settings import UpstreamSettings

T = TypeVar("T")

_HEADERS = {
    "Accept": "application/json",
    # an upstream that lies could put a gigabyte of zeros in a small gzip body
    "Accept-Encoding": "identity",
    "User-Agent": "twfido-idp",
}


class _NoAnswer(Exception):
    """Nothing that could be read came back. The text names the interface and the fault only."""


class Calls:
    """`scheme` is for the metrics, `monotonic` for the circuit breaker, in seconds. `line` is httpx
    without its client: nothing that follows redirects (whoever can redirect us could answer in the
    ministry's place), keeps cookies or asks the environment for a proxy."""

    def __init__(
        self,
        scheme: str,
        limits: UpstreamSettings,
        line: httpx.AsyncBaseTransport,
        monotonic: Callable[[], float],
    ) -> None:
        self._scheme = scheme
        self._limits = limits
        self._line = line
        self._monotonic = monotonic
        self._in_flight = 0
        self.breaker = Breaker(limits.breaker_failures, limits.breaker_window, limits.breaker_pause)
        self._timeout = httpx.Timeout(
            limits.read_timeout, connect=limits.connect_timeout, pool=limits.connect_timeout
        ).as_dict()

    async def ask(
        self,
        interface: str,
        url: str,
        request: Callable[[], Awaitable[tuple[Mapping[str, Any], T]]],
        *,
        resend: bool,
    ) -> tuple[dict[str, Any], T]:
        """The answer, and what `request` made beside its body: `request` is called before every
        sending. Sent a second time where there was no answer, if `resend`."""
        loop, fault = asyncio.get_running_loop(), ""
        deadline = loop.time() + self._limits.total_timeout
        for _ in range(2 if resend else 1):
            try:
                with self._slot():
                    body, beside = await request()
                    return await self._exchange(interface, url, body, deadline), beside
            except _NoAnswer as failed:
                fault = str(failed)
            if loop.time() >= deadline:
                break
        raise UpstreamAway(detail=f"{interface}: {fault}")

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """A place among the calls in flight, if there is one and the circuit is closed."""
        if self._in_flight >= self._limits.max_in_flight:
            raise UpstreamAway(detail="too many calls in flight", retry_after=1)
        if not self.breaker.allow(now := self._monotonic()):
            after = self.breaker.retry_after(now)
            raise UpstreamAway(detail="the circuit is open", retry_after=after)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _exchange(
        self, interface: str, url: str, request: Mapping[str, Any], deadline: float
    ) -> dict[str, Any]:
        """One request, one answer. Whatever goes wrong on the way counts for the breaker."""
        started = self._monotonic()
        try:
            async with asyncio.timeout_at(deadline):
                answer = read_object(await self._post(url, request))
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as bad:
            self._count(interface, started, good=False)
            raise _NoAnswer(reason_of(bad)) from None
        except (_NoAnswer, NotStrict) as bad:
            self._count(interface, started, good=False)
            raise _NoAnswer(str(bad)) from None
        self._count(interface, started, good=True)
        return answer

    def _count(self, interface: str, started: float, *, good: bool) -> None:
        now = self._monotonic()
        (self.breaker.succeeded if good else self.breaker.failed)(now)
        result = "answered" if good else "no_answer"
        metrics.UPSTREAM.labels(self._scheme, interface, result).inc()
        metrics.UPSTREAM_SECONDS.labels(self._scheme).observe(now - started)
        metrics.CIRCUIT_OPEN.labels(self._scheme).set(self.breaker.is_open)

    async def _post(self, url: str, fields: Mapping[str, Any]) -> bytes:
        extensions = {"timeout": self._timeout}
        request = httpx.Request(
            "POST", url, json=dict(fields), headers=_HEADERS, extensions=extensions
        )
        response = await self._line.handle_async_request(request)
        try:
            if response.status_code != httpx.codes.OK:
                raise _NoAnswer(f"HTTP status {response.status_code}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise _NoAnswer("a compressed answer")
            return await _read_limited(response)
        finally:
            await response.aclose()


async def _read_limited(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():  # identity, so nothing expands
        body += chunk
        if len(body) > MOST_BYTES:
            raise _NoAnswer("an answer over 64 KiB")
    return bytes(body)
