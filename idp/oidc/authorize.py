"""The authorization endpoint: read, decide what is next, and be the place every step comes
back to. Steps (login, consent) never call one another; `continue_` alone knows what follows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import audit, errors
from idp.kernel.clock import token
from idp.kernel.database import Row, Transaction
from idp.kernel.errors import IdpError, InvalidRequest, ProtocolError
from idp.kernel.ground import Ground
from idp.kernel.vault import digest
from idp.kernel.web import BROWSER, Params, address_of, origin_of, read_form, read_query
from idp.login.flow import Purpose
from idp.login.pages import Login, see_other
from idp.login.session import Session
from idp.oidc import request as reading
from idp.oidc import scopes, store
from idp.oidc.interaction import Next, Scene, minimum_acr, next_step
from idp.oidc.people import People
from idp.oidc.request import AuthorizationRequest, Rules
from idp.oidc.responses import answer, refusal
from idp.oidc.tokens import Tokens
from idp.registry.clients import Client, Clients

AUTHORIZED = audit.event("authorization.granted", "a client got a code for a person")
CONSENTED = audit.event("consent.given", "a person agreed to give claims to a client")
DECLINED = audit.event("consent.declined", "a person did not agree")

AUTHORIZATION_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Person:
    """Of the session, as the store knows them."""

    number_index: str
    number_sealed: str


@dataclass(frozen=True, slots=True)
class Pending:
    """An authorization that waits for its person; `id` is "" while it has not been stored."""

    id: str
    browser: str
    client: Client
    request: AuthorizationRequest


class Authorize:
    def __init__(
        self,
        ground: Ground,
        clients: Clients,
        tokens: Tokens,
        people: People,
        login: Login,
        rules: Rules,
    ) -> None:
        self._ground, self._clients, self._tokens = ground, clients, tokens
        self._people, self._login, self._rules = people, login, rules
        self._ranks = {m.acr: m.rank for m in login.methods}

    # ── arriving ───────────────────────────────────────────────────────────────────────────────

    async def get(self, request: Request) -> Response:
        return await self._arrive(request, read_query(request))

    async def post(self, request: Request) -> Response:
        """OIDC Core §3.1.2.1. From another site the form brings no cookie, so the request is
        kept and the browser sent on to a GET, which has one."""
        return await self._arrive(request, await read_form(request), keep=True)

    async def _arrive(self, request: Request, params: Params, *, keep: bool = False) -> Response:
        client = await self._clients.active(reading.identify(params))
        if client is None:
            raise errors.UnknownClient
        uri = reading.check_redirect_uri(params, client)
        mode = self._mode(params, client)
        try:
            asked = reading.check(params, client, uri, self._rules)
            if keep:
                return see_other(f"/authorize/{await self._store('', asked)}")
            session = await self._login.sessions.current(request)
            asked = replace(asked, seen_session=session.id if session else "")
            return await self.continue_(request, Pending("", "", client, asked), session)
        except ProtocolError as error:
            if not error.may_redirect:
                raise
            state = params.get("state")
            return refusal(self._ground, request, uri, mode, state, error)

    @staticmethod
    def _mode(params: Params, client: Client) -> str:
        """Where even an error about response_mode goes: by a mode the client has."""
        mode = params.get("response_mode", "query")
        return mode if mode in client.metadata.response_modes else "query"

    async def _store(self, browser: str, asked: AuthorizationRequest) -> str:
        now, authorization_id = self._ground.clock.now(), token(16)
        await self._ground.database.write(
            lambda tx: tx.run(
                store.INSERT_AUTHORIZATION,
                id=authorization_id,
                browser=browser,
                client_id=asked.client_id,
                request=asked.dump(),
                created_at=now,
                expires_at=now + AUTHORIZATION_SECONDS,
                finished_at=None,
            )
        )
        return authorization_id

    # ── coming back ────────────────────────────────────────────────────────────────────────────

    async def resume(self, request: Request) -> Response:
        """GET /authorize/{id}: whatever step was done, look again."""
        pending, cookie = await self._pending(request)
        session = await self._login.sessions.current(request)
        response = await self._redirecting(request, pending, session)
        if cookie:
            self._ground.forms.cookies.write(response, BROWSER, cookie)
        return response

    async def _redirecting(
        self, request: Request, pending: Pending, session: Session | None, **given: bool
    ) -> Response:
        try:
            return await self.continue_(request, pending, session, **given)
        except ProtocolError as error:
            if not error.may_redirect:
                raise
            return await self._close(request, pending, error)

    async def _pending(self, request: Request) -> tuple[Pending, str | None]:
        """(the stored authorization, a browser cookie to set). Raises AlreadyFinished,
        WrongBrowser."""
        row = await self._ground.database.one(store.AUTHORIZATION, id=request.path_params["id"])
        if row is None or row["finished_at"] is not None:
            raise errors.AlreadyFinished
        if row["expires_at"] <= self._ground.clock.now():
            raise errors.AlreadyFinished
        browser, cookie = await self._owner(request, row)
        client = await self._clients.active(row["client_id"])
        if client is None:
            raise errors.UnknownClient
        asked = AuthorizationRequest.read(row["request"])
        return Pending(row["id"], browser, client, asked), cookie

    async def _owner(self, request: Request, row: Row) -> tuple[str, str | None]:
        """Bound to the browser that began; one that came by POST is bound at its first GET."""
        browser, cookie = self._ground.forms.greet(request)
        if not row["browser"]:
            claimed = await self._ground.database.write(
                lambda tx: tx.run(store.CLAIM_AUTHORIZATION, key=row["id"], owner=browser)
            )
            if claimed:
                return browser, cookie
        if row["browser"] != browser:
            raise errors.WrongBrowser
        return browser, None

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
            return await self._to_login(request, pending, scene)
        if session is None or person is None:
            raise AssertionError("nothing but a login comes before a session")
        if step is Next.CONSENT:
            return await self._to_consent(request, pending, session, person)
        return await self._finish(request, pending, session, consent_given)

    async def _person(self, session: Session | None) -> Person | None:
        if session is None:
            return None
        row = await self._login.persons.row(self._ground.database, session.person_id)
        return Person(row["number_index"], row["number_sealed"])

    async def _scene(
        self, pending: Pending, session: Session | None, person: Person | None, given: bool
    ) -> Scene:
        client = pending.client
        consented: frozenset[str] = frozenset()
        if session:
            row = await self._ground.database.one(
                store.CONSENT, person=session.person_id, client=client.client_id
            )
            consented = frozenset(row["scope"].split()) if row else frozenset()
        return Scene(
            client=client,
            request=pending.request,
            session=session,
            subject=self._tokens.subject(client, person.number_index) if person else "",
            hinted=self._hinted(pending),
            consented=consented,
            ranks=self._ranks,
            now=self._ground.clock.now(),
            consent_given=given,
        )

    def _hinted(self, pending: Pending) -> str | None:
        """The subject that id_token_hint names: a token of ours for this client, or no good."""
        hint = pending.request.id_token_hint
        if not hint:
            return ""
        try:
            claims = self._tokens.read_id_token(hint)
        except errors.InvalidToken:
            return None
        return str(claims["sub"]) if claims.get("aud") == pending.client.client_id else None

    # ── the three ways on ──────────────────────────────────────────────────────────────────────

    async def _to_login(self, request: Request, pending: Pending, scene: Scene) -> Response:
        client, asked = pending.client, pending.request
        browser, cookie = self._ground.forms.greet(request)
        authorization_id = pending.id or await self._store(browser, asked)
        hint = self._login.canonical(asked.login_hint) if asked.login_hint else None
        purpose = Purpose(
            service=client.metadata.client_name,
            agency=client.metadata.agency,
            relying_party=client.client_id,
            return_to=f"/authorize/{authorization_id}",
            cancel_to=f"/authorize/{authorization_id}/cancelled",
            language=asked.ui_locales,
            minimum_acr=minimum_acr(scene),
            methods=client.metadata.methods,
            number_hint=hint or "",
            form_targets=(origin_of(asked.redirect_uri),),
        )
        return await self._login.begin(request, purpose, (browser, cookie))

    async def cancelled(self, request: Request) -> Response:
        """Where the login's cancel button leads; also good for whoever guesses the path: it
        only ends what this browser began."""
        pending, _ = await self._pending(request)
        return await self._close(request, pending, errors.AccessDenied())

    async def _close(self, request: Request, pending: Pending, error: IdpError) -> Response:
        if pending.id:
            await self._ground.database.write(
                lambda tx: tx.run(
                    store.FINISH_AUTHORIZATION, key=pending.id, now=self._ground.clock.now()
                )
            )
        asked = pending.request
        return refusal(
            self._ground, request, asked.redirect_uri, asked.response_mode, asked.state, error
        )

    async def _to_consent(
        self, request: Request, pending: Pending, session: Session, person: Person
    ) -> Response:
        browser, cookie = self._ground.forms.greet(request)
        if not pending.id:
            authorization_id = await self._store(browser, pending.request)
            response: Response = see_other(f"/authorize/{authorization_id}")
        else:
            response = await self._consent_page(request, pending, session, person)
        if cookie:
            self._ground.forms.cookies.write(response, BROWSER, cookie)
        return response

    async def _consent_page(
        self, request: Request, pending: Pending, session: Session, person: Person
    ) -> Response:
        asked, templates = pending.request, self._ground.templates
        values = await self._people.claims(
            person.number_index,
            person.number_sealed,
            asked.scope,
            (c for names in asked.singly.values() for c in names),
        )
        browser = self._ground.forms.browser(request) or pending.browser
        return templates.page(
            request,
            "oidc/consent.html",
            language=templates.language(request, asked.ui_locales),
            form_targets=(origin_of(asked.redirect_uri),),
            client=pending.client.metadata,
            rows=[(name, _shown(name, value, self._login)) for name, value in values.items()],
            long_lived="offline_access" in asked.scope,
            authorization_id=pending.id,
            csrf=self._ground.forms.stamp(browser),
            session=digest(session.id)[:22],
        )

    async def consent(self, request: Request) -> Response:
        """POST /authorize/{id}/consent. The form names the session it was shown to: if somebody
        else has logged in meanwhile, they are asked themselves."""
        form = (await read_form(request)).once()
        self._ground.forms.check(request, form)
        pending, _ = await self._pending(request)
        session = await self._login.sessions.current(request)
        if session is None or form.get("session") != digest(session.id)[:22]:
            return see_other(f"/authorize/{pending.id}")
        decision = form.get("decision")
        if decision == "deny":
            await self._ground.trail.note(self._entry(DECLINED, request, pending, session))
            return await self._close(request, pending, errors.AccessDenied())
        if decision != "allow":
            raise InvalidRequest("decision must be allow or deny")
        return await self._redirecting(request, pending, session, consent_given=True)

    async def _finish(
        self, request: Request, pending: Pending, session: Session, consent_given: bool
    ) -> Response:
        """One transaction: the authorization ends, the grant and its code begin."""
        code, asked = "twc_" + token(32), pending.request

        async def work(tx: Transaction) -> None:
            now = self._ground.clock.now()
            if pending.id and not await tx.run(store.FINISH_AUTHORIZATION, key=pending.id, now=now):
                raise errors.AlreadyFinished
            if consent_given:
                await self._remember(tx, request, pending, session)
            grant_id = token(16)
            await tx.run(store.INSERT_GRANT, **self._grant_row(grant_id, pending, session))
            await tx.run(
                store.INSERT_CODE,
                digest=digest(code),
                grant_id=grant_id,
                redirect_uri=asked.redirect_uri,
                code_challenge=asked.code_challenge,
                expires_at=now + self._tokens.settings.code_seconds,
                spent_at=None,
            )
            entry = self._entry(AUTHORIZED, request, pending, session, scope=" ".join(asked.scope))
            await self._ground.trail.write(tx, entry)

        await self._ground.database.write(work)
        return answer(
            self._ground,
            request,
            asked.redirect_uri,
            asked.response_mode,
            asked.state,
            {"code": code},
        )

    async def _remember(
        self, tx: Transaction, request: Request, pending: Pending, session: Session
    ) -> None:
        """Once per client and scope: what was agreed before stays agreed."""
        client_id = pending.client.client_id
        row = await tx.one(store.CONSENT, person=session.person_id, client=client_id)
        before = set(row["scope"].split()) if row else set()
        scope = " ".join(sorted(before | set(pending.request.consent_scope)))
        await tx.run(
            store.GIVE_CONSENT,
            person=session.person_id,
            client=client_id,
            scope=scope,
            now=self._ground.clock.now(),
        )
        entry = self._entry(CONSENTED, request, pending, session, scope=scope)
        await self._ground.trail.write(tx, entry)

    def _grant_row(self, grant_id: str, pending: Pending, session: Session) -> dict[str, Any]:
        now, asked = self._ground.clock.now(), pending.request
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

    def _entry(
        self,
        event: str,
        request: Request,
        pending: Pending,
        session: Session,
        **detail: str,
    ) -> audit.Entry:
        return audit.entry(
            event,
            reference=request.state.reference,
            client_id=pending.client.client_id,
            person_id=session.person_id,
            address=address_of(request),
            **detail,
        )


def _shown(name: str, value: object, login: Login) -> str:
    """On a screen that others may see, the number is masked; what is given is the whole."""
    return login.masked(str(value)) if name in scopes.CLAIMS["twid"] else str(value)
