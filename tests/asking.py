"""What the tests of the browser endpoints share: bare requests, what is stored, what a refusal
looks like."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from sqlalchemy import select, update

from idp.kernel.tables import authorizations, metadata, persons, sessions
from idp.login.session import COOKIE
from tests.actors import Browser, Page, Service, log_in
from tests.house import CALLBACK, HOME, ISSUER, TestHouse

ALICE, BOB = "A100000010", "A123456789"
SESSION_COOKIE, BROWSER_COOKIE = f"__Host-{COOKIE}", "__Host-idp_browser"
HOST = urlsplit(ISSUER).netloc
# rows about what is decided before, or beside, the store are run once, not for each database
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
# what is counted, remembered about our own keys or told to auditors is no trace of a request
_ASIDE = {"audit", "audit_seals", "counters", "stamps", "signing_keys", "further_signing_keys"}


async def stored(house: TestHouse) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that a request could leave something in."""
    found = {}
    for table in metadata.sorted_tables:
        if table.name not in _ASIDE:
            rows = await house.services.database.all(select(table))
            found[table.name] = sorted((tuple(dict(row).values()) for row in rows), key=repr)
    return found


async def rows(house: TestHouse, table: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in await house.services.database.all(select(table))]


async def open_authorization(house: TestHouse) -> str:
    """The id of the one request that waits for its person."""
    (row,) = [row for row in await rows(house, authorizations) if row["finished_at"] is None]
    return str(row["id"])


async def live_sessions(house: TestHouse) -> list[dict[str, Any]]:
    now = house.clock.now()
    found = await rows(house, sessions)
    return [row for row in found if row["ended_at"] is None and row["expires_at"] > now]


async def disable(house: TestHouse, number: str) -> None:
    """As `idp person disable` does."""
    known = house.house.login.persons
    person = await known.find(number)
    assert person is not None
    await house.services.database.write(lambda tx: known.switch(tx, person.id, enabled=False))


async def forget_end_of_sessions(house: TestHouse) -> None:
    """As if disabling had not ended the sessions: the second line of defence must hold alone."""
    await house.services.database.write(lambda tx: tx.run(update(sessions).values(ended_at=None)))
    assert await rows(house, persons)


@dataclass
class Answer:
    status: int
    headers: httpx.Headers
    text: str


async def bare(
    house: TestHouse,
    path: str,
    *,
    method: str = "GET",
    query: bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    host: str = HOST,
    scheme: str = "https",
    address: str = HOME,
) -> Answer:
    """A request exactly as a server would hand it in: no client library tidies it up. `path` is
    decoded, as in ASGI. What the application raises is not swallowed."""
    given = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": [*([(b"host", host.encode("latin-1"))] if host else []), *given],
        "client": (address, 4711),
        "server": (HOST, 443),
    }
    inbox: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    outbox: list[Any] = []

    async def receive() -> dict[str, Any]:
        if inbox:
            return inbox.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        outbox.append(message)

    await house.app(scope, receive, send)
    text = b"".join(m.get("body", b"") for m in outbox[1:]).decode()
    return Answer(outbox[0]["status"], httpx.Headers(outbox[0]["headers"]), text)


def form(fields: dict[str, str] | list[tuple[str, str]]) -> bytes:
    return urlencode(fields).encode()


FORM = (("content-type", "application/x-www-form-urlencoded"),)


def cookies(**values: str) -> tuple[tuple[str, str], ...]:
    return (("cookie", "; ".join(f"{k}={v}" for k, v in values.items())),)


def is_page(answer: Answer | Page, status: int, error: str) -> None:
    """An error page of ours: nothing leads away from here, nothing runs, nothing is kept."""
    text = answer.text if isinstance(answer, Answer) else answer.html
    assert answer.status == status, text
    assert "location" not in answer.headers
    assert f">{error}: " in text, text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-store"


def is_sent_back(location: str, error: str, state: str | None, uri: str = CALLBACK) -> None:
    """To the exact registered URI, with state as it came and iss (RFC 9207), and no code."""
    assert location.startswith(uri + "?"), location
    found = parse_qs(urlsplit(location).query, strict_parsing=True)
    assert found["error"] == [error], found
    assert found.get("state") == (None if state is None else [state])
    assert found["iss"] == [ISSUER]
    assert set(found) <= {"error", "error_description", "state", "iss"}


async def logged_in(
    house: TestHouse, service: Service, number: str = ALICE, method: str = "", **params: str
) -> Browser:
    """A browser with a session of this person, who has consented to openid and profile."""
    method = method or ("qr" if number == ALICE else "dongle")  # only some approve by themselves
    browser = Browser(house)
    page = await log_in(browser, service, method, number, **params)
    assert "code" in page.query, page.html
    return browser


async def another(house: TestHouse, name: str, **fields: Any) -> Service:
    """One more relying party, at a host of its own unless told otherwise."""
    uri = f"https://{name}.test/cb"
    registered = await house.register(None, **({"redirect_uris": (uri,)} | fields))
    return Service(house, registered, registered.client.metadata.redirect_uris[0])


def answered(page: Page) -> dict[str, str]:
    """The parameters that a service got by redirect."""
    return dict(parse_qsl(urlsplit(page.url).query))


def code_in(page: Page, uri: str = CALLBACK) -> str:
    assert page.url.startswith(uri + "?"), (page.url, page.status, page.html)
    assert "error" not in page.query, page.url
    return page.query["code"]
