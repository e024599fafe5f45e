"""How did it end? The upstream is asked about attempts, and what it says is stored.

The upstream is never called inside a transaction. Nothing here completes a login: that is the
browser's POST (complete.py).
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from idp.kernel import audit, errors, metrics
from idp.kernel.caller import Caller
from idp.kernel.database import Transaction
from idp.kernel.services import Services
from idp.kernel.throttle import PerSecond
from idp.login import aliases, attempts, journal, store
from idp.login.budgets import Budgets
from idp.login.flow import Heard, VerificationAttempt, Why, worth_asking
from idp.login.persons import Persons
from idp.login.sealing import Sealing
from idp.login.settings import LoginSettings
from idp.verify import Method, Outcome, State
from idp.verify.schemes import Schemes

log = structlog.get_logger("idp.login")

VERIFIED = audit.event("login.verified", "the upstream approved a verification")
ENDED = audit.event("login.ended", "a verification ended without approval")
LATE = audit.event("login.late", "the upstream spoke about an attempt that no longer counts")
ALARM = audit.event("login.alarm", "the upstream contradicted itself; nobody was let in")


class AttemptPoller:
    def __init__(
        self,
        services: Services,
        settings: LoginSettings,
        schemes: Schemes,
        persons: Persons,
        budgets: Budgets,
    ) -> None:
        self._services, self._settings = services, settings
        self._schemes, self._persons, self._budgets = schemes, persons, budgets
        self._sealing = Sealing(services.vault)

    async def ask(self, attempt: VerificationAttempt, who: Caller, *, woken: bool = False) -> bool:
        """Asks the upstream about an attempt, if it is time to, and stores what it says.
        Between two questions, and beyond the budget of this worker, the stored outcome stands.
        Whether the upstream answered."""
        now = self._services.clock.now()
        method = self._schemes.method(attempt.method)
        # a hundred callbacks at once are one reason to ask, not a hundred
        least = method.ask_seconds if method else 1
        before = now - (least if woken else max(least, self._settings.ask_seconds))
        due = worth_asking(attempt, now) and attempt.asked_at <= before
        return due and await self._inquire(attempt, before, who)

    async def ask_login(self, login_id: str, who: Caller) -> None:
        """Asks about the attempt that counts in a login: its browser has just come back."""
        found = await store.find_login(self._services.database, login_id)
        if found and found[1]:
            await self.ask(found[1], who, woken=True)

    async def hear_out(self, method: Method, number: str, who: Caller) -> None:
        """Before a phone rings again, the upstream is asked how the last calls ended. Otherwise a
        denial would never be heard of an attempt whose page was closed."""
        now = self._services.clock.now()
        since = now - self._budgets.pause
        before = now - max(self._settings.ask_seconds, method.ask_seconds)
        for attempt in await attempts.unheard_attempts(
            self._services.database, self._persons.index(number), method.id, since, before
        ):
            if not await self._inquire(attempt, before, who):
                return  # away, or asked too much already: the budgets must do

    async def _too_many_asks(self, who: Caller) -> bool:
        """One source may use half of the budget, so that nobody can starve all others."""
        most, hit = self._settings.asks_per_second, self._services.throttle.hit
        if await hit(PerSecond(max(1, most // 2)), "upstream-asks-of", who.source):
            return True
        return bool(await hit(PerSecond(most), "upstream-asks"))

    async def _inquire(self, attempt: VerificationAttempt, before: int, who: Caller) -> bool:
        """Whether the upstream answered."""
        if await self._too_many_asks(who):
            return False
        now, database = self._services.clock.now(), self._services.database
        if not await attempts.claim_asking(database, attempt.id, before, now):
            return False
        try:
            outcome = await self._schemes.poll(self._sealing.as_asked(attempt))
        except errors.UpstreamAway as away:
            client_id = attempt.relying_party
            who = journal.under(attempt, who)
            method = self._schemes.method(attempt.method)
            which = {**(method.labels if method else {}), "detail": away.detail}
            journal.line("login.upstream_away", who, client_id, away.code, **which)
            return False  # still pending; the next poll asks again until the time is up
        await self._take(attempt, outcome, who)
        return True

    # ── what it says ───────────────────────────────────────────────────────────────────────────

    async def _take(self, attempt: VerificationAttempt, outcome: Outcome, who: Caller) -> None:
        client_id, who = attempt.relying_party, journal.under(attempt, who)
        if outcome.alarm:
            _alarm(outcome.alarm, who)
        method = self._schemes.method(attempt.method)
        if outcome.state is State.PENDING or method is None:
            return

        async def work(tx: Transaction) -> tuple[list[str], Outcome]:
            told = await self._compared(tx, outcome, method)
            moved = await self._store(tx, attempt, told, method)
            events = self._events(told) if moved else [LATE]
            detail = {**method.labels, "code": told.code, "alarm": told.alarm or ""}
            if told.why:
                detail["why"] = told.why.code
            for event in events:
                entry = who.entry(event, client_id=client_id, **detail, **told.evidence)
                await self._services.trail.write(tx, entry)
            return events, told

        events, told = await self._services.database.write(work)
        if told.alarm and not outcome.alarm:
            _alarm(told.alarm, who)
        ended = told.why.code if told.why else "approved"
        journal.line(events[0], who, client_id, ended, **method.labels)
        if events[0] is not LATE:
            metrics.LOGINS_FINISHED.labels(**method.labels, outcome=ended).inc()

    async def expire(self, attempt: VerificationAttempt, method: Method, who: Caller) -> None:
        """A page shows that the time is up, and nobody asks any more."""
        client_id, who = attempt.relying_party, journal.under(attempt, who)
        code = errors.Expired.code

        async def work(tx: Transaction) -> bool:
            ended = await attempts.attempt_ended(tx, attempt.id, errors.Expired)
            if ended:
                entry = who.entry(ENDED, client_id=client_id, **method.labels, why=code)
                await self._services.trail.write(tx, entry)
            return ended

        if await self._services.database.write(work):
            journal.line(ENDED, who, client_id, code, **method.labels)
            metrics.LOGINS_FINISHED.labels(**method.labels, outcome=code).inc()

    async def _compared(self, tx: Transaction, outcome: Outcome, method: Method) -> Outcome:
        """What it comes to, held against what the upstream called this person before. Only where
        we named the person ourselves is a first name taken for granted."""
        if outcome.state is not State.APPROVED or not outcome.number or not outcome.alias:
            return outcome
        person, now = self._persons.index(outcome.number), self._services.clock.now()
        alias = self._services.vault.index("alias", f"{person}:{outcome.alias.value}")
        if method.needs_number:
            await aliases.remember_alias(tx, person, method.scheme, alias, now)
        known = await aliases.known_alias(tx, person, method.scheme)
        if known in (None, alias):
            return outcome
        alarm = "the upstream calls this person by another name than before"
        if outcome.alias.binding:
            why = errors.Disagreement
            return Outcome(State.ENDED, why=why, code=outcome.code, alarm=alarm)
        await aliases.follow_alias(tx, person, method.scheme, alias, now)
        return replace(outcome, alarm=alarm)

    @staticmethod
    def _events(outcome: Outcome) -> list[str]:
        """An alarm about somebody who is let in all the same is one event more."""
        if outcome.state is State.APPROVED:
            return [VERIFIED, *([ALARM] if outcome.alarm else [])]
        return [ALARM if outcome.alarm else ENDED]

    async def _store(
        self, tx: Transaction, attempt: VerificationAttempt, outcome: Outcome, method: Method
    ) -> bool:
        """Whether the attempt was still waiting for it."""
        if outcome.state is State.APPROVED and outcome.number:
            index = self._persons.index(outcome.number)
            sealed = self._sealing.number(outcome.number)
            moved = await attempts.attempt_approved(tx, attempt.id, index, sealed)
            return moved or await self._heard(tx, attempt, Heard.APPROVED)
        why = outcome.why or errors.Failed
        moved = await attempts.attempt_ended(tx, attempt.id, why)
        if why is errors.Denied:  # also of an attempt that no longer counts
            now = self._services.clock.now()
            await self._budgets.denied(tx, method, attempt.number_index, now)
        return moved or await self._heard(tx, attempt, why)

    @staticmethod
    async def _heard(tx: Transaction, attempt: VerificationAttempt, why: Why) -> bool:
        await attempts.attempt_heard(tx, attempt.id, why)
        return False


def _alarm(what: str, who: Caller) -> None:
    metrics.ALARMS.labels("upstream").inc()
    log.error("login.alarm", reference=who.reference, what=what)
