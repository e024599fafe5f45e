"""Consent: who is asked, for what, how often; and that nobody else can say yes."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from idp.kernel.tables import codes, consents, grants
from idp.registry.registration import Registration
from tests.actors import Browser, Page, Service, verify
from tests.asking import (
    ALICE,
    BOB,
    SQLITE,
    another,
    code_in,
    is_page,
    is_sent_back,
    logged_in,
    rows,
    stored,
)
from tests.house import TestHouse


async def asked(house: TestHouse, service: Service, **params: str) -> tuple[Browser, Page]:
    """A browser at the consent page."""
    browser = Browser(house)
    await browser.open(service.url(**params))
    page = await verify(browser)
    assert "allow" in page.buttons(), page.html
    return browser, page


async def test_once_for_a_client_and_a_scope(house: TestHouse, service: Service) -> None:
    """Asked the first time, not the second, nor in another browser, nor for less."""
    await logged_in(house, service)
    browser = Browser(house)
    for scope in ("openid profile", "openid"):
        await browser.open(service.url(scope=scope, prompt="login"))
        code_in(await verify(browser))
    (row,) = await rows(house, consents)
    assert row["scope"] == "openid profile"


async def test_again_when_the_scope_grows(house: TestHouse, service: Service) -> None:
    """What is new is asked for; what was agreed before stays agreed, also after a no."""
    browser = await logged_in(house, service)
    page = await browser.open(service.url(scope="openid email"))
    assert "allow" in page.buttons()
    is_sent_back((await browser.press("deny")).url, "access_denied", service.state)
    code_in(await browser.open(service.url()))
    await browser.open(service.url(scope="openid email"))
    code_in(await browser.press("allow"))
    code_in(await browser.open(service.url(scope="openid profile email")))


@SQLITE
async def test_a_single_claim_is_asked_for_too(house: TestHouse, service: Service) -> None:
    """OIDC Core §5.5: the claims parameter is no way around the question."""
    wish = json.dumps({"userinfo": {"twid": None}})
    browser = await logged_in(house, service)
    page = await browser.open(service.url(claims=wish, prompt="none"))
    is_sent_back(page.url, "consent_required", service.state)
    page = await browser.open(service.url(claims=wish))
    assert page.texts["claim-twid"] == "A1****0010"
    assert ALICE not in page.html
    page = await browser.press("allow")
    tokens = (await service.redeem(page)).json()
    assert (await service.userinfo(tokens["access_token"])).json()["twid"] == ALICE


@SQLITE
async def test_a_single_claim_beyond_the_client(house: TestHouse) -> None:
    """A claim of a scope that the operator did not allow is neither shown nor given."""
    service = await another(house, "plain", scopes=("openid", "profile"))
    wish = json.dumps({"userinfo": {"twid": {"essential": True}}, "id_token": {"twid": None}})
    browser, page = await asked(house, service, claims=wish, scope="openid")
    assert "claim-twid" not in page.texts
    tokens = (await service.redeem(await browser.press("allow"))).json()
    assert "twid" not in (await service.userinfo(tokens["access_token"])).json()
    assert "twid" not in await service.verified(tokens["id_token"])


@SQLITE
async def test_prompt_consent(house: TestHouse, service: Service) -> None:
    """OIDC Core §3.1.2.1: asked although nothing is new."""
    browser = await logged_in(house, service)
    page = await browser.open(service.url(prompt="consent"))
    assert "allow" in page.buttons()
    code_in(await browser.press("allow"))
    page = await browser.open(service.url(prompt="login consent"))
    assert "continue" in page.buttons()
    assert "allow" in (await verify(browser)).buttons()


@SQLITE
async def test_a_trusted_client_asks_nobody(house: TestHouse) -> None:
    """The operator answers for a client of its own, whatever prompt it sends."""
    service = await another(house, "own", trusted=True)
    browser = Browser(house)
    await browser.open(service.url(prompt="consent"))
    code_in(await verify(browser), service.redirect_uri)
    assert await house.count(consents) == 0


async def test_no_means_no(house: TestHouse, service: Service) -> None:
    """access_denied by redirect; no code, no grant, no consent, and no second chance."""
    browser, page = await asked(house, service)
    is_sent_back((await browser.press("deny")).url, "access_denied", service.state)
    for table in (codes, grants, consents):
        assert await house.count(table) == 0
    browser.page = page
    is_page(await browser.press("allow"), 410, "already_finished")
    (event,) = await house.events("consent.declined")
    assert event["client_id"] == "service"


@SQLITE
async def test_what_the_page_shows(house: TestHouse, service: Service) -> None:
    """Each claim with its value, the number once and masked; one button is the primary one."""
    _, page = await asked(house, service, scope="openid profile twid offline_access")
    assert page.texts["claim-twid"] == "A1****0010"
    assert "claim-twid_masked" not in page.texts
    assert ALICE not in page.html
    assert "直到您取消同意" in page.html
    (shown,) = page.forms
    assert {b["id"]: b.get("class") for b in shown.buttons} == {
        "allow": "['primary']",
        "deny": None,
    }


@SQLITE
async def test_what_the_page_tells_of_the_request(house: TestHouse) -> None:
    """Purpose, policy, what is not given, which browser asked, when: local time, words of ours
    only; and that a number shown in part is given whole."""
    more = {"policy_uri": "https://facts.test/privacy", "purpose": "借閱館藏"}
    service = await another(house, "facts", **more)
    agents = {
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": "Firefox, Linux",
        "<script>alert(1)</script> Chrome/1" + "x" * 5000: "Chrome",
        "x" * 5000 + " Chrome/1": "不明的瀏覽器",
    }
    for agent, words in agents.items():
        browser = Browser(house, **{"user-agent": agent})
        await browser.open(service.url(scope="openid twid"))
        page = await verify(browser)
        assert page.texts["asked-by"] == words
        assert "<script>alert" not in page.html
    assert page.texts["asked-at"] == "2026-09-21 22:13"
    assert page.texts["purpose"] == "借閱館藏"
    assert page.texts["withheld"].startswith("不會提供：姓名、性別、生日、電子郵件、電話、地址。")
    assert 'href="https://facts.test/privacy"' in page.html
    assert page.texts["claim-twid"] == "A1****0010"
    assert "服務會收到完整的號碼" in page.html


@SQLITE
async def test_what_is_said_fits_what_is_given(house: TestHouse) -> None:
    """Nothing is said to stay hidden, or to be held back besides, that is not."""
    service = await another(house, "all")
    _, page = await asked(house, service, scope="openid profile")
    assert "看不到中間" in page.html
    assert page.texts["withheld"].endswith("也不會提供。")
    _, page = await asked(house, service, scope="openid profile email phone address twid")
    assert "看不到中間" not in page.html
    assert page.texts["withheld"] == "不會提供您在其他服務的登入紀錄。"


@SQLITE
async def test_a_name_is_text(house: TestHouse) -> None:
    """RG-08: a client's name is shown as it is written, and nothing in it runs."""
    service = await another(house, "odd", client_name="<script>alert(1)</script>")
    _, page = await asked(house, service)
    assert "&lt;script&gt;" in page.html
    assert "<script>alert" not in page.html


