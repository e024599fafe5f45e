"""The authorization request, read strictly: what is understood, and that nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from idp.kernel import stored
from idp.kernel.errors import IdpError, InvalidRequest, ProtocolError
from idp.kernel.forms import Params, parse_urlencoded
from idp.oidc import request as reading
from idp.oidc.request import AuthorizationRequest, Rules
from idp.oidc.responses import extended
from idp.registry.clients import Client
from idp.registry.metadata import ClientMetadata
from idp.registry.redirects import redirect_uri_matches

URI = "https://service.test/cb?a=b"
GOOD = {
    "client_id": "c",
    "redirect_uri": URI,
    "response_type": "code",
    "scope": "openid profile",
    "code_challenge": "a" * 43,
    "code_challenge_method": "S256",
}
RULES = Rules(("api:read",), ("urn:push", "urn:qr", "urn:dongle"))


def client(**fields: Any) -> Client:
    known = {
        "client_name": "c",
        "redirect_uris": (URI,),
        "scopes": ("openid", "profile", "email", "twid"),
        "response_modes": ("query", "form_post"),
    }
    return Client("c", ClientMetadata.model_validate(known | fields), (), disabled=False)


def understood(registered: Client | None = None, /, **changes: str) -> AuthorizationRequest:
    params = Params({**GOOD, **changes}).given()
    return reading.check(params, registered or client(), URI, RULES)


def test_a_plain_request() -> None:
    """What is not asked for is not there."""
    assert understood() == AuthorizationRequest(
        "c", URI, ("openid", "profile"), code_challenge="a" * 43
    )


def claims(**members: Any) -> str:
    return json.dumps(members)


UNDERSTOOD: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "scopes once each": ({"scope": "openid openid profile"}, {"scope": ("openid", "profile")}),
    "unknown scope": ({"scope": "openid moon"}, {"scope": ("openid",)}),
    "prompt": ({"prompt": "login consent"}, {"prompt": ("login", "consent")}),
    "max_age": ({"max_age": "0"}, {"max_age": 0}),
    "empty max_age": ({"max_age": ""}, {"max_age": None}),
    "form_post": ({"response_mode": "form_post"}, {"response_mode": "form_post"}),
    "acr_values": ({"acr_values": "urn:x urn:qr"}, {"acr_values": ("urn:x", "urn:qr")}),
    "too many acr_values": ({"acr_values": "a " * 50}, {"acr_values": ("a",) * 10}),
    "ui_locales": ({"ui_locales": "zh-Hant en"}, {"ui_locales": "zh-Hant en"}),
    "odd ui_locales": ({"ui_locales": "<script>"}, {"ui_locales": ""}),
    "essential acr": (
        {"claims": claims(id_token={"acr": {"essential": True, "values": ["urn:qr", "urn:x"]}})},
        {"essential_acr": ("urn:qr",), "acr_values": ()},
    ),
    "voluntary acr": (
        {"claims": claims(id_token={"acr": {"values": ["urn:qr"]}})},
        {"essential_acr": (), "acr_values": ("urn:qr",)},
    ),
    "acr by null": ({"claims": claims(id_token={"acr": None})}, {"essential_acr": ()}),
    "essential acr, no value": (
        {"claims": claims(id_token={"acr": {"essential": True}})},
        {"essential_acr": ()},
    ),
    "a subject": (
        {"claims": claims(id_token={"sub": {"value": "x"}})},
        {"expected_subjects": ("x",), "requested_claims": {}},
    ),
    "several subjects": (
        {"claims": claims(id_token={"sub": {"values": ["x", "y"], "essential": True}})},
        {"accepted_subjects": ("x", "y"), "expected_subjects": ()},
    ),
    "one of several subjects": (
        {"claims": claims(id_token={"sub": {"values": ["x"]}})},
        {"accepted_subjects": (), "expected_subjects": ("x",)},
    ),
    "one accepted subject, too long": (
        {"claims": claims(id_token={"sub": {"value": "x" * 300}})},
        {"expected_subjects": ("x" * 256,)},
    ),
    "single claims": (
        {"claims": claims(userinfo={"twid": None, "phone_number": None, "x": 1})},
        {"requested_claims": {"userinfo": ["twid"]}},
    ),
    "other members of claims": ({"claims": claims(other=[1])}, {"requested_claims": {}}),
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_what_is_understood(name: str) -> None:
    """OIDC Core §3.1.2.1, §5.5."""
    changes, expected = UNDERSTOOD[name]
    found = understood(**changes)
    assert {key: getattr(found, key) for key in expected} == expected


USUAL = {"default_max_age": 60, "default_acr_values": ("urn:qr",)}
ESSENTIAL = claims(id_token={"acr": {"essential": True, "values": ["urn:push"]}})
REGISTERED: dict[str, tuple[dict[str, str], int, tuple[str, ...]]] = {
    "nothing said": ({}, 60, ("urn:qr",)),
    "empty": ({"max_age": "", "acr_values": ""}, 60, ("urn:qr",)),
    "an age": ({"max_age": "900"}, 900, ("urn:qr",)),
    "the age 0": ({"max_age": "0"}, 0, ("urn:qr",)),
    "a level": ({"acr_values": "urn:push"}, 60, ("urn:push",)),
    "an essential level": ({"claims": ESSENTIAL}, 60, ()),
    "a voluntary level": ({"claims": claims(id_token={"acr": {"value": "urn:x"}})}, 60, ("urn:x",)),
    "another claim": ({"claims": claims(id_token={"email": None})}, 60, ("urn:qr",)),
}


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_defaults(name: str) -> None:
    """OIDC Registration §2: they hold where the request does not say, and only there."""
    said, age, levels = REGISTERED[name]
    found = understood(client(**USUAL), **said)
    assert (found.max_age, found.acr_values) == (age, levels)


def test_what_has_to_be_consented_to() -> None:
    """Scopes, and each claim that is asked for by itself, once."""
    wish = claims(userinfo={"twid": None}, id_token={"twid": None, "email": None})
    found = understood(scope="openid", claims=wish)
    assert found.consent_scope == ("openid", "claim:email", "claim:twid")


def test_how_an_error_goes_back() -> None:
    """By a mode that the client has, whatever it asked for."""
    for modes, asked, expected in (
        (("query",), "form_post", "query"),
        (("query", "form_post"), "form_post", "form_post"),
        (("form_post",), "query", "form_post"),
        (("form_post",), None, "form_post"),
        (("form_post", "query"), "x", "query"),
        ((), "form_post", "query"),
    ):
        params = Params({"response_mode": asked} if asked else {})
        assert reading.error_mode(params, client(response_modes=modes)) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://a.test/cb", "https://a.test/cb?x=1+2"),
        ("https://a.test", "https://a.test?x=1+2"),
        ("https://a.test/cb?", "https://a.test/cb?x=1+2"),
        ("https://a.test/cb?a", "https://a.test/cb?a&x=1+2"),
        ("https://a.test/cb?a=%20&", "https://a.test/cb?a=%20&x=1+2"),
        ("tw.gov.app:/cb", "tw.gov.app:/cb?x=1+2"),
    ],
)
def test_a_uri_is_only_added_to(uri: str, expected: str) -> None:
    """RFC 6749 §3.1.2: the registered URI stays, byte for byte."""
    assert extended(uri, {"x": "1 2"}) == expected


texts = st.text(max_size=60)
names = st.sampled_from(
    [
        *GOOD,
        *("state", "nonce", "prompt", "max_age", "acr_values", "claims", "ui_locales"),
        *("response_mode", "login_hint", "id_token_hint", "display", "request", "request_uri"),
    ]
)
shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
CLAIM = st.sampled_from(["acr", "sub", "twid", "email"])
asks = st.dictionaries(
    st.sampled_from(["id_token", "userinfo", "x"]),
    st.dictionaries(
        CLAIM | texts,
        shapes | st.dictionaries(st.sampled_from(["essential", "value", "values"]), shapes),
        max_size=4,
    )
    | shapes,
)


@settings(deadline=None)
@given(st.lists(st.tuples(names, texts), max_size=6))
@example([("response_type", 'co"de')])
@example([("response_mode", 'q"')])
@example([("redirect_uri", 'https://evil.test/圖"')])
@example([("scope", "openid \u3000profile")])
@example([("max_age", "²")])
@example([("code_challenge", "a" * 42 + "\n")])
def test_any_text_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    """No text in any parameter is more than a refusal of ours, in characters of RFC 6749 §5.2."""
    fields = {**GOOD, **dict(pairs)}
    try:
        params = parse_urlencoded(urlencode(list(fields.items())).encode()).given()
        reading.identify(params)
        uri = reading.check_redirect_uri(params, client())
        found = reading.check(params, client(), uri, RULES)
    except IdpError as error:
        assert error.status == 400
        assert error.description.isascii()
        assert '"' not in error.description
        return
    assert uri == URI
    assert stored.read(AuthorizationRequest, stored.dump(found)) == found
    assert "\x00" not in stored.dump(found)


@settings(max_examples=50, deadline=None)
@given(asks)
def test_any_claims_are_read_or_refused(asked: Any) -> None:
    """OIDC Core §5.5: whatever JSON comes, only known claims of allowed scopes are asked for."""
    try:
        found = understood(claims=json.dumps(asked))
    except ProtocolError as error:
        assert error.may_redirect
        return
    wanted = {name for listed in found.requested_claims.values() for name in listed}
    assert wanted <= {*("name", "family_name", "given_name", "gender", "picture"), "twid"} | {
        *("updated_at", "twid_masked", "email", "email_verified")
    }
    assert set(found.essential_acr) <= set(RULES.acr_values)
    assert stored.read(AuthorizationRequest, stored.dump(found)) == found


def test_a_repeated_parameter_is_never_read() -> None:
    """RFC 6749 §3.1, also where one of the two is empty."""
    params = parse_urlencoded(urlencode([*GOOD.items(), ("prompt", "")] * 2).encode()).given()
    with pytest.raises(InvalidRequest):
        reading.check(params, client(), URI, RULES)


NATIVE = client(
    application_type="native",
    redirect_uris=("http://127.0.0.1/cb", "http://[::1]:80/cb", "tw.gov.app:/cb"),
    sector="app.test",
)
KNOWN = {URI, *NATIVE.metadata.redirect_uris}


@settings(deadline=None)
@given(st.sampled_from(sorted(KNOWN)), st.data())
def test_no_mutation_of_a_uri_matches(uri: str, data: st.DataObject) -> None:
    """One byte more, less or other is another URI; only a native loopback port may vary."""
    at = data.draw(st.integers(0, len(uri)))
    put = data.draw(st.binary(max_size=2)).decode("latin-1")
    cut = data.draw(st.integers(0, 2))
    sent = uri[:at] + put + uri[at + cut :]
    assert redirect_uri_matches(client(), sent) == (sent == URI)
    if redirect_uri_matches(NATIVE, sent) and sent not in KNOWN:
        for host in ("http://127.0.0.1", "http://[::1]"):
            if sent.startswith(host):
                port, path = sent.removeprefix(host).split("/", 1)
                assert path == "cb"
                assert port == "" or (port[0] == ":" and port[1:].isascii() and port[1:].isdigit())
                break
        else:
            raise AssertionError(sent)


# ── as a row ────────────────────────────────────────────────────────────────────────────────────

FULL = AuthorizationRequest(
    client_id="service",
    redirect_uri=URI,
    scope=("openid",),
    acr_values=("urn:qr",),
    expected_subjects=("x",),
    requested_claims={"userinfo": ["twid"]},
)
# what the release of 0.1 requires of a row, and all that it knows
MEMBERS_OF_0_1 = {
    "client_id", "redirect_uri", "scope", "state", "response_mode", "nonce", "code_challenge",
    "prompt", "max_age", "levels", "essential_acr", "expected", "login_hint", "ui_locales",
    "singly", "seen_session",
}  # fmt: skip


def test_a_row_is_readable_by_the_release_before() -> None:
    """During an upgrade old workers read what new ones wrote: exactly the members they know."""
    assert json.loads(stored.dump(FULL)).keys() == MEMBERS_OF_0_1


@pytest.mark.parametrize(
    "renamed",
    [{}, {"levels": "acr_values", "expected": "expected_subjects", "singly": "requested_claims"}],
    ids=["as now", "as the next release may"],
)
def test_a_row_of_tomorrow(renamed: dict[str, str]) -> None:
    """A member that is not known is ignored, and the plain names are read already."""
    row = {renamed.get(name, name): v for name, v in json.loads(stored.dump(FULL)).items()}
    assert stored.read(AuthorizationRequest, json.dumps({**row, "tomorrow": "x"})) == FULL
    bound = replace(FULL, dpop_jkt="x" * 43, resources=("https://api.test",))
    assert stored.read(AuthorizationRequest, stored.dump(bound)) == bound


def test_a_row_with_members_missing() -> None:
    """They have their defaults."""
    found = stored.read(AuthorizationRequest, json.dumps({"client_id": "service"}))
    assert found == AuthorizationRequest(client_id="service")
