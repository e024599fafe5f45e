"""What arrives from outside: browsers that come back, and the upstream that calls.

Whatever they bring is a wake-up. It tells which attempt to ask about, and lets nobody in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from idp.kernel import errors, metrics
from idp.kernel.audit import Entry
from idp.kernel.caller import Caller
from idp.kernel.database import Conflict, Transaction
from idp.kernel.services import Services
from idp.login import attempts, journal, store
from idp.login.asking import ALARM, LATE, AttemptPoller
from idp.login.flow import GRACE, AttemptState, VerificationAttempt
from idp.login.persons import Persons
from idp.login.sealing import Sealing
from idp.verify import Returned, Verifier
from idp.verify.schemes import Schemes

AWAY_SECONDS = 3600  # after that a browser that comes back is a stranger


class UpstreamReturns:
    def __init__(
        self, services: Services, poller: AttemptPoller, schemes: Schemes, persons: Persons
    ) -> None:
        self._services, self._poller = services, poller
        self._schemes, self._persons = schemes, persons
        self._sealing = Sealing(services.vault)

    # ── a browser comes back ───────────────────────────────────────────────────────────────────

    async def brought_back(self, verifier: Verifier, fields: Mapping[str, str], who: Caller) -> str:
        """The login that a browser comes back to. Raises WrongBrowser."""
        now = self._services.clock.now()
        fitting = await self._fitting(verifier, fields, who, now)
        for attempt, back in fitting:  # reloaded, or only led back: the page shows how it stands
            if attempt.handle == back.handle and (attempt.returned_code or not back.code):
                return attempt.login_id
        for attempt, back in fitting:
            if attempt.state is AttemptState.PENDING and now < attempt.expires_at + GRACE:
                await self._bind(attempt, back, who, now)
                return attempt.login_id
        await self._burn(verifier, fields, who, now)
        for attempt, _ in fitting:  # too late, or replaced: its page says so and leads on
            return attempt.login_id
        raise errors.WrongBrowser(detail="no verification is out from this browser")

    async def _fitting(
        self, verifier: Verifier, fields: Mapping[str, str], who: Caller, now: int
    ) -> list[tuple[VerificationAttempt, Returned]]:
        """The attempts that left this browser and to which this can be the answer."""
        found = []
        recent = await attempts.attempts_of_browser(
            self._services.database, who.browser, now - AWAY_SECONDS
        )
        for attempt in recent:
            method = self._schemes.method(attempt.method)
            if method is None or method.scheme != verifier.scheme:
                continue
            try:
                asked = replace(self._sealing.as_asked(attempt), method=method.id)
                back = await verifier.accept(asked, fields)
            except errors.Disagreement:
                continue
            found.append((attempt, back))
        return found

    async def _bind(
        self, attempt: VerificationAttempt, back: Returned, who: Caller, now: int
    ) -> None:
        """From here the attempt can be asked about. Raises WrongBrowser."""
        index = self._persons.index(back.number) if back.number else None
        sealed = self._sealing.number(back.number) if back.number else None

        async def work(tx: Transaction) -> None:
            if attempt.handle is None:  # else it was taken when the attempt was opened
                await store.take_handle(tx, back.handle, attempt.id, now)
            if not await attempts.attempt_returned(
                tx, attempt.id, back.handle, back.code, index, sealed
            ):
                raise Conflict("the attempt has another handle")

        try:
            await self._services.database.write(work)
        except Conflict:
            owner = await store.owner_of_handle(self._services.database, back.handle)
            if owner == attempt.id:
                return  # it landed twice at once
            # somebody replays an approval of another login, perhaps their own
            await self._alarm(
                journal.under(attempt, who), "handle seen before", attempt.relying_party
            )
            raise errors.WrongBrowser(detail="the handle was seen before") from None

    async def _burn(
        self, verifier: Verifier, fields: Mapping[str, str], who: Caller, now: int
    ) -> None:
        """A signed result that no login waits for must never be good for any other."""
        try:
            back = await verifier.accept(None, fields)
        except errors.Disagreement:
            return
        try:
            await store.take_handle(self._services.database, back.handle, "", now)
        except Conflict:
            found = await attempts.attempt_with_handle(self._services.database, back.handle)
            if found and not found.returned_code:
                # who approved was led to the upstream's page of somebody else's login
                await self._alarm(who, "result in another browser than began")
            return
        await self._alarm(who, "result without a login")

    async def _alarm(self, who: Caller, what: str, client_id: str = "") -> None:
        metrics.ALARMS.labels("return").inc()
        await self._note(who.entry(ALARM, client_id=client_id, alarm=what))

    async def _note(self, entry: Entry) -> None:
        """Whoever can bring or send the same thing again causes few entries a minute."""
        if await self._services.seldom(entry):
            await self._services.trail.note(entry)

    # ── the upstream calls ─────────────────────────────────────────────────────────────────────

    async def called(self, verifier: Verifier, body: bytes, who: Caller) -> None:
        """The upstream's callback: it wakes us up and can neither complete nor end a login.
        Raises Disagreement if it is not signed."""
        wakeup = await verifier.wakeup(body)
        database = self._services.database
        attempt = await attempts.attempt_with_handle(database, wakeup.handle)
        method = self._schemes.method(attempt.method) if attempt else None
        theirs = method is not None and method.scheme == verifier.scheme
        if attempt is None or not theirs or attempt.system != wakeup.system:
            await self._note(who.entry(LATE, code=wakeup.code))
            return
        who, client_id = journal.under(attempt, who), attempt.relying_party
        index = self._persons.index(wakeup.number) if wakeup.number else None
        if index and attempt.number_index and index != attempt.number_index:
            metrics.ALARMS.labels("callback").inc()
            what = "the callback names another person"
            entry = who.entry(ALARM, client_id=client_id, alarm=what, code=wakeup.code)
            await self._note(entry)
        open_until = attempt.expires_at if attempt.state is AttemptState.PENDING else 0
        if self._services.clock.now() < open_until:
            await self._poller.ask(attempt, who, woken=True)
        else:
            detail = {"code": wakeup.code, "state": attempt.state.value}
            await self._note(who.entry(LATE, client_id=client_id, **detail))
