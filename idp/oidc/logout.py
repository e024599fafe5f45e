"""RP-initiated logout 1.0: silently only for the person whom the hint names; else a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import audit, errors
from idp.kernel.caller import caller_of
from idp.kernel.database import Transaction
from idp.kernel.errors import InvalidRequest
from idp.kernel.forms import Params, read_form, read_query
from idp.kernel.services import Services
from idp.kernel.web import BROWSER, origin_of, see_other
from idp.login.endings import Party
from idp.login.entrance import Entrance
from idp.login.session import Session
from idp.oidc import store
from idp.oidc.request import MOST_ECHO
from idp.oidc.responses import extended, needs_press, onward
from idp.oidc.tokens import Tokens
from idp.registry.clients import Client, Clients

LOGGED_OUT = audit.event("logout.done", "a person logged out; what hung on the session ended")

FIELDS = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")


@dataclass(frozen=True, slots=True)
class Leaving:
    """A checked logout request: who asks, whom the hint names, where to go."""

    client: Client | None
    subject: str
    uri: str
    state: str | None

    @property
    def location(self) -> str:
        """The registered URI as it is, and state as it came."""
        if not self.uri or self.state is None:
            return self.uri
        return extended(self.uri, {"state": self.state})


class Logout:
    def __init__(
        self, services: Services, clients: Clients, tokens: Tokens, login: Entrance
    ) -> None:
        self._services, self._clients = services, clients
        self._tokens, self._login = tokens, login

    async def get(self, request: Request) -> Response:
        """A refusal still offers a way out."""
        try:
            return await self._leave(request)
        except InvalidRequest as refusal:
            refusal.offers_logout = True
            raise

    async def _leave(self, request: Request) -> Response:
        params = read_query(request, FIELDS).once().given()
        leaving = await self._read(params)
        session = await self._login.sessions.current(request)
        if session is None and leaving.subject:
            return self._bye(request, leaving)
        if session and leaving.client and leaving.subject:
            person = await self._login.persons.get(self._services.database, session.person_id)
            own = self._tokens.subject(leaving.client, person.number_index)
            if own == leaving.subject:
                return self._bye(request, leaving, await self._end(request, session))
        return self._ask(request, params, leaving)

    async def post(self, request: Request) -> Response:
        """A form from another site has no cookie: on to a GET, which has."""
        params = (await read_form(request, known=FIELDS)).once().given()
        await self._read(params)
        return see_other("/logout", **params)

    async def confirm(self, request: Request) -> Response:
        form = (await read_form(request)).once().given()
        self._services.forms.check(request, form)
        leaving = await self._read(form)
        session = await self._login.sessions.current(request)
        frames = await self._end(request, session) if session else []
        return self._bye(request, leaving, frames)

    async def _read(self, params: Params) -> Leaving:
        """Raises InvalidRequest: a bad hint, an unknown client, a URI that is not registered."""
        client_id, subject = params.get("client_id", ""), ""
        if params.get("id_token_hint"):
            try:
                claims = self._tokens.read_id_token(params["id_token_hint"])
            except errors.InvalidToken as broken:
                raise InvalidRequest("id_token_hint is no good", detail=broken.detail) from None
            if client_id and client_id != claims.get("aud"):
                raise InvalidRequest("id_token_hint is of another client")
            client_id, subject = str(claims.get("aud")), claims["sub"]
        client = await self._clients.find(client_id) if client_id else None
        if client_id and client is None:
            raise InvalidRequest("the client is not registered")
        uri = params.get("post_logout_redirect_uri", "")
        if uri and client and uri not in client.metadata.post_logout_redirect_uris:
            raise InvalidRequest("post_logout_redirect_uri is not registered")
        if client and client.disabled:  # its people can leave, but are not led to it
            uri = ""
        if len(params.get("state", "")) > MOST_ECHO:
            raise InvalidRequest("state is too long")
        # RP-Initiated Logout §3: without a client nobody can say that the URI is good
        return Leaving(client, subject, uri if client else "", params.get("state"))

    def _ask(self, request: Request, params: Params, leaving: Leaving) -> Response:
        browser, cookie = self._services.forms.greet(request)
        response = self._services.templates.page(
            request,
            "oidc/logout.html",
            form_targets=(origin_of(leaving.uri),) if leaving.uri else (),
            client=leaving.client.metadata if leaving.client else None,
            fields={k: params[k] for k in FIELDS if k in params},
            csrf=self._services.forms.sign(browser),
        )
        if cookie:
            self._services.forms.cookies.write(response, BROWSER, cookie)
        return response

    def _bye(self, request: Request, leaving: Leaving, frames: Sequence[str] = ()) -> Response:
        """With frames the page comes first, and its script or its link leads on."""
        client = leaving.client.metadata if leaving.client else None
        location = leaving.location
        if client and location and not frames:
            response = onward(self._services, request, client, location)
        else:
            response = self._services.templates.page(
                request,
                "oidc/logged_out.html",
                frame_sources=sorted({origin_of(frame) for frame in frames}),
                client=client,
                frames=frames,
                onward=location,
                press=client is None or needs_press(client, location),
            )
        self._login.sessions.erase_cookie(response)
        return response

    async def _end(self, request: Request, session: Session) -> list[str]:
        """The addresses that this browser opens in frames (OIDC Front-Channel Logout §3)."""
        now, ends = self._services.clock.now(), self._login.sessions.ends
        entry = caller_of(request).entry(LOGGED_OUT, person_id=session.person_id)

        async def work(tx: Transaction) -> list[Party]:
            told = await store.end_session(tx, ends, session, now)
            await self._services.trail.write(tx, entry)
            return told

        told = await self._services.database.write(work)
        return [frame for party in told if (frame := await self._frame(party))]

    async def _frame(self, party: Party) -> str:
        client = await self._clients.active(party.relying_party)
        uri = client.metadata.frontchannel_logout_uri if client else ""
        if not uri:
            return ""
        sid = self._tokens.sid(party.relying_party, party.session_id)
        return extended(uri, {"iss": self._tokens.issuer, "sid": sid})
