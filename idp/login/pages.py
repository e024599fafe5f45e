"""The pages of the login. Each shows what flow.next_step says; each button is a POST that stores
something and answers 303 to the page, which looks again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from idp.kernel import audit, errors
from idp.kernel.answers import Answers
from idp.kernel.caller import adopt_reference, caller_of
from idp.kernel.clock import token
from idp.kernel.database import Row, Transaction
from idp.kernel.errors import VerificationError
from idp.kernel.forms import Params, read_form
from idp.kernel.services import Services
from idp.kernel.throttle import PerMinute, PerSecond
from idp.kernel.web import BROWSER, no_store, prefer, see_other
from idp.login import pause, store
from idp.login.browsers import browser_of
from idp.login.desk import Desk
from idp.login.flow import GRACE, Purpose, Step, decided, mark, next_step
from idp.login.persons import Persons
from idp.login.polls import Polls
from idp.login.session import Sessions
from idp.login.settings import LoginSettings
from idp.login.view import HINT, METHOD_COOKIE, Here, View
from idp.verify import Method

COMPLETED = audit.event("login.completed", "a verified person has a session in this browser")
CANCELLED = audit.event("login.cancelled", "the person cancelled the login")
REFUSED = audit.event("login.person_disabled", "a disabled person tried to log in")

KIOSK_SECONDS = 600  # a session at a shared screen: for its one login, and no longer than this
OPENS_PER_MINUTE = 20  # in one login, counting those that are refused


class Login:
    """Everything another room may ask: begin a login, and whose session this is."""

    def __init__(
        self,
        services: Services,
        settings: LoginSettings,
        desk: Desk,
        persons: Persons,
        sessions: Sessions,
    ) -> None:
        self._services, self.settings, self._desk = services, settings, desk
        self.persons, self.sessions = persons, sessions
        self._view, self._polls = View(services, desk), Polls(services.database)

    @property
    def methods(self) -> list[Method]:
        return list(self._desk.schemes.methods.values())

    def offered(self, schemes: Sequence[str]) -> list[Method]:
        """Those that a login by these schemes, or by the house's, begins with."""
        return self._desk.schemes.offered(schemes)

    def method_name(self, stored: str) -> str:
        """What people and relying parties call a method that was stored by its id."""
        return stored.rpartition(":")[2]

    def masked(self, number: str) -> str:
        return self._desk.schemes.masked(number)

    def canonical(self, typed: str) -> str | None:
        return self._desk.schemes.canonical_number(typed)

    async def disown(self, tx: Transaction, person: Row) -> None:
        """“This was not me”: sessions and verifications end, and no push comes any more."""
        await pause.begin(tx, self._desk.budgets, person, self._services.clock.now())

    async def admit(self, request: Request, what: str) -> None:
        """Counts something that leaves a row behind. Raises TooManyRequests."""
        rate = PerMinute(self.settings.starts_per_minute)
        wait = await self._services.throttle.hit(rate, what, caller_of(request).source)
        if wait:
            raise errors.TooManyRequests(retry_after=wait)

    async def begin(
        self,
        request: Request,
        purpose: Purpose,
        greeted: tuple[str, str | None] | None = None,
    ) -> Response:
        """Opens a login bound to this browser and sends it there. `greeted` is what Forms.greet
        said, where it has been asked already. Raises TooManyRequests."""
        await self.admit(request, "login-start")
        browser, cookie = greeted or self._services.forms.greet(request)
        login_id, now = token(16), self._services.clock.now()
        await self._services.database.run(
            store.INSERT_LOGIN,
            id=login_id,
            browser=browser,
            reference=caller_of(request).reference,
            relying_party=purpose.relying_party,
            purpose=self._sealed(purpose).dump(),
            attempts=0,
            attempt_id=None,
            session_id=None,
            created_at=now,
            expires_at=now + self.settings.transaction_seconds,
            finished_at=None,
        )
        response = see_other(f"/login/{login_id}")
        if cookie:
            self._services.forms.cookies.write(response, BROWSER, cookie)
        return response

    def _sealed(self, purpose: Purpose) -> Purpose:
        """A number that somebody suggested is stored like any other: not for reading."""
        hint = purpose.number_hint
        return (
            replace(purpose, number_hint=self._services.vault.seal(HINT, hint)) if hint else purpose
        )

    def routes(self, answers: Answers) -> list[Route]:
        def post(path: str, act: Callable[[Request, Here, Params], Awaitable[Response]]) -> Route:
            async def endpoint(request: Request) -> Response:
                form = (await read_form(request)).once()
                here = await self._here(request, self._services.forms.check(request, form))
                return await act(request, here, form)

            return Route(f"/login/{{id}}/{path}", answers.page(endpoint), methods=["POST"])

        return [
            Route("/login/{id}", answers.page(self.show), methods=["GET"]),
            Route("/login/{id}/status", answers.program(self.status), methods=["GET"]),
            post("method", self.choose),
            post("check", self.check),
            post("regenerate", self.regenerate),
            post("scan", self.scan),
            post("other", self.other),
            post("cancel", self.cancel),
        ]

    # ── looking ────────────────────────────────────────────────────────────────────────────────

    async def _here(self, request: Request, browser: str | None) -> Here:
        login = await self._services.database.one(store.LOGIN, id=request.path_params["id"])
        return self._for_browser(request, browser, login)

    def _for_browser(self, request: Request, browser: str | None, login: Row | None) -> Here:
        """Raises AlreadyFinished, WrongBrowser: knowing the address gives nothing."""
        if login is None:
            raise errors.AlreadyFinished
        if login["browser"] != browser:
            raise errors.WrongBrowser
        adopt_reference(request, login["reference"])
        return self._at(login, store.attempt_in(login))

    async def _again(self, here: Here) -> Here:
        """The same login, its attempt as it is by now."""
        attempt = here.attempt
        if attempt:
            attempt = await self._services.database.one(store.ATTEMPT, id=attempt["id"])
        return self._at(here.login, attempt)

    def _at(self, login: Row, attempt: Row | None) -> Here:
        if attempt and self._desk.method_of(attempt) is None:
            attempt = None
        step = next_step(login, attempt, self._services.clock.now())
        return Here(login, attempt, Purpose.read(login["purpose"]), step)

    def _method(self, attempt: Row) -> Method:
        method = self._desk.method_of(attempt)
        if method is None:
            raise AssertionError("an attempt whose method is off is not looked at")
        return method

    async def show(self, request: Request) -> Response:
        here = await self._here(request, caller_of(request).browser)
        if here.login["session_id"] is not None:
            # a second click, or the Back button: wherever it led, that place looks again
            return see_other(here.purpose.return_to)
        if here.step is Step.EXPIRED:
            here = await self._asked(request, here)
        return self._view.page(request, here)

    async def status(self, request: Request) -> Response:
        """The poll: one bit, whether to go and see. It never counts as use of a session and
        carries no outcome; `seen` is the mark of the page that asks."""
        wait = await self._services.throttle.hit(PerSecond(1), "status", request.path_params["id"])
        if wait:
            raise errors.TooManyRequests(retry_after=wait)
        login = await self._polls.login(request.path_params["id"])
        here = self._for_browser(request, caller_of(request).browser, login)
        here = await self._asked(request, here)
        now = mark(here.login, here.step)
        done = decided(here.step) or request.query_params.get("seen", now) != now
        answer = {"state": "done" if done else "pending", "seconds": self._view.seconds(here)}
        return no_store(JSONResponse(answer))

    async def _settled(self, request: Request, here: Here) -> Here:
        """A person who presses a button is worth waiting for: until the upstream may be asked
        again, or somebody else's question has been answered."""
        clock = self._services.clock
        until = clock.monotonic() + self.settings.ask_seconds + 0.5
        while True:
            here = await self._asked(request, here)
            waiting = here.step in (Step.OPENING, Step.WAIT, Step.SCAN)
            if not waiting or clock.monotonic() >= until:
                return here
            await clock.sleep(0.5)
            here = await self._again(here)

    async def _asked(self, request: Request, here: Here) -> Here:
        if here.attempt is None:
            return here
        asked = await self._desk.ask(here.attempt, caller_of(request))
        return await self._again(here) if asked else here

    # ── pressing ───────────────────────────────────────────────────────────────────────────────

    async def choose(self, request: Request, here: Here, form: Params) -> Response:
        """Method and number from the first page; every fault is told at its field."""
        if here.step is Step.FINISHED:
            return self._back(here)
        offered = {m.name: m for m in self._desk.methods_for(here.purpose)}
        method = offered.get(form.get("method", ""))
        number = self._desk.schemes.canonical_number(form.get("pid", ""), method)
        fault = _fault(method, form.get("pid", ""), number)
        if fault or method is None:
            here = Here(here.login, None, here.purpose, Step.CHOOSE)
            return self._view.page(request, here, fault=fault, typed=form)
        return await self._open(request, here, method, number, form)

    async def regenerate(self, request: Request, here: Here, form: Params) -> Response:
        """A new attempt by the same method for the same person. The upstream is asked first:
        who has approved meanwhile need not do it again."""
        here = await self._asked(request, here)
        if here.attempt is None or here.step in (Step.FINISHED, Step.APPROVED):
            return self._back(here)
        if self._view.locked(here):
            return see_other(here.path, soon="1")
        method = self._method(here.attempt)
        number = self._desk.number_of(here.attempt)
        return await self._open(request, here, method, number, form)

    async def scan(self, request: Request, here: Here, form: Params) -> Response:
        """From the phone that did not ring to a code that it can scan, for the same person:
        the number is still with the attempt."""
        here = await self._asked(request, here)
        method, attempt = self._view.scannable(here), here.attempt
        if method is None or attempt is None:
            return self._back(here)
        return await self._open(request, here, method, self._desk.number_of(attempt), form)

    async def _open(
        self, request: Request, here: Here, method: Method, number: str | None, form: Params
    ) -> Response:
        await self._not_too_often(here)
        who, seen = caller_of(request), _seen(form, here.login)
        if seen == here.login["attempts"] >= self.settings.attempts:
            return self._view.page(request, here, problem=errors.AlreadyFinished())
        number = number if method.needs_number else None
        try:
            opened = await self._desk.open(here.login, here.purpose, method, number, who, seen)
        except VerificationError as refusal:
            return self._view.page(request, here, problem=refusal)
        if opened:
            await self._desk.give_up(here.attempt)
        response = self._back(here)
        if not here.purpose.kiosk:
            prefer(request, response, METHOD_COOKIE, method.name, max_age=31_536_000)
        return response

    async def _not_too_often(self, here: Here) -> None:
        """Even what a budget refuses costs us rows. Raises TooManyRequests."""
        rate = PerMinute(OPENS_PER_MINUTE)
        if wait := await self._services.throttle.hit(rate, "login-open", here.id):
            raise errors.TooManyRequests(retry_after=wait)

    async def check(self, request: Request, here: Here, _form: Params) -> Response:
        """“I have confirmed on my phone”: ask, and complete if it is so."""
        here = await self._settled(request, here)
        if here.step is not Step.APPROVED or here.attempt is None:
            return self._back(here) if decided(here.step) else see_other(here.path, still="1")
        try:
            done = await self._complete(request, here, here.attempt)
        except errors.PersonDisabled as refusal:
            return self._view.page(request, here, problem=refusal)
        if done is None:
            return self._back(here)
        response = see_other(here.purpose.return_to)
        self.sessions.hand_out(response, done)
        return response

    async def _complete(self, request: Request, here: Here, attempt: Row) -> str | None:
        """The one transaction that lets somebody in: the cookie of the new session, or None if
        another was first (a second tab, a cancel, a newer attempt). Raises PersonDisabled."""
        number = self._services.vault.open_text("attempt", attempt["number_sealed"])
        method = self._method(attempt)
        now, replaces = self._services.clock.now(), self.sessions.presented(request)
        kiosk = here.purpose.kiosk

        async def work(tx: Transaction) -> str | None:
            person_id, allowed = await self.persons.meet(tx, number)
            if not allowed:
                await self._write(tx, request, here, REFUSED, person_id)
                return None
            session, cookie = await self.sessions.begin(
                tx,
                person_id,
                method.id,
                method.acr,
                method.amr,
                replaces,
                only_for=attempt["only_for"] or (here.purpose.relying_party if kiosk else ""),
                agent=browser_of(request.headers.get("user-agent", "")),
                seconds=KIOSK_SECONDS if kiosk else None,
            )
            if not await tx.run(
                store.FINISH, key=here.id, now=now, attempt=attempt["id"], session=session.id
            ):
                raise _Lost
            if not await tx.run(store.USED, key=attempt["id"], grace=now - GRACE):
                raise _Lost
            await self._write(tx, request, here, COMPLETED, person_id, **method.labels)
            return cookie

        try:
            cookie = await self._services.database.write(work)
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

        await self._services.database.write(work)
        await self._desk.give_up(here.attempt)
        return self._back(here)

    async def cancel(self, request: Request, here: Here, _form: Params) -> Response:
        now = self._services.clock.now()

        async def work(tx: Transaction) -> int:
            moved = await tx.run(store.CANCEL, key=here.id, now=now)
            if moved:
                await tx.run(store.REPLACE, login=here.id)
                await self._write(tx, request, here, CANCELLED)
            return moved

        if not await self._services.database.write(work):
            return self._back(here)
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
        item = caller_of(request).entry(
            event, client_id=here.purpose.relying_party, person_id=person, **detail
        )
        await self._services.trail.write(tx, item)

    @staticmethod
    def _back(here: Here) -> Response:
        return see_other(here.path)


class _Lost(Exception):
    """Another transaction was first: roll back."""


def _fault(method: Method | None, typed: str, number: str | None) -> str:
    if method is None:
        return "method"
    if not method.needs_number or number:
        return ""
    return "number" if typed.strip() else "empty"


def _seen(form: Params, login: Row) -> int:
    """How many attempts there were on the page whose button was pressed: of two clicks on one
    button, only the first rings a phone."""
    text = form.get("seen", "")
    known = text.isascii() and text.isdigit() and len(text) <= 6
    return int(text) if known else int(login["attempts"])
