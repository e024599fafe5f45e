"""The ways in which an authorization ends: granted, declined or given up, each one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from idp.kernel import audit, errors
from idp.kernel.audit import Entry
from idp.kernel.caller import Caller
from idp.kernel.clock import token
from idp.kernel.database import Transaction
from idp.kernel.services import Services
from idp.kernel.vault import digest
from idp.login import history
from idp.login.history import Use
from idp.login.persons import Person
from idp.login.session import Session, Sessions
from idp.oidc import authorizations, consents, store
from idp.oidc.pending import Pending
from idp.oidc.settings import OidcSettings
from idp.registry.profiles import code_seconds

AUTHORIZED = audit.event("authorization.granted", "a client got a code for a person")
CONSENTED = audit.event("consent.given", "a person agreed to give claims to a client")
DECLINED = audit.event("consent.declined", "a person did not agree")


class Ended(NamedTuple):
    """`session_gone`: a shared screen has forgotten its person."""

    session_gone: bool
    code: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whose authorization ends: the person and their session, and the browser's caller.
    `by_press` is true if the person has just pressed “allow”; `given` names the claims that the
    client gets."""

    pending: Pending
    session: Session
    person: Person
    caller: Caller
    by_press: bool = False
    given: tuple[str, ...] = ()

    def entry(self, event: str, **detail: str) -> Entry:
        client_id, person_id = self.pending.client.client_id, self.session.person_id
        return self.caller.entry(event, client_id=client_id, person_id=person_id, **detail)

    def use(self, id_: str, state: str, claims: tuple[str, ...] = ()) -> Use:
        """What the person's history says of it."""
        client_id, index = self.pending.client.client_id, self.person.number_index
        return Use(id_, index, client_id, self.session, state, claims)


class Endings:
    def __init__(self, services: Services, settings: OidcSettings, sessions: Sessions) -> None:
        self._services, self._settings, self._sessions = services, settings, sessions

    async def granted(self, agreed: Agreement, presented: str | None) -> Ended:
        """The authorization ends, the grant and its code begin. Raises AlreadyFinished,
        LoginRequired, ConsentRequired: what it rests on has ended since it was looked at."""
        code, grant_id, now = "twc_" + token(32), token(16), self._services.clock.now()
        asked = agreed.pending.request

        async def work(tx: Transaction) -> Ended:
            await self._finish(tx, agreed.pending, now)
            if not await store.is_logged_in(tx, agreed.session.id):
                raise errors.LoginRequired(detail="ended at this moment")
            await self._consent(tx, agreed, now)
            until = now + self._settings.refresh_absolute_seconds
            await store.insert_grant(tx, grant_id, asked, agreed.session, now, until)
            usual = self._settings.code_seconds
            expires_at = now + code_seconds(agreed.pending.client.metadata, usual)
            await store.insert_code(tx, digest(code), grant_id, asked, expires_at)
            if agreed.pending.client.metadata.told_of_logout:
                await self._sessions.ends.join(tx, agreed.session.id, asked.client_id)
            await history.write(tx, agreed.use(grant_id, history.GRANTED, agreed.given), now)
            entry = agreed.entry(AUTHORIZED, scope=" ".join(asked.scope))
            await self._services.trail.write(tx, entry)
            return Ended(await self._forget(tx, agreed.pending, presented), code)

        return await self._services.database.write(work)

    async def declined(self, agreed: Agreement, presented: str | None) -> Ended:
        """The person was verified and said no. Raises AlreadyFinished."""
        use_id, now = token(16), self._services.clock.now()

        async def work(tx: Transaction) -> Ended:
            await self._finish(tx, agreed.pending, now)
            await history.write(tx, agreed.use(use_id, history.DECLINED), now)
            await self._services.trail.write(tx, agreed.entry(DECLINED))
            return Ended(await self._forget(tx, agreed.pending, presented))

        return await self._services.database.write(work)

    async def given_up(self, pending: Pending, presented: str | None) -> Ended:
        """Cancelled, or refused. Raises AlreadyFinished."""
        now = self._services.clock.now()

        async def work(tx: Transaction) -> Ended:
            await self._finish(tx, pending, now)
            return Ended(await self._forget(tx, pending, presented))

        return await self._services.database.write(work) if pending.id else Ended(False)

    async def _finish(self, tx: Transaction, pending: Pending, now: int) -> None:
        """Once: not for a second tab or a second click."""
        if pending.id and not await authorizations.finish(tx, pending.id, now):
            raise errors.AlreadyFinished

    async def _consent(self, tx: Transaction, agreed: Agreement, now: int) -> None:
        """Written down if it was just given, else looked at once more."""
        client, scope = agreed.pending.client, agreed.pending.request.consent_scope
        person_id = agreed.session.person_id
        if agreed.by_press:
            given = await consents.give(tx, person_id, client.client_id, scope, now)
            await self._services.trail.write(tx, agreed.entry(CONSENTED, scope=given))
            return
        if client.metadata.trusted:
            return
        if not set(scope) <= await consents.allowed(tx, person_id, client.client_id, lock=True):
            raise errors.ConsentRequired(detail="withdrawn at this moment")

    async def _forget(self, tx: Transaction, pending: Pending, presented: str | None) -> bool:
        """A shared screen's session ends with the login that it was made for."""
        if not pending.client.metadata.kiosk or presented is None:
            return False
        return await self._sessions.forget(tx, presented, pending.client.client_id)
