"""Every page in every state, drawn by the rooms' own code from sample data.

The one list for whoever looks at pages: `idp pages check`, the browser tests, the pictures of the
documents. A template that no sample draws fails the check.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import httpx
from starlette.requests import Request
from starlette.responses import Response

from idp.account.pages import DONE, GONE
from idp.house import build
from idp.kernel import errors
from idp.kernel.answers import Answers
from idp.kernel.audit import Trail
from idp.kernel.caller import Caller
from idp.kernel.clock import Clock, moment
from idp.kernel.database import Database
from idp.kernel.errors import IdpError, VerificationError
from idp.kernel.forms import Forms, Params
from idp.kernel.keyring import KeyRing
from idp.kernel.mail import Letter, Mailer
from idp.kernel.outbox import Outbox
from idp.kernel.outward import Outward
from idp.kernel.services import Services
from idp.kernel.settings import BrandSettings
from idp.kernel.templates import Templates
from idp.kernel.throttle import Throttle, windows_at
from idp.kernel.vault import Vault
from idp.kernel.web import Cookies
from idp.login.budgets import Budgets
from idp.login.flow import (
    AttemptState,
    Drawing,
    LoginTransaction,
    Purpose,
    VerificationAttempt,
    next_step,
)
from idp.login.history import Result
from idp.login.offer import Offers
from idp.login.sealing import Sealing
from idp.login.view import LoginRenderer, LoginView
from idp.onboarding.calendar import day_of
from idp.onboarding.notices import letter
from idp.onboarding.store import Document, Found
from idp.onboarding.workflow import Action, Case, Kind, Notice, State
from idp.registry.metadata import ClientMetadata
from idp.settings import Settings

ISSUER, HOME = "https://id.example.gov.tw", "https://library.example.gov.tw/"
NUMBER, REFERENCE, LOGIN = "A123456789", "01JD8Z4K9Q", "sample-login"
QR = json.dumps({"qrid": "20261122093000000001", "op": "AUTH", "sysaction": "登入"})
PHONE = "Mozilla/5.0 (Linux; Android 15) Mobile"
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64)"
PENDING, ENDED = AttemptState.PENDING, AttemptState.ENDED


class Drawn(Templates):
    """Remembers which templates were drawn."""

    seen: frozenset[str] = frozenset()

    def render(self, name: str, language: str, **context: Any) -> str:
        self.seen |= {name}
        return super().render(name, language, **context)


class Studio:
    """The rooms that draw, over a ground floor without a database: what is drawn needs none."""

    def __init__(self, brand: BrandSettings) -> None:
        self.settings = Settings.model_validate(
            {
                "issuer": ISSUER,
                "brand": brand,
                "twfido": {
                    "base_url": "https://fido.moi.gov.tw",
                    "syscode": "2" * 20,
                    "api_keys": (secrets.token_hex(16),),
                },
            }
        )
        self.clock, self.vault = Clock(), Vault(secrets.token_bytes(32))
        self.templates = Drawn(self.settings.brand)
        none = cast(Database, None)
        outbox = Outbox(none, self.vault, self.clock)
        self.services = Services(
            settings=self.settings,
            clock=self.clock,
            database=none,
            vault=self.vault,
            trail=Trail(none, self.vault, self.clock),
            throttle=Throttle(windows_at(None)),
            keyring=KeyRing(none, self.vault, self.clock),
            forms=Forms(Cookies(secure=True), ISSUER, self.vault.secrets("forms")),
            templates=self.templates,
            outward=Outward(self.settings.outward, self.clock),
            outbox=outbox,
            mailer=Mailer(self.settings.mail, outbox, self.clock, self.settings.brand.name),
        )
        house = build(self.services, self.settings, httpx.AsyncBaseTransport())
        self.sealing, self.answers = Sealing(self.vault), Answers(self.templates)
        self.offers = Offers(house.schemes, self.sealing, Budgets(self.settings.login))
        self.renderer = LoginRenderer(self.clock, self.templates, self.services.forms, self.sealing)

    def page(self, request: Request, template: str, **context: Any) -> Response:
        return self.templates.page(request, template, **context)


@dataclass(frozen=True, slots=True)
class Sample:
    """One page in one state. Samples of the same `page` may have the same title."""

    page: str
    state: str
    draw: Callable[[Studio, Request], Response]
    query: str = ""
    agent: str = DESKTOP

    @property
    def name(self) -> str:
        return f"{self.page}-{self.state}" if self.state else self.page

    def shown(self, studio: Studio, language: str) -> Response:
        query = f"lang={language}&{self.query}".rstrip("&")
        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/login/{LOGIN}",
            "query_string": query.encode(),
            "headers": [(b"user-agent", self.agent.encode())],
            "state": {"caller": Caller("203.0.113.7", REFERENCE), "https": True},
        }
        return self.draw(studio, Request(scope))


# ── the login ───────────────────────────────────────────────────────────────────────────────────

SHOWS = {"push": "wait", "qr": "scan", "web": "leave", "dongle": "leave"}


def _drawing(studio: Studio, method: str, app_link: str) -> Drawing:
    away = SHOWS[method] == "leave"
    return Drawing(
        SHOWS[method],
        display_name="國家圖書館 館藏服務",
        masked="" if method == "web" else "A1****6789",
        qr=QR if method == "qr" else None,
        app_link=app_link,
        action="https://fido.moi.gov.tw/rp-api-fweb-01" if away else None,
        fields_sealed=studio.sealing.fields([("syscode", "2020")]) if away else "",
    )


def _login_of(methods: tuple[str, ...], now: int) -> LoginTransaction:
    purpose = Purpose(
        service="館藏服務",
        service_en="Library services",
        agency="國家圖書館",
        relying_party="sample",
        return_to="/authorize/sample",
        cancel_to="/authorize/sample/cancelled",
        methods=methods,
        form_targets=("https://library.example.gov.tw",),
        home=HOME,
    )
    return LoginTransaction(
        id=LOGIN,
        browser="sample-browser",
        reference=REFERENCE,
        relying_party="sample",
        purpose=purpose,
        attempts=1,
        attempt_id=None,
        session_id=None,
        created_at=now,
        expires_at=now + 1800,
        finished_at=None,
    )


def _login(
    method: str = "",
    *,
    state: AttemptState = PENDING,
    why: type[VerificationError] | None = None,
    age: int = 5,
    handle: str | None = "1",
    app_link: str = "",
    methods: tuple[str, ...] = (),
    problem: IdpError | None = None,
    fault: str = "",
    typed: str = "",
    returned: str = "",
) -> Callable[[Studio, Request], Response]:
    """A login `age` seconds after its attempt was opened by `method`."""

    def attempt_of(studio: Studio, login: LoginTransaction, now: int) -> VerificationAttempt:
        return VerificationAttempt(
            id="sample-attempt",
            login_id=login.id,
            reference=login.reference,
            relying_party=login.relying_party,
            browser=login.browser,
            method=method,
            shows=SHOWS[method],
            system="",
            handle=handle,
            number_index=None,
            number_sealed=studio.sealing.number(NUMBER),
            drawing=_drawing(studio, method, app_link),
            sole_relying_party="",
            returned_code=returned,
            state=state,
            why=why,
            opened_at=now - age,
            expires_at=now - age + 180,
            asked_at=0,
        )

    def draw(studio: Studio, request: Request) -> Response:
        now = studio.clock.now()
        login = _login_of(methods, now)
        attempt = attempt_of(studio, login, now) if method else None
        step, offer = next_step(login, attempt, now), studio.offers.of(login, attempt)
        form = Params(pid=typed) if fault else None
        view = LoginView(login, attempt, step, offer)
        return studio.renderer.page(request, view, fault, form, problem)

    return draw


def logins() -> Iterator[Sample]:
    often = errors.TooManyPushes(retry_after=540)
    yield Sample("choose", "", _login())
    yield Sample("choose", "phone", _login(), agent=PHONE)
    yield Sample("choose", "web-only", _login(methods=("web",)))
    yield Sample("choose-fault", "method", _login(fault="method"))
    yield Sample("choose-fault", "empty", _login(fault="empty"))
    yield Sample("choose-fault", "number", _login(fault="number", typed="A12345678"))
    yield Sample("opening", "", _login("push", state=AttemptState.OPENING, age=1))
    yield Sample("push", "", _login("push"))
    yield Sample("push", "later", _login("push", age=60))
    yield Sample("push", "still", _login("push", age=60), query="still=1")
    yield Sample("push", "soon", _login("push"), query="soon=1")
    yield Sample("scan", "", _login("qr"))
    yield Sample("scan", "still", _login("qr"), query="still=1")
    yield Sample("scan", "phone", _login("qr", app_link="tw.gov.moi:x"), agent=PHONE)
    yield Sample("leave", "web", _login("web", handle=None))
    yield Sample("leave-dongle", "", _login("dongle", handle=None))
    yield Sample("returned", "", _login("web", returned="0"))
    yield Sample("approved", "", _login("qr", state=AttemptState.APPROVED))
    yield Sample("confirm", "web", _login("web", state=AttemptState.APPROVED))
    yield Sample("expired", "push", _login("push", age=200))
    yield Sample("expired", "qr", _login("qr", age=200))
    apart = (VerificationError, errors.Expired, errors.TooManyPushes, errors.Maintenance)
    for why in errors.all_errors():
        if issubclass(why, VerificationError) and why not in apart:
            yield Sample(why.code, "", _login("qr", state=ENDED, why=why))
    yield Sample("TF-2101", "push", _login("push", state=ENDED, why=errors.Denied))
    yield Sample("TF-2105", "", _login(problem=often))
    yield Sample("TF-2203", "", _login(problem=errors.Maintenance(1_800_000_000)))
    yield Sample("TF-2105", "ringing", _login("push", problem=often))
    yield Sample("TF-3006", "login", _login("qr", problem=errors.PersonDisabled()))
    yield Sample("TF-3002", "login", _login("qr", problem=errors.AlreadyFinished()))


# ── errors ──────────────────────────────────────────────────────────────────────────────────────


def _error(error: IdpError) -> Callable[[Studio, Request], Response]:
    return lambda studio, request: studio.answers.as_page(request, error)


def failures() -> Iterator[Sample]:
    """Every error of the tree that can be a page of its own."""
    groups = (errors.ProtocolError, errors.PageError)
    for kind in errors.all_errors():
        if kind not in groups and not issubclass(kind, VerificationError):
            yield Sample(kind.code, kind.__name__, _error(kind()))
    finished = errors.AlreadyFinished("館藏服務", "Library services", HOME)
    yield Sample("TF-3002", "home", _error(finished))
    sent, known = "https://service.test/callback/", "https://service.test/callback"
    yield Sample("TF-1002", "sandbox", _error(errors.RedirectUriMismatch(sent, (known,), 29)))


# ── a person's own page ─────────────────────────────────────────────────────────────────────────

WHEN = moment(1_790_000_000)
SERVICE = {
    "id": "sample",
    "name": "館藏服務",
    "name_en": "Library services",
    "agency": "國家圖書館",
}
WALLET = {"id": "/wecard", "name": "/wecard", "name_en": "", "agency": ""}


def account() -> Iterator[Sample]:
    form = {"csrf": "x", "session": "x", "at": "/account"}
    given = {"when": WHEN, "method": "qr", "claims": ("name", "twid"), "service": SERVICE}
    lines = [given | {"result": result.value} for result in Result]
    lines.append(given | {"result": "waiting", "method": "push", "claims": (), "service": WALLET})
    here = {"agent": "Chrome, Windows", "method": "qr", "since": WHEN, "seen": WHEN}
    sessions = [
        here | {"handle": "a", "this": True, "only_for": None},
        here | {"handle": "b", "this": False, "only_for": SERVICE, "agent": ""},
    ]
    full = {"lines": lines, "sessions": sessions, "consents": [{"service": SERVICE, "since": WHEN}]}
    full |= {"more": "1.a", "earlier": False, "days": 180, "paused_at": WHEN}
    full["me"] = "A1****6789"
    none = full | {"lines": [], "consents": [], "sessions": sessions[:1], "paused_at": None}
    drawn = {done: full | {"done": done} for done in DONE}
    drawn |= {"first": none | {"done": "", "more": ""}, "earlier": full | {"earlier": True}}
    for state, shown in drawn.items():
        yield Sample(
            "account", state, _plain("account/account.html", **({"done": ""} | shown), **form)
        )
    yield Sample("withdraw", "", _plain("account/withdraw.html", service=SERVICE, **form))
    yield Sample("not-me", "", _plain("account/not_me.html", **form))
    for done in ("", *GONE):
        left = _plain("account/left.html", start="/account", done=done)
        yield Sample(f"account-left-{done}".rstrip("-"), "", left)


# ── consent, return, logout ─────────────────────────────────────────────────────────────────────

CLIENT = ClientMetadata(
    client_name="館藏服務",
    client_name_en="Library services",
    client_uri=HOME,
    policy_uri=f"{HOME}privacy",
    purpose="借閱與預約館藏",
    purpose_en="Borrowing and reserving books",
    redirect_uris=(f"{HOME}callback",),
    scopes=("openid", "profile", "email", "twid"),
)
CLAIMS = [
    ("name", "王小明"),
    ("gender", "male"),
    ("email", "ming@example.gov.tw"),
    ("twid", "A1****6789"),
]


def _plain(template: str, **context: Any) -> Callable[[Studio, Request], Response]:
    return lambda studio, request: studio.page(request, template, **context)


def protocol() -> Iterator[Sample]:
    asked = {"client": CLIENT, "authorization_id": "sample", "csrf": "x", "session": "x"}
    asked |= {"asked_at": WHEN, "browser": "Chrome, Windows", "withheld": ["phone_number"]}
    for state, rows, long_lived, kiosk in (
        ("", CLAIMS, False, False),
        ("nothing", [], True, False),
        ("kiosk", CLAIMS, False, True),
    ):
        more: dict[str, Any] = {"rows": rows, "long_lived": long_lived, "kiosk": kiosk, "apis": []}
        more["clears"] = "/authorize/sample/cancelled" if kiosk else ""
        yield Sample("consent", state, _plain("oidc/consent.html", **asked, **more))
    apis = [("讀取您的借閱紀錄", "Read what you borrowed"), ("library:renew", "")]
    yield Sample(
        "consent",
        "apis",
        _plain("oidc/consent.html", **asked, rows=[], apis=apis, long_lived=True, kiosk=False),
    )
    sent = {"code": "sample", "state": "sample"}
    yield Sample("form-post", "", _plain("oidc/form_post.html", action=HOME, fields=sent))
    into = {"client": CLIENT, "location": "tw.gov.library:/callback?code=sample"}
    yield Sample("app", "", _plain("oidc/return_app.html", failed=False, **into))
    yield Sample("app-failed", "", _plain("oidc/return_app.html", failed=True, **into))
    still: dict[str, Any] = {"frames": (), "onward": "", "press": True}
    for state, client in (("", CLIENT), ("nobody", None)):
        yield Sample(
            "logout", state, _plain("oidc/logout.html", client=client, fields={}, csrf="x")
        )
        yield Sample("logged-out", state, _plain("oidc/logged_out.html", client=client, **still))
    leaving = {"frames": ("about:blank",), "onward": HOME, "press": True}
    yield Sample("logged-out", "frames", _plain("oidc/logged_out.html", client=CLIENT, **leaving))


# ── the card page ───────────────────────────────────────────────────────────────────────────────

CARDS = [
    {
        "value": str(serial),
        "number": str(serial),
        "name": "王＊明",
        "organization": "國家圖書館/讀者服務組",
        "until": "2027-12-31",
    }
    for serial in (7302590, 7302591)
]


def cards() -> Iterator[Sample]:
    at = {"start": "/wecard", "minutes": 10}
    for state, shown, notice in (
        ("", CARDS, ""),
        ("stale", CARDS, "stale"),
        ("often", CARDS, "often"),
        ("none", [], ""),
    ):
        form = {"csrf": "x", "session": "x", "once": "x", "notice": notice}
        yield Sample("cards", state, _plain("wecard/cards.html", cards=shown, **form, **at))
    code = {"code": "7KQ4 M2XP", "card": CARDS[0], "until": "09:40"}
    yield Sample("code", "", _plain("wecard/code.html", **code, **at))
    yield Sample("left", "", _plain("wecard/left.html", **at))


def samples() -> list[Sample]:
    return [*logins(), *failures(), *protocol(), *account(), *cards()]


def mails(studio: Studio) -> Iterator[tuple[str, Letter]]:
    """Every mail of the road, by its name."""
    now = studio.clock.now()
    case = Case(
        "B1151130001",
        Kind.SERVICE,
        Action.NEW,
        State.SANDBOX,
        until=now + 7 * 86_400,
        planned=day_of(now + 60 * 86_400),
    )
    document = Document(email="applicant@library.gov.tw", remarks={"": "請說明蒐集個人資料之用途"})
    found = Found(case, document, "", "圖書館借書證", "國家圖書館", 1, now, now)
    for notice in Notice:
        yield notice.value, letter(studio.templates, notice, found, now, f"{ISSUER}/…")
