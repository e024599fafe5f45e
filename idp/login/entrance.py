"""What other rooms may ask of the login: to begin one, and what its words mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import errors
from idp.kernel.caller import caller_of
from idp.kernel.clock import token
from idp.kernel.database import Transaction
from idp.kernel.services import Services
from idp.kernel.throttle import PerMinute
from idp.kernel.web import BROWSER, see_other
from idp.login import pause, store
from idp.login.budgets import Budgets
from idp.login.flow import LoginTransaction, Purpose
from idp.login.persons import Person, Persons
from idp.login.sealing import Sealing
from idp.login.session import Sessions
from idp.login.settings import LoginSettings
from idp.verify import Method
from idp.verify.schemes import Schemes

SOURCES = 20  # of one network may do at once what one source may


class Entrance:
    def __init__(
        self,
        services: Services,
        settings: LoginSettings,
        schemes: Schemes,
        persons: Persons,
        sessions: Sessions,
    ) -> None:
        self._services, self.settings, self._schemes = services, settings, schemes
        self.persons, self.sessions = persons, sessions
        self._budgets, self._sealing = Budgets(settings), Sealing(services.vault)

    @property
    def methods(self) -> list[Method]:
        return list(self._schemes.methods.values())

    def offered(self, schemes: Sequence[str]) -> list[Method]:
        """Those that a login by these schemes, or by the house's, begins with."""
        return self._schemes.offered(schemes)

    def method_name(self, stored: str) -> str:
        """What people and relying parties call a method that was stored by its id."""
        return stored.rpartition(":")[2]

    def masked(self, number: str) -> str:
        return self._schemes.masked(number)

    def canonical(self, typed: str, method: Method | None = None) -> str | None:
        """As the method's scheme reads it; before one is chosen, as the first that can."""
        return self._schemes.canonical_number(typed, method)

    async def disown(self, tx: Transaction, person: Person) -> None:
        """“This was not me”: sessions and verifications end, and no push comes any more."""
        now = self._services.clock.now()
        await pause.begin(tx, self._budgets, self.sessions.ends, person, now)

    async def admit(self, request: Request, what: str, session_id: str = "") -> None:
        """Counts something that leaves a row behind, by where it comes from or by the session.
        Raises TooManyRequests."""
        who, most = caller_of(request), self.settings.starts_per_minute
        subjects = [(session_id, most)] if session_id else [(who.source, most)]
        if not session_id and who.network != who.source:
            subjects.append((who.network, most * SOURCES))
        for subject, calls in subjects:
            if wait := await self._services.throttle.hit(PerMinute(calls), what, subject):
                raise errors.TooManyRequests(retry_after=wait)

    async def begin(
        self,
        request: Request,
        purpose: Purpose,
        greeted: tuple[str, str | None] | None = None,
    ) -> Response:
        """Opens a login bound to this browser and sends it there. `greeted` is what Forms.greet
        said, where it has been asked already. Raises TooManyRequests."""
        await self.admit(request, "login-start")
        browser, cookie = greeted or self._services.forms.greet(request)
        login = self._new(purpose, browser, caller_of(request).reference)
        await store.insert_login(self._services.database, login)
        response = see_other(f"/login/{login.id}")
        if cookie:
            self._services.forms.cookies.write(response, BROWSER, cookie)
        return response

    def _new(self, purpose: Purpose, browser: str, reference: str) -> LoginTransaction:
        now, hint = self._services.clock.now(), purpose.number_hint
        return LoginTransaction(
            id=token(16),
            browser=browser,
            reference=reference,
            relying_party=purpose.relying_party,
            purpose=replace(purpose, number_hint=self._sealing.hint(hint)),
            attempts=0,
            attempt_id=None,
            session_id=None,
            created_at=now,
            expires_at=now + self.settings.transaction_seconds,
            finished_at=None,
        )
