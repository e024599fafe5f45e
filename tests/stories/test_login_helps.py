"""What a page offers to somebody who is stuck, or who comes too late: without JavaScript."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from idp.login.flow import RESEND
from tests.actors import Browser, Service, log_in, verify
from tests.asking import SQLITE
from tests.house import CALLBACK, ISSUER, START, TestHouse, running, settings_for
from tests.logins import HAND, again, chosen, poll, qrids, rung, states

HOME = "https://service.test/"
APP = "tw.gov.moi.fido://scan?code={content}"


@SQLITE
async def test_a_phone_that_has_just_rung_does_not_ring_again(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """For half a minute the page says why; who presses all the same is told, and nothing rings."""
    await chosen(browser, service, "push")
    house.clock.pass_(RESEND - 1)
    page = await again(browser)
    assert "1 秒後可以再傳一次" in page.html
    page = await browser.press("regenerate")
    assert (rung(house), page.texts["soon"]) == (1, "通知剛剛送出，還不能再傳一次。")
    house.clock.pass_(1)
    page = await again(browser)
    assert "秒後可以再傳一次" not in page.html
    page = await browser.press("regenerate")
    assert (rung(house), page.texts["clock"]) == (2, "03:00")


@SQLITE
async def test_from_the_notification_to_the_code(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """One press, nothing typed again: the same person, and the notification no longer counts."""
    await chosen(browser, service, "push")
    house.clock.pass_(1)
    page = await browser.press("scan")
    assert "qr" in page.texts
    assert HAND not in page.html
    assert await states(house) == ["replaced", "pending"]
    house.simulator.approve(qrids(house)[0])
    assert (await poll(browser))["state"] == "pending"
    house.clock.pass_(3)
    house.simulator.approve(qrids(house)[1])
    assert (await browser.press("check")).buttons() == ["allow", "deny"]


@SQLITE
async def test_where_no_code_is_offered(house: TestHouse) -> None:
    """A client that allows push alone: no button for a code, and pressing it changes nothing."""
    only = Service(house, await house.register("pushed", methods=("push",)))
    browser = Browser(house)
    page = await chosen(browser, only, "push")
    assert "scan" not in page.buttons()
    form, path = page.form_with("check")[0], page.url.rstrip("/")
    page = await browser.send(f"{path}/scan", form.fields)
    assert page.texts["masked"]
    assert await states(house) == ["pending"]


@SQLITE
async def test_a_code_is_no_way_out_of_a_code(browser: Browser, service: Service) -> None:
    """The press belongs to the notification: elsewhere it leads back to the page as it is."""
    page = await chosen(browser, service, "qr")
    form = page.form_with("check")[0]
    page = await browser.send(f"{page.url}/scan", form.fields)
    assert "qr" in page.texts
    assert await states(browser.house) == ["pending"]


@SQLITE
@pytest.mark.parametrize("changed_settings", [{"twfido": {"app_link": APP, "expires_in": 90}}])
async def test_the_app_on_this_phone(house: TestHouse, browser: Browser, service: Service) -> None:
    """The link holds what the code holds, escaped, and not the number; how long one try lasts
    is said as it is configured."""
    page = await browser.open(service.url())
    assert "您有 90 秒可完成驗證" in page.html
    page = await browser.press("continue", method="qr", pid=HAND)
    link = page.links["app"]
    assert link.startswith("tw.gov.moi.fido://scan?code=%7B%22")
    content = unquote(link.partition("=")[2])
    assert f'"qrid":"{qrids(house)[-1]}"' in content
    assert quote(content, safe="") == link.partition("=")[2]
    assert HAND not in content
    house.clock.pass_(90)
    assert "每次驗證只有 90 秒" in (await again(browser)).html


@SQLITE
@pytest.mark.parametrize("method", ["qr", "push", "web", "dongle"])
@pytest.mark.parametrize(
    "changed_settings",
    [{"twfido": {"maintenance_until": datetime.fromtimestamp(START + 90, UTC)}}],
)
async def test_maintenance(
    house: TestHouse, browser: Browser, service: Service, method: str
) -> None:
    """Until the announced time nothing begins and nobody is asked; the page says when it will,
    in Taiwan's time. Afterwards the same press works."""
    page = await chosen(browser, service, method)
    assert (page.error_code, house.line.calls) == ("TF-2203", [])
    assert "維護中，預計 2026-09-21 22:14 恢復" in page.html
    assert "report" not in page.links
    house.clock.pass_(90)
    page = await chosen(browser, service, method)
    assert page.error_code == ""


@SQLITE
async def test_too_late_leads_to_a_new_login(house: TestHouse) -> None:
    """OIDC Core §4: a service that registered where its logins begin is told who sends people."""
    known = {"client_uri": HOME, "initiate_login_uri": f"{HOME}begin"}
    service = Service(house, await house.register("beginning", **known))
    browser = Browser(house)
    await browser.open(service.url())
    login = browser.page.url
    await verify(browser)
    consent = browser.page.url
    await browser.press("allow")
    for url in (login, consent):
        home = (await browser.open(url)).links["home"]
        assert home == f"{HOME}begin?iss={quote(ISSUER, safe='')}"