# ── who says yes ────────────────────────────────────────────────────────────────────────────────

FORGERIES: dict[str, dict[str, str]] = {
    "cross-site": {"sec-fetch-site": "cross-site"},
    "same-site": {"sec-fetch-site": "same-site"},
    "foreign origin": {"origin": "https://evil.test"},
    "scheme": {"origin": "http://id.test"},
    "port": {"origin": "https://id.test:444"},
    "null and cross-site": {"origin": "null", "sec-fetch-site": "cross-site"},
}


@pytest.mark.parametrize("step", ["consent", "login"])
@pytest.mark.parametrize("kind", [*FORGERIES, "no token", "other token", "no cookie"])
@SQLITE
async def test_another_site_presses_no_button(
    house: TestHouse, service: Service, step: str, kind: str
) -> None:
    """AZ-41: ASVS V3; the row stays as it is."""
    browser = Browser(house)
    page = await browser.open(service.url())
    path, button = f"{urlsplit(page.url).path}/method", "continue"
    if step == "consent":
        page = await verify(browser)
        path, button = page.forms[0].action, "allow"
    shown, pressed = page.form_with(button)
    fields = {**shown.fields, "method": "push", "pid": BOB}
    fields |= {pressed["name"]: pressed["value"]} if pressed.get("name") else {}
    if kind == "no token":
        del fields["csrf"]
    if kind == "other token":
        elsewhere = Browser(house)
        fields["csrf"] = (await elsewhere.open(service.url())).forms[0].fields["csrf"]
    before = await stored(house)
    headers = {"cookie": ""} if kind == "no cookie" else FORGERIES.get(kind, {})
    is_page(await browser.send(path, fields, **headers), 403, "forged_request")
    assert await stored(house) == before


