"""/authorize: who is asked what, where a browser may go on, and where it may not."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from idp.kernel.tables import codes, logins
from tests.actors import Browser, Page, Service, log_in, verify
from tests.asking import (
    ALICE,
    BOB,
    BROWSER_COOKIE,
    FORM,
    SQLITE,
    another,
    bare,
    code_in,
    form,
    is_sent_back,
    logged_in,
    open_authorization,
    rows,
    stored,
)
from tests.house import CALLBACK, TestHouse

HOST = "id.test"


async def claims_of(service: Service, page: Page) -> dict[str, object]:
    tokens = (await service.redeem(page)).json()
    return await service.verified(tokens["id_token"])


# ── what prompt and session make of a request ───────────────────────────────────────────────────


async def test_single_sign_on(house: TestHouse, browser: Browser, service: Service) -> None:
    """A second service gets the session without another verification; consent is its own."""
    await log_in(browser, service)
    other = await another(house, "other")
    house.clock.pass_(100)
    page = await browser.open(other.url())
    assert {"allow", "deny"} <= set(page.buttons())
    page = await browser.press("allow")
    code_in(page, other.redirect_uri)
    claims = await claims_of(other, page)
    assert claims["auth_time"] == house.clock.now() - 100
    code_in(await browser.open(other.url()), other.redirect_uri)
    code_in(await browser.open(other.url(prompt="none")), other.redirect_uri)


@SQLITE
@pytest.mark.parametrize("prompt", ["login", "select_account"])
async def test_asked_to_log_in_again(
    house: TestHouse, browser: Browser, service: Service, prompt: str
) -> None:
    """OIDC Core §3.1.2.1: a session is not enough, and neither is asking twice."""
    await log_in(browser, service)
    house.clock.pass_(10)
    page = await browser.open(service.url(prompt=prompt))
    assert "continue" in page.buttons()
    (login,) = [row for row in await rows(house, logins) if row["finished_at"] is None]
    authorization = await open_authorization(house)
    # AZ-44: coming back without having verified shows the login again, and stores no code
    count = await house.count(codes)
    page = await browser.open(f"/authorize/{authorization}")
    assert "continue" in page.buttons()
    assert await house.count(codes) == count
    await browser.open(f"/login/{login['id']}")
    claims = await claims_of(service, await verify(browser))
    assert claims["auth_time"] == house.clock.now()


@SQLITE
@pytest.mark.parametrize("max_age", ["0", "5"])
async def test_too_old_a_session(
    house: TestHouse, browser: Browser, service: Service, max_age: str
) -> None:
    """OIDC Core §3.1.2.1: verified anew, and auth_time says so."""
    await log_in(browser, service)
    house.clock.pass_(6)
    page = await browser.open(service.url(max_age=max_age))
    assert "continue" in page.buttons()
    claims = await claims_of(service, await verify(browser))
    assert claims["auth_time"] == house.clock.now()


@pytest.mark.parametrize("prompt", ["login", "select_account"])
async def test_a_form_from_another_site(
    house: TestHouse, browser: Browser, service: Service, prompt: str
) -> None:
    """AZ-41: POST /authorize brings no cookie; the GET it leads to does, and prompt still holds."""
    await log_in(browser, service)
    page = await _cross_site(browser, service)
    code_in(page)
    page = await _cross_site(browser, service, prompt=prompt)
    assert "continue" in page.buttons()
    code_in(await verify(browser))


async def _cross_site(browser: Browser, service: Service, **params: str) -> Page:
    """What a form at the service's own site does."""
    headers = (*FORM, ("sec-fetch-site", "cross-site"), ("origin", "https://service.test"))
    body = form(service.params(**params))
    first = await bare(browser.house, "/authorize", method="POST", body=body, headers=headers)
    assert first.status == 303
    assert "set-cookie" not in first.headers
    return await browser.open(first.headers["location"])


