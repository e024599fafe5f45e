"""The pages of the login. Each shows what flow.next_step says; each button is a POST that stores
something and answers 303 to the page, which looks again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from idp.kernel import audit, errors
from idp.kernel.answers import Answers
from idp.kernel.caller import adopt_reference, caller_of
from idp.kernel.database import Transaction
from idp.kernel.errors import VerificationError
from idp.kernel.forms import Params, read_form
from idp.kernel.services import Services
from idp.kernel.throttle import PerMinute, PerSecond
from idp.kernel.together import Together
from idp.kernel.web import no_store, prefer, see_other
from idp.login import attempts, journal, store
from idp.login.asking import AttemptPoller
from idp.login.browsers import browser_of
from idp.login.complete import Approval, Completion, Taker
from idp.login.entrance import Entrance
from idp.login.flow import (
    LoginTransaction,
    Step,
    VerificationAttempt,
    decided,
    next_step,
    page_state,
    worth_asking,
)
from idp.login.offer import Offers
from idp.login.opening import AttemptOpener, Opening
from idp.login.sealing import Sealing
from idp.login.view import METHOD_COOKIE, LoginRenderer, LoginView
from idp.verify import Method

CANCELLED = audit.event("login.cancelled", "the person cancelled the login")

OPENS_PER_MINUTE = 20  # in one login, counting those that are refused
PRESSES_PER_MINUTE = 60  # of any button of one login

Press = Callable[[Request, LoginView, Params], Awaitable[Response]]


class LoginPages:
    def __init__(
        self,
        services: Services,
        entrance: Entrance,
        offers: Offers,
        poller: AttemptPoller,
        opener: AttemptOpener,
        completion: Completion,
    ) -> None:
        self._services, self._entrance, self._offers = services, entrance, offers
        self._poller, self._opener, self._completion = poller, opener, completion
        self._settings, self._sealing = entrance.settings, Sealing(services.vault)
        self._renderer = LoginRenderer(
            services.clock, services.templates, services.forms, self._sealing
        )
        self._polls = Together(self._read, store.TOGETHER)

    def routes(self, answers: Answers) -> list[Route]:
        def post(path: str, press: Press) -> Route:
            async def endpoint(request: Request) -> Response:
                form = (await read_form(request)).once()
                browser = self._services.forms.check(request, form)
                await self._not_too_often(request, "login-press", PRESSES_PER_MINUTE)
                return await press(request, await self._view(request, browser), form)

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

    async def _read(self, ids: list[str]) -> Mapping[str, store.LoginAndAttempt]:
        return await store.find_logins(self._services.database, ids)

    async def _view(self, request: Request, browser: str | None) -> LoginView:
        found = await store.find_login(self._services.database, request.path_params["id"])
        return self._for_browser(request, browser, found)

    def _for_browser(
        self, request: Request, browser: str | None, found: store.LoginAndAttempt | None
    ) -> LoginView:
        """Raises AlreadyFinished, WrongBrowser: knowing the address gives nothing."""
        if found is None:
            raise errors.AlreadyFinished
        login, attempt = found
        if login.browser != browser:
            raise errors.WrongBrowser
        adopt_reference(request, login.reference)
        return self._at(login, attempt)

    async def _again(self, view: LoginView) -> LoginView:
        """The same login, its attempt as it is by now."""
        if view.attempt is None:
            return view
        attempt = await attempts.find_attempt(self._services.database, view.attempt.id)
        return self._at(view.login, attempt)

    def _at(self, login: LoginTransaction, attempt: VerificationAttempt | None) -> LoginView:
        offer = self._offers.of(login, attempt)
        if offer.current is None:  # nothing was begun, or its method has been switched off since
            attempt = None
        step = next_step(login, attempt, self._services.clock.now())
        return LoginView(login, attempt, step, offer)

    async def show(self, request: Request) -> Response:
        view = await self._view(request, caller_of(request).browser)
        if view.login.session_id is not None:
            # a second click, or the Back button: wherever it led, that place looks again
            return see_other(view.purpose.return_to)
        if view.step is Step.EXPIRED:
            view = await self._expired(request, view)
        return self._renderer.page(request, view)

    async def status(self, request: Request) -> Response:
        """The poll: one bit, whether to go and see. It never counts as use of a session and
        carries no outcome; `seen` is the state of the page that asks."""
        login_id = request.path_params["id"]
        wait = await self._services.throttle.hit(PerSecond(1), "status", login_id)
        if wait:
            raise errors.TooManyRequests(retry_after=wait)
        found = await self._polls.get(login_id)
        view = self._for_browser(request, caller_of(request).browser, found)
        view = await self._asked(request, view)
        now = page_state(view.login, view.step)
        done = decided(view.step) or request.query_params.get("seen", now) != now
        answer = {"state": "done" if done else "pending", "seconds": self._renderer.seconds(view)}
        return no_store(JSONResponse(answer))

    async def _decided(self, request: Request, view: LoginView) -> LoginView:
        """A person who presses a button is worth waiting for: until the upstream may be asked
        again, or somebody else's question has been answered."""
        clock = self._services.clock
        until = clock.monotonic() + self._settings.ask_seconds + 0.5
        while True:
            view = await self._asked(request, view)
            waiting = view.step in (Step.OPENING, Step.WAIT, Step.SCAN)
            if not waiting or clock.monotonic() >= until:
                return view
            await clock.sleep(0.5)
            view = await self._again(view)

    async def _asked(self, request: Request, view: LoginView, *, woken: bool = False) -> LoginView:
        if view.attempt is None:
            return view
        asked = await self._poller.ask(view.attempt, caller_of(request), woken=woken)
        return await self._again(view) if asked else view

    async def _expired(self, request: Request, view: LoginView) -> LoginView:
        """Asked once more: an approval of the last second counts. Otherwise it ends here."""
        view = await self._asked(request, view, woken=True)
        attempt, method, now = view.attempt, view.offer.current, self._services.clock.now()
        over = view.step is Step.EXPIRED
        if over and attempt and method and not worth_asking(attempt, now):
            await self._poller.expire(attempt, method, caller_of(request))
        return view

    # ── pressing ───────────────────────────────────────────────────────────────────────────────

    async def choose(self, request: Request, view: LoginView, form: Params) -> Response:
        """Method and number from the first page; every fault is told at its field."""
        if view.step is Step.FINISHED:
            return _back(view)
        method = next((m for m in view.offer.methods if m.name == form.get("method")), None)
        number = self._entrance.canonical(form.get("pid", ""), method)
        fault = _fault(method, form.get("pid", ""), number)
        if fault or method is None:
            view = replace(view, attempt=None, step=Step.CHOOSE)
            return self._renderer.page(request, view, fault=fault, typed=form)
        return await self._open(request, view, method, number, form)

    async def regenerate(self, request: Request, view: LoginView, form: Params) -> Response:
        """A new attempt by the same method for the same person. The upstream is asked first: an
        approval that came meanwhile counts."""
        view = await self._asked(request, view)
        attempt, method = view.attempt, view.offer.current
        over = view.step in (Step.FINISHED, Step.APPROVED)
        if attempt is None or method is None or over:
            return _back(view)
        if self._renderer.locked(view):
            return see_other(view.path, soon="1")
        return await self._open(request, view, method, self._sealing.number_of(attempt), form)

    async def scan(self, request: Request, view: LoginView, form: Params) -> Response:
        """From the phone that did not ring to a code that it can scan, for the same person:
        the number is still with the attempt."""
        view = await self._asked(request, view)
        method, attempt = view.scannable, view.attempt
        if method is None or attempt is None:
            return _back(view)
        return await self._open(request, view, method, self._sealing.number_of(attempt), form)

    async def _open(
        self, request: Request, view: LoginView, method: Method, number: str | None, form: Params
    ) -> Response:
        await self._not_too_often(request, "login-open", OPENS_PER_MINUTE)
        seen = _seen(form, view.login)
        if seen == view.login.attempts >= self._settings.attempts:
            return self._renderer.page(request, view, problem=errors.AlreadyFinished())
        number = number if method.needs_number else None
        opening = Opening(view.login, method, number, caller_of(request), seen)
        try:
            opened = await self._opener.open(opening)
        except VerificationError as refusal:
            return self._renderer.page(request, view, problem=refusal)
        if opened:
            await self._opener.give_up(view.attempt)
        response = _back(view)
        if not view.purpose.kiosk:
            prefer(request, response, METHOD_COOKIE, method.name, max_age=31_536_000)
        return response

    async def _not_too_often(self, request: Request, what: str, most: int) -> None:
        """In one login. Even what a budget refuses costs us rows. Raises TooManyRequests."""
        login_id = request.path_params["id"]
        if wait := await self._services.throttle.hit(PerMinute(most), what, login_id):
            raise errors.TooManyRequests(retry_after=wait)

    async def check(self, request: Request, view: LoginView, form: Params) -> Response:
        """“I have confirmed on my phone”: ask, and complete if it is so. What a browser brought
        back is completed only from the page that said whose verification it is."""
        view = await self._decided(request, view)
        attempt, method = view.attempt, view.offer.current
        if view.step is not Step.APPROVED or attempt is None or method is None:
            return _back(view) if decided(view.step) else see_other(view.path, still="1")
        if view.to_confirm and form.get("approval") != attempt.id:
            return _back(view)
        approval = Approval(view.login, attempt, method)
        try:
            cookie = await self._completion.complete(approval, self._taker(request))
        except errors.PersonDisabled as refusal:
            return self._renderer.page(request, view, problem=refusal)
        if cookie is None:
            return _back(view)
        response = see_other(view.purpose.return_to)
        self._entrance.sessions.set_cookie(response, cookie)
        return response

    def _taker(self, request: Request) -> Taker:
        agent = browser_of(request.headers.get("user-agent", ""))
        return Taker(caller_of(request), self._entrance.sessions.presented(request), agent)

    async def other(self, _request: Request, view: LoginView, _form: Params) -> Response:
        """Another way: the attempt no longer counts, whatever the phone says later."""

        async def work(tx: Transaction) -> None:
            if await store.drop_attempt(tx, view.login.id):
                await attempts.replace_attempts(tx, view.login.id)

        await self._services.database.write(work)
        await self._opener.give_up(view.attempt)
        return _back(view)

    async def cancel(self, request: Request, view: LoginView, _form: Params) -> Response:
        now = self._services.clock.now()
        entry = caller_of(request).entry(CANCELLED, client_id=view.purpose.relying_party)

        async def work(tx: Transaction) -> bool:
            cancelled = await store.cancel_login(tx, view.login.id, now)
            if cancelled:
                await attempts.replace_attempts(tx, view.login.id)
                await self._services.trail.write(tx, entry)
            return cancelled

        if not await self._services.database.write(work):
            return _back(view)
        journal.line(CANCELLED, caller_of(request), view.purpose.relying_party, "cancelled")
        await self._opener.give_up(view.attempt)
        return see_other(view.purpose.cancel_to)


def _back(view: LoginView) -> Response:
    return see_other(view.path)


def _fault(method: Method | None, typed: str, number: str | None) -> str:
    if method is None:
        return "method"
    if not method.needs_number or number:
        return ""
    return "number" if typed.strip() else "empty"


def _seen(form: Params, login: LoginTransaction) -> int:
    """How many attempts there were on the page whose button was pressed: of two clicks on one
    button, only the first rings a phone."""
    text = form.get("seen", "")
    known = text.isascii() and text.isdigit() and len(text) <= 6
    return int(text) if known else login.attempts
