"""Single sign-on sessions: what the cookie is, when it dies, and who cannot use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from idp.kernel.tables import logins, sessions
from tests.actors import Browser, Service, log_in, verify
from tests.asking import (
    ALICE,
    BOB,
    BROWSER_COOKIE,
    SESSION_COOKIE,
    SQLITE,
    another,
    bare,
    code_in,
    cookies,
    disable,
    forget_end_of_sessions,
    form,
    is_page,
    is_sent_back,
    live_sessions,
    logged_in,
    rows,
    stored,
)
from tests.house import TestHouse

HOST = "id.test"


def cookie(browser: Browser) -> str:
    return browser.cookies[HOST][SESSION_COOKIE]


async def silent(browser: Browser, service: Service) -> str:
    """Empty if there is a session, else the error."""
    page = await browser.open(service.url(prompt="none"))
    return page.query.get("error", "")


async def test_a_planted_session_is_left_behind(house: TestHouse, service: Service) -> None:
    """SS-01: ASVS 7.2.4; a new id at login, whatever the browser brought, alive or made up."""
    attacker = await logged_in(house, await another(house, "other", trusted=True), BOB)
    for planted in (cookie(attacker), "a" * 43):
        victim = Browser(house)
        victim.cookies[HOST] = {SESSION_COOKIE: planted}
        await victim.open(service.url(prompt="login"))
        page = await verify(victim)
        code_in(page if "code" in page.query else await victim.press("allow"))
        assert cookie(victim) != planted
    # the attacker's own session ended too: it is no way back in
    assert await silent(attacker, service) == "login_required"
    for row in await live_sessions(house):
        assert row["method"] == "twfido:qr"


async def test_a_new_session_at_every_login(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """SS-01: also at re-authentication; the old id is dead."""
    await log_in(browser, service)
    old = cookie(browser)
    await browser.open(service.url(prompt="login"))
    code_in(await verify(browser))
    assert cookie(browser) != old
    before = Browser(house)
    before.cookies[HOST] = {SESSION_COOKIE: old}
    assert await silent(before, service) == "login_required"
    assert len(await live_sessions(house)) == 1


async def test_what_the_cookie_is(house: TestHouse, service: Service) -> None:
    """SS-04: 256 random bits and nothing else; the store has only a digest of them."""
    browser = Browser(house)
    await browser.open(service.url())
    assert SESSION_COOKIE not in browser.cookies[HOST]
    await verify(browser)
    value = cookie(browser)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", value)
    kept = repr(await stored(house))
    assert value not in kept
    assert browser.cookies[HOST][BROWSER_COOKIE] not in kept
    assert ALICE not in kept


@SQLITE
async def test_how_cookies_are_set(house: TestHouse, service: Service) -> None:
    """NIST SP 800-63B-4 §5.1: __Host-, Secure, HttpOnly, Lax; every one, also mere tastes."""
    browser = Browser(house)
    page = await browser.open(service.url())
    await browser.open(page.url + "?lang=en")
    await verify(browser)
    ours = [answer for answer in browser.answers if answer.url.host == HOST]
    seen = [header for answer in ours for header in answer.headers.get_list("set-cookie")]
    names = {header.split("=")[0] for header in seen}
    assert {SESSION_COOKIE, BROWSER_COOKIE} < names
    for header in seen:
        low = header.lower()
        assert header.startswith("__Host-"), header
        assert "; secure" in low, header
        assert "; httponly" in low, header
        assert "; samesite=lax" in low, header
        assert "; path=/" in low, header
        assert "domain" not in low, header


GARBAGE: dict[str, Callable[[str], str]] = {
    "tampered": lambda good: good[:-1] + ("A" if good[-1] != "A" else "B"),
    "truncated": lambda good: good[:-1],
    "longer": lambda good: good + "A",
    "8 KiB": lambda good: good * 200,
    "binary": lambda good: "\x80\xff" + good,
    "quoted": lambda good: f'"{good}"',
    "spaced": lambda good: f"{good} x",
    "twice": lambda good: f"{good}; {SESSION_COOKIE}={good}",
    "twice, one bad": lambda good: f"{good}; {SESSION_COOKIE}=x",
    "empty": lambda good: "",
}


@SQLITE
@pytest.mark.parametrize("kind", GARBAGE)
async def test_a_broken_cookie_is_no_session(house: TestHouse, service: Service, kind: str) -> None:
    """SS-02: treated as no session, never an exception (CVE-2026-25748)."""
    browser = await logged_in(house, service)
    value = GARBAGE[kind](cookie(browser))
    before = await stored(house)
    answer = await bare(
        house,
        "/authorize",
        query=form(service.params(prompt="none")),
        headers=cookies(**{SESSION_COOKIE: value}),
    )
    is_sent_back(answer.headers["location"], "login_required", service.state)
    assert await stored(house) == before
    answer = await bare(
        house,
        "/authorize",
        query=form(service.params()),
        headers=cookies(**{SESSION_COOKIE: value, BROWSER_COOKIE: value}),
    )
    assert (answer.status, answer.headers["location"][:7]) == (303, "/login/")


@SQLITE
@pytest.mark.parametrize(("idle", "error"), [(1799, ""), (1800, "login_required")])
async def test_idle(
    house: TestHouse, browser: Browser, service: Service, idle: int, error: str
) -> None:
    """SS-05: 30 minutes without use; what a browser polls is no use."""
    await log_in(browser, service)
    house.clock.pass_(idle)
    assert await silent(browser, service) == error


@SQLITE
async def test_use_prolongs_but_not_for_ever(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """SS-05: ASVS 7.3.2; eight hours in all, however busy."""
    await log_in(browser, service)
    for _ in range(16):
        assert await silent(browser, service) == ""
        house.clock.pass_(1750)
    assert await silent(browser, service) == ""
    house.clock.pass_(28_800 - 16 * 1750)
    assert await silent(browser, service) == "login_required"


@SQLITE
async def test_an_old_session_shows_the_login(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """SS-05: 303 to the login page; its cookie never comes back to life."""
    await log_in(browser, service)
    old = cookie(browser)
    house.clock.pass_(1801)
    page = await browser.open(service.url())
    assert "continue" in page.buttons()
    code_in(await verify(browser))
    assert len(await live_sessions(house)) == 1
    browser.cookies[HOST][SESSION_COOKIE] = old
    assert await silent(browser, service) == "login_required"


@pytest.mark.parametrize("first_line", [True, False], ids=["sessions ended", "person checked"])
async def test_a_disabled_person(house: TestHouse, service: Service, first_line: bool) -> None:
    """SS-07: ASVS 7.4.2; at the next request, in every browser, and no way to log in again."""
    browsers = [await logged_in(house, service) for _ in range(2)]
    bystander = await logged_in(house, service, BOB)
    await disable(house, ALICE)
    if not first_line:
        await forget_end_of_sessions(house)
    for browser in browsers:
        assert "continue" in (await browser.open(service.url())).buttons()
        assert await silent(browser, service) == "login_required"
    await browsers[0].open(service.url())
    page = await verify(browsers[0])
    assert (page.status, page.error_code) == (403, "TF-3006")
    assert await silent(browsers[0], service) == "login_required"
    assert await silent(bystander, service) == ""


async def test_two_tabs_two_people(house: TestHouse, browser: Browser, service: Service) -> None:
    """SS-10: the last one wins the browser; each code goes to its own transaction, and is about
    whoever verified there."""
    other = await another(house, "other", trusted=True)
    trusted = await another(house, "own", trusted=True)
    first = await browser.open(trusted.url())
    second = await browser.open(other.url())
    assert first.url != second.url
    browser.page = first
    page_of_alice = await verify(browser, "qr", ALICE)
    browser.page = second
    page_of_bob = await verify(browser, "dongle", BOB)
    code_in(page_of_alice, trusted.redirect_uri)
    code_in(page_of_bob, other.redirect_uri)
    seen = []
    for relying, page in ((trusted, page_of_alice), (other, page_of_bob)):
        assert page.query["state"] == relying.state
        answer = await relying.redeem(page)
        assert answer.status_code == 200, answer.text
        seen.append((await relying.verified(answer.json()["id_token"]))["acr"])
    assert seen == ["urn:twfido:qr", "urn:twfido:dongle"]
    (live,) = await live_sessions(house)
    assert live["method"] == "twfido:dongle"
    assert len(await rows(house, sessions)) == 2


@SQLITE
async def test_two_tabs_one_login(house: TestHouse, browser: Browser, service: Service) -> None:
    """The second tab may go on with the session that the first one brought."""
    first = await browser.open(service.url())
    other = await another(house, "other", trusted=True)
    await browser.open(other.url())
    browser.page = first
    code_in(await verify(browser) and await browser.press("allow"))
    code_in(await browser.open(other.url()), other.redirect_uri)


@SQLITE
async def test_a_strong_tab_beside_a_weak_one(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A weaker login in another tab neither satisfies nor breaks the stronger one."""
    strict = await another(house, "strict", trusted=True, minimum_acr="urn:twfido:dongle")
    page = await browser.open(strict.url())
    (login,) = await rows(house, logins)
    assert login["id"] in page.url
    back = json.loads(login["purpose"])["return_to"]
    await log_in(browser, service)
    page = await browser.open(back)
    assert [name for name in page.texts if name.startswith("help-")] == ["help-dongle"]
    page = await verify(browser, "dongle", ALICE)
    code_in(page, strict.redirect_uri)


@SQLITE
async def test_a_session_is_not_a_browser(house: TestHouse, service: Service) -> None:
    """A stolen session cookie alone cannot press the buttons of the transaction it opens."""
    browser = await logged_in(house, service)
    thief = Browser(house)
    thief.cookies[HOST] = {SESSION_COOKIE: cookie(browser)}
    page = await thief.open(service.url(prompt="consent"))
    fields, path = page.forms[0].fields, page.forms[0].action
    is_page(await browser.send(path, {**fields, "decision": "allow"}), 403, "forged_request")
