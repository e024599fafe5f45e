"""Authorizations that wait for their person: kept, found again by their browser, finished once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlette.requests import Request

from idp.kernel import errors
from idp.kernel.clock import token
from idp.kernel.database import Row, Transaction
from idp.kernel.services import Services
from idp.login.history import GRANTED, Use
from idp.login.session import Session
from idp.oidc import scopes, store
from idp.oidc.request import AuthorizationRequest
from idp.registry.clients import Client, Clients

AUTHORIZATION_SECONDS = 3600


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
    def released(self) -> tuple[str, ...]:
        """The names of the claims that the client gets."""
        asked = self.request
        singly = (claim for names in asked.singly.values() for claim in names)
        return scopes.released(asked.scope, singly)

    def use(self, id_: str, person: Row, session: Session, state: str) -> Use:
        """What the person's history says of it."""
        given = self.released if state == GRANTED else ()
        return Use(id_, person["number_index"], self.client.client_id, session, state, given)

    @property
    def path(self) -> str:
        return f"/authorize/{self.id}"


class Waiting:
    def __init__(self, services: Services, clients: Clients) -> None:
        self._services, self._clients = services, clients

    async def keep(
        self, browser: str, asked: AuthorizationRequest, authorization_id: str = ""
    ) -> str:
        """Stores a request and answers its id; without a browser, the first that comes owns it."""
        now, authorization_id = self._services.clock.now(), authorization_id or token(16)
        await self._services.database.run(
            store.INSERT_AUTHORIZATION,
            id=authorization_id,
            browser=browser,
            client_id=asked.client_id,
            request=asked.dump(),
            created_at=now,
            expires_at=now + AUTHORIZATION_SECONDS,
            finished_at=None,
        )
        return authorization_id

    async def find(self, request: Request, session: Session | None) -> Pending:
        """The stored authorization of this path. Raises AlreadyFinished, WrongBrowser,
        UnknownClient."""
        row = await self._services.database.one(store.AUTHORIZATION, id=request.path_params["id"])
        if row is None:
            raise errors.AlreadyFinished
        browser, cookie = self._services.forms.greet(request)
        if row["finished_at"] is not None or row["expires_at"] <= self._services.clock.now():
            raise await self._finished(row, browser)
        asked = await self._claimed(row, browser, session)
        client = await self._clients.active(row["client_id"])
        if client is None:
            raise errors.UnknownClient
        return Pending(row["id"], browser, cookie, client, asked, row["created_at"])

    async def _finished(self, row: Row, browser: str) -> errors.AlreadyFinished:
        """With the way home, for the browser that began."""
        client = await self._clients.active(row["client_id"])
        if client is None or row["browser"] != browser:
            return errors.AlreadyFinished()
        known = client.metadata
        return errors.AlreadyFinished(
            known.client_name, known.client_name_en, home=known.client_uri
        )

    async def _claimed(
        self, row: Row, browser: str, session: Session | None
    ) -> AuthorizationRequest:
        """Bound to the browser that began. One that came by POST meets its browser here, and
        only now can be told which session was there before it."""
        asked = AuthorizationRequest.read(row["request"])
        if row["browser"]:
            if row["browser"] != browser:
                raise errors.WrongBrowser
            return asked
        asked = replace(asked, seen_session=session.id if session else "")
        claimed = await self._services.database.run(
            store.CLAIM_AUTHORIZATION, key=row["id"], owner=browser, document=asked.dump()
        )
        if not claimed:
            raise errors.WrongBrowser
        return asked

    async def finish(self, tx: Transaction, pending: Pending) -> None:
        """Raises AlreadyFinished: a second tab, a second click."""
        now = self._services.clock.now()
        if pending.id and not await tx.run(store.FINISH_AUTHORIZATION, key=pending.id, now=now):
            raise errors.AlreadyFinished
