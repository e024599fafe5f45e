"""The page /wecard: a verified person sees their cards and gets a code to type into WeCard."""

from __future__ import annotations

import functools

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import audit, counters
from idp.kernel.caller import Caller, caller_of
from idp.kernel.clock import token
from idp.kernel.counters import Limit
from idp.kernel.database import Transaction
from idp.kernel.forms import FORM_LIFE, Params
from idp.kernel.services import Services
from idp.kernel.vault import digest
from idp.login.own_pages import OwnPage, OwnPages
from idp.login.persons import Persons
from idp.login.session import Session
from idp.members import codes, record
from idp.members.directory import Directory, Member
from idp.members.settings import MembersSettings

ISSUED = audit.event("card.code_issued", "a person got a binding code for one of their cards")

# the page for a person who cancelled is shorter than any application's path
PLACE = OwnPage("/wecard", "/wecard/left", "電子卡綁定", login_again=True)
ISSUES = Limit("card-code", most=10, seconds=3600)
ONCE = Limit("card-form", most=1, seconds=FORM_LIFE)


class _Stale(Exception):
    """This form was used before: a reload must not quietly void the code on the screen."""


class _Often(Exception):
    """Enough codes for this hour."""


class Binding:
    def __init__(
        self,
        services: Services,
        settings: MembersSettings,
        directory: Directory,
        persons: Persons,
        own: OwnPages,
    ) -> None:
        self._services, self._settings = services, settings
        self._directory, self._persons, self._own = directory, persons, own

    async def show(self, request: Request, session: Session, _query: Params) -> Response:
        return self._page(request, session, await self._cards(session))

    async def left(self, request: Request) -> Response:
        """Whoever cancels the login must not be sent into the next one."""
        return self._services.templates.page(request, "wecard/left.html", start=PLACE.path)

    async def issue(self, request: Request, session: Session, form: Params) -> Response:
        cards = await self._cards(session)
        member = next((m for m in cards if m.card_number == form.get("card")), None)
        if member is None:  # not theirs, or not any more
            return self._page(request, session, cards)
        code, once = codes.new(), form.get("once", "")
        work = functools.partial(self._issue, caller_of(request), session, member, code, once)
        try:
            until = await self._services.database.write(work)
        except _Stale:
            return self._page(request, session, cards, notice="stale")
        except _Often:
            return self._page(request, session, cards, notice="often", status=429)
        return self._services.templates.page(
            request,
            "wecard/code.html",
            code=codes.grouped(code),
            card=self._shown(member),
            minutes=self._settings.code_seconds // 60,
            until=record.show_time(until)[11:16],
            start=PLACE.path,
        )

    async def _issue(
        self,
        caller: Caller,
        session: Session,
        member: Member,
        code: str,
        once: str,
        tx: Transaction,
    ) -> int:
        """The end of the code's life. Raises _Stale, _Often; then nothing has changed."""
        now, vault = self._services.clock.now(), self._services.vault
        if not once or await counters.take(tx, ONCE, digest(once), now):
            raise _Stale
        if await counters.take(tx, ISSUES, session.person_id, now):
            raise _Often
        expires_at = now + self._settings.code_seconds
        await codes.issue(tx, vault, member.card_number, code, now, expires_at)
        card = vault.index("card", member.card_number)
        entry = caller.entry(ISSUED, person_id=session.person_id, card=card)
        await self._services.trail.write(tx, entry)
        return expires_at

    # ── showing ────────────────────────────────────────────────────────────────────────────────

    async def _cards(self, session: Session) -> list[Member]:
        database = self._services.database
        number = await self._persons.number(database, session.person_id)
        return await self._directory.by_person(database, self._persons.index(number))

    def _page(
        self,
        request: Request,
        session: Session,
        cards: list[Member],
        notice: str = "",
        status: int = 200,
    ) -> Response:
        return self._own.page(
            request,
            session,
            "wecard/cards.html",
            status=status,
            cards=[self._shown(member) for member in cards],
            once=token(16),
            notice=notice,
            minutes=self._settings.code_seconds // 60,
            start=PLACE.path,
        )

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
