"""The authorization endpoint: read, decide what is next, and be the place every step comes
back to. Steps (login, consent) never call one another; `_continue` alone knows what follows.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import errors
from idp.kernel.caller import caller_of
from idp.kernel.clock import token
from idp.kernel.errors import IdpError, ProtocolError
from idp.kernel.forms import Params, read_form, read_query
from idp.kernel.services import Services
from idp.kernel.templates import LANGUAGE_COOKIE
from idp.kernel.web import BROWSER, forget, origin_of, see_other
from idp.login.entrance import Entrance
from idp.login.flow import Purpose
from idp.login.persons import Person
from idp.login.session import Session
from idp.oidc import consents, scopes
from idp.oidc import request as reading
from idp.oidc.consent import ConsentPage, allowed
from idp.oidc.endings import Agreement, Ended, Endings
from idp.oidc.fetched import Fetched
from idp.oidc.hints import Hints
from idp.oidc.interaction import Next, Scene, next_step, wished
from idp.oidc.pending import Pending, Waiting
from idp.oidc.people import People
from idp.oidc.pushed import REFERENCE
from idp.oidc.request import AuthorizationRequest, Rules
from idp.oidc.request_objects import unwrapped
from idp.oidc.responses import ReplyTo, answer, refusal, reply_to
from idp.oidc.tokens import Tokens
from idp.registry.clients import Client, Clients


class Authorize:
    def __init__(
        self,
        services: Services,
        clients: Clients,
        tokens: Tokens,
        people: People,
        login: Entrance,
        rules: Rules,
        hints: Hints,
    ) -> None:
        self._services, self._clients, self._tokens = services, clients, tokens
        self._login, self._rules = login, rules
        self._hints, self._fetched = hints, Fetched(services.outward)
        self._waiting = Waiting(services.database, services.clock, services.forms, clients)
        self._page = ConsentPage(
            services.templates, services.forms, people, login.masked, tokens.settings
        )
        self._endings = Endings(services, tokens.settings, login.sessions)

    # ── arriving ───────────────────────────────────────────────────────────────────────────────

    async def get(self, request: Request) -> Response:
        return await self._arrive(request, read_query(request, reading.PARAMETERS))

    async def post(self, request: Request) -> Response:
        """OIDC Core §3.1.2.1. From another site the form brings no cookie, so the request is
        kept and the browser sent on to a GET, which has one."""
        params = await read_form(request, known=reading.PARAMETERS)
        return await self._arrive(request, params, keep=True)

    async def _arrive(self, request: Request, params: Params, *, keep: bool = False) -> Response:
        params = params.given()
        client = await self._clients.active(reading.identify(params))
        if client is None:
            raise errors.UnknownClient
        structlog.contextvars.bind_contextvars(client=client.client_id)
        if params.get("request_uri", "").startswith(REFERENCE):
            return await self._by_reference(request, params, keep=keep)
        issuer, now = self._services.settings.issuer, self._services.clock.now()
        params = await self._fetched.with_object(client, params)
        if "request" in params:
            client = await self._fetched.with_keys(client, params["request"])
        params, fault = unwrapped(params, client, issuer, now)
        if fault and "redirect_uri" not in params:
            raise fault
        uri = reading.check_redirect_uri(params, client)
        if client.state(now) == "expired":
            raise errors.SecretExpired(told=client.metadata.sandbox)
        try:
            if fault:
                raise fault
            asked = reading.check(params, client, uri, self._rules)
            asked = self._hints.noted(params, client, asked)
            return await (self._keep if keep else self._begin)(request, client, asked)
        except ProtocolError as error:
            if not error.may_redirect:
                raise
            to = ReplyTo(
                client.client_id,
                client.metadata,
                uri,
                reading.error_mode(params, client),
                None if "state" in params.repeated else params.get("state"),
                silent=params.get("prompt") == "none",
            )
            return refusal(self._services, request, to, error)

    async def _by_reference(self, request: Request, params: Params, *, keep: bool) -> Response:
        """RFC 9126 §4: what was pushed is all that counts."""
        if "request_uri" in params.repeated:
            raise errors.InvalidRequestUri
        client_id, reference = params["client_id"], params["request_uri"]
        if keep:
            query = urlencode({"client_id": client_id, "request_uri": reference})
            return see_other(f"/authorize?{query}")
        session = await self._login.sessions.current(request)
        pending = await self._waiting.pushed(request, client_id, reference, session)
        return await self._redirecting(request, pending, session)

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
        return await self._continue(request, pending, session)

    # ── coming back ────────────────────────────────────────────────────────────────────────────

    async def resume(self, request: Request) -> Response:
        """GET /authorize/{id}: whatever step was done, look again."""
        session = await self._login.sessions.current(request)
        pending = await self._waiting.find(request, session)
        return await self._redirecting(request, pending, session)

    async def consent(self, request: Request) -> Response:
        """POST /authorize/{id}/consent. The form names the session it was shown to, and what it
        said: if somebody else has logged in meanwhile, or the client is to get something else, the
        page is shown again."""
        form = (await read_form(request)).once()
        self._services.forms.check(request, form)
        session = await self._login.sessions.current(request)
        pending = await self._waiting.find(request, session)
        if not self._page.shown_to(form, pending, session) or session is None:
            return see_other(pending.path)
        if allowed(form):
            return await self._redirecting(request, pending, session, by_press=True)
        person = await self._login.persons.get(self._services.database, session.person_id)
        agreed = Agreement(pending, session, person, caller_of(request))
        ended = await self._endings.declined(agreed, self._login.sessions.presented(request))
        return self._refused(request, pending, ended, errors.AccessDenied())

    async def cancelled(self, request: Request) -> Response:
        """Where the login's cancel button leads; also good for whoever guesses the path: it
        only ends what this browser began."""
        pending = await self._waiting.find(request, None)
        return await self._give_up(request, pending, errors.AccessDenied())

    async def _redirecting(
        self, request: Request, pending: Pending, session: Session | None, *, by_press: bool = False
    ) -> Response:
        try:
            return await self._continue(request, pending, session, by_press=by_press)
        except ProtocolError as error:
            if not error.may_redirect:
                raise
            return await self._give_up(request, pending, error)

    # ── deciding ───────────────────────────────────────────────────────────────────────────────

    async def _continue(
        self, request: Request, pending: Pending, session: Session | None, *, by_press: bool = False
    ) -> Response:
        """The dispatcher. Raises ProtocolError."""
        if not scopes.complete(pending.request.scope):
            raise errors.InvalidScope(detail="the client may not have its scopes any more")
        person = await self._person(session)
        scene = await self._scene(pending, session, person, by_press)
        step = next_step(scene)
        if step is Next.LOGIN:
            response = await self._to_login(request, pending, scene)
        elif session is None or person is None:
            raise AssertionError("nothing but a login comes before a session")
        elif step is Next.CONSENT:
            response = await self._to_consent(request, pending, session, person)
        else:
            given = await self._page.given(pending, person)
            agreed = Agreement(pending, session, person, caller_of(request), by_press, given)
            response = await self._to_client(request, agreed)
        if pending.cookie:
            self._services.forms.cookies.write(response, BROWSER, pending.cookie)
        return response

    async def _person(self, session: Session | None) -> Person | None:
        if session is None:
            return None
        return await self._login.persons.get(self._services.database, session.person_id)

    async def _scene(
        self, pending: Pending, session: Session | None, person: Person | None, by_press: bool
    ) -> Scene:
        client, consented = pending.client, frozenset[str]()
        if session:
            database = self._services.database
            consented = await consents.allowed(database, session.person_id, client.client_id)
        return Scene(
            client=client,
            request=pending.request,
            session=session,
            subject=self._tokens.subject(client, person.number_index) if person else "",
            consented=consented,
            methods=tuple(self._login.methods),
            offered=tuple(self._login.offered(client.metadata.schemes)),
            now=self._services.clock.now(),
            consent_given=by_press,
        )

    # ── the ways on ────────────────────────────────────────────────────────────────────────────

    async def _to_login(self, request: Request, pending: Pending, scene: Scene) -> Response:
        """The login is begun first: it counts them, and who is refused there leaves no row."""
        authorization_id = pending.id or token(16)
        client, asked = pending.client, pending.request
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
            number_hint=self._hints.number(asked),
            form_targets=(origin_of(asked.redirect_uri),),
            home=client.metadata.home(self._services.settings.issuer),
            kiosk=client.metadata.kiosk,
        )
        response = await self._login.begin(request, purpose, (pending.browser, None))
        if not pending.id:
            await self._waiting.keep(pending.browser, asked, authorization_id)
        return response

    async def _to_consent(
        self, request: Request, pending: Pending, session: Session, person: Person
    ) -> Response:
        if pending.id:
            return await self._page.show(request, pending, session, person)
        await self._login.admit(request, "authorize")
        authorization_id = await self._waiting.keep(pending.browser, pending.request)
        return see_other(f"/authorize/{authorization_id}")

    async def _to_client(self, request: Request, agreed: Agreement) -> Response:
        """With a code. Raises LoginRequired, ConsentRequired, AlreadyFinished."""
        if not agreed.pending.id:  # no page came between: nothing else counts it
            await self._login.admit(request, "silent", agreed.session.id)
        ended = await self._endings.granted(agreed, self._login.sessions.presented(request))
        reply = answer(self._services, request, reply_to(agreed.pending), {"code": ended.code})
        return self._cleaned(request, agreed.pending, ended, reply)

    async def _give_up(self, request: Request, pending: Pending, error: IdpError) -> Response:
        ended = await self._endings.given_up(pending, self._login.sessions.presented(request))
        return self._refused(request, pending, ended, error)

    def _refused(
        self, request: Request, pending: Pending, ended: Ended, error: IdpError
    ) -> Response:
        reply = refusal(self._services, request, reply_to(pending), error)
        return self._cleaned(request, pending, ended, reply)

    def _cleaned(
        self, request: Request, pending: Pending, ended: Ended, response: Response
    ) -> Response:
        """The browser of a shared screen keeps nothing of who was in front of it."""
        if ended.session_gone:
            self._login.sessions.erase_cookie(response)
        if pending.client.metadata.kiosk:
            forget(request, response, LANGUAGE_COOKIE)
        return response