@SQLITE
@pytest.mark.parametrize(
    "headers", [{}, {"origin": "https://id.test"}, {"origin": "null"}], ids=["none", "own", "null"]
)
async def test_an_origin_that_hides_is_judged_by_the_rest(
    house: TestHouse, service: Service, headers: dict[str, str]
) -> None:
    """AZ-41: some browsers and Referrer-Policy say null; the token and Sec-Fetch-Site decide."""
    browser, page = await asked(house, service)
    fields = {**page.forms[0].fields, "decision": "allow"}
    code_in(await browser.send(page.forms[0].action, fields, **headers))


@SQLITE
async def test_a_stale_page(house: TestHouse, service: Service) -> None:
    """A button that was shown to nobody, or to another transaction, says nothing."""
    browser, page = await asked(house, service)
    good = page.forms[0].fields
    other, second = await asked(house, service)
    assert other is not browser
    count = await house.count(codes)
    for mark in ("", "x", good["csrf"], good["session"][:-1], second.forms[0].fields["session"]):
        fields = {**good, "session": mark, "decision": "allow"}
        page = await browser.send(page.forms[0].action if page.forms else "", fields)
        if page.status == 200:  # ours, but not of this page: asked anew
            assert "allow" in page.buttons()
        else:
            is_page(page, 403, "forged_request")
            page = await browser.open(urlsplit(page.url).path.removesuffix("/consent"))
    assert await house.count(codes) == count


@SQLITE
@pytest.mark.parametrize("decision", ["", "yes", "ALLOW"])
async def test_neither_yes_nor_no(house: TestHouse, service: Service, decision: str) -> None:
    """An answer that the page does not offer changes nothing."""
    browser, page = await asked(house, service)
    before = await stored(house)
    fields = {**page.forms[0].fields, "decision": decision}
    is_page(await browser.send(page.forms[0].action, fields), 400, "invalid_request")
    assert await stored(house) == before


async def test_somebody_else_has_logged_in_meanwhile(house: TestHouse, service: Service) -> None:
    """Pressing yes on a page that was shown to Alice says nothing for Bob: he is asked himself."""
    browser, page = await asked(house, service)
    other = await another(house, "other", trusted=True)
    await browser.open(other.url(prompt="login"))
    await verify(browser, "dongle", BOB)
    browser.page = page
    page = await browser.press("allow")
    assert "allow" in page.buttons()
    assert await house.count(consents) == 0
    page = await browser.press("allow")
    claims = await service.verified((await service.redeem(page)).json()["id_token"])
    assert claims["acr"] == "urn:twfido:dongle"


@SQLITE
@pytest.mark.parametrize(
    "change",
    [
        {"scopes": ("openid", "profile")},
        {"client_name": "另一個服務"},
        {"agency": "另一個機關"},
        {"purpose": "行銷"},
        {"policy_uri": "https://service.test/new"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_the_client_is_another_by_now(
    house: TestHouse, service: Service, change: dict[str, object]
) -> None:
    """What is granted is what was shown: if the operator has changed what the page says, or what
    the client may have, the press grants nothing and the page is shown again."""
    browser, _ = await asked(house, service, scope="openid profile twid")
    await changed(service, **change)
    page = await browser.press("allow")
    assert "allow" in page.buttons()
    assert await house.count(consents) == await house.count(codes) == 0
    code_in(await browser.press("allow"))


@SQLITE
async def test_a_page_that_showed_less(house: TestHouse, service: Service) -> None:
    """A scope that the client did not have when the page was drawn is not granted by its button,
    although the request has asked for it all along."""
    browser = Browser(house)
    await browser.open(service.url(scope="openid profile twid"))
    await changed(service, scopes=("openid", "profile"))
    page = await verify(browser)
    assert "claim-twid" not in page.texts
    await changed(service)
    page = await browser.press("allow")
    assert "claim-twid" in page.texts
    assert await house.count(consents) == 0
    is_sent_back((await browser.press("deny")).url, "access_denied", service.state)


async def changed(service: Service, **fields: object) -> None:
    """The operator changes the client to what it was registered with, and this."""
    known = service.registered.client.metadata.model_dump() | fields
    registration = Registration.model_validate(known)
    await service.house.registrar.update(service.registered.id, registration)


@SQLITE
async def test_the_session_ended_meanwhile(house: TestHouse, service: Service) -> None:
    """Who comes back from lunch to a consent page logs in again first."""
    browser, _ = await asked(house, service)
    house.clock.pass_(1801)
    page = await browser.press("allow")
    assert "continue" in page.buttons()
    assert await house.count(codes) == 0


async def test_two_clicks(house: TestHouse, service: Service) -> None:
    """A double click gives one code."""
    browser, page = await asked(house, service)
    code_in(await browser.press("allow"))
    browser.page = page
    is_page(await browser.press("allow"), 410, "already_finished")
    assert await house.count(codes) == await house.count(grants) == 1
