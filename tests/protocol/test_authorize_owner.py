"""/authorize/{id}: whose transaction it is, and that no step of it can be skipped or repeated."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from idp.kernel.tables import codes, grants
from tests.actors import Browser, Service, verify
from tests.asking import (
    BOB,
    SESSION_COOKIE,
    SQLITE,
    another,
    bare,
    code_in,
    is_page,
    is_sent_back,
    logged_in,
    open_authorization,
    stored,
)
from tests.house import TestHouse

HOST = "id.test"


async def test_another_browser_has_no_part(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """AZ-43: a link to somebody's login gives nothing (CVE-2026-7507, CVE-2022-39222)."""
    page = await browser.open(service.url())
    authorization, login = await open_authorization(house), urlsplit(page.url).path
    before = await stored(house)
    thief = Browser(house)
    for path in (f"/authorize/{authorization}", f"/authorize/{authorization}/cancelled", login):
        is_page(await thief.open(path), 403, "wrong_browser")
    with_own_cookie = await logged_in(house, await another(house, "other"), BOB)
    now = await stored(house)
    for path in (f"/authorize/{authorization}", f"/authorize/{authorization}/cancelled", login):
        is_page(await with_own_cookie.open(path), 403, "wrong_browser")
    assert await stored(house) == now
    for table in ("authorizations", "logins"):
        assert set(before[table]) <= set(now[table])


@SQLITE
async def test_a_planted_link_logs_nobody_in_as_the_attacker(
    house: TestHouse, service: Service
) -> None:
    """AZ-43: a victim led to the attacker's finished login gets neither session nor code."""
    attacker = Browser(house)
    await attacker.open(service.url())
    authorization = await open_authorization(house)
    await verify(attacker)
    victim = await logged_in(house, await another(house, "other"), BOB)
    session = victim.cookies[HOST][SESSION_COOKIE]
    is_page(await victim.open(f"/authorize/{authorization}"), 403, "wrong_browser")
    assert victim.cookies[HOST][SESSION_COOKIE] == session


async def test_back_after_the_end(house: TestHouse, browser: Browser, service: Service) -> None:
    """AZ-44: what is finished is finished; Back shows a page and gives no second code."""
    page = await browser.open(service.url())
    login = page.url
    await verify(browser)
    consent = browser.page
    assert consent is not None
    code_in(await browser.press("allow"))
    before = await stored(house)
    is_page(await browser.open(urlsplit(login).path), 410, "already_finished")
    is_page(await browser.open(urlsplit(consent.url).path), 410, "already_finished")
    browser.page = consent
    is_page(await browser.press("allow"), 410, "already_finished")
    browser.page = consent
    is_page(await browser.press("deny"), 410, "already_finished")
    assert await stored(house) == before


async def test_the_last_step_first(house: TestHouse, browser: Browser, service: Service) -> None:
    """AZ-44: neither the consent form nor the login's own buttons finish what the upstream has
    not confirmed (CVE-2026-18963)."""
    page = await browser.open(service.url())
    authorization, csrf = await open_authorization(house), page.forms[0].fields["csrf"]
    login = urlsplit(page.url).path
    count = await house.count(grants)
    for session in ("", "x", csrf):
        fields = {"csrf": csrf, "session": session, "decision": "allow"}
        page = await browser.send(f"/authorize/{authorization}/consent", fields)
        assert page.status == 403 or "continue" in page.buttons()
    for step in ("check", "regenerate", "other"):
        page = await browser.send(f"{login}/{step}", {"csrf": csrf})
        assert "continue" in page.buttons()
    await browser.open(login)
    await browser.press("continue", method="push", pid=BOB)
    page = await browser.send(f"{login}/check", {"csrf": csrf, "state": "approved"})
    assert "check" in page.buttons()
    assert SESSION_COOKIE not in browser.cookies[HOST]
    assert await house.count(grants) == count


@SQLITE
async def test_cancelling(house: TestHouse, browser: Browser, service: Service) -> None:
    """The person's no is access_denied at the service, and the transaction is over."""
    page = await browser.open(service.url())
    login = urlsplit(page.url).path
    page = await browser.press("cancel")
    is_sent_back(page.url, "access_denied", service.state)
    is_page(await browser.open(login), 410, "already_finished")


@SQLITE
@pytest.mark.parametrize("guess", ["nothing", "x" * 5000, "圖", "'--", ".."])
async def test_an_address_that_was_never_given(house: TestHouse, guess: str) -> None:
    """Guessing leads to the same page as coming too late."""
    path = f"/authorize/{guess}"
    is_page(await bare(house, path), 410, "already_finished")
    is_page(await bare(house, path + "/cancelled"), 410, "already_finished")


@pytest.mark.parametrize(
    "path", ["/authorize/\x00", "/login/a\x00b", "/login/\r\nx", "/static/\x00"]
)
async def test_control_characters_in_a_path(house: TestHouse, path: str) -> None:
    """A NUL would be an error of PostgreSQL's, not of the browser's."""
    assert (await bare(house, path)).status == 400


async def test_a_request_that_waited_too_long(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """An authorization lives an hour; after that nothing comes of it."""
    await browser.open(service.url())
    authorization = await open_authorization(house)
    house.clock.pass_(3600)
    is_page(await browser.open(f"/authorize/{authorization}"), 410, "already_finished")


@SQLITE
async def test_a_client_disabled_on_the_way(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """No code for a client that is gone, however far the person has come."""
    await browser.open(service.url())
    page = await verify(browser)
    assert "allow" in page.buttons()
    await house.registrar.switch("service", enabled=False)
    is_page(await browser.press("allow"), 400, "invalid_client")
    assert await house.count(codes) == 0
