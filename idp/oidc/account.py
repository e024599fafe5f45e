"""The citizen's own page: where their identity was used, and what they can end.

The bridge is the relying party of this login. Whoever verified the person for another account
than ours opens nothing here, and a session must be young: a browser that somebody left open an
hour ago tells nobody where they have been.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import audit
from idp.kernel.caller import caller_of
from idp.kernel.clock import moment
from idp.kernel.database import Row, Transaction
from idp.kernel.errors import ForgedRequest, InvalidRequest
from idp.kernel.forms import Params, read_form, read_query
from idp.kernel.services import Services
from idp.kernel.vault import digest
from idp.kernel.web import see_other
from idp.login import history, pause
from idp.login.history import Line
from idp.login.pages import Login
from idp.login.session import COOKIE, Session
from idp.login.view import purpose_of_our_own
from idp.oidc import store
from idp.oidc.settings import OidcSettings
from idp.registry.clients import Clients

ENDED = audit.event("account.sessions_ended", "a person ended sessions of their own")
WITHDRAWN = audit.event("account.consent_withdrawn", "a person withdrew consent; its tokens ended")
NOT_ME = audit.event("account.not_me", "a person said “not me”: all ended, pushes are paused")
RESUMED = audit.event("account.push_resumed", "a person allowed pushes again")

PATH = "/account"
LEFT = f"{PATH}/left"
SERVICE = "我的登入紀錄"
LINES = 20  # of the history, on one page
DAY = 86_400
DONE = ("ended", "others", "withdrawn", "resumed")  # what a page can say that it has done
GONE = ("ended", "not-me")
_CURSOR = re.compile(r"\A(\d{1,12})\.([A-Za-z0-9_-]{1,64})\Z", re.ASCII)

Act = Callable[[Request, Session, Params], Awaitable[Response]]


class Account:
    def __init__(
        self, services: Services, settings: OidcSettings, clients: Clients, login: Login
    ) -> None:
        self._services, self._settings = services, settings
        self._clients, self._login = clients, login

    # ── who may look ───────────────────────────────────────────────────────────────────────────

    def _entitled(self, session: Session | None) -> bool:
        """decisions/0022: verified by our own account, and not long ago."""
        if session is None or session.only_for:
            return False
        return self._services.clock.now() - session.auth_time <= self._settings.account_seconds

    async def _begin(self, request: Request) -> Response:
        purpose = purpose_of_our_own(self._services.templates, request, SERVICE, PATH, LEFT)
        return await self._login.begin(request, purpose)

    def looking(self, show: Act) -> Callable[[Request], Awaitable[Response]]:
        """A page that only its person sees; anybody else logs in first."""

        async def endpoint(request: Request) -> Response:
            session = await self._login.sessions.current(request)
            if session is None or not self._entitled(session):
                return await self._begin(request)
            return await show(request, session, read_query(request).once())

        return endpoint

    def acting(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        """A button. It acts for the session that it was shown to, or for none."""

        async def endpoint(request: Request) -> Response:
            form = (await read_form(request)).once()
            self._services.forms.check(request, form)
            mark = self._services.forms.signed(form.get("session", ""))
            session = await self._login.sessions.current(request)
            if session is None:  # ended meanwhile, perhaps by the first of two clicks
                return see_other(LEFT)
            if not self._entitled(session) or mark != _mark(session):
                return see_other(PATH)
            return await act(request, session, form)

        return endpoint

    # ── looking ────────────────────────────────────────────────────────────────────────────────

    async def show(self, request: Request, session: Session, params: Params) -> Response:
        """GET /account."""
        person = await self._person(session)
        lines, more = await self._lines(person, params)
        sessions = await self._login.sessions.of_person(session.person_id)
        paused = person["push_paused_at"]
        return self._page(
            request,
            session,
            "account/account.html",
            lines=lines,
            more=more,
            earlier="before" in params,
            days=self._login.settings.history_days,
            sessions=[await self._shown(other, session) for other in sessions],
            consents=await self._consents(session),
            paused_at=moment(paused) if paused is not None else None,
            done=self._said(request, DONE, params.get("done", "")),
        )

    async def _lines(self, person: Row, params: Params) -> tuple[list[dict[str, Any]], str]:
        """(a page of the history, the cursor of the next one or "")."""
        after, now = _cursor(params), self._services.clock.now()
        since = now - self._login.settings.history_days * DAY
        index, reader = person["number_index"], self._services.database
        found = await history.of(reader, index, now, since, after, LINES + 1)
        more = found[LINES - 1].cursor if len(found) > LINES else ""
        return [await self._told(line) for line in found[:LINES]], more

    async def _told(self, line: Line) -> dict[str, Any]:
        return {
            "service": await self._named(line.client_id),
            "when": moment(line.at),
            "method": self._login.method_name(line.method),
            "result": line.result.value,
            "claims": line.claims,
        }

    async def _named(self, client_id: str) -> Mapping[str, str]:
        """Also a client that is disabled by now; a page of ours is its own name."""
        client = await self._clients.find(client_id)
        if client is None:
            return {"id": client_id, "name": client_id, "name_en": "", "agency": ""}
        metadata = client.metadata
        return {
            "id": client_id,
            "name": metadata.client_name,
            "name_en": metadata.client_name_en,
            "agency": metadata.agency,
        }

    async def _shown(self, other: Session, own: Session) -> dict[str, Any]:
        return {
            "handle": self._handle(other),
            "this": other.id == own.id,
            "agent": other.agent,
            "method": self._login.method_name(other.method),
            "since": moment(other.auth_time),
            "seen": moment(other.seen_at),
            "only_for": await self._named(other.only_for) if other.only_for else None,
        }

    async def _consents(self, session: Session) -> list[dict[str, Any]]:
        rows = await self._services.database.all(store.CONSENTS, person=session.person_id)
        return [
            {"service": await self._named(row["client_id"]), "since": moment(row["granted_at"])}
            for row in rows
        ]

    async def withdraw_page(self, request: Request, session: Session, params: Params) -> Response:
        """GET /account/withdraw?client=…: what withdrawing means."""
        mine = await self._consents(session)
        asked = next((c for c in mine if c["service"]["id"] == params.get("client")), None)
        if asked is None:  # withdrawn already, or somebody else's
            return see_other(PATH)
        return self._page(request, session, "account/withdraw.html", service=asked["service"])

    async def not_me_page(self, request: Request, session: Session, _params: Params) -> Response:
        """GET /account/not-me: what will end."""
        return self._page(request, session, "account/not_me.html")

    async def left(self, request: Request) -> Response:
        """GET /account/left: whoever cancels or ends must not be sent into the next login."""
        done = self._said(request, GONE, request.query_params.get("done", ""))
        return self._services.templates.page(request, "account/left.html", start=PATH, done=done)

    def _page(self, request: Request, session: Session, name: str, **context: Any) -> Response:
        browser, _ = self._services.forms.greet(request)
        sign = self._services.forms.sign
        return self._services.templates.page(
            request, name, csrf=sign(browser), session=sign(_mark(session)), at=PATH, **context
        )

    # ── acting ─────────────────────────────────────────────────────────────────────────────────

    async def end(self, request: Request, session: Session, form: Params) -> Response:
        """POST /account/sessions: one session of this person, or all others."""
        which, now = form.get("which", ""), self._services.clock.now()
        mine = await self._login.sessions.of_person(session.person_id)
        chosen = next((other for other in mine if self._handle(other) == which), None)

        async def work(tx: Transaction) -> None:
            count = 0
            if which == "others":
                count = await store.end_others(tx, session, now)
            elif chosen:
                await store.end_session(tx, chosen.id, chosen.root, now)
                count = 1
            if count:
                await self._tell(tx, ENDED, request, session, count=count)

        await self._services.database.write(work)
        if chosen and chosen.id == session.id:
            return self._gone(request, "ended")
        return self._after(request, PATH, "others" if which == "others" else "ended")

    async def withdraw(self, request: Request, session: Session, form: Params) -> Response:
        """POST /account/withdraw: the consent, and every token that came of it."""
        now, of = self._services.clock.now(), {"person": session.person_id}
        client_id = form.get("client", "")

        async def work(tx: Transaction) -> None:
            if await tx.run(store.WITHDRAW_CONSENT, client=client_id, **of):
                await tx.run(store.REVOKE_OF_CONSENT, client=client_id, now=now, **of)
                await self._tell(tx, WITHDRAWN, request, session, client_id)

        await self._services.database.write(work)
        return self._after(request, PATH, "withdrawn")

    async def not_me(self, request: Request, session: Session, _form: Params) -> Response:
        """POST /account/not-me."""
        person, now = await self._person(session), self._services.clock.now()

        async def work(tx: Transaction) -> None:
            await self._login.disown(tx, person)
            await tx.run(store.REVOKE_OF_PERSON, person=person["id"], now=now)
            await self._tell(tx, NOT_ME, request, session)

        await self._services.database.write(work)
        return self._gone(request, "not-me")

    async def resume(self, request: Request, session: Session, _form: Params) -> Response:
        """POST /account/push: the person has just logged in, and not by a push."""
        person = await self._person(session)

        async def work(tx: Transaction) -> None:
            await pause.end(tx, person)
            await self._tell(tx, RESUMED, request, session)

        if person["push_paused_at"] is not None:
            await self._services.database.write(work)
        return self._after(request, PATH, "resumed")

    def _gone(self, request: Request, done: str) -> Response:
        """After the session of this very browser has ended."""
        response = self._after(request, LEFT, done)
        self._services.forms.cookies.erase(response, COOKIE)
        return response

    def _after(self, request: Request, path: str, done: str) -> Response:
        return see_other(path, done=self._services.forms.sign(self._word(request, done)))

    def _said(self, request: Request, known: tuple[str, ...], stamped: str) -> str:
        """What has been done, in this very browser. A link from elsewhere must not tell anybody
        that all is over."""
        try:
            word = self._services.forms.signed(stamped)
        except ForgedRequest:
            return ""
        return next((done for done in known if word == self._word(request, done)), "")

    def _word(self, request: Request, done: str) -> str:
        return f"done:{done}:{caller_of(request).browser}"

    async def _person(self, session: Session) -> Row:
        return await self._login.persons.row(self._services.database, session.person_id)

    def _handle(self, session: Session) -> str:
        """Names a session on its person's page, and is good for nothing else."""
        return self._services.vault.mac("session-handle", session.id)

    async def _tell(
        self,
        tx: Transaction,
        event: str,
        request: Request,
        session: Session,
        client_id: str = "",
        **detail: int,
    ) -> None:
        entry = audit.entry(
            event,
            reference=caller_of(request).reference,
            client_id=client_id,
            person_id=session.person_id,
            address=caller_of(request).address,
            **detail,
        )
        await self._services.trail.write(tx, entry)


def _mark(session: Session) -> str:
    return f"account:{digest(session.id)[:22]}"


def _cursor(params: Params) -> tuple[int, str] | None:
    """Raises InvalidRequest."""
    text = params.get("before")
    if text is None:
        return None
    match = _CURSOR.match(text)
    if match is None:
        raise InvalidRequest("before is not from one of our pages")
    return int(match[1]), match[2]
