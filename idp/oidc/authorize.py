"""The authorization endpoint: read, decide what is next, and be the place every step comes
back to. Steps (login, consent) never call one another; `continue_` alone knows what follows.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import audit, errors
from idp.kernel.clock import token
from idp.kernel.database import Row, Transaction
from idp.kernel.errors import IdpError, ProtocolError
from idp.kernel.forms import Params, read_form, read_query
from idp.kernel.services import Services
from idp.kernel.templates import LANGUAGE_COOKIE
from idp.kernel.vault import digest
from idp.kernel.web import BROWSER, forget, origin_of, see_other
from idp.login import history
from idp.login.flow import Purpose
from idp.login.pages import Login
from idp.login.session import COOKIE, Session
from idp.oidc import request as reading
from idp.oidc import store
from idp.oidc.consent import Consents, entry
from idp.oidc.interaction import Next, Scene, next_step, wished
from idp.oidc.pending import Pending, Waiting
from idp.oidc.people import People
from idp.oidc.request import AuthorizationRequest, Rules
from idp.oidc.responses import Back, answer, refusal
from idp.oidc.tokens import Tokens
from idp.registry.clients import Client, Clients

AUTHORIZED = audit.event("authorization.granted", "a client got a code for a person")

HINT = "login-hint"  # the vault's purpose for a number that a client suggested


class Authorize:
    def __init__(
        self,
        services: Services,
        clients: Clients,
        tokens: Tokens,
        people: People,
        login: Login,
        rules: Rules,
    ) -> None:
        self._services, self._clients, self._tokens = services, clients, tokens
        self._login, self._rules = login, rules
        self._waiting = Waiting(services, clients)
        self._consents = Consents(services, people, login)

    # ── arriving ───────────────────────────────────────────────────────────────────────────────

    async def get(self, request: Request) -> Response:
        return await self._arrive(request, read_query(request))

    async def post(self, request: Request) -> Response:
        """OIDC Core §3.1.2.1. From another site the form brings no cookie, so the request is
        kept and the browser sent on to a GET, which has one."""
        return await self._arrive(request, await read_form(request), keep=True)

    async def _arrive(self, request: Request, params: Params, *, keep: bool = False) -> Response:
        params = reading.given(params)
        client = await self._clients.active(reading.identify(params))
        if client is None:
            raise errors.UnknownClient
        uri = reading.check_redirect_uri(params, client)
        try:
            asked = reading.check(params, client, uri, self._rules)
            asked = self._hinted(params, client, asked)
            return await (self._keep if keep else self._begin)(request, client, asked)
        except ProtocolError as error:
            if not error.may_redirect:
                raise
            back = Back(
                client.metadata,
                uri,
                reading.error_mode(params, client),
                params.get("state"),
                silent=params.get("prompt") == "none",
            )
            return refusal(self._services, request, back, error)

    async def _keep(
        self, request: Request, _client: Client, asked: AuthorizationRequest
    ) -> Response:
        await self._login.admit(request, "authorize")  # each POST is a row
        return see_other(f"/authorize/{await self._waiting.keep('', asked)}")

    async def _begin(
        self, request: Request, client: Client, asked: AuthorizationRequest
    ) -> Response:
        session = await self._login.sessions.current(request)
        asked = replace(asked, seen_session=session.id if session else "")
        now = self._services.clock.now()
        pending = Pending("", *self._services.forms.greet(request), client, asked, now)
        return await self.continue_(request, pending, session)

    def _hinted(
        self, params: Params, client: Client, asked: AuthorizationRequest
    ) -> AuthorizationRequest:
        """Both hints name a person, so neither is stored as it came: of the token only its
        subject is kept, and the number is sealed. Raises LoginRequired for a token that is not
        ours for this client: whom it meant we cannot know, and a hint never logs anybody in."""
        token_hint, number = params.get("id_token_hint"), params.get("login_hint", "")
        if token_hint:
            claims = self._read_hint(token_hint)
            if claims.get("aud") != client.client_id:
                raise errors.LoginRequired(detail="id_token_hint is of another client")
            asked = replace(asked, expected=(*asked.expected, claims["sub"]))
        canonical = self._login.canonical(number[:256]) if number else None
        sealed = self._services.vault.seal(HINT, canonical) if canonical else ""
        return replace(asked, login_hint=sealed)

    def _read_hint(self, text: str) -> dict[str, Any]:
        try:
            return self._tokens.read_id_token(text)
        except errors.InvalidToken as broken:
            raise errors.LoginRequired(detail=f"id_token_hint: {broken.detail}") from None

    # ── coming back ────────────────────────────────────────────────────────────────────────────

    async def resume(self, request: Request) -> Response:
        """GET /authorize/{id}: whatever step was done, look again."""
        session = await self._login.sessions.current(request)
        pending = await self._waiting.find(request, session)
        return await self._redirecting(request, pending, session)

    async def _redirecting(
        self, request: Request, pending: Pending, session: Session | None, **given: bool
    ) -> Response:
        try:
            return await self.continue_(request, pending, session, **given)
        except ProtocolError as error:
            if not error.may_redirect:
                raise
            return await self._close(request, pending, error)

    async def cancelled(self, request: Request) -> Response:
        """Where the login's cancel button leads; also good for whoever guesses the path: it
        only ends what this browser began."""
        pending = await self._waiting.find(request, None)
        return await self._close(request, pending, errors.AccessDenied())

    async def _close(self, request: Request, pending: Pending, error: IdpError) -> Response:
        async def work(tx: Transaction) -> bool:
            await self._waiting.finish(tx, pending)
            return await self._forget(tx, request, pending)

        gone = bool(pending.id) and await self._services.database.write(work)
        response = refusal(self._services, request, _back(pending), error)
        return self._emptied(request, pending, response, gone)

    # ── shared screens ─────────────────────────────────────────────────────────────────────────

    async def _forget(self, tx: Transaction, request: Request, pending: Pending) -> bool:
        """Whether this login's session has ended with it."""
        presented = self._login.sessions.presented(request)
        if not pending.client.metadata.kiosk or presented is None:
            return False
        return await self._login.sessions.forget(tx, presented, pending.client.client_id)

    def _emptied(
        self, request: Request, pending: Pending, response: Response, gone: bool
    ) -> Response:
        """The browser keeps nothing of who was in front of it."""
        if gone:
            self._services.forms.cookies.erase(response, COOKIE)
        if pending.client.metadata.kiosk:
            forget(request, response, LANGUAGE_COOKIE)
        return response

    # ── deciding ───────────────────────────────────────────────────────────────────────────────

    async def continue_(
        self,
        request: Request,
        pending: Pending,
        session: Session | None,
        *,
        consent_given: bool = False,
    ) -> Response:
        """The dispatcher. Raises ProtocolError."""
        person = await self._person(session)
        scene = await self._scene(pending, session, person, consent_given)
        step = next_step(scene)
        if step is Next.LOGIN:
            response = await self._to_login(request, pending, scene)
        elif session is None or person is None:
            raise AssertionError("nothing but a login comes before a session")
        elif step is Next.CONSENT:
            response = await self._to_consent(request, pending, session, person)
        else:
            response = await self._finish(request, pending, session, person, consent_given)
        if pending.cookie:
            self._services.forms.cookies.write(response, BROWSER, pending.cookie)
        return response

    async def _person(self, session: Session | None) -> Row | None:
        if session is None:
            return None
        return await self._login.persons.row(self._services.database, session.person_id)

    async def _scene(
        self, pending: Pending, session: Session | None, person: Row | None, given: bool
    ) -> Scene:
        client = pending.client
        consented: frozenset[str] = frozenset()
        if session:
            consented = await self._consents.of(session.person_id, client.client_id)
        return Scene(
            client=client,
            request=pending.request,
            session=session,
            subject=self._tokens.subject(client, person["number_index"]) if person else "",
            consented=consented,
            methods=tuple(self._login.methods),
            offered=tuple(self._login.offered(client.metadata.schemes)),
            now=self._services.clock.now(),
            consent_given=given,
        )

    # ── the three ways on ──────────────────────────────────────────────────────────────────────

    async def _to_login(self, request: Request, pending: Pending, scene: Scene) -> Response:
        """The login is begun first: it counts them, and who is refused there leaves no row."""
        client, asked = pending.client, pending.request
        authorization_id = pending.id or token(16)
        hint = asked.login_hint
        purpose = Purpose(
            service=client.metadata.client_name,
            service_en=client.metadata.client_name_en,
            agency=client.metadata.agency,
            relying_party=client.client_id,
            return_to=f"/authorize/{authorization_id}",
            cancel_to=f"/authorize/{authorization_id}/cancelled",
            language=asked.ui_locales,
            schemes=client.metadata.schemes,
            methods=tuple(method.id for method in wished(scene)),
            number_hint=self._services.vault.open_text(HINT, hint) if hint else "",
            form_targets=(origin_of(asked.redirect_uri),),
            home=client.metadata.client_uri,
            kiosk=client.metadata.kiosk,
        )
        response = await self._login.begin(request, purpose, (pending.browser, None))
        if not pending.id:
            await self._waiting.keep(pending.browser, asked, authorization_id)
        return response

    async def _to_consent(
        self, request: Request, pending: Pending, session: Session, person: Row
    ) -> Response:
        if pending.id:
            return await self._consents.page(request, pending, session, person)
        authorization_id = await self._waiting.keep(pending.browser, pending.request)
        return see_other(f"/authorize/{authorization_id}")

    async def consent(self, request: Request) -> Response:
        """POST /authorize/{id}/consent. The form names the session it was shown to: if somebody
        else has logged in meanwhile, they are asked themselves."""
        form = (await read_form(request)).once()
        self._services.forms.check(request, form)
        session = await self._login.sessions.current(request)
        pending = await self._waiting.find(request, session)
        if not self._consents.shown_to(form, pending, session) or session is None:
            return see_other(pending.path)
        if self._consents.allowed(form):
            return await self._redirecting(request, pending, session, consent_given=True)
        await self._consents.declined(request, pending, session)
        return await self._close(request, pending, errors.AccessDenied())

    async def _finish(
        self,
        request: Request,
        pending: Pending,
        session: Session,
        person: Row,
        consent_given: bool,
    ) -> Response:
        """One transaction: the authorization ends, the grant and its code begin. Raises
        LoginRequired, ConsentRequired: what it rests on has ended since it was looked at."""
        code, asked, grant_id = "twc_" + token(32), pending.request, token(16)
        use = pending.use(grant_id, person, session, history.GRANTED)

        async def work(tx: Transaction) -> bool:
            await self._waiting.finish(tx, pending)
            if not await tx.one(store.STILL_LOGGED_IN, id=session.id):
                raise errors.LoginRequired(detail="ended at this moment")
            if consent_given:
                await self._consents.remember(tx, request, pending, session)
            else:
                await self._consents.still(tx, pending, session)
            await tx.run(store.INSERT_GRANT, **self._grant_row(grant_id, pending, session))
            await tx.run(store.INSERT_CODE, **self._code_row(code, grant_id, asked))
            await history.write(tx, use, self._services.clock.now())
            scope = " ".join(asked.scope)
            await self._services.trail.write(
                tx, entry(AUTHORIZED, request, pending, session, scope=scope)
            )
            return await self._forget(tx, request, pending)

        gone = await self._services.database.write(work)
        response = answer(self._services, request, _back(pending), {"code": code})
        return self._emptied(request, pending, response, gone)

    def _code_row(self, code: str, grant_id: str, asked: AuthorizationRequest) -> dict[str, Any]:
        return {
            "digest": digest(code),
            "grant_id": grant_id,
            "redirect_uri": asked.redirect_uri,
            "code_challenge": asked.code_challenge,
            "expires_at": self._services.clock.now() + self._tokens.settings.code_seconds,
            "spent_at": None,
        }

    def _grant_row(self, grant_id: str, pending: Pending, session: Session) -> dict[str, Any]:
        now, asked = self._services.clock.now(), pending.request
        return {
            "id": grant_id,
            "client_id": asked.client_id,
            "person_id": session.person_id,
            "session_id": session.id,
            "scope": " ".join(asked.scope),
            "claims": json.dumps(asked.singly),
            "nonce": asked.nonce,
            "acr": session.acr,
            "amr": json.dumps(session.amr),
            "auth_time": session.auth_time,
            "created_at": now,
            "expires_at": now + self._tokens.settings.refresh_absolute_seconds,
            "revoked_at": None,
            "generation": 0,
            "rotated_at": None,
            "refreshed_at": now,
        }


def _back(pending: Pending) -> Back:
    asked = pending.request
    return Back(
        pending.client.metadata,
        asked.redirect_uri,
        asked.response_mode,
        asked.state,
        asked.ui_locales,
        silent="none" in asked.prompt,
    )
