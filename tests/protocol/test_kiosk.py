"""A client at shared screens: whoever comes next finds nothing of whoever was there before."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from idp.registry.registration import Registration
from tests.actors import Browser, Page, Service, log_in, verify
from tests.asking import (
    ALICE,
    BOB,
    SESSION_COOKIE,
    SQLITE,
    another,
    code_in,
    is_page,
    is_sent_back,
    live_sessions,
    logged_in,
)
from tests.house import TestHouse
from tests.logins import chosen

SCOPE = {"scope": "openid profile twid"}


@pytest.fixture
async def counter(house: TestHouse) -> Service:
    """The service at the counter."""
    scopes = ("openid", "profile", "twid")
    return await another(house, "counter", kiosk=True, scopes=scopes)


def test_a_kiosk_cannot_stay() -> None:
    """What outlives the session would outlive the person who stood there."""
    known = {"client_name": "c", "redirect_uris": ("https://c.test/cb",), "kiosk": True}
    assert Registration.model_validate(known | {"scopes": ("openid",)}).kiosk
    with pytest.raises(ValidationError, match="offline_access"):
        Registration.model_validate(known | {"scopes": ("openid", "offline_access")})


def kept(browser: Browser) -> set[str]:
    """What the screen's browser keeps: only what says that it is this browser."""
    return set(browser.cookies["id.test"])


async def test_the_next_person_verifies_again(house: TestHouse, counter: Service) -> None:
    """The session ends with the login, its cookie is gone, its tokens are good; nobody gets in
    silently, here or at another service, and the next person is the next person."""
    browser = Browser(house)
    await browser.open(counter.url(**SCOPE) + "&ui_locales=en")
    await browser.open(f"{browser.page.url.partition('?')[0]}?lang=en")
    page = await verify(browser)
    assert SESSION_COOKIE in kept(browser)
    page = await browser.press("allow")
    tokens = (await counter.redeem(page)).json()
    assert (await counter.userinfo(tokens["access_token"])).json()["twid"] == ALICE
    assert kept(browser) == {"__Host-idp_browser"}
    assert await live_sessions(house) == []
    page = await browser.open(counter.url(prompt="none"))
    is_sent_back(page.url, "login_required", counter.state, counter.redirect_uri)
    page = await log_in(browser, counter, "dongle", BOB, **SCOPE)
    tokens = (await counter.redeem(page)).json()
    assert (await counter.userinfo(tokens["access_token"])).json()["twid"] == BOB


async def test_who_walks_away_leaves_nothing(house: TestHouse, counter: Service) -> None:
    """At the question, verified and gone: no other service, no new request of this one and not
    the person's own page take that session; cancelling, or time, ends it."""
    other = await another(house, "other", trusted=True)
    for ending in ("cancelled", "deny", "time"):
        browser = Browser(house)
        await browser.open(counter.url())
        question = await verify(browser)
        assert "allow" in question.buttons()
        page = await browser.open(other.url(prompt="none"))
        is_sent_back(page.url, "login_required", other.state, other.redirect_uri)
        page = await browser.open(counter.url(prompt="none"))
        is_sent_back(page.url, "login_required", counter.state, counter.redirect_uri)
        assert "continue" in (await browser.open("/account")).buttons()
        browser.page = question
        if ending == "cancelled":
            page = await browser.open(question.url + "/cancelled")
        elif ending == "deny":
            page = await browser.press("deny")
        else:
            house.clock.pass_(601)
            assert "continue" in (await browser.press("allow")).buttons()
            continue
        is_sent_back(page.url, "access_denied", counter.state, counter.redirect_uri)
        assert kept(browser) == {"__Host-idp_browser"}
        assert await live_sessions(house) == []
        is_page(await browser.open(question.url), 410, "already_finished")


@SQLITE
async def test_a_session_of_before_is_not_taken(
    house: TestHouse, service: Service, counter: Service
) -> None:
    """Who is logged in elsewhere in this browser verifies again here; giving up ends nothing
    that was there before."""
    browser = await logged_in(house, service)
    assert "continue" in (await browser.open(counter.url())).buttons()
    await browser.press("cancel")
    code_in(await browser.open(service.url(prompt="none")))


def no_number(page: Page) -> bool:
    """On the screen: what a hidden field carries to the ministry is nowhere to be read."""
    shown = re.sub(r'<input type="hidden"[^>]*>', "", page.html)
    return all(part not in shown for part in (ALICE, "A1****", BOB, "0010", "6789"))


@SQLITE
@pytest.mark.parametrize("method", ["push", "qr", "dongle"])
async def test_no_number_on_any_page(house: TestHouse, counter: Service, method: str) -> None:
    """Not typed, not suggested, not masked: on no page of the login, and the method is not
    remembered."""
    browser = Browser(house)
    page = await browser.open(counter.url(login_hint=ALICE, **SCOPE))
    assert page.forms[0].fields["pid"] == ""
    page = await browser.press("continue", method=method, pid=ALICE[:-1])
    assert "pid-fault" in page.texts and page.forms[0].fields["pid"] == ""
    page = await browser.press("continue", method=method, pid=ALICE)
    assert no_number(page)
    assert "__Host-idp_method" not in kept(browser)


@SQLITE
async def test_no_number_on_the_question(house: TestHouse, counter: Service) -> None:
    """The consent page names the claims; the number, whole or masked, it does not show."""
    browser = Browser(house)
    await browser.open(counter.url(**SCOPE))
    page = await verify(browser)
    assert page.texts["claim-twid"] == "（公用電腦不顯示）"
    assert no_number(page)
    assert 'href="/account"' not in page.html


@SQLITE
async def test_a_method_from_elsewhere_is_not_chosen(
    house: TestHouse, service: Service, counter: Service
) -> None:
    """What another service's visitor chose in this browser is not shown here."""
    browser = Browser(house)
    await chosen(browser, service, "dongle", BOB)
    await browser.press("cancel")
    page = await browser.open(counter.url())
    assert page.forms[0].fields["method"] != "dongle"


@SQLITE
async def test_which_pages_clear_themselves(house: TestHouse, counter: Service) -> None:
    """Those without a clock of their own; never two scripts of the login on one page. Another
    client's pages do not."""
    seen: dict[str, Any] = {}
    for name, service in (("kiosk", counter), ("plain", await another(house, "plain"))):
        browser = Browser(house)
        pages = {"choose": await browser.open(service.url())}
        pages["push"] = await browser.press("continue", method="push", pid=BOB)
        house.clock.pass_(200)
        pages["expired"] = await browser.open(pages["push"].url)
        await browser.press("other")
        pages["consent"] = await verify(browser)
        linked = {'href="/account"' in page.html for page in pages.values()}
        assert linked == {name == "plain"}
        seen[name] = [key for key, page in pages.items() if "kiosk.js" in page.html]
        assert all(
            page.html.count("wait.js") + page.html.count("kiosk.js") < 2 for page in pages.values()
        )
        house.clock.pass_(700)
    assert seen == {"kiosk": ["choose", "expired", "consent"], "plain": []}