async def test_a_form_from_another_site_by_somebody_new(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """The browser that has never been here is bound at its first GET, and can go on from there."""
    page = await _cross_site(browser, service)
    assert "continue" in page.buttons()
    await verify(browser)
    code_in(await browser.press("allow"))


@SQLITE
async def test_a_form_is_told_silently_too(browser: Browser, service: Service) -> None:
    """prompt=none by POST: the GET after it knows about the session, and answers."""
    page = await _cross_site(browser, service, prompt="none")
    is_sent_back(page.url, "login_required", service.state)
    await log_in(browser, service)
    code_in(await _cross_site(browser, service, prompt="none"))


@SQLITE
@pytest.mark.parametrize(
    ("client_id", "uri"), [("nobody", CALLBACK), ("service", "https://evil.test/")]
)
async def test_a_bad_form_is_kept_nowhere(
    house: TestHouse, service: Service, client_id: str, uri: str
) -> None:
    """What is refused by page at GET is refused by page at POST, and leaves no row."""
    before = await stored(house)
    fields = service.params(client_id=client_id, redirect_uri=uri)
    page = await Browser(house).send("/authorize", fields)
    assert (page.status, page.url) == (400, "https://id.test/authorize")
    assert await stored(house) == before


# ── hints ───────────────────────────────────────────────────────────────────────────────────────


@SQLITE
@pytest.mark.parametrize(
    ("hint", "typed"),
    [("a100000010", ALICE), ("Ａ１００００００１０", ALICE), ("me@example.test", ""), ("<b>", "")],
)
async def test_a_login_hint(
    house: TestHouse, browser: Browser, service: Service, hint: str, typed: str
) -> None:
    """A number is written into the field for the person, and nowhere in the store as it is."""
    page = await browser.open(service.url(login_hint=hint))
    assert page.forms[0].fields["pid"] == typed
    kept = repr(await stored(house))
    assert ALICE not in kept
    assert hint not in kept or not typed
    page = await verify(browser, "qr", ALICE)
    assert "allow" in page.buttons()


@SQLITE
async def test_a_token_hint_is_not_kept(house: TestHouse, service: Service) -> None:
    """An ID token may hold the national ID: of a hint only the subject is stored."""
    browser = await logged_in(house, service, scope="openid profile twid")
    tokens = (await service.redeem(await browser.open(service.url(scope="openid twid")))).json()
    await browser.open(service.url(prompt="login", id_token_hint=tokens["id_token"]))
    kept = repr(await stored(house))
    assert tokens["id_token"].split(".")[1] not in kept
    code_in(await verify(browser))


@SQLITE
async def test_somebody_else_than_hinted(house: TestHouse, service: Service) -> None:
    """OIDC Core §3.1.2.1: whoever logs in instead is not passed off as the one expected."""
    browser = await logged_in(house, service)
    hint = (await service.redeem(await browser.open(service.url()))).json()["id_token"]
    other = Browser(house)
    page = await other.open(service.url(id_token_hint=hint))
    assert "continue" in page.buttons()
    page = await verify(other, "dongle", BOB)
    is_sent_back(page.url, "login_required", service.state)
    page = await other.open(service.url(id_token_hint=hint, prompt="login"))
    code_in(await verify(other, "qr", ALICE))


# ── languages ───────────────────────────────────────────────────────────────────────────────────


@SQLITE
@pytest.mark.parametrize(
    ("locales", "language"), [("en", "en"), ("fr en", "en"), ("zh-Hant", "zh-Hant-TW"), ("<x>", "")]
)
async def test_ui_locales(browser: Browser, service: Service, locales: str, language: str) -> None:
    """OIDC Core §3.1.2.1: the first language that we speak, at login and at consent."""
    page = await browser.open(service.url(ui_locales=locales))
    assert page.lang == (language or "zh-Hant-TW")
    assert (await verify(browser)).lang == (language or "zh-Hant-TW")


@SQLITE
async def test_switching_the_language(browser: Browser, service: Service) -> None:
    """The person's own choice keeps the login open and outlasts what the service wished."""
    page = await browser.open(service.url(ui_locales="zh-TW"))
    switch = f"{urlsplit(page.url).path}?lang=en"
    assert f'href="{switch}"' in page.html
    assert (await browser.open(switch)).lang == "en"
    page = await verify(browser)
    assert (page.lang, "allow" in page.buttons()) == ("en", True)
    code_in(await browser.press("allow"))


@SQLITE
async def test_an_error_page_repeats_no_query(browser: Browser, service: Service) -> None:
    """HD-16: the language link of an error page must not carry a number or a token."""
    page = await browser.open(service.url(client_id="nobody", login_hint=ALICE))
    assert ALICE not in page.html
    assert "?lang=" not in page.html


# ── what comes out ──────────────────────────────────────────────────────────────────────────────


@SQLITE
async def test_form_post(house: TestHouse, browser: Browser) -> None:
    """OAuth 2.0 Form Post: code, state and iss in a form to the registered URI, not stored."""
    service = await another(house, "poster", response_modes=("query", "form_post"))
    page = await log_in(browser, service, response_mode="form_post")
    (posted,) = page.forms
    assert (page.status, posted.action, posted.method) == (200, service.redirect_uri, "post")
    assert set(posted.fields) == {"code", "state", "iss"}
    assert page.headers["cache-control"] == "no-store"
    assert (await service.redeem(posted.fields["code"])).status_code == 200


async def test_nothing_of_a_code_is_stored(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Only its digest: a copy of the database redeems nothing."""
    page = await log_in(browser, service)
    assert code_in(page) not in repr(await stored(house))


@SQLITE
async def test_pairwise_subjects(house: TestHouse) -> None:
    """OIDC Core §8.1: equal within a sector, unlike between sectors, and never the number."""
    seen = {}
    for name, sector in (("a", ""), ("b", "tax.test"), ("c", "tax.test")):
        service = await another(house, name, sector=sector, trusted=True)
        page = await log_in(Browser(house), service)
        seen[name] = (await claims_of(service, page))["sub"]
    assert seen["b"] == seen["c"] != seen["a"]
    assert ALICE not in repr(seen)


@pytest.mark.parametrize("changed_settings", [{"login": {"starts_per_minute": 3}}], ids=["3"])
async def test_too_many_begin(house: TestHouse, service: Service) -> None:
    """SS-11: past the limit nothing more is written, by GET or by POST."""
    limit = house.settings.login.starts_per_minute
    for _ in range(limit):
        assert (await bare(house, "/authorize", query=form(service.params()))).status == 303
        body = form(service.params())
        answer = await bare(house, "/authorize", method="POST", body=body, headers=FORM)
        assert answer.status == 303
    before = await stored(house)
    for method, query, body in (
        ("GET", form(service.params()), b""),
        ("POST", b"", form(service.params())),
    ):
        answer = await bare(
            house, "/authorize", method=method, query=query, body=body, headers=FORM
        )
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 0
    assert await stored(house) == before


@SQLITE
async def test_a_browser_cookie_that_was_planted_twice(house: TestHouse, service: Service) -> None:
    """SS-02: two cookies of one name are none; the login begins with a fresh one."""
    planted = ("cookie", f"{BROWSER_COOKIE}={'a' * 43}; {BROWSER_COOKIE}={'b' * 43}")
    answer = await bare(house, "/authorize", query=form(service.params()), headers=(planted,))
    assert answer.status == 303
    assert BROWSER_COOKIE in answer.headers["set-cookie"]
    (login,) = await house.services.database.all(select(logins))
    assert login["browser"] not in ("a" * 43, "b" * 43)
