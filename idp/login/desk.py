"""The desk between a login and the verifier: open an attempt, ask about it, take its outcome.

The upstream is never called inside a transaction. Nothing here completes a login: that is the
browser's POST (pages.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from idp.kernel import audit, counters, errors, metrics
from idp.kernel.clock import token
from idp.kernel.counters import Limit
from idp.kernel.database import Conflict, Row, Transaction
from idp.kernel.errors import VerificationError
from idp.kernel.ground import Ground
from idp.kernel.throttle import PerSecond
from idp.login import store
from idp.login.flow import AttemptState, Picture, Purpose
from idp.login.persons import Persons
from idp.login.settings import LoginSettings
from idp.verify import Attempt, Challenge, Method, Order, Outcome, State, Verifier, satisfies

log = structlog.get_logger("idp.login")

STARTED = audit.event("login.started", "a verification was opened upstream")
NOT_STARTED = audit.event("login.not_started", "the upstream did not open a verification")
VERIFIED = audit.event("login.verified", "the upstream approved a verification")
ENDED = audit.event("login.ended", "a verification ended without approval")
LATE = audit.event("login.late", "the upstream spoke about an attempt that no longer counts")
ALARM = audit.event("login.alarm", "the upstream contradicted itself; nobody was let in")
LIMITED = audit.event("login.limited", "a verification was refused by a budget")

TEN_MINUTES, DAY = 600, 86_400
OPENING_SECONDS = 15  # an attempt whose opening call never came back
GRACE = 60  # seconds in which an approval may still be taken up after the 3 minutes


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a request came from, for budgets and the audit trail."""

    browser: str
    address: str
    reference: str


