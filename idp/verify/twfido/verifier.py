"""TW FidO as a Verifier: four methods, and who is believed when.

A browser's answer and a callback only wake us up; the truth is FATH-02, asked server to server,
and what it means is decided in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from idp.kernel import logs
from idp.kernel.errors import Disagreement, Failed, NotStarted, UpstreamAway
from idp.verify import (
    App,
    Attempt,
    Challenge,
    Check,
    Method,
    Order,
    Outcome,
    Ports,
    Returned,
    State,
    UpstreamPaths,
    Wakeup,
    numbers,
)
from idp.verify.twfido import answers, callback, rules, wire
from idp.verify.twfido.checks import checks
from idp.verify.twfido.client import Client
from idp.verify.twfido.settings import RETURN_PATH, SCHEME, System, TwFidoSettings

logs.hide("chksum", "qrid", "api_key")


class TwFido:
    """A relying party may have its own account at TW FidO; all others share ours. The keys of
    both are read anew each time, so a change needs no restart."""

    scheme = SCHEME

    def __init__(self, settings: TwFidoSettings, ports: Ports) -> None:
        self._settings = settings
        self._own = settings.own_system
        self._accounts = ports.accounts
        self._reserve = ports.reserve
        self._methods = rules.methods(settings.methods, settings.expires_in)
        self._transport = ports.transport or settings.transport()
        self.client = Client(settings, self._transport, self._sequence, ports.monotonic)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _sequence(self, system: str) -> str:
        return wire.transeq(*await self._reserve(system))

    @property
    def app(self) -> App:
        return App("行動自然人憑證", "TW FidO", "https://fido.moi.gov.tw")

    @property
    def methods(self) -> Mapping[str, Method]:
        return self._methods

    @property
    def paths(self) -> UpstreamPaths:
        return UpstreamPaths(
            returns=RETURN_PATH,
            callback=self._settings.callback_path,
            callback_peers=self._settings.callback_peers,
            acknowledgement=callback.ACKNOWLEDGEMENT,
        )

    @property
    def closed_until(self) -> int:
        return self._settings.closed_until

    def canonical_number(self, typed: str) -> str | None:
        return numbers.canonical(typed)

    def masked(self, number: str) -> str:
        return numbers.mask(number)

    # ── start ────────────────────────────────────────────────────────────────────────────────────

    async def start(self, order: Order) -> Challenge:
        """NotStarted (not registered, or any refusal: one neutral answer), UpstreamAway,
        Disagreement. Nothing is sent twice."""
        method = self._methods.get(order.method)
        if method is None:
            raise NotStarted(detail="the method is off")
        pid = order.number if method.needs_number else None
        if method.needs_number and not numbers.valid(pid or ""):
            raise NotStarted(detail="not a number")
        theirs = await self._theirs(order.relying_party)
        system, only_for = theirs or self._own, order.relying_party if theirs else ""
        interface: str = getattr(self._settings.opens_with, method.name)
        if method.shows == "leave":
            challenge = await self._send_browser(interface, system, pid)
        else:
            challenge = await self._open(method, interface, system, pid or "")
        return replace(challenge, only_for=only_for)

    async def _send_browser(self, interface: str, system: System, pid: str | None) -> Challenge:
        action, fields = await self.client.browser_request(interface, system, pid)
        return Challenge(
            system=system.syscode,
            handle=None,
            display_name=system.name,
            expires_in=self._settings.expires_in,
            action=action,
            fields=fields,
            form_method=self._settings.browser_form_method,
        )

    async def _open(self, method: Method, interface: str, system: System, pid: str) -> Challenge:
        opened = await self.client.open(interface, system, pid)
        if opened.rcode != answers.SUCCESS:
            why = rules.NOT_OPENED.get(opened.rcode, NotStarted)
            raise why(detail=f"{interface} answered {opened.rcode}")
        if not rules.names(opened.pid, pid):
            raise Disagreement(detail=f"{interface}: the answer names another person")
        qr = ""
        if method.shows == "scan":
            qr = rules.qr_content(self._settings.qr_template, opened, pid)
        return Challenge(
            system=system.syscode,
            handle=opened.qrid,
            display_name=opened.sysname or system.name,
            expires_in=self._settings.expires_in,
            qr=qr or None,
            app_link=rules.app_link(self._settings.app_link, qr) if qr else "",
        )

    # ── poll ─────────────────────────────────────────────────────────────────────────────────────

    async def poll(self, attempt: Attempt) -> Outcome:
        """Ask FATH-02. UpstreamAway is raised where nothing was answered (ask again later); an
        answer that does not fit ends the attempt with an alarm."""
        if not attempt.handle:
            return Outcome(State.PENDING)  # the browser has not brought the qrid yet
        try:
            system = await self._system_of(attempt)
            result = await self.client.result(system, attempt.handle)
        except Disagreement as fault:
            return rules.contradiction("", fault.detail)
        return rules.judge(attempt, result)

    # ── what comes to us: a wake-up, never proof ─────────────────────────────────────────────────

    async def accept(self, attempt: Attempt | None, fields: Mapping[str, str]) -> Returned:
        """E(pid+rcode) binds neither transaction nor time: whoever captured one success could
        bring it for ever. It therefore tells the qrid and logs nobody in."""
        folded = wire.fold(fields)
        if attempt is None:  # CTAP-01 also reads what FWEB-01 writes
            answer = answers.browser_answer("CTAP-01", folded, self._own.keys)
            if answer.rcode != answers.SUCCESS:  # it fits every qrid, so it says nothing of one
                raise Disagreement(detail="a failure that belongs to nothing")
            return _returned(answer)
        method = rules.METHODS.get(attempt.method)
        if method is None or method.shows != "leave":
            raise Disagreement(detail="this method does not return by the browser")
        system = await self._system_of(attempt)
        interface: str = getattr(self._settings.opens_with, method.name)
        answer = answers.browser_answer(interface, folded, system.keys)
        if fault := rules.return_fault(attempt, method, answer):
            raise Disagreement(detail=f"{interface}: {fault}")
        return _returned(answer)

    async def wakeup(self, body: bytes) -> Wakeup:
        """Read FEXCH-02, JSON or form. It may arrive before the answer of FEXCH-01 was stored,
        twice, late, or from nobody: it only says what to ask for."""
        folded = wire.fold(callback.read_body(body))
        syscode = wire.optional(folded, "syscode") or self._own.syscode
        system = self._own if syscode == self._own.syscode else await self._named(syscode)
        if system is None:
            raise Disagreement(detail="FEXCH-02: unknown syscode")
        told = callback.read(folded, system.keys, self._settings.callback_checksum_fields, syscode)
        number = told.pid if numbers.valid(told.pid) else None
        return Wakeup(system=syscode, handle=told.qrid, code=told.rcode, number=number)

    async def cancel(self, attempt: Attempt) -> None:
        """None of the nine interfaces cancels: the request stays on the phone until it expires,
        and a late approval finds an attempt that is closed on our side."""

    # ── for operators only ───────────────────────────────────────────────────────────────────────

    async def registered(self, number: str, relying_party: str = "") -> bool:
        """REG-01: whether a phone is bound. Never for callers: it lists who is enrolled."""
        enrolment = await self.client.enrolment(await self._operators(relying_party), number)
        _refuse_unless_success("REG-01", enrolment.rcode)
        return enrolment.has_device

    async def statistics(
        self, start: date, end: date, relying_party: str = ""
    ) -> answers.Statistics:
        """QUE-01, first and last day. ValueError if the range is backwards or too long."""
        self._check_range(start, end)
        system = await self._operators(relying_party)
        told = await self.client.statistics(system, start, end)
        _refuse_unless_success("QUE-01", told.rcode)
        return told

    async def records(
        self, number: str, start: date, end: date, relying_party: str = ""
    ) -> tuple[answers.Record, ...]:
        """QUE-02, newest first. ValueError as for `statistics`."""
        self._check_range(start, end)
        system = await self._operators(relying_party)
        told = await self.client.records(system, number, start, end)
        _refuse_unless_success("QUE-02", told.rcode)
        return told.records

    async def checks(self, *, production: bool) -> Sequence[Check]:
        return await checks(self._settings, self._transport, production=production)

    def account_document(self, account: str, keys: Sequence[str], name: str) -> dict[str, Any]:
        return System.checked(account, keys, name).document()

    def _check_range(self, start: date, end: date) -> None:
        months = self._settings.que_max_months
        if not start <= end <= rules.months_after(start, months):
            raise ValueError(f"the range must be forwards and at most {months} months")

    # ── whose keys ───────────────────────────────────────────────────────────────────────────────

    async def _theirs(self, relying_party: str) -> System | None:
        found = await self._accounts.of(self.scheme, relying_party)
        return System.read(found) if found else None

    async def _named(self, syscode: str) -> System | None:
        found = await self._accounts.named(self.scheme, syscode)
        return System.read(found) if found else None

    async def _operators(self, relying_party: str) -> System:
        return (await self._theirs(relying_party) if relying_party else None) or self._own

    async def _system_of(self, attempt: Attempt) -> System:
        """The account that opened the attempt, even if the relying party has another by now."""
        if attempt.system == self._own.syscode:
            return self._own
        theirs = await self._theirs(attempt.relying_party)
        if theirs and theirs.syscode == attempt.system:
            return theirs
        if named := await self._named(attempt.system):
            return named
        raise Disagreement(detail="the account that opened this attempt is gone")


def _returned(answer: answers.BrowserAnswer) -> Returned:
    """A mask names a thousand people: it is no number."""
    number = answer.pid if numbers.valid(answer.pid) else None
    return Returned(answer.qrid, answer.rcode, number)


def _refuse_unless_success(interface: str, rcode: str) -> None:
    if rcode != answers.SUCCESS:
        why = UpstreamAway if rcode == "9999" else Failed
        raise why(detail=f"{interface} answered {rcode}")
