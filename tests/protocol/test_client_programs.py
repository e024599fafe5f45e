"""What client programs do that were written for other providers, and what they must get."""

from __future__ import annotations

import base64
import re
from typing import Any

import httpx
import pytest

from tests.actors import Browser, Service, log_in
from tests.asking import SQLITE, another, is_sent_back
from tests.deeds import allow, challenged, refused
from tests.house import CALLBACK, ISSUER, Registered, TestHouse
from tests.keys import Signer, verified_elsewhere
from tests.keys import form as signed

pytestmark = SQLITE

NO_PKCE: dict[str, Any] = {"code_challenge": None, "code_challenge_method": None}
PUBLIC = {"token_endpoint_auth_method": "none"}


def described(page: Any) -> str:
    return str(page.query["error_description"])


# ── PKCE or nonce ───────────────────────────────────────────────────────────────────────────────


async def test_a_nonce_is_enough(house: TestHouse, browser: Browser, service: Service) -> None:
    """RFC 9700 §2.1.1: a confidential client that sends a nonce logs in without PKCE."""
    page = await log_in(browser, service, **NO_PKCE)
    answer = await service.redeem(page, code_verifier=None)
    claims = await service.verified(answer.json()["id_token"])
    assert claims["nonce"] == service.nonce


async def test_neither_names_both(house: TestHouse, service: Service) -> None:
    """The refusal says both ways out."""
    page = await Browser(house).open(service.url(**NO_PKCE, nonce=None))
    is_sent_back(page.url, "invalid_request", service.state)
    assert "code_challenge" in described(page) and "nonce" in described(page)


