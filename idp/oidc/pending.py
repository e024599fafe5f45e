"""Authorizations that wait for their person: kept, and found again by their browser."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlette.requests import Request

from idp.kernel import errors
from idp.kernel.clock import Clock, token
from idp.kernel.database import Database
from idp.kernel.forms import Forms
from idp.kernel.vault import digest
from idp.login.session import Session
from idp.oidc import authorizations, scopes
from idp.oidc.authorizations import AUTHORIZATION_SECONDS, Authorization
from idp.oidc.request import AuthorizationRequest
from idp.registry.clients import Client, Clients
from idp.registry.redirects import redirect_uri_matches


@dataclass(frozen=True, slots=True)
class Pending:
    """`id` is "" while it has not been stored; `cookie` is what a browser new to us is to keep."""

    id: str
    browser: str
    cookie: str | None
    client: Client
    request: AuthorizationRequest
    since: int  # when the client asked

    @property
    def requested(self) -> tuple[str, ...]:
        """The claims asked for one by one, wherever they are to go."""
        return tuple(c for names in self.request.requested_claims.values() for c in names)

    @property
    def released(self) -> tuple[str, ...]:
        """The names of the claims that the client gets."""
        return scopes.released(self.request.scope, self.requested)

    @property
    def path(self) -> str:
        return f"/authorize/{self.id}"


class Waiting:
    def __init__(self, database: Database, clock: Clock, forms: Forms, clients: Clients) -> None:
        self._database, self._clock = database, clock
        self._forms, self._clients = forms, clients

    async def keep(
        self, browser: str, asked: AuthorizationRequest, authorization_id: str = ""
    ) -> str:
        """Stores a request and answers its id; without a browser, the first that comes owns it."""
        authorization_id = authorization_id or token(16)
        now = self._clock.now()
        until = now + AUTHORIZATION_SECONDS
        await authorizations.keep(self._database, authorization_id, browser, asked, now, until)
        return authorization_id

    async def find(self, request: Request, session: Session | None) -> Pending:
        """The stored authorization of this path. Raises AlreadyFinished, WrongBrowser,
        UnknownClient, SecretExpired, RedirectUriMismatch."""
        found = await authorizations.find(self._database, request.path_params["id"])
        if found is None:
            raise errors.AlreadyFinished
        if found.over(self._clock.now()):
            raise await self._finished(request, found)
        return await self._of(request, found, session, found.expires_at)

    async def pushed(
        self, request: Request, client_id: str, reference: str, session: Session | None
    ) -> Pending:
        """The request that this client pushed. The first browser that follows the reference owns
        it, and may reload. Raises InvalidRequestUri, and what `find` raises but AlreadyFinished."""
        found, now = await authorizations.find(self._database, digest(reference)), self._clock.now()
        if found is None or found.client_id != client_id or found.over(now):
            raise errors.InvalidRequestUri
        return await self._of(request, found, session, now + AUTHORIZATION_SECONDS)

    async def _of(
        self, request: Request, found: Authorization, session: Session | None, until: int
    ) -> Pending:
        browser, cookie = self._forms.greet(request)
        asked = await self._claimed(found, browser, session, until)
        client = await self._clients.ready(found.client_id)
        if not redirect_uri_matches(client, asked.redirect_uri):  # it was registered at first
            raise errors.RedirectUriMismatch
        asked = asked.within(client)
        return Pending(found.id, browser, cookie, client, asked, found.created_at)

    async def _finished(self, request: Request, found: Authorization) -> errors.AlreadyFinished:
        """With the way home, for the browser that began."""
        client = await self._clients.active(found.client_id)
        if client is None or found.browser != self._forms.greet(request)[0]:
            return errors.AlreadyFinished()
        known = client.metadata
        home = known.home(request.scope["state"]["issuer"])
        return errors.AlreadyFinished(known.client_name, known.client_name_en, home)

    async def _claimed(
        self, found: Authorization, browser: str, session: Session | None, until: int
    ) -> AuthorizationRequest:
        """Bound to the browser that began. One that came by POST, or was pushed, meets its browser
        here, and only now it is known which session was there before it."""
        if found.browser:
            if found.browser != browser:
                raise errors.WrongBrowser
            return found.request
        asked = replace(found.request, seen_session=session.id if session else "")
        if not await authorizations.claim(self._database, found.id, browser, asked, until):
            raise errors.WrongBrowser
        return asked
