"""/authorize: what is told to the relying party, at its exact registered URI."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.actors import Browser, Service
from tests.asking import (
    FORM,
    SESSION_COOKIE,
    another,
    bare,
    cookies,
    form,
    is_sent_back,
    stored,
)
from tests.house import CALLBACK, ISSUER, TestHouse
from tests.open_house import LOOP, house, service, shared

__all__ = ["house", "service", "shared"]

pytestmark = LOOP

C43 = "a" * 43
LEVEL = "urn:twfido:"


def claims(**id_token: Any) -> str:
    return json.dumps({"id_token": id_token})


# id: (changes to a good request, error, why)
REFUSALS: dict[str, tuple[dict[str, str | None], str, str]] = {
    "AZ-17": ({"response_type": None}, "invalid_request", "OIDF oidcc-response-type-missing"),
    "AZ-17-empty": ({"response_type": ""}, "invalid_request", "RFC 6749 §3.1"),
    **{
        f"AZ-18-{kind}": ({"response_type": kind}, "unsupported_response_type", "not offered")
        for kind in ("token", "id_token", "none", "code token", "CODE", 'co"de', "code\u5716")
    },
    "AZ-20": ({"response_mode": "unknown"}, "invalid_request", "ASVS 10.4.12"),
    "AZ-20-quote": ({"response_mode": 'q"'}, "invalid_request", "Authlib raises on its own text"),
    "AZ-20-fragment": ({"response_mode": "fragment"}, "invalid_request", "not for code"),
    "AZ-20-jwt": ({"response_mode": "jwt"}, "invalid_request", "not offered"),
    "AZ-22-none": ({"scope": None}, "invalid_scope", "OIDC Core §3.1.2.1: openid is required"),
    "AZ-22-openid": ({"scope": "profile"}, "invalid_scope", "OIDC Core §3.1.2.1"),
    "AZ-22": ({"scope": "openid api:read"}, "invalid_scope", "ASVS 10.4.11"),
    "AZ-22-case": ({"scope": "OPENID"}, "invalid_scope", "RFC 6749 §3.3: case-sensitive"),
    "AZ-23": (
        {"code_challenge": None, "code_challenge_method": None, "nonce": None},
        "invalid_request",
        "RFC 9700 §2.1.1: confidential clients too, unless they send a nonce",
    ),
    "AZ-23-method": ({"code_challenge": None}, "invalid_request", "RFC 7636 §4.4.1"),
    "AZ-24-plain": ({"code_challenge_method": "plain"}, "invalid_request", "RFC 9700 §2.1.1"),
    "AZ-24-case": ({"code_challenge_method": "s256"}, "invalid_request", "RFC 7636 §4.3"),
    "AZ-25": ({"code_challenge_method": None}, "invalid_request", "absent would mean plain"),
    "AZ-26-42": ({"code_challenge": C43[1:]}, "invalid_request", "S256 is 43 characters"),
    "AZ-26-44": ({"code_challenge": C43 + "a"}, "invalid_request", "S256 is 43 characters"),
    "AZ-26-129": ({"code_challenge": C43 * 3}, "invalid_request", "RFC 7636 §4.2"),
    "AZ-26-pad": ({"code_challenge": C43[1:] + "="}, "invalid_request", "no padding"),
    "AZ-26-plus": ({"code_challenge": C43[1:] + "+"}, "invalid_request", "base64url"),
    "AZ-26-digits": ({"code_challenge": C43[1:] + "１"}, "invalid_request", "ASCII only"),
    "AZ-26-tab": ({"code_challenge": C43 + "\t"}, "invalid_request", "no white space"),
    "AZ-29": ({"prompt": "none login"}, "invalid_request", "OIDC Core §3.1.2.1"),
    "AZ-29-unknown": ({"prompt": "please"}, "invalid_request", "OIDC Core §3.1.2.1"),
    "AZ-29-create": ({"prompt": "create"}, "invalid_request", "not offered"),
    "AZ-27": ({"prompt": "none"}, "login_required", "OIDC Core §3.1.2.6: no session"),
    "AZ-30-negative": ({"max_age": "-1"}, "invalid_request", "OIDC Core §3.1.2.1"),
    "AZ-30-word": ({"max_age": "soon"}, "invalid_request", "OIDC Core §3.1.2.1"),
    "AZ-30-digits": ({"max_age": "１"}, "invalid_request", "ASCII digits"),
    "AZ-30-huge": ({"max_age": "9" * 5000}, "invalid_request", "bounded work"),
    "AZ-32": ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported", "RFC 9101"),
    "AZ-33": ({"request_uri": "https://a.test/r"}, "request_uri_not_supported", "never fetched"),
    "AZ-33-reg": ({"registration": "{}"}, "registration_not_supported", "OIDC Core §7.2.1"),
    "AZ-34-sub": ({"claims": '{"id_token":{"sub":{"value":5}}}'}, "invalid_request", "§5.5.1"),
    "AZ-34-subs": (
        {"claims": json.dumps({"id_token": {"sub": {"values": ["x"] * 11}}})},
        "invalid_request",
        "OIDC Core §5.5.1",
    ),
    "AZ-34-json": ({"claims": "{"}, "invalid_request", "OIDC Core §5.5"),
    "AZ-34-nan": ({"claims": '{"id_token":{"a":NaN}}'}, "invalid_request", "not JSON"),
    "AZ-34-twice": (
        {"claims": '{"userinfo":{},"userinfo":{}}'},
        "invalid_request",
        "two readers would see two requests",
    ),
    "AZ-34-deep": ({"claims": "[" * 20_000}, "invalid_request", "RecursionError"),
    "AZ-34-deep-object": ({"claims": '{"a":' * 1000}, "invalid_request", "RecursionError"),
    "AZ-34-int": ({"claims": '{"a":%s}' % ("9" * 5000)}, "invalid_request", "ValueError"),
    "AZ-34-surrogate": ({"claims": '{"id_token":{"\\ud800":null}}'}, "invalid_request", "UTF-8"),
    "AZ-34-array": ({"claims": "[]"}, "invalid_request", "OIDC Core §5.5: an object"),
    "AZ-34-member": ({"claims": '{"id_token":[]}'}, "invalid_request", "OIDC Core §5.5"),
    "AZ-34-acr": ({"claims": claims(acr={"values": [1]})}, "invalid_request", "texts"),
    "AZ-37": (
        {"claims": claims(acr={"essential": True, "values": ["urn:other"]})},
        "unmet_authentication_requirements",
        "OIDC Core §5.5.1.1",
    ),
    "AZ-37-value": (
        {"claims": claims(acr={"essential": True, "value": "urn:other"})},
        "unmet_authentication_requirements",
        "OIDC Core §5.5.1.1",
    ),
    "AZ-35-garbage": ({"id_token_hint": "a.b.c"}, "login_required", "a hint never logs in"),
    "AZ-35-long": ({"id_token_hint": "x" * 9000}, "login_required", "bounded work"),
    "AZ-35-cjk": ({"id_token_hint": "圖"}, "login_required", "not a token"),
}
TWICE = (
    *("response_type", "scope", "state", "nonce", "prompt", "max_age", "code_challenge"),
    *("code_challenge_method", "acr_values", "claims", "request", "request_uri", "display"),
    *("response_mode", "id_token_hint", "login_hint", "ui_locales"),
)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("row", REFUSALS)
async def test_a_refusal_by_redirect(
    house: TestHouse, service: Service, row: str, method: str
) -> None:
    """303 to the exact registered URI with error, state and iss; nothing is stored."""
    changes, error, _why = REFUSALS[row]
    before, encoded = await stored(house), form(service.params(**changes))
    if method == "GET" or row == "AZ-27":  # a form is asked about the session only at the next GET
        answer = await bare(house, "/authorize", query=encoded)
    else:
        answer = await bare(house, "/authorize", method="POST", body=encoded, headers=FORM)
    assert answer.status == 303, answer.text
    is_sent_back(answer.headers["location"], error, service.state)
    assert answer.headers["cache-control"] == "no-store"
    assert await stored(house) == before


@pytest.mark.parametrize("name", TWICE)
async def test_a_parameter_twice(house: TestHouse, service: Service, name: str) -> None:
    """AZ-16: RFC 6749 §3.1, for every parameter that is known. A state that came twice is not
    echoed: which of the two would it be?"""
    value = service.params().get(name, "1")
    fields = [(k, v) for k, v in service.params().items() if k != name]
    before, query = await stored(house), form([*fields, (name, value), (name, value)])
    answer = await bare(house, "/authorize", query=query)
    assert answer.status == 303, answer.text
    state = None if name == "state" else service.state
    is_sent_back(answer.headers["location"], "invalid_request", state)
    assert await stored(house) == before


@pytest.mark.parametrize(
    "state", ["", None, "a b+c&d=e", "<script>\"'", "圖書館", "%0d%0a", "x" * 2048, "a\tb"]
)
async def test_state_comes_back_as_it_was(
    house: TestHouse, service: Service, state: str | None
) -> None:
    """RFC 6749 §4.1.2.1: exactly, and not at all if there was none (§3.1: or an empty one)."""
    page = await Browser(house).open(service.url(state=state, prompt="none"))
    is_sent_back(page.url, "login_required", state or None)


@pytest.mark.parametrize(
    ("registered", "begins"),
    [
        ("https://q.test/cb?a=x%20y&flag", "https://q.test/cb?a=x%20y&flag&error="),
        ("https://q.test/cb?", "https://q.test/cb?error="),
        ("https://q.test", "https://q.test?error="),
        ("https://q.test/%7Euser/;v=1", "https://q.test/%7Euser/;v=1?error="),
    ],
)
async def test_the_registered_uri_is_not_touched(
    house: TestHouse, registered: str, begins: str
) -> None:
    """RFC 6749 §3.1.2: its own query stays, byte for byte."""
    service = await another(house, "q", redirect_uris=(registered,))
    page = await Browser(house).open(service.url(prompt="none"))
    assert page.url.startswith(begins + "login_required")


async def test_an_empty_parameter_was_not_sent(house: TestHouse, service: Service) -> None:
    """RFC 6749 §3.1: so an empty one is neither unknown, nor unsupported, nor malformed."""
    names = ("response_mode", "prompt", "max_age", "claims", "request", "request_uri", "nonce")
    page = await Browser(house).open(service.url(**dict.fromkeys(names, "")))
    assert "continue" in page.buttons(), page.url


async def test_unknown_parameters_and_scopes_are_ignored(
    house: TestHouse, service: Service
) -> None:
    """OIDC Core §3.1.2.1: both are."""
    page = await Browser(house).open(service.url(scope="openid moon", weather="fine"))
    assert "continue" in page.buttons(), page.url


async def test_twid_is_for_clients_that_have_it(house: TestHouse) -> None:
    """AZ-22: the national ID leaves us only through a scope that the operator approved."""
    service = await another(house, "plain", scopes=("openid", "profile"))
    page = await Browser(house).open(service.url(scope="openid twid"))
    is_sent_back(page.url, "invalid_scope", service.state, service.redirect_uri)


async def test_a_program_has_no_business_here(house: TestHouse) -> None:
    """RFC 6749 §4.1.2.1: a client without the grant is told so."""
    service = await another(
        house, "program", grant_types=("client_credentials",), scopes=("openid",)
    )
    page = await Browser(house).open(service.url(scope="openid"))
    is_sent_back(page.url, "unauthorized_client", service.state, service.redirect_uri)


async def test_a_nonce_in_place_of_pkce(house: TestHouse) -> None:
    """A client that sends a nonce may leave PKCE out, but not do it wrongly."""
    service = await another(house, "old")
    none = {"code_challenge": None, "code_challenge_method": None}
    assert "continue" in (await Browser(house).open(service.url(**none))).buttons()
    page = await Browser(house).open(service.url(code_challenge_method="plain"))
    is_sent_back(page.url, "invalid_request", service.state, service.redirect_uri)


async def test_errors_by_form_post(house: TestHouse) -> None:
    """Form Post §5.2: errors too; escaped, not stored, to the registered URI and nowhere else."""
    service = await another(house, "poster", response_modes=("form_post",))
    state = "a b\"<&'>"
    for params in ({"response_mode": "form_post"}, {}, {"response_mode": "fragment"}):
        page = await Browser(house).open(service.url(state=state, prompt="none", **params))
        (posted,) = page.forms
        assert (page.status, posted.action) == (200, service.redirect_uri)
        assert posted.method == "post"
        good = params == {"response_mode": "form_post"}
        assert posted.fields["error"] == ("login_required" if good else "invalid_request")
        assert (posted.fields["state"], posted.fields["iss"]) == (state, ISSUER)
        assert "a b&#34;&lt;&amp;&#39;&gt;" in page.html
        assert page.headers["cache-control"] == "no-store"
        assert (
            "form-action 'self' https://poster.test https:;"
            in page.headers["content-security-policy"]
        )


@pytest.mark.parametrize(
    "value", ["", "x", "a" * 8192, "%00", "=;", "\xff", '"quoted"', "a b", "--", "."]
)
async def test_garbage_in_the_cookie(house: TestHouse, service: Service, value: str) -> None:
    """SS-02: treated as no session, never as an exception."""
    query = form(service.params(prompt="none"))
    answer = await bare(
        house, "/authorize", query=query, headers=cookies(**{SESSION_COOKIE: value})
    )
    is_sent_back(answer.headers["location"], "login_required", service.state, CALLBACK)
