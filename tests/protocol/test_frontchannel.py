"""Front-channel logout: which frames the logout page opens, and how it leads on."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from bs4 import BeautifulSoup
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.actors import Browser, Page, Service, verify
from tests.asking import BOB, SESSION_COOKIE, SQLITE, another, code_in, live_sessions, logged_in
from tests.house import ISSUER, TestHouse

GONE = "https://one.test/gone"


async def framed(house: TestHouse, name: str, query: str = "", **fields: Any) -> Service:
    """A relying party that is told in a frame."""
    known: dict[str, Any] = {"frontchannel_logout_uri": f"https://{name}.test/out{query}"}
    known |= {"trusted": True, "post_logout_redirect_uris": (f"https://{name}.test/gone",)}
    return await another(house, name, **(known | fields))


async def id_token(browser: Browser, service: Service) -> tuple[str, dict[str, Any]]:
    page = await browser.open(service.url(prompt="none"))
    token = str((await service.redeem(page)).json()["id_token"])
    keys = KeySet.import_key_set((await service.http.get("/jwks")).json())
    return token, dict(jwt.decode(token, keys, ["RS256"]).claims)


def frames(page: Page) -> list[str]:
    return [str(f["src"]) for f in BeautifulSoup(page.html, "html.parser")("iframe")]


def policy(page: Page) -> str:
    (found,) = [
        part.strip()
        for part in page.headers["content-security-policy"].split(";")
        if part.strip().startswith("frame-src")
    ]
    return found


def scripts(page: Page) -> list[str]:
    return [str(s["src"]) for s in BeautifulSoup(page.html, "html.parser")("script")]


async def test_each_service_of_this_browser(house: TestHouse) -> None:
    """Front-Channel §3: iss and sid for each, added to the registered address; the page may frame
    these origins and no others; it goes on by its script, and by a link without one."""
    one, two = await framed(house, "one"), await framed(house, "two", "?x=1")
    quiet = await another(house, "quiet", trusted=True)
    browser = await logged_in(house, one)
    await logged_in(house, two, BOB)
    hint, claims = await id_token(browser, one)
    _, others = await id_token(browser, two)
    await id_token(browser, quiet)
    params = {"id_token_hint": hint, "post_logout_redirect_uri": GONE, "state": "s"}
    page = await browser.open("/logout?" + urlencode(params))
    assert (page.status, page.url.partition("?")[0]) == (200, f"{ISSUER}/logout")
    sent = {urlsplit(src).netloc: parse_qs(urlsplit(src).query) for src in frames(page)}
    assert sent == {
        "one.test": {"iss": [ISSUER], "sid": [claims["sid"]]},
        "two.test": {"x": ["1"], "iss": [ISSUER], "sid": [others["sid"]]},
    }
    assert policy(page) == "frame-src https://one.test https://two.test"
    assert page.links["onward"] == f"{GONE}?state=s"
    assert scripts(page) == ["/static/onward.js"]
    assert SESSION_COOKIE not in browser.cookies["id.test"]
    assert len(await live_sessions(house)) == 1  # of the other person, who is in no frame
    page = await browser.open("/logout?" + urlencode(params))
    assert page.url == f"{GONE}?state=s"  # nothing is left to tell


@SQLITE
async def test_after_the_question(house: TestHouse) -> None:
    """Without a hint a page asks first; there is nowhere to go on to, so nothing moves."""
    one = await framed(house, "one")
    browser = await logged_in(house, one)
    assert frames(await browser.open("/logout")) == []
    page = await browser.press("logout")
    assert [urlsplit(src).netloc for src in frames(page)] == ["one.test"]
    assert "onward" not in page.links
    assert scripts(page) == []


@SQLITE
async def test_back_into_an_app(house: TestHouse) -> None:
    """RFC 8252 §7.1: an app's own scheme needs a press, so no script goes there."""
    out = "com.example.app:/out"
    known: dict[str, Any] = {"application_type": "native", "post_logout_redirect_uris": (out,)}
    app, one = await framed(house, "app", **known), await framed(house, "one")
    browser = await logged_in(house, one)
    params = {"client_id": app.registered.id, "post_logout_redirect_uri": out}
    await browser.open("/logout?" + urlencode(params))
    page = await browser.press("logout")
    assert page.links["onward"] == out
    assert len(frames(page)) == 1
    assert scripts(page) == []


@SQLITE
async def test_every_session_of_a_service(house: TestHouse, browser: Browser) -> None:
    """Whoever logged in again in this browser is named as each ID token did; a service that is
    disabled is not opened."""
    one, gone = await framed(house, "one"), await framed(house, "two")
    await browser.open(one.url())
    code_in(await verify(browser), one.redirect_uri)
    _, first = await id_token(browser, one)
    await browser.open(gone.url(prompt="none"))
    await browser.open(one.url(prompt="login"))
    code_in(await verify(browser), one.redirect_uri)
    _, second = await id_token(browser, one)
    await house.registrar.switch(gone.registered.id, enabled=False)
    await browser.open("/logout")
    page = await browser.press("logout")
    sids = {parse_qs(urlsplit(src).query)["sid"][0] for src in frames(page)}
    assert sids == {first["sid"], second["sid"]}
    assert policy(page) == "frame-src https://one.test"


@SQLITE
async def test_where_there_is_nobody_to_tell(house: TestHouse, service: Service) -> None:
    """No frame, and a policy that allows none."""
    browser = await logged_in(house, service)
    await browser.open("/logout")
    page = await browser.press("logout")
    assert frames(page) == []
    assert "frame-src" not in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    "uri", ["https://other.test/out", "https://one.test:8443/out", "http://one.test/out",
            "https://one.test/out?sid=x", "https://one.test/out#x", "javascript:alert(1)"],
)  # fmt: skip
@SQLITE
async def test_an_address_that_does_not_fit(house: TestHouse, uri: str) -> None:
    """Front-Channel §2: scheme, host and port are those of a redirect URI, and the answer adds iss
    and sid."""
    with pytest.raises(ValueError, match="frontchannel_logout_uri"):
        await framed(house, "one", frontchannel_logout_uri=uri)
