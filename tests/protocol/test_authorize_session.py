"""/authorize with a session: what silence, age, hints and levels make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from tests.actors import Browser, Service
from tests.asking import ALICE, BOB, SESSION_COOKIE, another, is_sent_back, logged_in, stored
from tests.house import ISSUER, START, TestHouse
from tests.open_house import LOOP, house, service, shared

__all__ = ["house", "service", "shared"]
pytestmark = LOOP

LEVEL = "urn:twfido:"


def claims(**id_token: Any) -> str:
    return json.dumps({"id_token": id_token})


async def test_silent_without_consent(house: TestHouse, service: Service) -> None:
    """AZ-28: prompt=none shows no page, so who would have to be asked is not."""
    browser = await logged_in(house, service)
    other = await another(house, "other")
    before = await stored(house)
    page = await browser.open(other.url(prompt="none"))
    is_sent_back(page.url, "consent_required", other.state, other.redirect_uri)
    assert await stored(house) == before


@pytest.mark.parametrize(("age", "error"), [(1, ""), (2, "login_required")])
async def test_max_age(house: TestHouse, service: Service, age: int, error: str) -> None:
    """AZ-31: auth_time is that of the verification, and prompt=none does not renew it."""
    browser = await logged_in(house, service)
    house.clock.pass_(age)
    page = await browser.open(service.url(max_age="1", prompt="none"))
    if error:
        is_sent_back(page.url, error, service.state)
    else:
        assert "code" in page.query


async def test_max_age_zero_is_always_too_old(house: TestHouse, service: Service) -> None:
    """OIDC Core §3.1.2.1: max_age=0 means prompt=login, even in the same second."""
    browser = await logged_in(house, service)
    page = await browser.open(service.url(max_age="0", prompt="none"))
    is_sent_back(page.url, "login_required", service.state)


@pytest.mark.parametrize(("age", "error"), [(1, ""), (2, "login_required")])
async def test_a_registered_max_age(
    house: TestHouse, service: Service, age: int, error: str
) -> None:
    """OIDC Registration §2: default_max_age counts where the request has no max_age."""
    hasty = await another(house, "hasty", trusted=True, default_max_age=1)
    browser = await logged_in(house, service)
    house.clock.pass_(age)
    page = await browser.open(hasty.url(prompt="none"))
    if error:
        is_sent_back(page.url, error, hasty.state, hasty.redirect_uri)
    else:
        assert "code" in page.query
    assert "code" in (await browser.open(hasty.url(prompt="none", max_age="60"))).query


async def test_registered_levels(house: TestHouse, service: Service) -> None:
    """OIDC Registration §2: default_acr_values are a wish, as acr_values are."""
    browser = await logged_in(house, service, method="qr")
    usual = {"trusted": True, "default_acr_values": (LEVEL + "dongle",)}
    strict = await another(house, "wishful", **usual)
    assert "code" in (await browser.open(strict.url(prompt="none"))).query
    page = await browser.open(strict.url())
    assert [name for name in page.texts if name.startswith("help-")] == ["help-dongle"]
    assert "code" in (await browser.open(strict.url(acr_values=LEVEL + "qr"))).query


async def _id_token(house: TestHouse, service: Service, number: str) -> str:
    browser = await logged_in(house, service, number)
    page = await browser.open(service.url(prompt="none"))
    return str((await service.redeem(page)).json()["id_token"])


def _forged(hint: str, kind: str) -> str:
    """What an attacker can write who knows our issuer and our keys' ids."""
    said = {"iss": ISSUER, "sub": "x", "aud": "service", "iat": START, "exp": START + 600}
    if kind == "other key":
        return jwt.encode({"alg": "RS256", "typ": "JWT"}, said, RSAKey.generate_key(2048))
    if kind == "none":
        return "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + hint.split(".")[1] + "."
    if kind == "hmac":
        key = OctKey.import_key("public-key-as-a-secret-0123456789")
        return jwt.encode({"alg": "HS256", "typ": "JWT"}, said, key)
    head, body, mark = hint.split(".")
    changed = mark[:-6] + ("AAAAAA" if mark[-6:] != "AAAAAA" else "BBBBBB")
    return ".".join((head, body, changed))


@pytest.mark.parametrize("kind", ["other key", "none", "hmac", "changed"])
@pytest.mark.parametrize("prompt", [None, "none", "login"])
async def test_a_hint_that_is_not_ours(
    house: TestHouse, service: Service, kind: str, prompt: str | None
) -> None:
    """AZ-35: whomever it meant, it was not for us to know; no code, session or not."""
    browser = await logged_in(house, service)
    hint = _forged(await _id_token(house, service, ALICE), kind)
    before = await stored(house)
    page = await browser.open(service.url(id_token_hint=hint, prompt=prompt))
    is_sent_back(page.url, "login_required", service.state)
    assert await stored(house) == before


async def test_a_hint_of_another_kind_or_client(house: TestHouse, service: Service) -> None:
    """AZ-35: an access token is no ID token, and another client's is for its eyes only."""
    browser = await logged_in(house, service)
    tokens = (await service.redeem(await browser.open(service.url(prompt="none")))).json()
    # the same sector, so the same subject: only the audience tells them apart
    other = await another(house, "other", trusted=True, sector="service.test")
    for asking, hint in ((service, tokens["access_token"]), (other, tokens["id_token"])):
        page = await browser.open(asking.url(id_token_hint=hint))
        is_sent_back(page.url, "login_required", asking.state, asking.redirect_uri)


