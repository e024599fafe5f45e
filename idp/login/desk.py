"""The desk between a login and the verifier: open an attempt, ask about it, take its outcome.

The upstream is never called inside a transaction. Nothing here completes a login: that is the
browser's POST (pages.py).
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import structlog

from idp.kernel import audit, errors, metrics
from idp.kernel.caller import Caller
from idp.kernel.clock import token
from idp.kernel.database import Conflict, Row, Transaction
from idp.kernel.errors import VerificationError
from idp.kernel.services import Services
from idp.kernel.throttle import PerSecond
from idp.login import pause, store
from idp.login.budgets import Budgets
from idp.login.flow import AttemptState, Picture, Purpose, worth_asking
from idp.login.persons import Persons
from idp.login.settings import LoginSettings
from idp.verify import App, Attempt, Challenge, Method, Order, Outcome, State
from idp.verify.schemes import Schemes

log = structlog.get_logger("idp.login")

STARTED = audit.event("login.started", "a verification was opened upstream")
NOT_STARTED = audit.event("login.not_started", "the upstream did not open a verification")
VERIFIED = audit.event("login.verified", "the upstream approved a verification")
ENDED = audit.event("login.ended", "a verification ended without approval")
LATE = audit.event("login.late", "the upstream spoke about an attempt that no longer counts")
ALARM = audit.event("login.alarm", "the upstream contradicted itself; nobody was let in")
LIMITED = audit.event("login.limited", "a verification was refused by a budget")

FIELDS = "challenge"  # the vault's purpose
OPENING_SECONDS = 15  # an attempt whose opening call never came back


class _Overtaken(Exception):
    """The page that asked shows what no longer is: roll back."""


class _Refused(Exception):
    """By a budget: roll back, so that it costs nothing."""

    def __init__(self, wait: int) -> None:
        self.wait = wait


class Desk:
    def __init__(
        self, services: Services, settings: LoginSettings, schemes: Schemes, persons: Persons
    ) -> None:
        self._services, self._settings = services, settings
        self.schemes, self._persons = schemes, persons
        self.budgets = Budgets(settings)

    def methods_for(self, purpose: Purpose) -> list[Method]:
        """What this login may use: all that the verifier offers, or what its purpose allows."""
        offered = self.schemes.offered(purpose.schemes)
        return [m for m in offered if not purpose.methods or m.id in purpose.methods]

    def method_of(self, attempt: Row) -> Method | None:
        """None if it has been switched off since."""
        return self.schemes.method(attempt["method"])

    def app_of(self, purpose: Purpose, attempt: Row | None) -> App:
        """Of the attempt's scheme; before there is one, of the first that this login may use."""
        method = self.method_of(attempt) if attempt else None
        return self.schemes.app(method or next(iter(self.methods_for(purpose)), None))

    # ── opening ────────────────────────────────────────────────────────────────────────────────

    async def open(
        self,
        login: Row,
        purpose: Purpose,
        method: Method,
        number: str | None,
        who: Caller,
        seen: int,
    ) -> bool:
        """Opens a new attempt, which replaces the one before. What goes wrong upstream becomes
        the ending of the attempt. `seen` is how many attempts there were on the page that asks;
        False if there are more by now. Raises TooManyPushes, NotStarted,
        Maintenance."""
        closed_until = self.schemes.closed_until(method)
        if closed_until > self._services.clock.now():
            raise errors.Maintenance(closed_until)
        if method.disturbs and number:
            await self._hear_out(method, number, who)
        try:
            attempt_id, paused = await self._write_down(login, purpose, method, number, who, seen)
        except _Overtaken:
            return False
        except _Refused as refused:
            await self._services.trail.note(who.entry(LIMITED, **method.labels, wait=refused.wait))
            refusal = errors.TooManyPushes if method.disturbs else errors.NotStarted
            raise refusal(retry_after=refused.wait) from None
        order = Order(purpose.relying_party, method.id, number)
        try:
            challenge = await (self._pretend if paused else self.schemes.start)(order)
            await self._opened(attempt_id, method, number, challenge, who)
        except VerificationError as refusal:
            await self._not_opened(attempt_id, method, refusal, who)
        return True

    async def _pretend(self, order: Order) -> Challenge:
        """The phone of a person who wants no push stays silent, and nobody can tell: the upstream
        is asked for a QR code that nobody will see, which takes as long and fails as often as to
        be told that a number is not registered. Raises NotStarted, or what the upstream says."""
        scheme = self.schemes.of(self.schemes.methods[order.method])
        silent = next((m for m in scheme.methods.values() if m.shows == "scan"), None)
        if silent:
            await self.schemes.start(replace(order, method=silent.id))
        raise errors.NotStarted(detail="the person has paused pushes")

    async def _hear_out(self, method: Method, number: str, who: Caller) -> None:
        """Who rings a phone and looks away before it says no would never be told of a denial:
        before it rings again, the upstream is asked how the last calls ended."""
        now = self._services.clock.now()
        before = now - self._settings.ask_seconds
        for attempt in await self._services.database.all(
            store.UNHEARD,
            index=self._persons.index(number),
            method=method.id,
            since=now - self.budgets.pause,
            before=before,
        ):
            if not await self._inquire(attempt, before, who):
                return  # away, or asked too much already: the budgets must do

    async def _write_down(
        self,
        login: Row,
        purpose: Purpose,
        method: Method,
        number: str | None,
        who: Caller,
        seen: int,
    ) -> tuple[str, bool]:
        """(attempt id, whether the person has paused pushes). Raises _Overtaken, _Refused. Always
        the login's row first: who holds it is alone."""
        now, attempt_id = self._services.clock.now(), token(16)
        most, index = self._settings.attempts, self._persons.index(number) if number else None
        row = {
            "id": attempt_id,
            "login_id": login["id"],
            "relying_party": purpose.relying_party,
            "browser": login["browser"],
            "method": method.id,
            "system": "",
            "handle": None,
            "number_index": index,
            "number_sealed": self._services.vault.seal("attempt", number) if number else None,
            "challenge": Picture(method.shows).dump(),
            "only_for": "",
            "brought": "",
            "state": AttemptState.OPENING.value,
            "why": "",
            "opened_at": now,
            "expires_at": now + OPENING_SECONDS,
            "asked_at": 0,
        }

        async def work(tx: Transaction) -> bool:
            if not await tx.run(
                store.NEW_ATTEMPT,
                key=login["id"],
                now=now,
                seen=seen,
                most=most,
                attempt=attempt_id,
            ):
                raise _Overtaken
            wait = await self.budgets.take(tx, method, index, login["id"], who.source, now)
            if wait:
                raise _Refused(wait)
            paused = bool(method.disturbs and index and await pause.paused(tx, index))
            await tx.run(store.REPLACE, login=login["id"])
            await tx.run(store.INSERT_ATTEMPT, **row)
            return paused

        return attempt_id, await self._services.database.write(work)

    async def _opened(
        self,
        attempt_id: str,
        method: Method,
        number: str | None,
        challenge: Challenge,
        who: Caller,
    ) -> None:
        """Raises Disagreement, NotStarted."""
        now = self._services.clock.now()
        picture = self._picture(method, number, challenge)

        async def work(tx: Transaction) -> Row | None:
            # of many starts at once the ones after the last that may fail are not told apart
            if await self.budgets.failing(tx, method, who.source, now):
                raise errors.NotStarted(detail="too many failed starts from this address")
            if challenge.handle:
                await tx.run(
                    store.TAKE_HANDLE, handle=challenge.handle, attempt_id=attempt_id, seen_at=now
                )
            opened = await tx.one(
                store.OPENED,
                key=attempt_id,
                system=challenge.system,
                handle=challenge.handle,
                challenge=picture.dump(),
                only_for=challenge.only_for,
                expires=now + challenge.expires_in,
            )
            await self._services.trail.write(tx, who.entry(STARTED, **method.labels))
            return opened

        try:
            opened = await self._services.database.write(work)
        except Conflict:
            raise errors.Disagreement(detail="the upstream gave out a handle twice") from None
        metrics.LOGINS_STARTED.labels(**method.labels).inc()
        if opened and opened["state"] == AttemptState.REPLACED:  # while the upstream was asked
            row = await self._services.database.one(store.ATTEMPT, id=attempt_id)
            await self.give_up(row)

    def _picture(self, method: Method, number: str | None, challenge: Challenge) -> Picture:
        return Picture(
            shows=method.shows,
            display_name=challenge.display_name,
            masked=self.schemes.masked(number) if number else "",
            qr=challenge.qr,
            app_link=challenge.app_link,
            action=challenge.action,
            form_method=challenge.form_method,
            fields_sealed=self._services.vault.seal(FIELDS, json.dumps(challenge.fields)),
        )

    def fields_of(self, picture: Picture | None) -> list[tuple[str, str]]:
        """What the browser carries to the upstream."""
        if picture is None or not picture.fields_sealed:
            return []
        text = self._services.vault.open_text(FIELDS, picture.fields_sealed)
        return [(name, value) for name, value in json.loads(text)]

    async def _not_opened(
        self, attempt_id: str, method: Method, refusal: VerificationError, who: Caller
    ) -> None:
        now = self._services.clock.now()

        async def work(tx: Transaction) -> None:
            await tx.run(store.NOT_OPENED, key=attempt_id, why=type(refusal).__name__)
            if isinstance(refusal, errors.NotStarted):
                # somebody may be trying out who is registered
                await self.budgets.failed(tx, method, who.source, now)
            entry = who.entry(NOT_STARTED, **method.labels, why=refusal.code)
            await self._services.trail.write(tx, entry)

        await self._services.database.write(work)
        log.warning("login.not_started", **method.labels, why=refusal.code, detail=refusal.detail)
        if isinstance(refusal, errors.Disagreement):
            metrics.ALARMS.labels("upstream").inc()

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    async def ask(self, attempt: Row, who: Caller, *, woken: bool = False) -> bool:
        """Asks the upstream about an attempt, if it is time to, and stores what it says.
        Between two questions, and beyond the budget of this worker, the stored outcome stands.
        Whether the upstream answered."""
        now = self._services.clock.now()
        # a hundred callbacks at once are one reason to ask, not a hundred
        before = now - (1 if woken else self._settings.ask_seconds)
        due = worth_asking(attempt, now) and attempt["asked_at"] <= before
        return due and await self._inquire(attempt, before, who)

    async def _too_many_asks(self, who: Caller) -> bool:
        """One source may use half of the budget, so that nobody can starve all others."""
        most, hit = self._settings.asks_per_second, self._services.throttle.hit
        if await hit(PerSecond(max(1, most // 2)), "upstream-asks-of", who.source):
            return True
        return bool(await hit(PerSecond(most), "upstream-asks"))

    async def _inquire(self, attempt: Row, before: int, who: Caller) -> bool:
        """Whether the upstream answered."""
        if await self._too_many_asks(who):
            return False
        now = self._services.clock.now()
        won = await self._services.database.run(
            store.ASKED, key=attempt["id"], now=now, before=before
        )
        if not won:
            return False
        try:
            outcome = await self.schemes.poll(self.as_asked(attempt))
        except errors.UpstreamAway as away:
            log.warning("login.upstream_away", method=attempt["method"], detail=away.detail)
            return False  # still pending; the next poll asks again until the time is up
        await self._take(attempt, outcome, who)
        return True

    def as_asked(self, attempt: Row) -> Attempt:
        return Attempt(
            relying_party=attempt["relying_party"],
            method=attempt["method"],
            system=attempt["system"],
            handle=attempt["handle"],
            number=self.number_of(attempt),
            returned_code=attempt["brought"],
        )

    def number_of(self, attempt: Row) -> str | None:
        sealed = attempt["number_sealed"]
        return self._services.vault.open_text("attempt", sealed) if sealed else None

    async def _take(self, attempt: Row, outcome: Outcome, who: Caller) -> None:
        if outcome.alarm:
            metrics.ALARMS.labels("upstream").inc()
            log.error("login.alarm", what=outcome.alarm, method=attempt["method"])
        method = self.method_of(attempt)
        if outcome.state is State.PENDING or method is None:
            return

        async def work(tx: Transaction) -> int:
            moved = await self._store(tx, attempt, outcome, method)
            event = self._event(outcome) if moved else LATE
            detail = {**method.labels, "code": outcome.code, "alarm": outcome.alarm or ""}
            await self._services.trail.write(tx, who.entry(event, **detail))
            return moved

        if await self._services.database.write(work):
            ended = outcome.why.code if outcome.why else "approved"
            metrics.LOGINS_FINISHED.labels(**method.labels, outcome=ended).inc()

    @staticmethod
    def _event(outcome: Outcome) -> str:
        if outcome.alarm:
            return ALARM
        return VERIFIED if outcome.state is State.APPROVED else ENDED

    async def _store(self, tx: Transaction, attempt: Row, outcome: Outcome, method: Method) -> int:
        if outcome.state is State.APPROVED and outcome.number:
            moved = await tx.run(
                store.APPROVED,
                key=attempt["id"],
                index=self._persons.index(outcome.number),
                sealed=self._services.vault.seal("attempt", outcome.number),
            )
            return moved or await self._heard(tx, attempt, "Approved")
        why = outcome.why or errors.Failed
        moved = await tx.run(store.ENDED, key=attempt["id"], why=why.__name__)
        if why is errors.Denied:  # also of an attempt that no longer counts
            now = self._services.clock.now()
            await self.budgets.denied(tx, method, attempt["number_index"], now)
        return moved or await self._heard(tx, attempt, why.__name__)

    @staticmethod
    async def _heard(tx: Transaction, attempt: Row, why: str) -> int:
        await tx.run(store.HEARD, key=attempt["id"], why=why)
        return 0

    async def give_up(self, attempt: Row | None) -> None:
        """Tells the upstream, where it can be told; the attempt no longer counts either way."""
        if attempt and attempt["handle"] and attempt["state"] in _UNDECIDED:
            with contextlib.suppress(VerificationError):
                await self.schemes.cancel(self.as_asked(attempt))

    async def ask_login(self, login_id: str, who: Caller) -> None:
        """Asks about the attempt that counts in a login: its browser has just come back."""
        login = await self._services.database.one(store.LOGIN, id=login_id)
        attempt = login and store.attempt_in(login)
        if attempt:
            await self.ask(attempt, who, woken=True)


_UNDECIDED = (AttemptState.PENDING, AttemptState.REPLACED)
