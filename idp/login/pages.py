"""The pages of the login. Each shows what flow.next_step says; each button is a POST that stores
something and answers 303 to the page, which looks again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import segno
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from idp.kernel import audit, errors
from idp.kernel.answers import Answers
from idp.kernel.clock import token
from idp.kernel.database import Row, Transaction
from idp.kernel.errors import IdpError, VerificationError
from idp.kernel.ground import Ground
from idp.kernel.throttle import PerMinute, PerSecond
from idp.kernel.web import BROWSER, Params, address_of, no_store, origin_of, read_form
from idp.login import store
from idp.login.desk import GRACE, Desk, Visitor
from idp.login.flow import Picture, Purpose, Step, decided, ending, next_step
from idp.login.persons import Persons
from idp.login.session import Sessions
from idp.login.settings import LoginSettings
from idp.verify import Method

COMPLETED = audit.event("login.completed", "a verified person has a session in this browser")
CANCELLED = audit.event("login.cancelled", "the person cancelled the login")
REFUSED = audit.event("login.person_disabled", "a disabled person tried to log in")

METHOD_COOKIE = "idp_method"
WARN_SECONDS = 30
PAGES = {
    Step.CHOOSE: "login/choose.html",
    Step.WAIT: "login/wait.html",
    Step.SCAN: "login/wait.html",
    Step.LEAVE: "login/leave.html",
    Step.APPROVED: "login/approved.html",
    Step.EXPIRED: "login/problem.html",
    Step.PROBLEM: "login/problem.html",
}


@dataclass(frozen=True, slots=True)
class Here:
    """One login as its browser sees it now."""

    login: Row
    attempt: Row | None
    purpose: Purpose
    step: Step

    @property
    def id(self) -> str:
        return str(self.login["id"])


class Login:
    """Everything another room may ask: begin a login, and whose session this is."""

    def __init__(
        self,
        ground: Ground,
        settings: LoginSettings,
        desk: Desk,
        persons: Persons,
        sessions: Sessions,
    ) -> None:
        self._ground, self._settings, self._desk = ground, settings, desk
        self.persons, self.sessions = persons, sessions

    @property
    def methods(self) -> list[Method]:
        return list(self._desk.verifier.methods.values())

    def masked(self, number: str) -> str:
        return self._desk.verifier.masked(number)

    def canonical(self, typed: str) -> str | None:
        return self._desk.verifier.canonical_number(typed)

    async def begin(
        self,
        request: Request,
        purpose: Purpose,
        greeted: tuple[str, str | None] | None = None,
    ) -> Response:
        """Opens a login bound to this browser and sends it there. `greeted` is what Forms.greet
        said, where it has been asked already. Raises TooManyRequests."""
        rate = PerMinute(self._settings.starts_per_minute)
        wait = await self._ground.throttle.hit(rate, "login-start", address_of(request))
        if wait:
            raise errors.TooManyRequests(retry_after=wait)
        browser, cookie = greeted or self._ground.forms.greet(request)
        login_id, now = token(16), self._ground.clock.now()
        await self._ground.database.write(
            lambda tx: tx.run(
                store.INSERT_LOGIN,
                id=login_id,
                browser=browser,
                reference=request.state.reference,
                relying_party=purpose.relying_party,
                purpose=purpose.dump(),
                attempts=0,
                attempt_id=None,
                session_id=None,
                created_at=now,
                expires_at=now + self._settings.transaction_seconds,
                finished_at=None,
            )
        )
        response = see_other(f"/login/{login_id}")
        if cookie:
            self._ground.forms.cookies.write(response, BROWSER, cookie)
        return response

    def routes(self, answers: Answers) -> list[Route]:
        def post(path: str, act: Callable[[Request, Here, Params], Awaitable[Response]]) -> Route:
            async def endpoint(request: Request) -> Response:
                form = (await read_form(request)).once()
                here = await self._here(request, self._ground.forms.check(request, form))
                return await act(request, here, form)

            return Route(f"/login/{{id}}/{path}", answers.page(endpoint), methods=["POST"])

        return [
            Route("/login/{id}", answers.page(self.show), methods=["GET"]),
            Route("/login/{id}/status", answers.program(self.status), methods=["GET"]),
            post("method", self.choose),
            post("check", self.check),
            post("regenerate", self.regenerate),
            post("other", self.other),
            post("cancel", self.cancel),
        ]

    # ── looking ────────────────────────────────────────────────────────────────────────────────

    async def _here(self, request: Request, browser: str | None) -> Here:
        """Raises AlreadyFinished, WrongBrowser: knowing the address gives nothing."""
        login = await self._ground.database.one(store.LOGIN, id=request.path_params["id"])
        if login is None:
            raise errors.AlreadyFinished
        if login["browser"] != browser:
            raise errors.WrongBrowser
        request.state.reference = login["reference"]
        return await self._at(login)

    async def _at(self, login: Row) -> Here:
        attempt = None
        if login["attempt_id"]:
            attempt = await self._ground.database.one(store.ATTEMPT, id=login["attempt_id"])
        step = next_step(login, attempt, self._ground.clock.now())
        return Here(login, attempt, Purpose.read(login["purpose"]), step)

    async def show(self, request: Request) -> Response:
        here = await self._here(request, self._ground.forms.browser(request))
        return self._page(request, here)

    async def status(self, request: Request) -> Response:
        """The poll: one bit. It never counts as use of a session and carries no outcome."""
        wait = await self._ground.throttle.hit(PerSecond(1), "status", request.path_params["id"])
        if wait:
            raise errors.TooManyRequests(retry_after=wait)
        here = await self._here(request, self._ground.forms.browser(request))
        here = await self._asked(request, here)
        state = "done" if decided(here.step) else "pending"
        return no_store(JSONResponse({"state": state, "seconds": self._seconds(here)}))

    async def _settled(self, request: Request, here: Here) -> Here:
        """A person who presses a button is worth waiting for: until the upstream may be asked
        again, or somebody else's question has been answered."""
        for _ in range(2 * self._settings.ask_seconds + 1):
            here = await self._asked(request, here)
            if here.attempt is None or decided(here.step) or not here.attempt["handle"]:
                break
            await self._ground.clock.sleep(0.5)
        return here

    async def _asked(self, request: Request, here: Here) -> Here:
        if here.attempt is None or decided(here.step):
            return here
        await self._desk.ask(here.attempt, self._visitor(request, here))
        return await self._at(here.login)

    def _seconds(self, here: Here) -> int:
        if here.attempt is None:
            return 0
        return max(0, int(here.attempt["expires_at"]) - self._ground.clock.now())

    def _visitor(self, request: Request, here: Here) -> Visitor:
        return Visitor(here.login["browser"], address_of(request), here.login["reference"])

    def _page(
        self,
        request: Request,
        here: Here,
        fault: str = "",
        typed: Params | None = None,
        problem: VerificationError | None = None,
    ) -> Response:
        if here.step is Step.FINISHED:
            raise errors.AlreadyFinished
        picture = Picture.read(here.attempt["challenge"]) if here.attempt else None
        left = self._seconds(here)
        targets = list(here.purpose.form_targets)
        if picture and picture.action:
            targets.append(origin_of(picture.action))
        name = "login/problem.html" if problem else PAGES[here.step]
        return self._ground.templates.page(
            request,
            name,
            language=self._ground.templates.language(request, here.purpose.language),
            form_targets=targets,
            here=f"/login/{here.id}",
            login_id=here.id,
            purpose=here.purpose,
            step=here.step.value,
            picture=picture,
            qr_svg=_qr(picture.qr) if picture and picture.qr else "",
            seconds=left,
            clock=f"{left // 60:02d}:{left % 60:02d}",
            problem=problem or (ending(here.attempt) if here.attempt else None),
            wait_minutes=_minutes(problem),
            methods=self._ordered(request, here.purpose),
            chosen=self._chosen(request, typed),
            typed=typed or {"pid": here.purpose.number_hint},
            fault=fault,
            csrf=self._ground.forms.stamp(here.login["browser"]),
        )

    def _ordered(self, request: Request, purpose: Purpose) -> list[Method]:
        """On a phone the way that needs no second device comes first."""
        methods = self._desk.methods_for(purpose)
        mobile = "Mobi" in request.headers.get("user-agent", "")
        first = ("leave", "scan", "wait") if mobile else ("scan", "wait", "leave")
        return sorted(methods, key=lambda m: (first.index(m.shows), m.rank if mobile else -m.rank))

    def _chosen(self, request: Request, typed: Params | None) -> str:
        wish = (typed or Params()).get("method") or request.cookies.get(METHOD_COOKIE, "")
        return wish if wish in self._desk.verifier.methods else ""

    # ── pressing ───────────────────────────────────────────────────────────────────────────────

    async def choose(self, request: Request, here: Here, form: Params) -> Response:
        """Method and number from the first page; every fault is told at its field."""
        if here.step is Step.FINISHED:
            raise errors.AlreadyFinished
        offered = {m.id: m for m in self._desk.methods_for(here.purpose)}
        method = offered.get(form.get("method", ""))
        number = self.canonical(form.get("pid", ""))
        fault = _fault(method, form.get("pid", ""), number)
        if fault or method is None:
            here = Here(here.login, None, here.purpose, Step.CHOOSE)
            return self._page(request, here, fault=fault, typed=form)
        return await self._open(request, here, method, number if method.needs_number else None)

    async def regenerate(self, request: Request, here: Here, _form: Params) -> Response:
        """A new attempt by the same method for the same person."""
        if here.attempt is None or here.step in (Step.FINISHED, Step.APPROVED):
            return self._back(here)
        sealed = here.attempt["number_sealed"]
        number = self._ground.vault.open_text("attempt", sealed) if sealed else None
        method = self._desk.verifier.methods[here.attempt["method"]]
        return await self._open(request, here, method, number if method.needs_number else None)

    async def _open(
        self, request: Request, here: Here, method: Method, number: str | None
    ) -> Response:
        who = self._visitor(request, here)
        try:
            await self._desk.open(here.login, here.purpose, method, number, who)
        except VerificationError as refusal:
            return self._page(request, here, problem=refusal)
        response = self._back(here)
        response.set_cookie(
            METHOD_COOKIE, method.id, max_age=31_536_000, path="/", httponly=True, samesite="lax"
        )
        return response

    async def check(self, request: Request, here: Here, _form: Params) -> Response:
        """“I have confirmed on my phone”: ask, and complete if it is so."""
        here = await self._settled(request, here)
        if here.step is not Step.APPROVED or here.attempt is None:
            return self._back(here)
        done = await self._complete(request, here, here.attempt)
        if done is None:
            return self._back(here)
        response = see_other(here.purpose.return_to)
        self.sessions.hand_out(response, done)
        return response

    async def _complete(self, request: Request, here: Here, attempt: Row) -> str | None:
        """The one transaction that lets somebody in: the cookie of the new session, or None if
        another was first (a second tab, a cancel, a newer attempt). Raises PersonDisabled."""
        number = self._ground.vault.open_text("attempt", attempt["number_sealed"])
        method = self._desk.verifier.methods[attempt["method"]]
        now, replaces = self._ground.clock.now(), self.sessions.presented(request)

        async def work(tx: Transaction) -> str | None:
            person_id, allowed = await self.persons.meet(tx, number)
            if not allowed:
                await self._write(tx, request, here, REFUSED, person_id)
                return None
            session, cookie = await self.sessions.begin(
                tx, person_id, method.id, method.acr, method.amr, replaces
            )
            if not await tx.run(store.USED, key=attempt["id"], grace=now - GRACE):
                raise _Lost
            if not await tx.run(
                store.FINISH, key=here.id, now=now, attempt=attempt["id"], session=session.id
            ):
                raise _Lost
            await self._write(tx, request, here, COMPLETED, person_id, method=method.id)
            return cookie

        try:
            cookie = await self._ground.database.write(work)
        except _Lost:
            return None
        if cookie is None:
            raise errors.PersonDisabled
        return cookie

    async def other(self, _request: Request, here: Here, _form: Params) -> Response:
        """Another way: the attempt no longer counts, whatever the phone says later."""

        async def work(tx: Transaction) -> None:
            if await tx.run(store.DROP_ATTEMPT, key=here.id):
                await tx.run(store.REPLACE, login=here.id)

        await self._ground.database.write(work)
        if here.attempt is not None:
            await self._desk.give_up(here.attempt)
        return self._back(here)

    async def cancel(self, request: Request, here: Here, _form: Params) -> Response:
        now = self._ground.clock.now()

        async def work(tx: Transaction) -> int:
            moved = await tx.run(store.CANCEL, key=here.id, now=now)
            if moved:
                await tx.run(store.REPLACE, login=here.id)
                await self._write(tx, request, here, CANCELLED)
            return moved

        if not await self._ground.database.write(work):
            return self._back(here)
        if here.attempt is not None:
            await self._desk.give_up(here.attempt)
        return see_other(here.purpose.cancel_to)

    async def _write(
        self,
        tx: Transaction,
        request: Request,
        here: Here,
        event: str,
        person: str = "",
        **detail: str,
    ) -> None:
        item = audit.entry(
            event,
            reference=here.login["reference"],
            client_id=here.purpose.relying_party,
            person_id=person,
            address=address_of(request),
            **detail,
        )
        await self._ground.trail.write(tx, item)

    @staticmethod
    def _back(here: Here) -> Response:
        return see_other(f"/login/{here.id}")


class _Lost(Exception):
    """Another transaction was first: roll back."""


def see_other(path: str, **query: str) -> RedirectResponse:
    """303: the answer to a form is a page of its own (RFC 9700 §4.12: never 307)."""
    response = RedirectResponse(path + ("?" + urlencode(query) if query else ""), status_code=303)
    no_store(response)
    return response


def _fault(method: Method | None, typed: str, number: str | None) -> str:
    if method is None:
        return "method"
    if not method.needs_number or number:
        return ""
    return "number" if typed.strip() else "empty"


def _minutes(problem: IdpError | None) -> int:
    return -(-(problem.retry_after or 0) // 60) if problem else 0


def _qr(content: str) -> str:
    """Inline SVG with the 4-module quiet zone, level M."""
    code = segno.make(content, error="m", micro=False)
    return str(code.svg_inline(scale=5, border=4, dark="#000", light="#fff", omitsize=True))
