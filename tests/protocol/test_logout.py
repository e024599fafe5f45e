"""RP-initiated logout: what is done silently, what is asked, what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt

from idp.kernel.tables import sessions
from tests.actors import Browser, Page, Service
from tests.asking import (
    BOB,
    FORM,
    SESSION_COOKIE,
    SQLITE,
    another,
    bare,
    form,
    is_page,
    live_sessions,
    logged_in,
    rows,
    stored,
)
from tests.house import ISSUER, START, TestHouse

HOST = "id.test"
GONE = "https://service.test/gone?a=b"


@pytest.fixture
async def service(house: TestHouse) -> Service:
    registered = await house.register("service", post_logout_redirect_uris=(GONE,))
    return Service(house, registered)


async def tokens_of(browser: Browser, service: Service) -> dict[str, Any]:
    page = await browser.open(service.url(prompt="none", scope="openid offline_access profile"))
    if "error" in page.query:
        await browser.open(service.url(scope="openid offline_access profile"))
        page = await browser.press("allow")
    return dict((await service.redeem(page)).json())


async def hint_of(browser: Browser, service: Service) -> str:
    page = await browser.open(service.url(prompt="none"))
    return str((await service.redeem(page)).json()["id_token"])


def logout(**params: str) -> str:
    return "/logout?" + urlencode(params)


async def test_the_person_whom_the_hint_names(house: TestHouse, service: Service) -> None:
    """RP-Initiated §2: logged out without a question, and sent on with state as it came."""
    browser = await logged_in(house, service)
    hint = await hint_of(browser, service)
    page = await browser.open(
        logout(id_token_hint=hint, post_logout_redirect_uri=GONE, state='a b"&')
    )
    assert page.url.startswith(GONE + "&state=")
    assert parse_qs(urlsplit(page.url).query)["state"] == ['a b"&']
    assert SESSION_COOKIE not in browser.cookies[HOST]
    assert await live_sessions(house) == []
    (event,) = await house.events("logout.done")
    assert event["person_id"] == (await rows(house, sessions))[0]["person_id"]
    page = await browser.open(service.url(prompt="none"))
    assert page.query["error"] == "login_required"


@SQLITE
async def test_an_old_hint(house: TestHouse, service: Service) -> None:
    """RP-Initiated §4: an expired ID token still names the person."""
    browser = await logged_in(house, service)
    hint = await hint_of(browser, service)
    house.clock.pass_(1000)
    page = await browser.open(logout(id_token_hint=hint, post_logout_redirect_uri=GONE))
    assert page.url == GONE
    page = await browser.open(logout(id_token_hint=hint, post_logout_redirect_uri=GONE))
    assert page.url == GONE  # also when there is nothing left to end


async def test_what_hangs_on_the_session(house: TestHouse, service: Service) -> None:
    """OIDC Core §11: refresh tokens end with it, but for those that were asked for offline use."""
    browser = await logged_in(house, service)
    page = await browser.open(service.url(prompt="none"))
    online = (await service.redeem(page)).json()
    offline = await tokens_of(browser, service)
    await browser.open(logout(id_token_hint=online["id_token"]))
    answer = await service.refresh(online["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await service.refresh(offline["refresh_token"])).status_code == 200


ASKED: dict[str, dict[str, str]] = {
    "LO-01": {},
    "LO-01-client": {"client_id": "service"},
    "LO-01-uri": {"client_id": "service", "post_logout_redirect_uri": GONE},
    "LO-04": {"post_logout_redirect_uri": GONE},
    "LO-04-evil": {"post_logout_redirect_uri": "https://evil.test/", "state": "x"},
}


@SQLITE
@pytest.mark.parametrize("row", ASKED)
async def test_who_is_not_named_is_asked(house: TestHouse, service: Service, row: str) -> None:
    """RP-Initiated §6: another site's link logs nobody out; §3: nor does it lead anywhere
    without a client."""
    browser = await logged_in(house, service)
    before = await stored(house)
    page = await browser.open(logout(**ASKED[row]))
    assert (page.status, page.url[:22]) == (200, "https://id.test/logout")
    assert "logout" in page.buttons()
    assert await stored(house) == before
    page = await browser.press("logout")
    away = ASKED[row].get("client_id") and ASKED[row].get("post_logout_redirect_uri")
    assert page.url == (away or "https://id.test/logout/confirm")
    assert await live_sessions(house) == []


@SQLITE
async def test_the_question_keeps_its_parameters(house: TestHouse, service: Service) -> None:
    """Switching the language loses neither the service nor the way back to it."""
    browser = await logged_in(house, service)
    page = await browser.open(logout(client_id="service", post_logout_redirect_uri=GONE))
    assert "館藏服務" in page.html
    assert (
        "form-action 'self' https://service.test https:;" in page.headers["content-security-policy"]
    )
    (link,) = [part.split('"')[0] for part in page.html.split('href="')[1:] if "lang=en" in part]
    page = await browser.open(link.replace("&amp;", "&"))
    assert (page.lang, "館藏服務" in page.html) == ("en", True)
    assert (await browser.press("logout")).url == GONE


@SQLITE
@pytest.mark.parametrize("kind", ["none", "other", "cross-site", "no cookie"])
async def test_nobody_else_confirms(house: TestHouse, service: Service, kind: str) -> None:
    """LO-02: CSRF; the session is untouched."""
    browser = await logged_in(house, service)
    page = await browser.open("/logout")
    elsewhere = await Browser(house).open("/logout")
    csrf = {"none": "", "other": elsewhere.forms[0].fields["csrf"]}
    fields = {"csrf": csrf.get(kind, page.forms[0].fields["csrf"])}
    headers = {"cross-site": {"sec-fetch-site": "cross-site"}, "no cookie": {"cookie": ""}}
    before = await stored(house)
    answer = await browser.send("/logout/confirm", fields, **headers.get(kind, {}))
    is_page(answer, 403, "forged_request")
    assert await stored(house) == before


def _forged(hint: str, kind: str) -> str:
    head, body, mark = hint.split(".")

    def written(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return {
        "LO-05-signature": f"{head}.{body}.{mark[:-6]}AAAAAA",
        "LO-05-none": f"{written({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "LO-05-payload": f"{head}.{written([1])}.{mark}",
        "LO-05-garbage": "a.b.c",
        "LO-05-cjk": "圖書館",
        "LO-05-long": "x" * 9000,
        "LO-05-dots": "..",
    }[kind]


@SQLITE
@pytest.mark.parametrize(
    "row",
    [f"LO-05-{k}" for k in ("signature", "none", "payload", "garbage", "cjk", "long", "dots")],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_hint_that_is_not_ours(
    house: TestHouse, service: Service, row: str, method: str
) -> None:
    """RP-Initiated §4: refused by page, never a redirect, nobody logged out."""
    browser = await logged_in(house, service)
    hint = _forged(await hint_of(browser, service), row)
    params = {"id_token_hint": hint, "post_logout_redirect_uri": GONE}
    before = await stored(house)
    if method == "GET":
        answer: Page = await browser.open(logout(**params))
    else:
        answer = await browser.send("/logout", params)
    is_page(answer, 400, "invalid_request")
    assert await stored(house) == before


@SQLITE
async def test_a_signed_hint_that_says_something_else(house: TestHouse, service: Service) -> None:
    """LO-05: signed by our key, but of a foreign issuer, not an object, or no ID token."""
    browser = await logged_in(house, service)
    page = await browser.open(service.url(prompt="none"))
    tokens = (await service.redeem(page)).json()
    key = house.services.keyring.signer("RS256")
    said = {"iss": "https://evil.test", "sub": "x", "aud": "service", "exp": START + 600}
    head = {"alg": "RS256", "typ": "JWT", "kid": key.kid}
    own = {**said, "iss": ISSUER}
    hints = [
        jwt.encode(head, said, key.key, ["RS256"]),
        jwt.encode({**head, "typ": "at+jwt"}, own, key.key, ["RS256"]),
        jwt.encode(head, {**own, "sub": None}, key.key, ["RS256"]),
        tokens["access_token"],
    ]
    for hint in hints:
        is_page(await browser.open(logout(id_token_hint=hint)), 400, "invalid_request")
    assert len(await live_sessions(house)) == 1


async def test_the_hint_of_somebody_else(house: TestHouse, service: Service) -> None:
    """LO-07: whoever is in the browser is asked, not logged out in another's name
    (CVE-2025-12390)."""
    alice = await logged_in(house, service)
    hint = await hint_of(alice, service)
    bob = await logged_in(house, service, BOB)
    before = await stored(house)
    page = await bob.open(logout(id_token_hint=hint, post_logout_redirect_uri=GONE))
    assert (page.status, "logout" in page.buttons()) == (200, True)
    assert await stored(house) == before
    assert (await bob.press("logout")).url == GONE
    (left,) = await live_sessions(house)
    assert left["method"] == "twfido:qr"


REFUSED: dict[str, dict[str, str]] = {
    "LO-08": {"client_id": "nobody"},
    "LO-08-uri": {"client_id": "nobody", "post_logout_redirect_uri": GONE},
    "LO-03-other": {"client_id": "service", "post_logout_redirect_uri": "https://evil.test/"},
    "LO-03-slash": {"client_id": "service", "post_logout_redirect_uri": GONE + "/"},
    "LO-03-case": {"client_id": "service", "post_logout_redirect_uri": GONE.replace("g", "G")},
    "LO-03-login": {
        "client_id": "service",
        "post_logout_redirect_uri": "https://service.test/callback",
    },
    "LO-03-js": {"client_id": "service", "post_logout_redirect_uri": "JavaScript:alert(1)"},
    "LO-06-state": {"client_id": "service", "state": "x" * 2049},
    "LO-06-nul": {"client_id": "service", "state": "\x00"},
    "LO-06-crlf": {"client_id": "service", "state": "\r\nSet-Cookie: x"},
}


@SQLITE
@pytest.mark.parametrize("row", REFUSED)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refusal(house: TestHouse, service: Service, row: str, method: str) -> None:
    """Refused by page: an open redirect is somebody's phishing page (CVE-2021-29456)."""
    browser = await logged_in(house, service)
    before = await stored(house)
    if method == "GET":
        answer: Page = await browser.open(logout(**REFUSED[row]))
    else:
        answer = await browser.send("/logout", REFUSED[row])
    is_page(answer, 400, "invalid_request")
    assert await stored(house) == before


