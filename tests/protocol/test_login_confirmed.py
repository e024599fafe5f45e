"""What a browser brought back from another site lets somebody in only after its person has said
that it is theirs: another site can send anybody back with somebody else's verification."""

from __future__ import annotations

import pytest

from tests.actors import Browser, Page, Service, log_in
from tests.asking import SQLITE, another
from tests.house import TestHouse
from tests.logins import (
    AT_ONCE,
    abroad,
    again,
    carried,
    chosen,
    forget_rates,
    land,
    let_in,
    nobody_is_in,
    path_of,
    qrids,
)


def confirms(page: Page) -> bool:
    """The page says whose verification it is, and nothing presses its button."""
    script = 'id="wait"' in page.html or "wait.js" in page.html
    return page.texts.get("masked") == "A1****0010" and "check" in page.buttons() and not script


@pytest.mark.parametrize("method", ["web", "dongle"])
async def test_whose_it_is_is_said_first(
    house: TestHouse, browser: Browser, service: Service, method: str
) -> None:
    """Coming back shows the masked number; the press of its button lets in."""
    await chosen(browser, service, method, AT_ONCE)
    page = await abroad(browser, method, AT_ONCE)
    assert confirms(page)
    assert await nobody_is_in(house)
    assert confirms(await again(browser))
    assert "allow" in (await browser.press("check")).buttons()
    assert let_in(browser, browser.page or page)


async def test_the_verification_of_somebody_else(house: TestHouse, service: Service) -> None:
    """A victim whose browser is sent back with the attacker's approval is not the attacker: their
    page names the number, and cancelling leaves nobody logged in."""
    attacker, victim = Browser(house), Browser(house)
    await chosen(attacker, service, "web")
    await attacker.press("go")
    await attacker.press("approve", pid=AT_ONCE)
    (qrid,) = qrids(house)
    await chosen(victim, service, "web")
    page = await land(victim, carried(qrid, AT_ONCE))
    assert confirms(page)
    assert not let_in(victim, page)
    page = await victim.press("cancel")
    assert page.query["error"] == "access_denied"
    assert await nobody_is_in(house)


@SQLITE
@pytest.mark.parametrize("approval", [None, "", "x", "\u5716"])
async def test_no_other_page_lets_in(
    house: TestHouse, browser: Browser, service: Service, approval: str | None
) -> None:
    """A press that does not come from the page with the number (the waiting page's button, its
    script, an old tab) leads to that page."""
    await chosen(browser, service, "web")
    page = await abroad(browser, "web", AT_ONCE)
    fields = {k: v for k, v in page.form_with("check")[0].fields.items() if k != "approval"}
    if approval is not None:
        fields["approval"] = approval
    answer = await browser.send(f"https://id.test{path_of(page)}/check", fields)
    assert confirms(answer)
    assert await nobody_is_in(house)


@SQLITE
async def test_an_approval_of_another_login(house: TestHouse, service: Service) -> None:
    """What one page confirmed is good for that verification alone."""
    browser = Browser(house)
    await chosen(browser, service, "web")
    first = (await abroad(browser, "web", AT_ONCE)).form_with("check")[0].fields["approval"]
    await forget_rates(house)
    await chosen(browser, service, "web")
    page = await abroad(browser, "web", AT_ONCE)
    fields = {**page.form_with("check")[0].fields, "approval": first}
    assert confirms(await browser.send(f"https://id.test{path_of(page)}/check", fields))
    assert await nobody_is_in(house)


@SQLITE
async def test_what_the_phone_itself_approved(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """QR code and push are bound to this browser by the person's own phone: one press."""
    page = await chosen(browser, service, "qr", AT_ONCE)
    assert "approval" not in page.form_with("check")[0].fields
    assert "allow" in (await browser.press("check")).buttons()


@SQLITE
async def test_a_shared_screen_clears_itself(house: TestHouse) -> None:
    """There the page with the number does not stay for whoever comes next."""
    scopes = ("openid", "profile")
    kiosk = await another(house, "kiosk", kiosk=True, scopes=scopes)
    browser = Browser(house)
    await chosen(browser, kiosk, "web")
    page = await abroad(browser, "web", AT_ONCE)
    assert confirms(page)
    assert "kiosk.js" in page.html
    assert "code" in (await log_in(Browser(house), kiosk, "web", AT_ONCE)).query
