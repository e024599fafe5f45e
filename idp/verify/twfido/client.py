"""The calls to TW FidO: a number of its own for each, and what may be sent twice.

It says what was answered; who is believed is decided in `verifier`. Raises UpstreamAway where
there was no answer and Disagreement where the answer contradicts itself or our question.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import date

import httpx

from idp.verify.calls import Calls
from idp.verify.twfido import answers, wire
from idp.verify.twfido.settings import SCHEME, System, TwFidoSettings

Reserve = Callable[[str], Awaitable[str]]
Asked = tuple[dict[str, object], answers.Proof]


class Client:
    """`reserve(syscode)` gives a tranSeq of 20 digits that was never used for that syscode; it is
    called before every sending. `line` and `monotonic` as in Calls."""

    def __init__(
        self,
        settings: TwFidoSettings,
        line: httpx.AsyncBaseTransport,
        reserve: Reserve,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._reserve = reserve
        self._calls = Calls(SCHEME, settings, line, monotonic)
        self.breaker = self._calls.breaker

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

        async def request() -> tuple[dict[str, str], str]:
            fields = await self._request(interface, system, values)
            return fields, fields["tranSeq"]

        url = self._settings.base_url + self._settings.paths.of(interface)
        resend = wire.INTERFACES[interface].resend
        answer, sent = await self._calls.ask(interface, url, request, resend=resend)
        proof = answers.Proof(system.keys, sent, self._settings.strict_echo)
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


def _range(start: date, end: date) -> dict[str, str]:
    return {"startdate": f"{start:%Y%m%d}", "enddate": f"{end:%Y%m%d}"}
