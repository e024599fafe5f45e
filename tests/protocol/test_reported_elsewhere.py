"""Faults that were reported of other servers: each was tried here, and what was found is held."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.actors import Browser, Service
from tests.asking import SQLITE, another, bare, is_page, is_sent_back, live_sessions, logged_in
from tests.deeds import refused
from tests.house import TestHouse
from tests.keys import Signer
from tests.keys import form as signed

pytestmark = SQLITE


# ── dates and numbers ───────────────────────────────────────────────────────────────────────────


async def program(house: TestHouse, signer: Signer) -> None:
    await house.register_program(
        client_id=signer.client_id,
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [signer.public()]},
    )


@pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
async def test_a_date_with_a_fraction(house: TestHouse, claim: str) -> None:
    """RFC 7519 §2: a NumericDate may have one; the assertion is still good only once."""
    signer = Signer("signs")
    await program(house, signer)
    at = house.clock.now() + (60 if claim == "exp" else 0) + 0.7
    assertion = signer.assertion(house, **{claim: at})
    answer = await house.http().post("/token", data=signed(assertion))
    assert answer.status_code == 200, answer.text
    refused(await house.http().post("/token", data=signed(assertion)), 401, "invalid_client")


@pytest.mark.parametrize("value", [True, "1790000000", [1], {}])
async def test_what_is_no_date(house: TestHouse, value: object) -> None:
    """A truth value or a text is none."""
    signer = Signer("signs")
    await program(house, signer)
    for claim in ("iat", "nbf", "exp"):
        form = signed(signer.assertion(house, **{claim: value}))
        refused(await house.http().post("/token", data=form), 401, "invalid_client")


@pytest.mark.parametrize("age", ["2147483647", "9" * 30])
async def test_an_age_beyond_all(house: TestHouse, service: Service, age: str) -> None:
    """OIDC Core §3.1.2.1 names no upper bound of max_age."""
    browser = await logged_in(house, service)
    page = await browser.open(service.url(max_age=age))
    assert "code" in page.query


# ── parameters ──────────────────────────────────────────────────────────────────────────────────


async def test_two_resources(house: TestHouse) -> None:
    """RFC 8707 §2: resource may come more than once; the token is for all of them."""
    apis = ["https://a.test", "https://b.test", "https://c.test"]
    registered = await house.register_program(client_id="bus", audience=tuple(apis))
    auth = ("bus", registered.secret or "")
    form = {"grant_type": "client_credentials", "resource": apis[:2]}
    answer = await house.http().post("/token", data=form, auth=auth)
    assert answer.status_code == 200, answer.text
    service = Service(house, registered)
    assert (await service.verified(answer.json()["access_token"]))["aud"] == apis[:2]
    form = {"grant_type": "client_credentials", "resource": [apis[0], "https://evil.test"]}
    refused(await house.http().post("/token", data=form, auth=auth), 400, "invalid_target")


async def test_two_resources_at_authorize(house: TestHouse) -> None:
    """RFC 8707 §2: `resource` may come twice."""
    both = ("https://a.test", "https://b.test")
    service = Service(house, await house.register("two", audience=both))
    page = await Browser(house).open(f"{service.url()}&resource={both[0]}&resource={both[1]}")
    assert "continue" in page.buttons()


@pytest.mark.parametrize("more", ["kw=%B4%FA", "kw=%00", "kw=%zz", "%B4%FA=1", "kw=1&kw=2"])
async def test_an_unknown_parameter_is_ignored(
    house: TestHouse, service: Service, more: str
) -> None:
    """RFC 6749 §3.1: whatever it holds, Big5 of an old portal too."""
    for path in ("/authorize", "/logout"):
        query = urlencode(service.params()) if path == "/authorize" else ""
        answer = await bare(house, path, query=f"{query}&{more}".encode())
        assert answer.status in (200, 303), path
        assert "invalid_request" not in answer.text
    bad = urlencode(service.params(state=None)).encode() + b"&state=%B4%FA"
    is_page(await bare(house, "/authorize", query=bad), 400, "invalid_request")


# ── discovery ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/jwks", "/.well-known/openid-configuration"])
async def test_what_a_cache_has_already(house: TestHouse, path: str) -> None:
    """RFC 9110 §13.1.2: weak comparison, with each of a list, or with anything at all."""
    etag = (await house.http().get(path)).headers["etag"]
    for known in (etag, f"W/{etag}", f'"x", W/{etag}', f'"x",{etag},"y"', "*"):
        answer = await house.http().get(path, headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
    for other in ('"x"', 'W/"x"', etag.strip('"')):
        assert (await house.http().get(path, headers={"if-none-match": other})).status_code == 200


# ── leaving ─────────────────────────────────────────────────────────────────────────────────────

APP = "com.example.app:/out"


async def test_a_logout_back_into_an_app(house: TestHouse) -> None:
    """RFC 8252 §7.1: as after a login, a browser opens an app only after a press."""
    app = await another(
        house,
        "app",
        token_endpoint_auth_method="none",
        application_type="native",
        redirect_uris=("com.example.app:/in",),
        post_logout_redirect_uris=(APP,),
    )
    query = urlencode(
        {"client_id": app.registered.id, "post_logout_redirect_uri": APP, "state": "s"}
    )
    browser = Browser(house)
    await browser.open(f"/logout?{query}")
    page = await browser.press("logout")
    assert page.status == 200
    assert f'href="{APP}?state=s"' in page.html


async def test_a_client_that_is_disabled(house: TestHouse, service: Service) -> None:
    """Its people can still leave; they are not led back to it."""
    browser = await logged_in(house, service)
    hint = (await service.redeem(await browser.open(service.url(prompt="none")))).json()["id_token"]
    await house.registrar.switch("service", enabled=False)
    page = await browser.open("/logout?" + urlencode({"id_token_hint": hint}))
    assert page.status == 200
    assert await live_sessions(house) == []


async def test_a_refused_logout_offers_another(house: TestHouse, service: Service) -> None:
    """Whatever is wrong with a client's request, its page leads to a way out."""
    browser = await logged_in(house, service)
    uri = {"client_id": "service", "post_logout_redirect_uri": "https://evil.test/"}
    page = await browser.open("/logout?" + urlencode(uri))
    is_page(page, 400, "invalid_request")
    assert 'id="logout"' in page.html and 'href="/logout"' in page.html
    await browser.open("/logout")
    await browser.press("logout")
    assert await live_sessions(house) == []


async def test_state_twice_is_not_sent_back(house: TestHouse, service: Service) -> None:
    """Nobody knows which of the two the client meant."""
    query = urlencode(service.params()).encode() + b"&state=other"
    answer = await bare(house, "/authorize", query=query)
    location = answer.headers["location"]
    is_sent_back(location, "invalid_request", None)
