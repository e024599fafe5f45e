"""The page /wecard: a verified person sees their cards and gets a code to type into WeCard."""

from __future__ import annotations

import functools
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import audit, counters
from idp.kernel.caller import caller_of
from idp.kernel.clock import token
from idp.kernel.counters import Limit
from idp.kernel.database import Transaction
from idp.kernel.forms import FORM_LIFE, read_form
from idp.kernel.services import Services
from idp.kernel.vault import digest
from idp.kernel.web import BROWSER
from idp.login.flow import Purpose
from idp.login.own_pages import OwnPage, own_purpose
from idp.login.persons import Persons
from idp.login.session import Session, Sessions
from idp.members import codes, record
from idp.members.directory import Directory, Member
from idp.members.settings import MembersSettings

ISSUED = audit.event("card.code_issued", "a person got a binding code for one of their cards")

PATH = "/wecard"
LEFT = "/wecard/left"  # shorter than any application's path
SERVICE = "電子卡綁定"
ISSUES = Limit("card-code", most=10, seconds=3600)
ONCE = Limit("card-form", most=1, seconds=FORM_LIFE)


class Login(Protocol):
    """What this page needs of the login room."""

    @property
    def persons(self) -> Persons: ...
    @property
    def sessions(self) -> Sessions: ...
    async def begin(self, request: Request, purpose: Purpose) -> Response: ...


class _Stale(Exception):
    """This form was used before: a reload must not quietly void the code on the screen."""


class _Often(Exception):
    """Enough codes for this hour."""


class Binding:
    def __init__(
        self, services: Services, settings: MembersSettings, directory: Directory, login: Login
    ) -> None:
        self._services, self._settings = services, settings
        self._directory, self._login = directory, login

    async def show(self, request: Request) -> Response:
        session = await self._login.sessions.current(request)
        if session is None or session.sole_relying_party:
            return await self._login.begin(request, self._purpose(request))
        return self._page(request, await self._cards(session))

    async def left(self, request: Request) -> Response:
        """Whoever cancels the login must not be sent into the next one."""
        return self._services.templates.page(request, "wecard/left.html", start=PATH)

    async def issue(self, request: Request) -> Response:
        """Raises ForgedRequest, InvalidRequest."""
        form = (await read_form(request)).once()
        self._services.forms.check(request, form)
        session = await self._login.sessions.current(request)
        if session is None or session.sole_relying_party:
            return await self._login.begin(request, self._purpose(request))
        cards = await self._cards(session)
        member = next((m for m in cards if m.card_number == form.get("card")), None)
        if member is None:  # not theirs, or not any more
            return self._page(request, cards)
        code, now = codes.new(), self._services.clock.now()
        work = functools.partial(self._issue, request, session, member, code, form.get("once", ""))
        try:
            await self._services.database.write(work)
        except _Stale:
            return self._page(request, cards, notice="stale")
        except _Often:
            return self._page(request, cards, notice="often", status=429)
        return self._services.templates.page(
            request,
            "wecard/code.html",
            code=codes.grouped(code),
            card=self._shown(member),
            minutes=self._settings.code_seconds // 60,
            until=record.show_time(now + self._settings.code_seconds)[11:16],
            start=PATH,
        )

    async def _issue(
        self,
        request: Request,
        session: Session,
        member: Member,
        code: str,
        once: str,
        tx: Transaction,
    ) -> None:
        """Raises _Stale, _Often; then nothing has changed."""
        now, vault = self._services.clock.now(), self._services.vault
        if not once or await counters.take(tx, ONCE, digest(once), now):
            raise _Stale
        if await counters.take(tx, ISSUES, session.person_id, now):
            raise _Often
        expires_at = now + self._settings.code_seconds
        await codes.issue(tx, vault, member.card_number, code, now, expires_at)
        entry = audit.entry(
            ISSUED,
            reference=caller_of(request).reference,
            person_id=session.person_id,
            address=caller_of(request).address,
            card=vault.index("card", member.card_number),
        )
        await self._services.trail.write(tx, entry)

    # ── showing ────────────────────────────────────────────────────────────────────────────────

    async def _cards(self, session: Session) -> list[Member]:
        persons, database = self._login.persons, self._services.database
        number = await persons.number(database, session.person_id)
        return await self._directory.by_person(database, persons.index(number))

    def _page(
        self, request: Request, cards: list[Member], notice: str = "", status: int = 200
    ) -> Response:
        browser, cookie = self._services.forms.greet(request)
        response = self._services.templates.page(
            request,
            "wecard/cards.html",
            status=status,
            cards=[self._shown(member) for member in cards],
            csrf=self._services.forms.sign(browser),
            once=token(16),
            notice=notice,
            minutes=self._settings.code_seconds // 60,
            start=PATH,
        )
        if cookie:
            self._services.forms.cookies.write(response, BROWSER, cookie)
        return response

    def _shown(self, member: Member) -> dict[str, str]:
        """The card number in full, because it must be typed; the name only to recognise it."""
        opened = self._directory.record(member)
        until = record.show_time(member.valid_until) if member.valid_until is not None else ""
        return {
            "value": member.card_number,
            "number": opened["card_number"],
            "name": record.mask_name(opened["name"]),
            "organization": opened["organization"],
            "until": until[:10],
        }

    def _purpose(self, request: Request) -> Purpose:
        return own_purpose(self._services.templates, request, OwnPage(PATH, LEFT, SERVICE))
