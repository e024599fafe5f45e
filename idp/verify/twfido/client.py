"""The calls to TW FidO: a number of its own for each, time limits, and what may be sent twice.

It says what was answered; who is believed is decided in `verifier`. Raises UpstreamAway where
there was no answer and Disagreement where the answer contradicts itself or our question.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

import httpx

from idp.kernel import metrics
from idp.kernel.errors import UpstreamAway
from idp.kernel.strictjson import MOST_BYTES, NotStrict, read_object
from idp.verify.reasons import reason_of
from idp.verify.twfido import answers, wire
from idp.verify.twfido.breaker import Breaker
from idp.verify.twfido.settings import SCHEME, System, TwFidoSettings

Reserve = Callable[[str], Awaitable[str]]
Asked = tuple[dict[str, object], answers.Proof]

_HEADERS = {
    "Accept": "application/json",
    # an upstream that lies could put a gigabyte of zeros in a small gzip body
    "Accept-Encoding": "identity",
    "User-Agent": "twfido-idp",
}


class _NoAnswer(Exception):
    """Nothing that could be read came back. The text names the interface and the fault only."""


class Client:
    """`reserve(syscode)` gives a tranSeq of 20 digits that was never used for that syscode; it is
    called before every sending. `monotonic` is for the circuit breaker, in seconds. `line` is
    httpx without its client: nothing that follows redirects (whoever can redirect us could answer
    in the ministry's place), keeps cookies or asks the environment for a proxy."""

    def __init__(
        self,
        settings: TwFidoSettings,
        line: httpx.AsyncBaseTransport,
        reserve: Reserve,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._line = line
        self._reserve = reserve
        self._monotonic = monotonic
        self._in_flight = 0
        self.breaker = Breaker(
            settings.breaker_failures, settings.breaker_window, settings.breaker_pause
        )
        self._timeout = httpx.Timeout(
            settings.read_timeout, connect=settings.connect_timeout, pool=settings.connect_timeout
        ).as_dict()

    # ── the nine interfaces (FEXCH-02 comes to us: callback) ─────────────────────────────

    async def browser_request(
        self, interface: str, system: System, pid: str | None = None
    ) -> tuple[str, tuple[tuple[str, str], ...]]:
        """FWEB-01, CTAP-01: the address and the fields that a browser has to carry there."""
        values = {"pid": pid} if pid else {}
        fields = await self._request(interface, system, values)
        url = self._settings.browser_url + self._settings.paths.of(interface)
        return url, tuple(fields.items())

    async def open(self, interface: str, system: System, pid: str) -> answers.Opened:
        """FEXCH-01, FATH-01. Sent once: a second request would ring the phone a second time."""
        return answers.opened(interface, *await self._ask(interface, system, {"pid": pid}))

    async def result(self, system: System, qrid: str) -> answers.Result:
        """FATH-02."""
        return answers.result(*await self._ask("FATH-02", system, {"qrid": qrid}))

    async def enrolment(self, system: System, pid: str) -> answers.Enrolment:
        """REG-01."""
        return answers.enrolment(*await self._ask("REG-01", system, {"pid": pid}))

    async def statistics(self, system: System, start: date, end: date) -> answers.Statistics:
        """QUE-01."""
        return answers.statistics(*await self._ask("QUE-01", system, _range(start, end)))

    async def records(self, system: System, pid: str, start: date, end: date) -> answers.Records:
        """QUE-02."""
        values = {"pid": pid, **_range(start, end)}
        return answers.records(*await self._ask("QUE-02", system, values))

    # ── how a call is made ───────────────────────────────────────────────────────────────────────

    async def _ask(self, interface: str, system: System, values: Mapping[str, str]) -> Asked:
        """The folded answer and what to check it against."""
        loop, fault = asyncio.get_running_loop(), ""
        deadline = loop.time() + self._settings.total_timeout
        for _ in range(2 if wire.INTERFACES[interface].resend else 1):
            try:
                return await self._ask_once(interface, system, values, deadline)
            except _NoAnswer as failed:
                fault = str(failed)
            if loop.time() >= deadline:
                break
        raise UpstreamAway(detail=f"{interface}: {fault}")

    async def _ask_once(
        self, interface: str, system: System, values: Mapping[str, str], deadline: float
    ) -> Asked:
        with self._slot():
            request = await self._request(interface, system, values)
            url = self._settings.base_url + self._settings.paths.of(interface)
            answer = await self._exchange(interface, url, request, deadline)
        proof = answers.Proof(system.keys, request["tranSeq"], self._settings.strict_echo)
        return wire.fold(answer), proof

    async def _request(
        self, interface: str, system: System, values: Mapping[str, str]
    ) -> dict[str, str]:
        seq = await self._reserve(system.syscode)
        if len(seq) != wire.TRANSEQ_LENGTH or seq == system.syscode:
            raise ValueError("reserve() must give 20 digits other than the syscode")
        summed = self._settings.reg01_checksum_fields if interface == "REG-01" else None
        everything = {**values, "syscode": system.syscode, "tranSeq": seq}
        return wire.emit(wire.INTERFACES[interface], everything, system.keys[0], summed)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """A place among the calls in flight, if there is one and the circuit is closed."""
        if self._in_flight >= self._settings.max_in_flight:
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
        self, interface: str, url: str, request: Mapping[str, str], deadline: float
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
        metrics.UPSTREAM.labels(SCHEME, interface, result).inc()
        metrics.UPSTREAM_SECONDS.labels(SCHEME).observe(now - started)
        metrics.CIRCUIT_OPEN.labels(SCHEME).set(self.breaker.is_open)

    async def _post(self, url: str, fields: Mapping[str, str]) -> bytes:
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


def _range(start: date, end: date) -> dict[str, str]:
    return {"startdate": f"{start:%Y%m%d}", "enddate": f"{end:%Y%m%d}"}
