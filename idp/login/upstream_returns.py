"""What arrives from outside: browsers that come back, and the upstream that calls.

Whatever they bring is a wake-up. It tells which attempt to ask about, and lets nobody in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from idp.kernel import errors, metrics
from idp.kernel.caller import Caller
from idp.kernel.database import Conflict, Row, Transaction
from idp.kernel.services import Services
from idp.login import store
from idp.login.desk import ALARM, LATE, Desk
from idp.login.flow import GRACE, AttemptState
from idp.login.persons import Persons
from idp.verify import Returned, Verifier

AWAY_SECONDS = 3600  # after that a browser that comes back is a stranger


class UpstreamReturns:
    def __init__(self, services: Services, desk: Desk) -> None:
        self._services, self._desk = services, desk
        self._persons = Persons(services)

    # ── a browser comes back ───────────────────────────────────────────────────────────────────

    async def brought_back(self, verifier: Verifier, fields: Mapping[str, str], who: Caller) -> str:
        """The login that a browser comes back to. Raises WrongBrowser."""
        now = self._services.clock.now()
        fitting = await self._fitting(verifier, fields, who, now)
        for attempt, back in fitting:
            if attempt["handle"] == back.handle:  # reloaded: the page shows what became of it
                return str(attempt["login_id"])
        for attempt, back in fitting:
            if attempt["state"] == AttemptState.PENDING and now < attempt["expires_at"] + GRACE:
                await self._bind(attempt, back, who, now)
                return str(attempt["login_id"])
        await self._burn(verifier, fields, who, now)
        for attempt, _ in fitting:  # too late, or replaced: its page says so and leads on
            return str(attempt["login_id"])
        raise errors.WrongBrowser(detail="no verification is out from this browser")

    async def _fitting(
        self, verifier: Verifier, fields: Mapping[str, str], who: Caller, now: int
    ) -> list[tuple[Row, Returned]]:
        """The attempts that left this browser and to which this can be the answer."""
        found = []
        recent = await self._services.database.all(
            store.OF_BROWSER, browser=who.browser, since=now - AWAY_SECONDS
        )
        for attempt in recent:
            method = self._desk.method_of(attempt)
            if method is None or method.scheme != verifier.scheme or method.shows != "leave":
                continue
            try:
                asked = replace(self._desk.as_asked(attempt), method=method.id)
                back = await verifier.accept(asked, fields)
            except errors.Disagreement:
                continue
            found.append((attempt, back))
        return found

    async def _bind(self, attempt: Row, back: Returned, who: Caller, now: int) -> None:
        """From here the attempt can be asked about. Raises WrongBrowser."""
        index = self._persons.index(back.number) if back.number else None
        sealed = self._services.vault.seal("attempt", back.number) if back.number else None

        async def work(tx: Transaction) -> None:
            await tx.run(
                store.TAKE_HANDLE, handle=back.handle, attempt_id=attempt["id"], seen_at=now
            )
            if not await tx.run(
                store.BROUGHT_BACK,
                key=attempt["id"],
                handle=back.handle,
                code=back.code,
                index=index,
                sealed=sealed,
            ):
                raise Conflict("the attempt has another handle")

        try:
            await self._services.database.write(work)
        except Conflict:
            taken = await self._services.database.one(store.HANDLE, handle=back.handle)
            if taken and taken["attempt_id"] == attempt["id"]:
                return  # it landed twice at once
            # somebody replays an approval of another login, perhaps their own
            await self._alarm(who, "handle seen before")
            raise errors.WrongBrowser(detail="the handle was seen before") from None

    async def _burn(
        self, verifier: Verifier, fields: Mapping[str, str], who: Caller, now: int
    ) -> None:
        """A signed result that no login waits for must never be good for any other."""
        try:
            back = await verifier.accept(None, fields)
            await self._services.database.run(
                store.TAKE_HANDLE, handle=back.handle, attempt_id="", seen_at=now
            )
        except (errors.Disagreement, Conflict):
            return
        await self._alarm(who, "result without a login")

    async def _alarm(self, who: Caller, what: str) -> None:
        metrics.ALARMS.labels("return").inc()
        await self._services.trail.note(who.entry(ALARM, alarm=what))

    # ── the upstream calls ─────────────────────────────────────────────────────────────────────

    async def called(self, verifier: Verifier, body: bytes, who: Caller) -> None:
        """The upstream's callback: it wakes us up and can neither complete nor end a login.
        Raises Disagreement if it is not signed."""
        wakeup = await verifier.wakeup(body)
        row = await self._services.database.one(store.BY_HANDLE, handle=wakeup.handle)
        method = self._desk.method_of(row) if row else None
        ours = method is not None and method.scheme == verifier.scheme
        if row is None or not ours or row["system"] != wakeup.system:
            await self._services.trail.note(who.entry(LATE, code=wakeup.code))
            return
        index = self._persons.index(wakeup.number) if wakeup.number else None
        if index and row["number_index"] and index != row["number_index"]:
            metrics.ALARMS.labels("callback").inc()
            what = "the callback names another person"
            await self._services.trail.note(who.entry(ALARM, alarm=what, code=wakeup.code))
        if row["state"] == AttemptState.PENDING and self._services.clock.now() < row["expires_at"]:
            await self._desk.ask(row, who, woken=True)
        else:
            entry = who.entry(LATE, code=wakeup.code, state=row["state"])
            await self._services.trail.note(entry)