@SQLITE
@pytest.mark.parametrize("name", ["client_id", "id_token_hint", "post_logout_redirect_uri"])
async def test_a_parameter_twice(house: TestHouse, service: Service, name: str) -> None:
    """What one reader takes first another takes last."""
    query = form([(name, "a"), (name, "b")])
    assert service.registered.id
    is_page(await bare(house, "/logout", query=query), 400, "invalid_request")


@SQLITE
async def test_the_hint_of_one_client_for_another(house: TestHouse, service: Service) -> None:
    """RP-Initiated §2: client_id and the hint's audience must agree."""
    browser = await logged_in(house, service)
    hint = await hint_of(browser, service)
    other = await another(house, "other", post_logout_redirect_uris=("https://other.test/bye",))
    for params in (
        {"client_id": other.registered.id},
        {"client_id": other.registered.id, "post_logout_redirect_uri": "https://other.test/bye"},
        {"post_logout_redirect_uri": "https://other.test/bye"},
    ):
        answer = await browser.open(logout(id_token_hint=hint, **params))
        is_page(answer, 400, "invalid_request")
    assert len(await live_sessions(house)) == 1


@SQLITE
async def test_a_form_from_another_site(house: TestHouse, service: Service) -> None:
    """RP-Initiated §2: POST has no cookie from there; the GET it leads to has."""
    browser = await logged_in(house, service)
    hint = await hint_of(browser, service)
    fields = {"id_token_hint": hint, "post_logout_redirect_uri": GONE, "other": "x"}
    first = await bare(house, "/logout", method="POST", body=form(fields), headers=FORM)
    assert (first.status, first.headers["cache-control"]) == (303, "no-store")
    assert len(await live_sessions(house)) == 1
    assert (await browser.open(first.headers["location"])).url == GONE
    assert await live_sessions(house) == []


