"""The citizen's own page: where their identity was used, and what they can end.

The bridge is the relying party of this login. Whoever verified the person for another account
than ours opens nothing here, and a session must be young: a browser that somebody left open an
hour ago tells nobody where they have been.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from idp.account import record
from idp.kernel import audit
from idp.kernel.caller import caller_of
from idp.kernel.clock import moment
from idp.kernel.database import Transaction
from idp.kernel.errors import InvalidRequest
from idp.kernel.forms import Params
from idp.kernel.services import Services
from idp.kernel.web import see_other
from idp.login import history, pause
from idp.login.entrance import Entrance
from idp.login.history import HistoryLine
from idp.login.own_pages import OwnPage, OwnPages, unrestricted
from idp.login.persons import Person
from idp.login.session import Session
from idp.oidc import consents, store
from idp.registry.clients import Clients

ENDED = audit.event("account.sessions_ended", "a person ended sessions of their own")
WITHDRAWN = audit.event("account.consent_withdrawn", "a person withdrew consent; its tokens ended")
NOT_ME = audit.event("account.not_me", "a person said “not me”: all ended, pushes are paused")
RESUMED = audit.event("account.push_resumed", "a person allowed pushes again")

PATH = "/account"
LEFT = f"{PATH}/left"
PLACE = OwnPage(PATH, LEFT, "我的登入紀錄", parameters=("before", "client"))
LINES = 20  # of the history, on one page
MOST = 2_000  # in the file
DAY = 86_400
DONE = ("ended", "others", "withdrawn", "resumed")  # what a page can say that it has done
GONE = ("ended", "not-me")
_CURSOR = re.compile(r"\A(\d{1,12})\.([A-Za-z0-9_-]{1,64})\Z", re.ASCII)


class Account:
    """`seconds` is how long the page opens after a verification."""

    def __init__(self, services: Services, seconds: int, clients: Clients, login: Entrance) -> None:
        self._services, self._seconds = services, seconds
        self._clients, self._login = clients, login
        self.own = OwnPages(services, login.sessions, login, PLACE, self._entitled)

    def _entitled(self, session: Session) -> bool:
        """decisions/0022: verified by our own account, and not long ago."""
        young = self._services.clock.now() - session.auth_time <= self._seconds
        return young and unrestricted(session)

    # ── looking ────────────────────────────────────────────────────────────────────────────────

    async def show(self, request: Request, session: Session, params: Params) -> Response:
        """GET /account."""
        person = await self._person(session)
        lines, more = await self._lines(person, _cursor(params), LINES)
        sessions = await self._login.sessions.of_person(session.person_id)
        paused = person.push_paused_at
        return self.own.page(
            request,
            session,
            "account/account.html",
            at=PATH,
            me=await self._masked(person),
            lines=lines,
            more=more,
            earlier="before" in params,
            days=self._login.settings.history_days,
            sessions=[await self._shown(other, session) for other in sessions],
            consents=await self._consents(session),
            paused_at=moment(paused) if paused is not None else None,
            done=self.own.done(request, DONE),
        )

    async def record(self, request: Request, session: Session, _params: Params) -> Response:
        """GET /account/record.csv: the newest lines, as a file."""
        lines, _ = await self._lines(await self._person(session), None, MOST)
        templates = self._services.templates
        return record.answer(templates, templates.language(request), lines)

    async def _masked(self, person: Person) -> str:
        number = await self._login.persons.number(self._services.database, person.id)
        return self._login.masked(number)

    async def _lines(
        self, person: Person, after: tuple[int, str] | None, most: int
    ) -> tuple[list[dict[str, Any]], str]:
        """(a part of the history, the cursor of the next one or "")."""
        now = self._services.clock.now()
        since = now - self._login.settings.history_days * DAY
        index, reader = person.number_index, self._services.database
        found = await history.of(reader, index, now, since, after, most + 1)
        more = found[most - 1].cursor if len(found) > most else ""
        return [await self._line(line) for line in found[:most]], more

    async def _line(self, line: HistoryLine) -> dict[str, Any]:
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
        sole = other.sole_relying_party
        return {
            "handle": self._handle(other),
            "this": other.id == own.id,
            "agent": other.agent,
            "method": self._login.method_name(other.method),
            "since": moment(other.auth_time),
            "seen": moment(other.seen_at),
            "only_for": await self._named(sole) if sole else None,
        }

    async def _consents(self, session: Session) -> list[dict[str, Any]]:
        given = await consents.of_person(self._services.database, session.person_id)
        return [
            {"service": await self._named(one.client_id), "since": moment(one.granted_at)}
            for one in given
        ]

    async def withdraw_page(self, request: Request, session: Session, params: Params) -> Response:
        """GET /account/withdraw?client=…: what withdrawing means."""
        mine = await self._consents(session)
        asked = next((c for c in mine if c["service"]["id"] == params.get("client")), None)
        if asked is None:  # withdrawn already, or somebody else's
            return see_other(PATH)
        return self.own.page(
            request, session, "account/withdraw.html", at=PATH, service=asked["service"]
        )

    async def not_me_page(self, request: Request, session: Session, _params: Params) -> Response:
        """GET /account/not-me: what will end."""
        return self.own.page(request, session, "account/not_me.html", at=PATH)

    async def left(self, request: Request) -> Response:
        """GET /account/left: whoever cancels or ends must not be sent into the next login."""
        done = self.own.done(request, GONE)
        return self._services.templates.page(request, "account/left.html", start=PATH, done=done)

    # ── acting ─────────────────────────────────────────────────────────────────────────────────

    async def end(self, request: Request, session: Session, form: Params) -> Response:
        """POST /account/sessions: one session of this person, or all others."""
        which, now = form.get("which", ""), self._services.clock.now()
        ends = self._login.sessions.ends
        mine = await self._login.sessions.of_person(session.person_id)
        chosen = next((other for other in mine if self._handle(other) == which), None)

        async def work(tx: Transaction) -> None:
            count = 0
            if which == "others":
                count = await store.end_others(tx, ends, session, now)
            elif chosen:
                await store.end_session(tx, ends, chosen, now)
                count = 1
            if count:
                await self._record(tx, ENDED, request, session, count=count)

        await self._services.database.write(work)
        if chosen and chosen.id == session.id:
            return self.own.gone(request, "ended")
        return self.own.after(request, PATH, "others" if which == "others" else "ended")

    async def withdraw(self, request: Request, session: Session, form: Params) -> Response:
        """POST /account/withdraw: the consent, and every token that came of it."""
        client_id, now = form.get("client", ""), self._services.clock.now()

        async def work(tx: Transaction) -> None:
            if await consents.withdraw(tx, session.person_id, client_id, now):
                await self._record(tx, WITHDRAWN, request, session, client_id=client_id)

        await self._services.database.write(work)
        return self.own.after(request, PATH, "withdrawn")

    async def not_me(self, request: Request, session: Session, _form: Params) -> Response:
        """POST /account/not-me."""
        person, now = await self._person(session), self._services.clock.now()

        async def work(tx: Transaction) -> None:
            await self._login.disown(tx, person)
            await store.revoke_grants_of(tx, session.person_id, now)
            await self._record(tx, NOT_ME, request, session)

        await self._services.database.write(work)
        return self.own.gone(request, "not-me")

    async def resume(self, request: Request, session: Session, _form: Params) -> Response:
        """POST /account/push: the person has just logged in, and not by a push."""
        person = await self._person(session)

        async def work(tx: Transaction) -> None:
            await pause.end(tx, person)
            await self._record(tx, RESUMED, request, session)

        if person.push_paused_at is not None:
            await self._services.database.write(work)
        return self.own.after(request, PATH, "resumed")

    async def _person(self, session: Session) -> Person:
        return await self._login.persons.get(self._services.database, session.person_id)

    def _handle(self, session: Session) -> str:
        """Names a session on its person's page, and is good for nothing else."""
        return self._services.vault.mac("session-handle", session.id)

    async def _record(
        self, tx: Transaction, event: str, request: Request, session: Session, **detail: Any
    ) -> None:
        entry = caller_of(request).entry(event, person_id=session.person_id, **detail)
        await self._services.trail.write(tx, entry)


def _cursor(params: Params) -> tuple[int, str] | None:
    """Raises InvalidRequest."""
    text = params.get("before")
    if text is None:
        return None
    match = _CURSOR.match(text)
    if match is None:
        raise InvalidRequest("before is not from one of our pages")
    return int(match[1]), match[2]
