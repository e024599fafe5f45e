"""Answers of the authorization endpoint as JWTs (JARM)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.actors import Browser, Page, Service, verify
from tests.deeds import on_sqlite, refused
from tests.house import CALLBACK, ISSUER, TestHouse
from tests.keys import verified_elsewhere

MODES = ("query", "form_post", "query.jwt", "form_post.jwt")


async def registered(house: TestHouse, **fields: Any) -> Service:
    return Service(house, await house.register("rp", **({"response_modes": MODES} | fields)))


@pytest.fixture
async def rp(house: TestHouse) -> Service:
    return await registered(house)


def response(page: Page) -> str:
    """The one parameter, wherever it came."""
    fields = page.forms[0].fields if page.forms else page.query
    assert set(fields) == {"response"}
    return fields["response"]


async def read(rp: Service, page: Page) -> tuple[dict[str, Any], dict[str, Any]]:
    """(header, claims), verified by another library against the published keys."""
    return verified_elsewhere(response(page), await rp.http.get("/jwks"))


async def answered(browser: Browser, rp: Service, mode: str, **params: str | None) -> Page:
    page = await browser.open(rp.url(response_mode=mode, **params))
    if "continue" in page.buttons():
        await verify(browser)
        page = await browser.press("allow")
    return page


@on_sqlite
@pytest.mark.parametrize("mode", ["jwt", "query.jwt", "form_post.jwt"])
async def test_a_code_in_a_signed_answer(browser: Browser, rp: Service, mode: str) -> None:
    """§2.1, §2.3: iss, aud, exp of ten minutes, code and state, and nothing beside the JWT."""
    page = await answered(browser, rp, mode)
    header, claims = await read(rp, page)
    assert header["alg"] == "RS256"
    assert claims["exp"] == rp.house.clock.now() + 600
    assert {k: claims[k] for k in ("iss", "aud", "state")} == {
        "iss": ISSUER,
        "aud": "rp",
        "state": rp.state,
    }
    if mode == "form_post.jwt":
        assert page.forms[0].action == CALLBACK
    else:
        assert page.url.startswith(CALLBACK)
    assert (await rp.redeem(claims["code"])).status_code == 200


@on_sqlite
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_the_registered_algorithm(house: TestHouse, browser: Browser, alg: str) -> None:
    """§3 authorization_signed_response_alg."""
    rp = await registered(house, authorization_signed_response_alg=alg)
    header, _ = await read(rp, await answered(browser, rp, "jwt"))
    assert header["alg"] == alg


@on_sqlite
@pytest.mark.parametrize("mode", ["jwt", "form_post.jwt"])
async def test_an_error_in_a_signed_answer(browser: Browser, rp: Service, mode: str) -> None:
    """§2.1: errors too, those before a login and those after it."""
    _, claims = await read(rp, await answered(browser, rp, mode, prompt="none"))
    assert (claims["error"], claims["state"]) == ("login_required", rp.state)
    await browser.open(rp.url(response_mode=mode))
    await verify(browser)
    _, claims = await read(rp, await browser.press("deny"))
    assert claims["error"] == "access_denied"
    assert "code" not in claims


@on_sqlite
async def test_by_a_pushed_request(browser: Browser, rp: Service) -> None:
    """FAPI 2.0 Message Signing §5.4.1: pushed, and answered by a JWT."""
    await browser.open(await rp.pushed_url(response_mode="jwt"))
    await verify(browser)
    _, claims = await read(rp, await browser.press("allow"))
    assert (await rp.redeem(claims["code"])).status_code == 200


@on_sqlite
@pytest.mark.parametrize("mode", ["jwt", "query.jwt", "form_post.jwt", "fragment.jwt", "x.jwt"])
async def test_a_client_that_is_not_registered_for_it(
    browser: Browser, service: Service, mode: str
) -> None:
    """A mode is a choice of the client's owner; a fragment is never one (RFC 9700 §2.1.2)."""
    page = await browser.open(service.url(response_mode=mode))
    assert page.url.startswith(CALLBACK)
    assert page.query["error"] == "invalid_request"


@on_sqlite
async def test_an_answer_is_no_id_token(browser: Browser, rp: Service) -> None:
    """RFC 8725 §3.11: what was signed for one thing is taken for no other."""
    text = response(await answered(browser, rp, "jwt"))
    page = await browser.open(rp.url(id_token_hint=text, prompt="none"))
    assert page.query["error"] == "login_required"
    answer = await rp.userinfo(text)
    refused(answer, 401, "invalid_token")


@on_sqlite
async def test_what_the_metadata_say(rp: Service) -> None:
    """§4."""
    found = (await rp.http.get("/.well-known/openid-configuration")).json()
    modes = ["query", "form_post", "jwt", "query.jwt", "form_post.jwt"]
    assert found["response_modes_supported"] == modes
    assert "none" not in found["authorization_signing_alg_values_supported"]
