"""Pages of our own that a person logs in to: /account, /wecard, later a portal.

    place = OwnPage("/account", "/account/left", "我的登入紀錄")
    own = OwnPages(services, sessions, login, place, entitled)
    Route("/account", answers.page(own.looking(show)), methods=["GET"])
    Route("/account/push", answers.page(own.acting(resume)), methods=["POST"])

`show` and `resume` are given the session that counts. They draw with `own.page(…)`, whose template
writes {{ csrf }} and {{ session }} into every form. An action ends with `own.after(request, path,
"resumed")`; the page it leads to asks `own.done(request, ("resumed", …))` what to report, and ""
means nothing. `own.gone(…)` does the same after the session of this very browser has ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel.caller import caller_of
from idp.kernel.errors import ForgedRequest
from idp.kernel.forms import Params, read_form, read_query
from idp.kernel.services import Services
from idp.kernel.templates import SOURCE, Templates
from idp.kernel.web import BROWSER, see_other
from idp.login.flow import Purpose
from idp.login.session import Session, Sessions

Endpoint = Callable[[Request], Awaitable[Response]]
Act = Callable[[Request, Session, Params], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class OwnPage:
    """`service` is its zh-TW name, `path` its address, `left` the page for a person who cancelled
    or ended: it must not lead into the next login. `login_again`: a button that is pressed after
    the session has ended begins a login, instead of leading to `left`."""

    path: str
    left: str
    service: str
    login_again: bool = False
    parameters: tuple[str, ...] = ()  # of its queries; others are ignored


def is_own_page(relying_party: str) -> bool:
    """Whether a page of ours asks for the login: no client can be called like a path."""
    return relying_party.startswith("/")


class BeginsLogins(Protocol):
    async def begin(self, request: Request, purpose: Purpose) -> Response: ...


def unrestricted(session: Session) -> bool:
    """Verified by the house's own upstream account. A session that counts for one relying party
    alone opens no page of ours."""
    return session.sole_relying_party == ""


class OwnPages:
    def __init__(
        self,
        services: Services,
        sessions: Sessions,
        login: BeginsLogins,
        place: OwnPage,
        entitled: Callable[[Session], bool] = unrestricted,
    ) -> None:
        self._forms, self._templates = services.forms, services.templates
        self._sessions, self._login = sessions, login
        self._place, self._entitled = place, entitled

    # ── who may ────────────────────────────────────────────────────────────────────────────────

    def looking(self, show: Act) -> Endpoint:
        """A page that only its person sees. Anybody else logs in first."""

        async def endpoint(request: Request) -> Response:
            session = await self._sessions.current(request)
            if session is None or not self._entitled(session):
                return await self._begin(request)
            return await show(request, session, read_query(request, self._place.parameters).once())

        return endpoint

    def acting(self, act: Act) -> Endpoint:
        """A button. It acts for the session that it was shown to, or for none."""

        async def endpoint(request: Request) -> Response:
            form = (await read_form(request)).once()
            self._forms.check(request, form)
            shown_to = self._forms.signed(form.get("session", ""))
            session = await self._sessions.current(request)
            if session is None:  # ended meanwhile, perhaps by the first of two clicks
                return await self._ended(request)
            if not self._entitled(session) or shown_to != self._proof(session):
                return see_other(self._place.path)
            return await act(request, session, form)

        return endpoint

    async def _ended(self, request: Request) -> Response:
        if self._place.login_again:
            return await self._begin(request)
        return see_other(self._place.left)

    async def _begin(self, request: Request) -> Response:
        purpose = own_purpose(self._templates, request, self._place)
        return await self._login.begin(request, purpose)

    def _proof(self, session: Session) -> str:
        return session.form_proof(self._place.path)

    # ── drawing ────────────────────────────────────────────────────────────────────────────────

    def page(
        self, request: Request, session: Session, name: str, status: int = 200, **context: Any
    ) -> Response:
        """A template whose forms carry `csrf` and `session`."""
        browser, cookie = self._forms.greet(request)
        sign = self._forms.sign
        response = self._templates.page(
            request,
            name,
            status=status,
            csrf=sign(browser),
            session=sign(self._proof(session)),
            **context,
        )
        if cookie:
            self._forms.cookies.write(response, BROWSER, cookie)
        return response

    # ── telling what was done ──────────────────────────────────────────────────────────────────

    def after(self, request: Request, path: str, word: str) -> Response:
        """To a page of ours that reports it."""
        return see_other(path, done=self._forms.sign(self._word(request, word)))

    def gone(self, request: Request, word: str) -> Response:
        """The same after the session of this very browser has ended."""
        response = self.after(request, self._place.left, word)
        self._sessions.erase_cookie(response)
        return response

    def done(self, request: Request, known: Collection[str]) -> str:
        """What was done in this very browser, or "". A link from elsewhere must not tell a person
        that everything has ended."""
        try:
            said = self._forms.signed(request.query_params.get("done", ""))
        except ForgedRequest:
            return ""
        return next((word for word in known if said == self._word(request, word)), "")

    @staticmethod
    def _word(request: Request, word: str) -> str:
        return f"done:{word}:{caller_of(request).browser}"


def own_purpose(templates: Templates, request: Request, place: OwnPage) -> Purpose:
    """Why a page of the house itself asks for a login. The house is the relying party."""
    language, brand = templates.language(request), templates.brand
    return Purpose(
        service=place.service,
        service_en=templates.say("en", place.service),
        agency=brand.name if language == SOURCE else brand.name_en,
        relying_party=place.path,  # no client can be called so
        return_to=place.path,
        cancel_to=place.left,
        language=language,
    )