@SQLITE
async def test_too_late_leads_home(house: TestHouse) -> None:
    """The page of a login that is over leads to the service's home page, for its browser alone;
    without a home page it leads nowhere."""
    at_home = Service(house, await house.register("homely", client_uri=HOME))
    browser = Browser(house)
    await browser.open(at_home.url())
    login = browser.page.url
    await verify(browser)
    consent = browser.page.url
    await browser.press("allow")
    for url in (login, consent):
        page = await browser.open(url)
        assert (page.error_code, page.links.get("home")) == ("TF-3002", HOME)
        assert "回到館藏服務" in page.html
        page = await Browser(house).open(url)
        assert "home" not in page.links and "館藏服務" not in page.html
    await browser.open(at_home.url(prompt="login"))
    cancelled = browser.page.url
    await browser.press("cancel")
    assert (await browser.open(cancelled)).links["home"] == HOME
    page = await browser.open("/logout?client_id=homely")
    assert (await browser.press("logout")).links["home"] == HOME


@SQLITE
@pytest.mark.parametrize("uri", ["tw.gov.app:/cb", "https://app.test/cb", "http://127.0.0.1/cb"])
async def test_back_into_an_app(house: TestHouse, uri: str) -> None:
    """RFC 8252 §7: into an app by a press of the person's own, to a loopback port at once; the
    refusal goes the same way, and prompt=none never shows a page."""
    app = await house.register(
        "app", application_type="native", redirect_uris=(uri,), sector="app.test"
    )
    service, pressed = Service(house, app, uri), not uri.startswith("http:")
    browser = Browser(house)
    page = await log_in(browser, service)
    back = page.links["app"] if pressed else page.url
    assert back.startswith(f"{uri}?code=") and f"state={service.state}" in back
    assert ("回到館藏服務 App" in page.html) == pressed
    code = parse_qs(urlsplit(back).query)["code"][0]
    assert (await service.redeem(code)).status_code == 200
    await browser.open(service.url(prompt="login"))
    page = await browser.press("cancel")
    assert "error=access_denied" in (page.links["app"] if pressed else page.url)
    assert ("登入沒有完成" in page.html) == pressed
    page = await Browser(house).open(service.url(prompt="none"))
    assert page.url.startswith(f"{uri}?error=login_required")


@SQLITE
@pytest.mark.parametrize("changed_settings", [{"brand": {"help_email": "help@agency.gov.tw"}}])
async def test_a_report_holds_nothing_personal(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Only where the help desk can do something: code, reference and time, and nothing else."""
    house.line.cut = True
    page = await chosen(browser, service, "push")
    assert page.error_code == "TF-2202"
    parts = urlsplit(page.links["report"])
    assert (parts.scheme, parts.path) == ("mailto", "help@agency.gov.tw")
    said = parse_qs(parts.query)
    reference = page.texts["reference"]
    assert said["subject"] == [f"TF-2202 {reference}"]
    code, told, time, *rest = said["body"][0].split("\n")
    assert (code, told, "".join(rest)) == ("TF-2202", reference, "")
    assert f"<time>{time}</time>" in page.html
    house.line.cut = False
    page = await chosen(browser, service, "push", "A100000056")
    assert page.error_code == "TF-2104" and "report" not in page.links


@SQLITE
async def test_nobody_is_asked_to_write_to_nobody(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Without an address there is no letter."""
    house.line.cut = True
    assert "mailto:" not in (await chosen(browser, service, "push")).html


async def test_an_agency_s_own_colours(database_url: str, tmp_path: Path) -> None:
    """The stylesheet and the logo that the configuration names are served and used; nothing
    else of their folder is."""
    (tmp_path / "mine.css").write_text(":root { --accent: #1d5c3f; }")
    (tmp_path / "crown.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "secret.css").write_text("no")
    brand: dict[str, Any] = {
        "stylesheet": tmp_path / "mine.css",
        "logo": tmp_path / "crown.svg",
        "name": "國家圖書館",
    }
    async with running(settings_for(database_url, brand=brand)) as house:
        service = Service(house, await house.register("service", redirect_uris=(CALLBACK,)))
        page = await Browser(house).open(service.url())
        assert '<link rel="stylesheet" href="/brand/style.css">' in page.html
        assert '<img class="logo" src="/brand/logo.svg" alt="國家圖書館">' in page.html
        style, logo = [await house.http().get(f"/brand/{n}") for n in ("style.css", "logo.svg")]
        assert (style.text, style.headers["content-type"]) == (
            ":root { --accent: #1d5c3f; }",
            "text/css; charset=utf-8",
        )
        assert logo.headers["content-type"] == "image/svg+xml"
        assert logo.headers["content-security-policy"].startswith("default-src 'none'")
        for name in ("secret.css", "mine.css", "..%2fsecret.css", "logo.png", ""):
            assert (await house.http().get(f"/brand/{name}")).status_code == 404