@SQLITE
async def test_only_this_browser(house: TestHouse, service: Service) -> None:
    """Logging out here leaves the person's other browsers alone."""
    here, there = await logged_in(house, service), await logged_in(house, service)
    await here.open(logout(id_token_hint=await hint_of(here, service)))
    assert "code" in (await there.open(service.url(prompt="none"))).query


async def test_a_code_on_its_way(house: TestHouse, service: Service) -> None:
    """TK-31: what was given out before the logout and not redeemed is void."""
    browser = await logged_in(house, service)
    hint = await hint_of(browser, service)
    page = await browser.open(service.url(scope="openid offline_access"))
    page = await browser.press("allow")
    await browser.open(logout(id_token_hint=hint))
    answer = await service.redeem(page)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@SQLITE
async def test_a_confirmation_later_than_the_session(house: TestHouse, service: Service) -> None:
    """Pressing the button after the session has ended is no error."""
    browser = await logged_in(house, service)
    await browser.open("/logout")
    house.clock.pass_(2000)
    page = await browser.press("logout")
    assert (page.status, "公用電腦" in page.html) == (200, True)


@SQLITE
async def test_a_disabled_client(house: TestHouse, service: Service) -> None:
    """A person can always leave; a client that is gone has no way back to lead to."""
    browser = await logged_in(house, service)
    hint = await hint_of(browser, service)
    await house.registrar.switch("service", enabled=False)
    answer = await browser.open(logout(id_token_hint=hint, post_logout_redirect_uri=GONE))
    assert answer.status == 200
    assert answer.url.startswith(ISSUER)
    assert not await live_sessions(house)
