"""Opens an attempt at the upstream, within the budgets. It replaces the one before.

The upstream is never called inside a transaction: the attempt is written down first, and what the
upstream gave is stored when it has answered.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Protocol

from idp.kernel import audit, errors, metrics
from idp.kernel.caller import Caller
from idp.kernel.clock import token
from idp.kernel.database import Conflict, Transaction
from idp.kernel.errors import VerificationError
from idp.kernel.services import Services
from idp.login import attempts, journal, store
from idp.login.asking import AttemptPoller
from idp.login.budgets import Budgets
from idp.login.flow import AttemptState, Drawing, LoginTransaction, VerificationAttempt
from idp.login.own_pages import is_own_page
from idp.login.persons import Persons, push_paused
from idp.login.sealing import Sealing
from idp.login.settings import LoginSettings
from idp.verify import Challenge, Method, Order
from idp.verify.schemes import Schemes

STARTED = audit.event("login.started", "a verification was opened upstream")
NOT_STARTED = audit.event("login.not_started", "the upstream did not open a verification")
LIMITED = audit.event("login.limited", "a verification was refused by a budget")

OPENING_SECONDS = 15  # an attempt whose opening call never came back


@dataclass(frozen=True, slots=True)
class Opening:
    """What a person asked for by pressing a button. `seen` is how many attempts there were on
    the page whose button it was."""

    login: LoginTransaction
    method: Method
    number: str | None
    caller: Caller
    seen: int


class RelyingParties(Protocol):
    """Who asks for logins, as the rooms above know them."""

    async def ready(self, client_id: str) -> object:
        """Raises a PageError if nobody may be logged in for it now."""


class _OutOfDate(Exception):
    """There are more attempts by now than on the page that asked: roll back."""


class _OverBudget(Exception):
    """Roll back, so that a refusal costs nothing."""

    def __init__(self, wait: int) -> None:
        self.wait = wait


class AttemptOpener:
    def __init__(
        self,
        services: Services,
        settings: LoginSettings,
        schemes: Schemes,
        persons: Persons,
        budgets: Budgets,
        poller: AttemptPoller,
        asks: RelyingParties,
    ) -> None:
        self._services, self._settings = services, settings
        self._schemes, self._persons = schemes, persons
        self._budgets, self._poller, self._asks = budgets, poller, asks
        self._sealing = Sealing(services.vault)

    async def open(self, opening: Opening) -> bool:
        """What goes wrong upstream becomes the ending of the attempt. False if the page was out
        of date. Raises TooManyPushes, NotStarted, Maintenance; a PageError if nobody may be
        logged in for this relying party any more."""
        method, who = opening.method, opening.caller
        if not is_own_page(opening.login.relying_party):
            await self._asks.ready(opening.login.relying_party)
        closed_until = self._schemes.closed_until(method)
        if closed_until > self._services.clock.now():
            raise errors.Maintenance(closed_until)
        if method.disturbs and opening.number:
            await self._poller.hear_out(method, opening.number, who)
        attempt = self._new(opening)
        try:
            paused, abandoned = await self._services.database.write(
                lambda tx: self._write_down(tx, opening, attempt)
            )
        except _OutOfDate:
            return False
        except _OverBudget as over:
            raise await self._limited(opening, over.wait) from None
        for call in abandoned:
            await self.give_up(call)
        await self._start(attempt, opening, paused)
        return True

    async def _limited(self, opening: Opening, wait: int) -> VerificationError:
        method, who = opening.method, opening.caller
        kind = errors.TooManyPushes if method.disturbs else errors.NotStarted
        client_id = opening.login.relying_party
        entry = who.entry(LIMITED, client_id=client_id, **method.labels, wait=wait)
        if await self._services.seldom(entry):
            await self._services.trail.note(entry)
        journal.line(LIMITED, who, client_id, kind.code, **method.labels, wait=wait)
        return kind(retry_after=wait)

    def _new(self, opening: Opening) -> VerificationAttempt:
        login, method, number = opening.login, opening.method, opening.number
        now = self._services.clock.now()
        return VerificationAttempt(
            id=token(16),
            login_id=login.id,
            reference=login.reference,
            relying_party=login.purpose.relying_party,
            browser=login.browser,
            method=method.id,
            shows=method.shows,
            system="",
            handle=None,
            number_index=self._persons.index(number) if number else None,
            number_sealed=self._sealing.number(number) if number else None,
            drawing=Drawing(method.shows),
            sole_relying_party="",
            returned_code="",
            state=AttemptState.OPENING,
            why=None,
            opened_at=now,
            expires_at=now + OPENING_SECONDS,
            asked_at=0,
        )

    async def _write_down(
        self, tx: Transaction, opening: Opening, attempt: VerificationAttempt
    ) -> tuple[bool, list[VerificationAttempt]]:
        """(whether the person has paused pushes, what this browser abandoned). Raises _OutOfDate,
        _OverBudget. Always the login's row first: the transaction that holds it is alone."""
        index, method = attempt.number_index, opening.method
        most, seen, now = self._settings.attempts, opening.seen, attempt.opened_at
        if not await store.count_attempt(tx, attempt.login_id, attempt.id, seen, most, now):
            raise _OutOfDate
        wait = await self._budgets.take(tx, method, opening.login, attempt, opening.caller)
        if wait:
            raise _OverBudget(wait)
        paused = bool(method.disturbs and index and await push_paused(tx, index))
        # the phone of one person rings once at a time: what this browser left open in another
        # login gives way, and is answered as if its page had been left
        abandoned = await attempts.ringing(tx, attempt) if method.disturbs and index else []
        for login_id in (attempt.login_id, *(call.login_id for call in abandoned)):
            await attempts.replace_attempts(tx, login_id)
        await attempts.insert_attempt(tx, attempt)
        return paused, abandoned

    # ── the upstream ───────────────────────────────────────────────────────────────────────────

    async def _start(self, attempt: VerificationAttempt, opening: Opening, paused: bool) -> None:
        order = Order(attempt.relying_party, attempt.method, opening.number)
        try:
            challenge = await (self._pretend if paused else self._schemes.start)(order)
            await self._opened(attempt, opening, challenge)
        except VerificationError as refusal:
            await self._not_opened(attempt, opening, refusal)

    async def _pretend(self, order: Order) -> Challenge:
        """The phone of a person who paused pushes stays silent, and nobody can tell: the upstream
        is asked for a QR code that nobody will see, which takes as long and fails as often as to
        be told that a number is not registered. Raises NotStarted, or what the upstream says."""
        scheme = self._schemes.of(self._schemes.methods[order.method])
        silent = next((m for m in scheme.methods.values() if m.shows == "scan"), None)
        if silent:
            await self._schemes.start(replace(order, method=silent.id))
        raise errors.NotStarted(detail="the person has paused pushes")

    async def _opened(
        self, attempt: VerificationAttempt, opening: Opening, challenge: Challenge
    ) -> None:
        """Raises Disagreement, NotStarted."""
        now, method, who = self._services.clock.now(), opening.method, opening.caller
        opened = replace(
            attempt,
            system=challenge.system,
            handle=challenge.handle,
            drawing=self._drawing(opening, challenge),
            sole_relying_party=challenge.only_for,
            expires_at=now + challenge.expires_in,
        )

        async def work(tx: Transaction) -> AttemptState | None:
            # of many starts at once the ones after the last that may fail are not told apart
            if await self._budgets.failing(tx, method, who.source, now):
                raise errors.NotStarted(detail="too many failed starts from this address")
            if challenge.handle:
                await store.take_handle(tx, challenge.handle, attempt.id, now)
            state = await attempts.attempt_opened(tx, opened)
            entry = who.entry(STARTED, client_id=attempt.relying_party, **method.labels)
            await self._services.trail.write(tx, entry)
            return state

        try:
            state = await self._services.database.write(work)
        except Conflict:
            raise errors.Disagreement(detail="the upstream gave out a handle twice") from None
        metrics.LOGINS_STARTED.labels(**method.labels).inc()
        if state is AttemptState.REPLACED:  # while the upstream was asked
            await self.give_up(replace(opened, state=state))

    def _drawing(self, opening: Opening, challenge: Challenge) -> Drawing:
        number = opening.number
        return Drawing(
            shows=opening.method.shows,
            display_name=challenge.display_name,
            masked=self._schemes.masked(number) if number else "",
            qr=challenge.qr,
            app_link=challenge.app_link,
            action=challenge.action,
            form_method=challenge.form_method,
            fields_sealed=self._sealing.fields(challenge.fields),
        )

    async def _not_opened(
        self, attempt: VerificationAttempt, opening: Opening, refusal: VerificationError
    ) -> None:
        now, method, who = self._services.clock.now(), opening.method, opening.caller
        client_id = attempt.relying_party

        async def work(tx: Transaction) -> None:
            await attempts.attempt_not_opened(tx, attempt.id, type(refusal))
            if isinstance(refusal, errors.NotStarted):
                # somebody may be trying out who is registered
                await self._budgets.failed(tx, method, who.source, now)
            detail = {**method.labels, "why": refusal.code}
            entry = who.entry(NOT_STARTED, client_id=client_id, **detail)
            await self._services.trail.write(tx, entry)

        await self._services.database.write(work)
        journal.line(
            NOT_STARTED, who, client_id, refusal.code, **method.labels, detail=refusal.detail
        )
        if isinstance(refusal, errors.Disagreement):
            metrics.ALARMS.labels("upstream").inc()

    async def give_up(self, attempt: VerificationAttempt | None) -> None:
        """Tells the upstream, where it can be told. The attempt no longer counts either way."""
        if attempt and attempt.handle and attempt.state in _UNDECIDED:
            with contextlib.suppress(VerificationError):
                await self._schemes.cancel(self._sealing.as_asked(attempt))


_UNDECIDED = (AttemptState.PENDING, AttemptState.REPLACED)