async def test_whoever_sends_a_challenge_is_held_to_it(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A nonce beside it changes nothing: without the verifier there are no tokens."""
    page = await log_in(browser, service)
    refused(await service.redeem(page, code_verifier=None), 400, "invalid_grant")


@pytest.mark.parametrize(
    "fields", [PUBLIC, {"require_pkce": True}], ids=["public", "the operator's demand"]
)
async def test_where_pkce_is_required(house: TestHouse, fields: dict[str, Any]) -> None:
    """A nonce does not help a public client, nor one of which the operator demands PKCE."""
    service = await another(house, "strict", **fields)
    page = await Browser(house).open(service.url(**NO_PKCE))
    is_sent_back(page.url, "invalid_request", service.state, service.redirect_uri)
    assert "code_challenge is required" in described(page)


@pytest.mark.parametrize("changed_settings", [{"oidc": {"require_pkce": True}}], ids=["all"])
async def test_pkce_everywhere(house: TestHouse, service: Service) -> None:
    """The operator can demand it of every client."""
    page = await Browser(house).open(service.url(**NO_PKCE))
    is_sent_back(page.url, "invalid_request", service.state)


# ── empty means omitted ─────────────────────────────────────────────────────────────────────────


def basic(pair: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


EMPTY = {"client_assertion": "", "client_assertion_type": "", "scope": "", "audience": ""}
WAYS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "client_secret=": ({}, {"client_id": "app", "client_secret": ""}),
    "everything empty": ({}, {"client_id": "app", "client_secret": "", **EMPTY}),
    "an empty password": (basic("app:"), {}),
    "an empty password and the id": (basic("app:"), {"client_id": "app", "client_secret": ""}),
    "an empty header": ({"authorization": ""}, {"client_id": "app"}),
}


@pytest.mark.parametrize(("headers", "form"), WAYS.values(), ids=WAYS)
async def test_a_public_client_with_empty_fields(
    house: TestHouse, headers: dict[str, str], form: dict[str, str]
) -> None:
    """RFC 6749 §3.2: at /token and /revoke what is empty was not sent, in the header too."""
    service = Service(house, await house.register("app", **PUBLIC))
    deed = await allow(service)
    fields = {
        "grant_type": "authorization_code",
        "code": deed.code,
        "redirect_uri": CALLBACK,
        "code_verifier": service.verifier,
    }
    answer = await service.http.post("/token", data=fields | form, headers=headers)
    assert answer.status_code == 200, answer.text
    token = {"token": answer.json()["refresh_token"], "token_type_hint": ""}
    answer = await service.http.post("/revoke", data=token | form, headers=headers)
    assert answer.status_code == 200, answer.text
    assert await deed.revoked()


async def test_basic_beside_empty_fields(house: TestHouse) -> None:
    """At /token and /introspect the header counts, and an empty field beside it does not."""
    program = await house.register_program(client_id="bus")
    auth = ("bus", program.secret or "")
    empty = {"client_id": "", "client_secret": "", "resource": "", **EMPTY}
    form = {"grant_type": "client_credentials", **empty}
    answer = await house.http().post("/token", data=form, auth=auth)
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    told = await house.http().post("/introspect", data={"token": token, **empty}, auth=auth)
    assert told.json()["active"]


async def test_an_empty_secret_proves_nobody(house: TestHouse) -> None:
    """A confidential client without its secret stays outside, however it leaves it out."""
    await house.register_program(client_id="bus")
    form = {"grant_type": "client_credentials", "client_id": "bus"}
    for headers in ({}, basic("bus:")):
        fields = {**form, "client_secret": ""}
        challenged(await house.http().post("/token", data=fields, headers=headers))


async def test_empty_at_authorize_logout_and_userinfo(house: TestHouse, service: Service) -> None:
    """The other endpoints read it so too."""
    empty = dict.fromkeys(
        ("prompt", "max_age", "claims", "response_mode", "id_token_hint", "request", "request_uri"),
        "",
    )
    page = await Browser(house).open(service.url(**empty))
    assert "continue" in page.buttons()
    http = house.http()
    query = {"id_token_hint": "", "client_id": "", "post_logout_redirect_uri": "", "state": ""}
    assert (await http.get("/logout", params=query)).status_code == 200
    token = (await (await allow(service)).tokens())["access_token"]
    headers = {"authorization": f"Bearer {token}"}
    answer = await http.post("/userinfo", data={"access_token": ""}, headers=headers)
    assert answer.status_code == 200
    headers = {"authorization": ""}
    answer = await http.post("/userinfo", data={"access_token": token}, headers=headers)
    assert answer.status_code == 200


# ── what is in the tokens ───────────────────────────────────────────────────────────────────────


async def token_of(house: TestHouse, program: Registered) -> str:
    form = {"grant_type": "client_credentials"}
    auth = (program.id, program.secret or "")
    answer = await house.http().post("/token", data=form, auth=auth)
    return str(answer.json()["access_token"])


async def test_a_token_that_says_jwt(house: TestHouse) -> None:
    """A client's tokens may say JWT, for APIs that know no other type; they are introspected and
    revoked like any other."""
    program = await house.register_program(client_id="bus", access_token_typ="JWT")
    token = await token_of(house, program)
    header, _ = verified_elsewhere(token, await house.http().get("/jwks"))
    assert header["typ"] == "JWT"
    http, auth = house.http(), (program.id, program.secret or "")
    assert (await http.post("/introspect", data={"token": token}, auth=auth)).json()["active"]
    await http.post("/revoke", data={"token": token}, auth=auth)
    assert not (await http.post("/introspect", data={"token": token}, auth=auth)).json()["active"]


async def test_neither_is_taken_for_the_other(house: TestHouse, service: Service) -> None:
    """An ID token is no access token, and an access token that says JWT is no hint."""
    tokens = await (await allow(service)).tokens()
    refused(await service.userinfo(tokens["id_token"]), 401, "invalid_token")
    told = await service.http.post(
        "/introspect", data={"token": tokens["id_token"]}, auth=service.auth()
    )
    assert told.json() == {"active": False}
    program = await house.register_program(
        client_id="bus", access_token_typ="JWT", audience=(service.registered.id,)
    )
    hint = await token_of(house, program)
    page = await Browser(house).open(service.url(id_token_hint=hint))
    is_sent_back(page.url, "login_required", service.state)


async def test_claims_in_the_id_token(house: TestHouse, browser: Browser) -> None:
    """A client that never asks /userinfo finds the claims of its scopes in the ID token."""
    service = await another(house, "reader", claims_in_id_token=True)
    page = await log_in(browser, service, scope="openid profile")
    tokens = (await service.redeem(page)).json()
    found = await service.verified(tokens["id_token"])
    told = (await service.userinfo(tokens["access_token"])).json()
    assert told.items() <= found.items()
    assert "twid_masked" in told and "twid" not in found


async def test_a_subject_is_a_user_name(house: TestHouse, browser: Browser) -> None:
    """decisions/0045: a letter first, letters and digits of one case, no longer than 32: what
    programs take for a user name, a file name or a database role."""
    for name in ("a", "b", "c", "d"):
        service = await another(house, name)
        page = await log_in(browser, service)
        claims = await service.verified((await service.redeem(page)).json()["id_token"])
        assert re.fullmatch(r"[a-z][a-z0-9]{25,31}", claims["sub"])


# ── programs in browsers ────────────────────────────────────────────────────────────────────────

SPA = "https://spa.test"
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
FOR_ALL = ("/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


async def preflight(house: TestHouse, path: str, origin: str, **more: str) -> httpx.Response:
    headers = {"origin": origin, **ASKS, **more}
    return await house.http().options(path, headers=headers)


async def single_page_app(house: TestHouse, **fields: Any) -> Registered:
    redirects = (f"{SPA}/callback", "http://localhost:5173/cb")
    known = {**PUBLIC, "redirect_uris": redirects, "sector": "spa.test"}
    return await house.register("spa", **(known | fields))


@pytest.mark.parametrize("path", ["/token", "/userinfo", "/revoke"])
@pytest.mark.parametrize("origin", [SPA, "http://localhost:5173"])
async def test_the_origin_of_a_public_client(house: TestHouse, path: str, origin: str) -> None:
    """It follows from the redirect addresses: nothing else is to be configured."""
    assert "access-control-allow-origin" not in (await preflight(house, path, origin)).headers
    await single_page_app(house)
    answer = await preflight(house, path, origin)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "authorization" in answer.headers["access-control-allow-headers"]
    called = await house.http().post(path, headers={"origin": origin})
    assert called.headers["access-control-allow-origin"] == origin
    exposed = called.headers["access-control-expose-headers"]
    assert "WWW-Authenticate" in exposed and "Retry-After" in exposed


OTHERS = (
    "https://evil.test",
    "https://spa.test.evil.test",
    "http://spa.test",
    "null",
    f"{SPA}:444",
)


async def test_other_origins(house: TestHouse, service: Service) -> None:
    """Neither a stranger's, nor that of a confidential client, whose program is no browser's."""
    await single_page_app(house)
    for origin in (*OTHERS, "https://service.test"):
        answer = await preflight(house, "/token", origin)
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_an_origin_as_browsers_write_it(house: TestHouse) -> None:
    """In lower case, and without the usual port (RFC 6454 §6.2)."""
    await single_page_app(house, redirect_uris=("https://SPA.test:443/callback",))
    answer = await preflight(house, "/token", SPA)
    assert answer.headers["access-control-allow-origin"] == SPA


async def test_an_origin_goes_with_its_client(house: TestHouse) -> None:
    """A client that is disabled opens nothing."""
    await single_page_app(house)
    assert (await preflight(house, "/token", SPA)).status_code == 200
    await house.registrar.switch("spa", enabled=False)
    assert "access-control-allow-origin" not in (await preflight(house, "/token", SPA)).headers


@pytest.mark.parametrize("path", FOR_ALL)
async def test_what_is_public_is_so_for_every_origin(house: TestHouse, path: str) -> None:
    """Discovery and keys answer the preflight of any program."""
    asks = {"access-control-request-method": "GET"}
    answer = await preflight(house, path, "https://anybody.test", **asks)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    found = await house.http().get(path, headers={"origin": "https://anybody.test"})
    assert found.headers["access-control-allow-origin"] == "*"


# ── what is told, and what is the default ───────────────────────────────────────────────────────


async def test_form_post_needs_no_registration(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """ASP.NET Core asks for it unless told otherwise."""
    page = await log_in(browser, service, response_mode="form_post")
    (posted,) = page.forms
    assert posted.fields["code"].startswith("twc_")


async def test_a_refused_scope_is_named(house: TestHouse) -> None:
    """At /authorize and at /token, so that nobody has to guess which."""
    service = await another(house, "small", scopes=("openid",))
    page = await Browser(house).open(service.url(scope="openid email phone"))
    is_sent_back(page.url, "invalid_scope", service.state, service.redirect_uri)
    assert described(page) == "the client may not have the scope: email phone"
    program = await house.register_program(client_id="bus")
    form = {"grant_type": "client_credentials", "scope": 'api:read api:"圖'}
    answer = await house.http().post("/token", data=form, auth=("bus", program.secret or ""))
    refused(answer, 400, "invalid_scope")
    assert answer.json()["error_description"] == "the client may not have the scope: api:??"


async def test_a_wrong_audience_is_told(house: TestHouse) -> None:
    """A client that signs for the token endpoint learns whom it has to sign for."""
    signer = Signer("signs")
    await house.register_program(
        client_id="signs",
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [signer.public()]},
    )
    assertion = signer.assertion(house, aud=f"{ISSUER}/token")
    answer = await house.http().post("/token", data=signed(assertion))
    challenged(answer)
    assert answer.json()["error_description"] == f"client_assertion: aud must be {ISSUER}"