class Desk:
    def __init__(
        self, ground: Ground, settings: LoginSettings, verifier: Verifier, persons: Persons
    ) -> None:
        self._ground, self._settings = ground, settings
        self.verifier, self._persons = verifier, persons
        push = settings.push
        self._push_short = Limit("push-10m", push.per_ten_minutes, TEN_MINUTES)
        self._push_day = Limit("push-day", push.per_day, DAY)
        self._push_source = Limit("push-source", push.per_address, TEN_MINUTES)
        self._push_denied = Limit("push-denied", 0, push.pause_after_denial, lockout=True)
        self._failed_starts = Limit("start-failed", settings.failed_starts, TEN_MINUTES)

    def methods_for(self, purpose: Purpose) -> list[Method]:
        """What this login may use: what the verifier offers, at least as strong as demanded."""
        offered = satisfies(list(self.verifier.methods.values()), purpose.minimum_acr)
        return [m for m in offered if not purpose.methods or m.id in purpose.methods]

    # ── opening ────────────────────────────────────────────────────────────────────────────────

    async def open(
        self, login: Row, purpose: Purpose, method: Method, number: str | None, who: Visitor
    ) -> None:
        """Opens a new attempt, which replaces the one before. What goes wrong upstream becomes
        the ending of the attempt. Raises AlreadyFinished, TooManyPushes, NotStarted."""
        attempt_id = await self._write_down(login, purpose, method, number, who)
        order = Order(purpose.relying_party, method.id, number)
        try:
            challenge = await self.verifier.start(order)
            await self._opened(attempt_id, method, number, challenge, who)
        except VerificationError as refusal:
            await self._not_opened(attempt_id, method, refusal, who)

    async def _write_down(
        self, login: Row, purpose: Purpose, method: Method, number: str | None, who: Visitor
    ) -> str:
        now, attempt_id = self._ground.clock.now(), token(16)
        index = self._persons.index(number) if number else None
        sealed = self._ground.vault.seal("attempt", number) if number else None

        async def work(tx: Transaction) -> int:
            wait = await self._refused(tx, login["id"], method, index, who)
            if wait:
                return wait  # what is pending stays as it is
            await tx.run(store.REPLACE, login=login["id"])
            moved = await tx.run(
                store.NEW_ATTEMPT,
                key=login["id"],
                now=now,
                most=self._settings.attempts,
                attempt=attempt_id,
            )
            if not moved:
                raise errors.AlreadyFinished
            await tx.run(
                store.INSERT_ATTEMPT,
                id=attempt_id,
                login_id=login["id"],
                relying_party=purpose.relying_party,
                browser=login["browser"],
                method=method.id,
                system="",
                handle=None,
                number_index=index,
                number_sealed=sealed,
                challenge=Picture(method.shows).dump(),
                state=AttemptState.OPENING.value,
                why="",
                opened_at=now,
                expires_at=now + OPENING_SECONDS,
                asked_at=0,
            )
            return 0

        wait = await self._ground.database.write(work)
        if wait:
            await self._ground.trail.note(self._entry(LIMITED, who, method=method.id, wait=wait))
            refusal = errors.TooManyPushes if method.disturbs else errors.NotStarted
            raise refusal(retry_after=wait)
        return attempt_id

    async def _refused(
        self, tx: Transaction, login_id: str, method: Method, index: str | None, who: Visitor
    ) -> int:
        """Seconds to wait, or 0. Counted over all relying parties, in one transaction."""
        now = self._ground.clock.now()
        wait = await counters.peek(tx, self._failed_starts, who.address, now)
        if wait or not method.disturbs or index is None:
            return wait
        takes = [
            await counters.take(tx, self._push_source, who.address, now),
            await counters.take(tx, self._push_short, index, now),
            await counters.take(tx, self._push_day, index, now),
            await counters.peek(tx, self._push_denied, index, now),
        ]
        pending = await tx.one(
            store.PENDING_ELSEWHERE, index=index, method=method.id, now=now, login=login_id
        )
        return max([*takes, 60 if pending else 0])

    async def _opened(
        self,
        attempt_id: str,
        method: Method,
        number: str | None,
        challenge: Challenge,
        who: Visitor,
    ) -> None:
        now = self._ground.clock.now()
        picture = Picture(
            shows=method.shows,
            display_name=challenge.display_name,
            masked=self.verifier.masked(number) if number else "",
            qr=challenge.qr,
            action=challenge.action,
            form_method=challenge.form_method,
            fields=challenge.fields,
        )

        async def work(tx: Transaction) -> None:
            if challenge.handle:
                await self._take_handle(tx, challenge.handle, attempt_id, now)
            await tx.run(
                store.OPENED,
                key=attempt_id,
                system=challenge.system,
                handle=challenge.handle,
                challenge=picture.dump(),
                expires=now + challenge.expires_in,
            )
            await self._ground.trail.write(tx, self._entry(STARTED, who, method=method.id))

        try:
            await self._ground.database.write(work)
        except Conflict:
            raise errors.Disagreement(detail="the upstream gave out a handle twice") from None
        metrics.LOGINS_STARTED.labels(method.id).inc()

    async def _take_handle(self, tx: Transaction, handle: str, attempt_id: str, now: int) -> None:
        await tx.run(store.TAKE_HANDLE, handle=handle, attempt_id=attempt_id, seen_at=now)

    async def _not_opened(
        self, attempt_id: str, method: Method, refusal: VerificationError, who: Visitor
    ) -> None:
        now = self._ground.clock.now()

        async def work(tx: Transaction) -> None:
            await tx.run(store.NOT_OPENED, key=attempt_id, why=type(refusal).__name__)
            if isinstance(refusal, errors.NotStarted):
                # somebody may be trying out who is registered
                await counters.take(tx, self._failed_starts, who.address, now)
            await self._ground.trail.write(
                tx, self._entry(NOT_STARTED, who, method=method.id, why=refusal.code)
            )

        await self._ground.database.write(work)
        log.warning("login.not_started", method=method.id, why=refusal.code, detail=refusal.detail)
        if isinstance(refusal, errors.Disagreement):
            metrics.ALARMS.labels("upstream").inc()

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    async def ask(self, attempt: Row, who: Visitor, *, woken: bool = False) -> None:
        """Asks the upstream about an attempt, if it is time to, and stores what it says.
        Between two questions, and beyond the budget of this worker, the stored outcome stands."""
        if attempt["state"] != AttemptState.PENDING or not attempt["handle"]:
            return
        now = self._ground.clock.now()
        budget = PerSecond(self._settings.asks_per_second)
        if await self._ground.throttle.hit(budget, "upstream-asks"):
            return
        before = now if woken else now - self._settings.ask_seconds
        won = await self._ground.database.write(
            lambda tx: tx.run(store.ASKED, key=attempt["id"], now=now, before=before)
        )
        if not won:
            return
        try:
            outcome = await self.verifier.poll(self._as_asked(attempt))
        except errors.UpstreamAway as away:
            log.warning("login.upstream_away", detail=away.detail)
            return  # still pending; the next poll asks again until the time is up
        await self._take(attempt, outcome, who)

    def _as_asked(self, attempt: Row) -> Attempt:
        sealed = attempt["number_sealed"]
        return Attempt(
            relying_party=attempt["relying_party"],
            method=attempt["method"],
            system=attempt["system"],
            handle=attempt["handle"],
            number=self._ground.vault.open_text("attempt", sealed) if sealed else None,
        )

    async def _take(self, attempt: Row, outcome: Outcome, who: Visitor) -> None:
        if outcome.alarm:
            metrics.ALARMS.labels("upstream").inc()
            log.error("login.alarm", what=outcome.alarm, method=attempt["method"])
        if outcome.state is State.PENDING:
            return
        method = self.verifier.methods[attempt["method"]]

        async def work(tx: Transaction) -> None:
            moved = await self._store(tx, attempt, outcome, method)
            event = self._event(outcome) if moved else LATE
            detail = {"method": method.id, "code": outcome.code, "alarm": outcome.alarm or ""}
            await self._ground.trail.write(tx, self._entry(event, who, **detail))

        await self._ground.database.write(work)
        ended = outcome.why.code if outcome.why else "approved"
        metrics.LOGINS_FINISHED.labels(method.id, ended).inc()

    @staticmethod
    def _event(outcome: Outcome) -> str:
        if outcome.alarm:
            return ALARM
        return VERIFIED if outcome.state is State.APPROVED else ENDED

    async def _store(self, tx: Transaction, attempt: Row, outcome: Outcome, method: Method) -> int:
        if outcome.state is State.APPROVED and outcome.number:
            return await tx.run(
                store.APPROVED,
                key=attempt["id"],
                index=self._persons.index(outcome.number),
                sealed=self._ground.vault.seal("attempt", outcome.number),
            )
        why = outcome.why or errors.Failed
        if why is errors.Denied and method.disturbs and attempt["number_index"]:
            now = self._ground.clock.now()
            await counters.take(tx, self._push_denied, attempt["number_index"], now)
        return await tx.run(store.ENDED, key=attempt["id"], why=why.__name__)

    async def give_up(self, attempt: Row) -> None:
        """Tells the upstream, where it can be told; the attempt no longer counts either way."""
        if attempt["state"] == AttemptState.PENDING:
            with contextlib.suppress(VerificationError):
                await self.verifier.cancel(self._as_asked(attempt))

    # ── coming back ────────────────────────────────────────────────────────────────────────────

    async def brought_back(self, fields: Mapping[str, str], who: Visitor) -> str:
        """A browser came back from the upstream's page: the login it belongs to. What it carries
        is no proof; it only tells which handle to ask about. Raises WrongBrowser."""
        now = self._ground.clock.now()
        waiting = await self._ground.database.all(store.AWAY, browser=who.browser, now=now)
        for attempt in waiting:
            if self.verifier.methods[attempt["method"]].shows == "leave":
                await self._bind(attempt, fields, who)
                login_id: str = attempt["login_id"]
                return login_id
        await self._burn(fields, who)
        raise errors.WrongBrowser(detail="no verification is out from this browser")

    async def _bind(self, attempt: Row, fields: Mapping[str, str], who: Visitor) -> None:
        try:
            back = await self.verifier.accept(self._as_asked(attempt), fields)
        except errors.Disagreement as refusal:
            await self._ground.trail.note(self._entry(ALARM, who, alarm=refusal.detail))
            raise errors.WrongBrowser(detail=refusal.detail) from None
        if attempt["handle"] == back.handle:
            return  # reloaded
        now = self._ground.clock.now()

        async def work(tx: Transaction) -> None:
            await self._take_handle(tx, back.handle, attempt["id"], now)
            if not await tx.run(store.BROUGHT_BACK, key=attempt["id"], handle=back.handle):
                raise Conflict("the attempt has another handle")

        try:
            await self._ground.database.write(work)
        except Conflict:
            # somebody replays an approval of another login, perhaps their own
            await self._ground.trail.note(self._entry(ALARM, who, alarm="handle seen before"))
            raise errors.WrongBrowser(detail="the handle was seen before") from None

    async def _burn(self, fields: Mapping[str, str], who: Visitor) -> None:
        """A signed result that no login waits for must never be good for any other."""
        stranger = Attempt("", next(iter(self._leaving())), "", None, None)
        try:
            back = await self.verifier.accept(stranger, fields)
            now = self._ground.clock.now()
            await self._ground.database.write(
                lambda tx: self._take_handle(tx, back.handle, "", now)
            )
        except (errors.Disagreement, Conflict, StopIteration):
            return
        await self._ground.trail.note(self._entry(ALARM, who, alarm="result without a login"))

    def _leaving(self) -> list[str]:
        return [m.id for m in self.verifier.methods.values() if m.shows == "leave"]

    async def ask_login(self, login_id: str, who: Visitor) -> None:
        """Asks about the attempt that counts in a login: its browser has just come back."""
        login = await self._ground.database.one(store.LOGIN, id=login_id)
        attempt = login and await self._ground.database.one(store.ATTEMPT, id=login["attempt_id"])
        if attempt:
            await self.ask(attempt, who, woken=True)

    # ── being called ───────────────────────────────────────────────────────────────────────────

    async def called(self, body: bytes, who: Visitor) -> None:
        """The upstream's callback: it wakes us up and can neither complete nor end a login.
        Raises Disagreement if it is not signed."""
        wakeup = await self.verifier.wakeup(body)
        row = await self._ground.database.one(store.BY_HANDLE, handle=wakeup.handle)
        if row is None:
            await self._ground.trail.note(self._entry(LATE, who, code=wakeup.code))
            return
        if row["state"] != AttemptState.PENDING or row["expires_at"] <= self._ground.clock.now():
            await self._conflicting(row, wakeup.number, wakeup.code, who)
            return
        await self._conflicting(row, wakeup.number, wakeup.code, who, only_number=True)
        await self.ask(row, who, woken=True)

    async def _conflicting(
        self, row: Row, number: str | None, code: str, who: Visitor, *, only_number: bool = False
    ) -> None:
        index = self._persons.index(number) if number else None
        if index and row["number_index"] and index != row["number_index"]:
            metrics.ALARMS.labels("callback").inc()
            await self._ground.trail.note(
                self._entry(ALARM, who, alarm="the callback names another person", code=code)
            )
        elif not only_number:
            await self._ground.trail.note(self._entry(LATE, who, code=code, state=row["state"]))

    @staticmethod
    def _entry(event: str, who: Visitor, **detail: str | int) -> audit.Entry:
        known = {"reference": who.reference, "address": who.address}
        return audit.entry(event, **known, **detail)  # type: ignore[arg-type]
