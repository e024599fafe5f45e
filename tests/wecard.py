"""An organisation with members and WeCard applications, in process: for the tests of cards."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from Crypto.Cipher import AES
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from idp.house import directory_of, ends_of
from idp.kernel import schema
from idp.kernel.answers import Answers
from idp.kernel.edge import Edge
from idp.kernel.errors import IdpError
from idp.kernel.services import Services, make_services
from idp.kernel.settings import KernelSettings
from idp.kernel.tables import audit, binding_codes, counters
from idp.login.flow import Purpose
from idp.login.persons import Persons
from idp.login.session import COOKIE, Sessions, SessionSettings
from idp.login.verified import Verified
from idp.members import wecard_client
from idp.members.directory import Directory, ImportReport
from idp.members.passwords import hash_password
from idp.members.routes import routes
from idp.members.settings import MembersSettings
from idp.verify import App, numbers
from tests.house import StillClock, quick_key

ISSUER = "https://id.example"
APP_KEY, APP_SECRET = "0123456789ABCDEF", "FEDCBA9876543210-and-more"
KEY, IV = APP_KEY.encode(), APP_SECRET[:16].encode()
PATHS = {
    "codes": "Nk3cVq0dJx7pTtS1zBwR8g",
    "words": "pP5mYc2hKe9rUu4aLfX6dQ",
    "both": "tG8nWd1sZb6vHq3kMxC7jA",
}
TENCENT, ELSEWHERE, PROXY = "203.0.113.9", "198.51.100.7", "10.0.0.1"
ALICE, BOB = "A123456789", "B222222228"  # national IDs
CARD, WORD_CARD = "07302590", "0031090058"
WORD = "correct horse"
MEMBERS = f"""card_number,name,gender,identity_type,organization,national_id,email,telephone,\
id_card,card_type,valid_until,password_hash
{CARD},王小明,男,職員,某某大學/資訊學院,{ALICE},ming@example.org,+886912345678,{ALICE},1,,
99000001,王小明,男,訪客,某某大學,{ALICE},,,,,2020-01-01,
{WORD_CARD},陳美,女,用户,某某大學;校友會,,,,,,,"{{hashed}}"
"""
REFUSED = '{"code":1001,"message":"验证失败","app_key":"' + APP_KEY + '"}'
_HASH = hash_password(WORD)


def application(name: str, credential: str, **more: Any) -> dict[str, Any]:
    return {
        "path": PATHS[name],
        "app_key": APP_KEY,
        "app_secret": APP_SECRET,
        "allowed_sources": ["203.0.113.0/28"],
        "credential": credential,
        "identity_types": {"職員": "员工", "用户": "用户"},
        **more,
    }


def settings() -> MembersSettings:
    return MembersSettings.model_validate(
        {
            "wecard": {
                "codes": application("codes", "binding_code", fields=["email", "expire_at"]),
                "words": application("words", "password"),
                "both": application("both", "either", fields=["card_type", "id_card"]),
            }
        }
    )


class Reception:
    """Stands for the login room: real persons and sessions, but nobody is ever verified."""

    def __init__(self, services: Services) -> None:
        database, clock, ends = services.database, services.clock, ends_of(services)
        self._persons = Persons(database, services.vault, clock, ends)
        self._sessions = Sessions(database, clock, services.forms.cookies, SessionSettings(), ends)
        self.begun: list[Purpose] = []

    @property
    def persons(self) -> Persons:
        return self._persons

    @property
    def sessions(self) -> Sessions:
        return self._sessions

    async def begin(self, request: Request, purpose: Purpose) -> Response:
        self.begun.append(purpose)
        return RedirectResponse("/login/begun", 303)


@dataclass
class Organisation:
    services: Services
    clock: StillClock
    settings: MembersSettings
    app: ASGIApp = field(init=False)
    login: Reception = field(init=False)

    def __post_init__(self) -> None:
        self.login = Reception(self.services)
        answers = Answers(self.services.templates)
        inner = Starlette(
            routes=routes(self.services, self.settings, self.login, self.directory, answers)
        )
        inner.add_exception_handler(IdpError, _plainly)
        self.app = Edge(inner, ISSUER, self.services.settings.web, self.services.settings.mtls)

    @property
    def directory(self) -> Directory:
        return directory_of(self.services)

    async def enrol(self, sheet: str, **options: bool) -> ImportReport:
        return await self.directory.take_in(
            sheet.splitlines(keepends=True), numbers.canonical, **options
        )

    # ── Tencent's side ─────────────────────────────────────────────────────────────────────────

    def client(self, address: str = TENCENT) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 40000))
        return httpx.AsyncClient(transport=transport, base_url=ISSUER)

    async def ask(
        self, card: str, password: str, *, to: str = "codes", **options: Any
    ) -> wecard_client.Exchange:
        async with self.client() as client:
            return await wecard_client.call(
                f"{ISSUER}/wecard/{PATHS[to]}",
                app_key=APP_KEY,
                app_secret=APP_SECRET,
                card_number=card,
                password=password,
                client=client,
                **options,
            )

    async def post(
        self, content: bytes, *, to: str = "codes", kind: str = "application/json"
    ) -> httpx.Response:
        async with self.client() as client:
            headers = {"content-type": kind}
            return await client.post(f"/wecard/{PATHS[to]}", content=content, headers=headers)

    # ── the person's side ──────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def browser(self, number: str | None) -> AsyncIterator[httpx.AsyncClient]:
        """A browser; with a session of the person with this national ID, if there is one."""
        async with self.client(ELSEWHERE) as browser:
            if number is not None:
                browser.cookies.set(f"__Host-{COOKIE}", await self.session(number))
            yield browser

    async def session(self, number: str) -> str:
        async def work(tx: Any) -> str:
            person = await self.login.persons.meet(tx, number)
            verified = Verified(number, "twfido:qr", "acr", ("pop",), "", self.clock.now())
            begun = await self.login.sessions.begin(tx, person.id, verified, None)
            return begun[1]

        return await self.services.database.write(work)

    async def code(self, number: str = ALICE) -> str:
        """A fresh code of this person's first card, through the page."""
        async with self.browser(number) as browser:
            page = await browser.get("/wecard")
            answer = await browser.post("/wecard", data=hidden(page.text))
            found = re.search(r'id="code"[^>]*>([^<]+)<', answer.text)
            assert found, answer.text
            return found[1]

    # ── what is stored ─────────────────────────────────────────────────────────────────────────

    async def counted(self, kind: str) -> list[int]:
        rows = await self.services.database.all(select(counters).where(counters.c.kind == kind))
        return sorted(row["count"] for row in rows)

    async def events(self, event: str) -> list[dict[str, Any]]:
        found = await self.services.trail.search()
        return [entry for entry in found if entry["event"] == event]

    async def reasons(self) -> list[str]:
        return [entry["detail"]["why"] for entry in await self.events("card.refused")]

    async def unspent(self) -> int:
        rows = await self.services.database.all(
            select(binding_codes).where(binding_codes.c.spent_at.is_(None))
        )
        return len(rows)

    async def everything(self) -> str:
        """The audit trail and the counters as text: what a look at the tables tells."""
        rows = [
            dict(row)
            for table in (audit, counters)
            for row in await self.services.database.all(select(table))
        ]
        return repr(rows)


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of a page and its first radio button."""
    found = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
    card = re.search(r'name="card" value="([^"]*)"', page)
    return {**found, "card": card[1] if card else ""}


async def _plainly(_request: Request, error: Exception) -> Response:
    assert isinstance(error, IdpError)
    return PlainTextResponse(error.code, status_code=error.status)


# ── messages ────────────────────────────────────────────────────────────────────────────────────


def sealed(plain: str | bytes) -> str:
    """raw_data with this plaintext, also where our own code would never write it."""
    data = plain.encode() if isinstance(plain, str) else plain
    padded = data + b"\0" * (-len(data) % 16)
    return bytes(AES.new(KEY, AES.MODE_CBC, iv=IV).encrypt(padded)).hex()


def body(raw_data: Any, app_key: Any = APP_KEY) -> bytes:
    return json.dumps({"raw_data": raw_data, "app_key": app_key}).encode()


def plaintext(card: str = CARD, typed: str = "x") -> str:
    return json.dumps({"card_number": card, "password": typed}, separators=(",", ":"))


# ── fixtures ────────────────────────────────────────────────────────────────────────────────────


def upgraded(url: str) -> None:
    """In a thread: Alembic wants an event loop of its own for PostgreSQL."""
    thread = threading.Thread(target=schema.upgrade, args=(url,))
    thread.start()
    thread.join()


@pytest.fixture(params=["sqlite", "postgres"])
def card_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database with our schema, once of each kind."""
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        url: str = server.create_database(template=server.template("cards", upgraded))
        return url
    url = f"sqlite:///{tmp_path}/idp.sqlite3"
    upgraded(url)
    return url


@pytest.fixture
async def found(card_database: str) -> AsyncIterator[Callable[..., Any]]:
    """Makes organisations on one database; closes what they opened."""
    opened = []

    async def make(members: MembersSettings | None = None) -> Organisation:
        clock = StillClock()
        services = make_services(
            KernelSettings.model_validate(
                {
                    "issuer": ISSUER,
                    "database": {"url": card_database},
                    "keys": {"master_key": "6b" * 32},
                    "web": {"trusted_proxies": (PROXY,)},
                }
            ),
            clock,
            quick_key,
        )
        services.templates.name_app(App("行動自然人憑證", "TW FidO"))
        await services.database.open()
        opened.append(services.database)
        return Organisation(services, clock, members or settings())

    yield make
    for database in opened:
        await database.close()


@pytest.fixture
async def organisation(found: Callable[..., Any]) -> Organisation:
    """An organisation with three cards of two people."""
    made: Organisation = await found()
    report = await made.enrol(MEMBERS.format(hashed=_HASH))
    assert report.added == 3, report
    return made
