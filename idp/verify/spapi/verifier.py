"""The SP-API as a Verifier: three methods, and who is believed when.

A browser's answer only wakes us up; the truth is ATH-02, asked server to server, and what it means
is decided in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from idp.kernel import logs
from idp.kernel.errors import Disagreement, Failed, NotStarted
from idp.verify import (
    Alias,
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
from idp.verify.spapi import answers, evidence, rules, wire
from idp.verify.spapi.checks import checks
from idp.verify.spapi.client import Client, transaction
from idp.verify.spapi.rules import Handle
from idp.verify.spapi.settings import SpApiSettings, SpService
from idp.verify.spapi.ticket import Ticket

logs.hide("sp_checksum", "idp_checksum", "sp_ticket", "hashed_id_num", "signed_response")

_OPENS = {"qr": "ATH-01", "push": "ATH-03"}


class SpApi:
    """A relying party may have its own account; all others share ours. The keys of both are read
    anew each time, so a change needs no restart."""

    scheme = rules.SCHEME
    app = App("行動自然人憑證", "TW FidO", "https://fido.moi.gov.tw")

    def __init__(self, settings: SpApiSettings, ports: Ports) -> None:
        self._settings = settings
        self._own = settings.own_service
        self._issuers = settings.issuers()
        self._accounts = ports.accounts
        self._now = ports.now
        self._return_url = ports.issuer + settings.return_path
        self._methods = rules.methods(settings.methods, settings.time_limit, settings.poll_seconds)
        self._transport = ports.transport or settings.transport()
        self.client = Client(settings, self._transport, ports.monotonic)

    async def aclose(self) -> None:
        await self._transport.aclose()

    @property
    def methods(self) -> Mapping[str, Method]:
        return self._methods

    @property
    def paths(self) -> UpstreamPaths:
        return UpstreamPaths(returns=self._settings.return_path)

    @property
    def closed_until(self) -> int:
        return self._settings.closed_until

    def canonical_number(self, typed: str) -> str | None:
        return numbers.canonical(typed)

    def masked(self, number: str) -> str:
        return numbers.mask(number)

    # ── start ────────────────────────────────────────────────────────────────────────────────────

    async def start(self, order: Order) -> Challenge:
        """NotStarted (not enrolled, or any refusal: one neutral answer), UpstreamAway,
        Disagreement. Nothing is sent twice."""
        method = self._methods.get(order.method)
        if method is None:
            raise NotStarted(detail="the method is off")
        number = (order.number or "") if method.needs_number else ""
        if method.needs_number and not numbers.valid(number):
            raise NotStarted(detail="not a number")
        theirs = await self._theirs(order.relying_party)
        service, only_for = theirs or self._own, order.relying_party if theirs else ""
        if method.shows == "leave":
            challenge = self._send_browser(service)
        else:
            challenge = await self._open(method, service, number)
        return replace(challenge, only_for=only_for)

    def _send_browser(self, service: SpService) -> Challenge:
        """The handle is known from the start: what comes back must be of this transaction."""
        transaction_id = transaction()
        action, fields = self.client.browser_request(service, transaction_id)
        return Challenge(
            system=service.sp_service_id,
            handle=str(Handle(transaction_id)),
            display_name=service.name,
            expires_in=self._settings.time_limit,
            action=action,
            fields=fields,
        )

    async def _open(self, method: Method, service: SpService, number: str) -> Challenge:
        interface, transaction_id = _OPENS[method.name], transaction()
        asked = self.client.opening(service, transaction_id, id_num=number)
        opened = await self.client.open(interface, service, asked)
        if opened.ticket is None:
            raise rules.not_opened(opened.code)(detail=f"{interface} answered {opened.code}")
        if method.shows != "scan":
            asked.pop("op_mode")  # a push has none, and its ticket says so in a word of its own
        if fault := rules.opening_fault(opened.ticket, asked):
            raise Disagreement(detail=f"{interface}: {fault}")
        handle = Handle.of(transaction_id, opened.ticket, service.keys[0])
        challenge = Challenge(
            system=service.sp_service_id,
            handle=str(handle),
            display_name=opened.ticket.sp_name or service.name,
            expires_in=self._settings.time_limit,
        )
        if method.shows != "scan":
            return challenge
        rules.must_not_contain(opened.ticket, number)
        link = self._app_link(opened.ticket, transaction_id)
        return replace(challenge, qr=opened.ticket.text, app_link=link)

    def _app_link(self, ticket: Ticket, transaction_id: str) -> str:
        """The app leads the person back with rtn_val: it tells which login, and proves nothing."""
        how = self._settings.rtn_encoding
        values = {
            "sp_ticket": ticket.text,
            "rtn_url": rules.encoded(self._return_url, how),
            "rtn_val": rules.encoded(transaction_id, how),
        }
        return rules.app_link(self._settings.app_link, values)

    # ── poll ─────────────────────────────────────────────────────────────────────────────────────

    async def poll(self, attempt: Attempt) -> Outcome:
        """Ask ATH-02. UpstreamAway is raised where nothing was answered (ask again later); an
        answer that does not fit ends the attempt with an alarm."""
        if not attempt.handle:
            return Outcome(State.PENDING)
        try:
            handle = Handle.read(attempt.handle)
            if not handle.sp_ticket_id and not attempt.returned_code:
                return Outcome(State.PENDING)  # the browser is still away
            service = await self._service_of(attempt)
            result = await self.client.result(service, handle.transaction_id, handle.sp_ticket_id)
        except Disagreement as fault:
            return rules.contradiction("", fault.detail)
        outcome = rules.judge(attempt, handle, result, service.keys)
        approved = outcome.state is State.APPROVED
        return self._weighed(outcome, handle, result) if approved else outcome

    def _weighed(self, outcome: Outcome, handle: Handle, result: answers.Result) -> Outcome:
        """An approval with what the person's own signature adds to it, and by what name."""
        words = rules.signed_words(handle.transaction_id) if self._settings.sign_type else ""
        found = evidence.examine(
            words, result.signed_response, result.cert, self._issuers, self._now()
        )
        noted = {"signature": found.signature.value, "chain": found.chain.value}
        if self._settings.signed_response == "require" and not found.complete:
            refused = rules.contradiction(result.code, "the person's signature is not verified")
            return replace(refused, evidence=noted)
        binding = self._settings.hashed_id_num == "refuse"
        alias = Alias(result.hashed_id_num, binding) if result.hashed_id_num else None
        return replace(outcome, evidence=noted, alias=alias)

    # ── what comes to us: a wake-up, never proof ─────────────────────────────────────────────────

    async def accept(self, attempt: Attempt | None, fields: Mapping[str, str]) -> Returned:
        """Read what a browser brings from WEB-01, or from the app by its link. Who began the login
        and who brings this must be one: that is for the login room to see to."""
        if "rtn_val" in fields:
            return _from_app(attempt, fields["rtn_val"])
        if attempt is None:
            answer = answers.browser_answer(fields, self._own.keys)
            return Returned(answer.transaction_id, answer.code)
        service = await self._service_of(attempt)
        answer = answers.browser_answer(fields, service.keys)
        if fault := rules.return_fault(attempt, answer):
            raise Disagreement(detail=f"WEB-01: {fault}")
        return Returned(answer.transaction_id, answer.code, answer.id_num or None)

    async def wakeup(self, body: bytes) -> Wakeup:
        """The SP-API calls nobody: everything is asked for."""
        raise Disagreement(detail="the SP-API has no callback")

    async def cancel(self, attempt: Attempt) -> None:
        """No interface cancels: the request stays on the phone until it expires, and a late
        approval finds an attempt that is closed on our side."""

    # ── for operators only ───────────────────────────────────────────────────────────────────────

    async def checks(self, *, production: bool) -> Sequence[Check]:
        return await checks(self._settings, self._transport, production=production)

    def account_document(self, account: str, keys: Sequence[str], name: str) -> dict[str, Any]:
        return SpService.checked(account, keys, name).document()

    async def registered(self, number: str, relying_party: str = "") -> answers.DeviceStatus:
        """LF-01: whether a phone is bound. Never for callers: it lists who is enrolled."""
        theirs = await self._theirs(relying_party) if relying_party else None
        status = await self.client.device_status(theirs or self._own, number)
        if status.code in ("IDNUM_USERPROF_NF", "IDNUM_DEVPROF_NF"):
            return answers.DeviceStatus(wire.SUCCESS)
        if status.code != wire.SUCCESS:
            why = rules.not_opened(status.code)
            raise (Failed if why is NotStarted else why)(detail=f"LF-01 answered {status.code}")
        return status

    # ── whose keys ───────────────────────────────────────────────────────────────────────────────

    async def _theirs(self, relying_party: str) -> SpService | None:
        found = await self._accounts.of(self.scheme, relying_party)
        return SpService.read(found) if found else None

    async def _service_of(self, attempt: Attempt) -> SpService:
        """The account that opened the attempt, even if the relying party has another by now."""
        if attempt.system == self._own.sp_service_id:
            return self._own
        theirs = await self._theirs(attempt.relying_party)
        if theirs and theirs.sp_service_id == attempt.system:
            return theirs
        if named := await self._accounts.named(self.scheme, attempt.system):
            return SpService.read(named)
        raise Disagreement(detail="the account that opened this attempt is gone")


def _from_app(attempt: Attempt | None, rtn_val: str) -> Returned:
    """Nobody has signed it: it leads a browser to the page of its own login."""
    if attempt is None or not attempt.handle:
        raise Disagreement(detail="the app returns to no login")
    if rules.decoded(rtn_val) != Handle.read(attempt.handle).transaction_id:
        raise Disagreement(detail="the app returns to another login")
    return Returned(attempt.handle, "")
