"""The one transaction that lets somebody in: an approval is used up and becomes a session."""

from __future__ import annotations

from dataclasses import dataclass

from idp.kernel import audit, errors
from idp.kernel.audit import Trail
from idp.kernel.caller import Caller
from idp.kernel.clock import Clock
from idp.kernel.database import Database, Transaction
from idp.login import attempts, journal, store
from idp.login.budgets import Budgets
from idp.login.flow import GRACE, LoginTransaction, VerificationAttempt
from idp.login.persons import Persons
from idp.login.sealing import Sealing
from idp.login.session import Sessions
from idp.login.verified import Verified
from idp.verify import Method

COMPLETED = audit.event("login.completed", "a verified person has a session in this browser")
REFUSED = audit.event("login.person_disabled", "a disabled person tried to log in")

KIOSK_SECONDS = 600  # a session at a shared screen: for its one login, and no longer than this


@dataclass(frozen=True, slots=True)
class Approval:
    """An approved attempt of a login, and the method it was approved by."""

    login: LoginTransaction
    attempt: VerificationAttempt
    method: Method


@dataclass(frozen=True, slots=True)
class Taker:
    """The browser that takes an approval up. `replaces` is the session it presented, `agent` its
    name in our own words."""

    caller: Caller
    replaces: str | None
    agent: str


class _TakenAlready(Exception):
    """Another transaction was first: roll back."""


class Completion:
    def __init__(
        self,
        database: Database,
        trail: Trail,
        clock: Clock,
        persons: Persons,
        sessions: Sessions,
        sealing: Sealing,
        budgets: Budgets,
    ) -> None:
        self._database, self._trail, self._clock = database, trail, clock
        self._persons, self._sessions, self._sealing = persons, sessions, sealing
        self._budgets = budgets

    async def complete(self, approval: Approval, taker: Taker) -> str | None:
        """The cookie of the new session, or None if another was first (a second tab, a cancel, a
        newer attempt). Raises PersonDisabled."""
        try:
            cookie = await self._database.write(lambda tx: self._let_in(tx, approval, taker))
        except _TakenAlready:
            return None
        event, what = (COMPLETED, "completed") if cookie else (REFUSED, errors.PersonDisabled.code)
        client_id = approval.login.relying_party
        journal.line(event, taker.caller, client_id, what, **approval.method.labels)
        if cookie is None:
            raise errors.PersonDisabled
        return cookie

    def _verified(self, approval: Approval) -> Verified:
        attempt, method, purpose = approval.attempt, approval.method, approval.login.purpose
        sole = attempt.sole_relying_party or (purpose.relying_party if purpose.kiosk else "")
        return Verified(
            number=self._sealing.number_of(attempt) or "",
            method=method.id,
            acr=method.acr,
            amr=method.amr,
            sole_relying_party=sole,
            at=self._clock.now(),
        )

    async def _let_in(self, tx: Transaction, approval: Approval, taker: Taker) -> str | None:
        """None for a person who may not log in. Raises _TakenAlready."""
        login, attempt, verified = approval.login, approval.attempt, self._verified(approval)
        client_id = login.purpose.relying_party
        person = await self._persons.meet(tx, verified.number)
        if not person.enabled:
            entry = taker.caller.entry(REFUSED, client_id=client_id, person_id=person.id)
            await self._trail.write(tx, entry)
            return None
        seconds = KIOSK_SECONDS if login.purpose.kiosk else None
        session, cookie = await self._sessions.begin(
            tx, person.id, verified, taker.replaces, taker.agent, seconds
        )
        used = await store.finish_login(tx, login.id, attempt.id, session.id, verified.at)
        if not used or not await attempts.use_attempt(tx, attempt.id, verified.at - GRACE):
            raise _TakenAlready
        await self._budgets.finished(tx, approval.method, taker.caller.network)
        entry = taker.caller.entry(
            COMPLETED, client_id=client_id, person_id=person.id, **approval.method.labels
        )
        await self._trail.write(tx, entry)
        return cookie