async def test_a_hint_of_somebody_else(house: TestHouse, service: Service) -> None:
    """AZ-35: the session's person stays who they are; nobody is logged out or in by a hint."""
    hint = await _id_token(house, service, BOB)
    browser = await logged_in(house, service, ALICE)
    cookie = browser.cookies["id.test"][SESSION_COOKIE]
    for prompt in (None, "none"):
        page = await browser.open(service.url(id_token_hint=hint, prompt=prompt))
        is_sent_back(page.url, "login_required", service.state)
    assert browser.cookies["id.test"][SESSION_COOKIE] == cookie
    assert "code" in (await browser.open(service.url())).query


async def test_a_hint_of_the_same_person(house: TestHouse, service: Service) -> None:
    """OIDC Core §3.1.2.1: then it is as if there were none, however old the token is."""
    browser = await logged_in(house, service)
    tokens = (await service.redeem(await browser.open(service.url(prompt="none")))).json()
    house.clock.pass_(1200)
    page = await browser.open(service.url(id_token_hint=tokens["id_token"], prompt="none"))
    assert "code" in page.query


async def test_the_client_asks_for_a_subject(house: TestHouse, service: Service) -> None:
    """OIDC Core §5.5.1: a sub that is asked for is answered, or nobody is."""
    browser = await logged_in(house, service)
    tokens = (await service.redeem(await browser.open(service.url()))).json()
    mine = (await service.verified(tokens["id_token"]))["sub"]
    right, wrong = claims(sub={"value": mine}), claims(sub={"value": "somebody"})
    assert "code" in (await browser.open(service.url(claims=right))).query
    page = await browser.open(service.url(claims=wrong))
    is_sent_back(page.url, "login_required", service.state)


# ── levels ──────────────────────────────────────────────────────────────────────────────────────

LEVELS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "client minimum": ({"minimum_acr": LEVEL + "dongle"}, {}),
    "client methods": ({"methods": ("dongle",)}, {}),
    "essential": ({}, {"claims": claims(acr={"essential": True, "value": LEVEL + "dongle"})}),
    # OIDC Core §5.5.1.1: the acr must be one of those named; stronger is not the same
    "essential weaker": ({}, {"claims": claims(acr={"essential": True, "value": LEVEL + "push"})}),
}


@pytest.mark.parametrize("kind", LEVELS)
async def test_a_session_of_another_level(house: TestHouse, service: Service, kind: str) -> None:
    """Single sign-on ends where the level does: silently refused, or verified anew."""
    fields, params = LEVELS[kind]
    browser = await logged_in(house, service, method="qr")
    strict = await another(house, "strict", trusted=True, **fields)
    page = await browser.open(strict.url(**params, prompt="none"))
    is_sent_back(page.url, "login_required", strict.state, strict.redirect_uri)
    page = await browser.open(strict.url(**params))
    asked = "push" if kind == "essential weaker" else "dongle"
    assert [name for name in page.texts if name.startswith("help-")] == [f"help-{asked}"]


IMPOSSIBLE: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "essential below the minimum": (
        {"minimum_acr": LEVEL + "web"},
        {"claims": claims(acr={"essential": True, "value": LEVEL + "push"})},
    ),
    "essential beside the methods": (
        {"methods": ("qr",)},
        {"claims": claims(acr={"essential": True, "value": LEVEL + "dongle"})},
    ),
    "a minimum that is none of ours": ({"minimum_acr": "urn:typo"}, {}),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
async def test_what_no_method_can_reach(house: TestHouse, kind: str) -> None:
    """AZ-37: told at once; nobody is sent to a page that cannot help, and nothing is lowered."""
    fields, params = IMPOSSIBLE[kind]
    strict = await another(house, "strict", **fields)
    page = await Browser(house).open(strict.url(**params))
    is_sent_back(page.url, "unmet_authentication_requirements", strict.state, strict.redirect_uri)


async def test_acr_values_are_a_wish(house: TestHouse, service: Service) -> None:
    """AZ-37: silently, the answer tells what really happened; else the wish is asked for."""
    browser = await logged_in(house, service, method="qr")
    page = await browser.open(service.url(acr_values=LEVEL + "dongle", prompt="none"))
    tokens = (await service.redeem(page)).json()
    assert (await service.verified(tokens["id_token"]))["acr"] == LEVEL + "qr"
    page = await browser.open(service.url(acr_values=LEVEL + "dongle"))
    assert [name for name in page.texts if name.startswith("help-")] == ["help-dongle"]


@pytest.mark.parametrize("wish", ["urn:other", LEVEL + "dongle"])
async def test_a_wish_that_cannot_be_met(house: TestHouse, wish: str) -> None:
    """acr_values alone is voluntary: an unknown or impossible one locks nobody out."""
    service = await another(house, "scanner", methods=("qr",))
    page = await Browser(house).open(service.url(acr_values=wish))
    assert [name for name in page.texts if name.startswith("help-")] == ["help-qr"]
