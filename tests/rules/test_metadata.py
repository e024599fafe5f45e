"""Clients: what may be registered, and which redirect_uri fits."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from pydantic import ValidationError

from idp.kernel import stored
from idp.registry.clients import Client
from idp.registry.metadata import ClientMetadata
from idp.registry.redirects import first_difference, redirect_uri_matches
from idp.registry.registration import Registration
from tests.certificates import Pair

CALLBACK = "https://service.test/callback"
LOGIN: dict[str, Any] = {
    "client_name": "館藏服務",
    "redirect_uris": (CALLBACK,),
    "scopes": ("openid",),
}
PROGRAM: dict[str, Any] = {"client_name": "程式", "grant_types": ("client_credentials",)}


def made(**fields: Any) -> Registration:
    return Registration.model_validate(LOGIN | fields)


def refused(base: dict[str, Any] = LOGIN, /, **fields: Any) -> str:
    with pytest.raises(ValidationError) as fault:
        Registration.model_validate(base | fields)
    return str(fault.value)


# ── redirect URIs: registering ──────────────────────────────────────────────────────────────────

GOOD = [
    "https://service.test",
    "https://service.test/",
    "https://service.test:8443/callback?from=idp",
    "https://[2001:db8::1]/callback",
    "http://127.0.0.1:3000/callback",
    "http://localhost/callback",
    "http://[::1]:3000/callback",
]
BAD = {
    "relative": "/callback",
    "no scheme": "service.test/callback",
    "empty": "",
    "http": "http://service.test/callback",
    "http, looks like loopback": "http://127.0.0.1.evil.test/callback",
    "http, looks like localhost": "http://localhost.evil.test/callback",
    "fragment": f"{CALLBACK}#x",
    "empty fragment": f"{CALLBACK}#",
    "user": "https://user@service.test/callback",
    "user that looks like a host": "https://service.test@evil.test/callback",
    "wildcard host": "https://*.service.test/callback",
    "wildcard path": "https://service.test/*",
    "dot segment": "https://service.test/a/../callback",
    "dot segment at the end": "https://service.test/a/..",
    "backslash": "https://service.test\\@evil.test/",
    "space": "https://service.test/call back",
    "newline": f"{CALLBACK}\n",
    "nul": f"{CALLBACK}\x00",
    "chinese": "https://圖書館.test/callback",
    "quote": f'{CALLBACK}"',
    "tag": f"{CALLBACK}<script>",
    "no host": "https:///callback",
    "no host at all": "https:",
    "port too high": "https://service.test:99999/callback",
    "port 0": "https://service.test:0/callback",
    "port is a word": "https://service.test:http/callback",
    "broken IPv6": "https://[::1/callback",
    "javascript": "javascript://service.test/%0aalert(1)",
    "JavaScript": "JavaScript:alert(1)",
    "data": "data:text/html,x",
    "file": "file:///etc/passwd",
    "vbscript": "vbscript:x",
    "ftp": "ftp://service.test/",
    "wss": "wss://service.test/",
    "own scheme of a web client": "tw.gov.example:/callback",
    "too long": "https://service.test/" + "a" * 2000,
}


@pytest.mark.parametrize("uri", GOOD)
def test_redirect_uris_that_fit(uri: str) -> None:
    """https anywhere, http to one's own machine (RFC 9700 §2.6)."""
    assert made(redirect_uris=(uri,)).redirect_uris == (uri,)


@pytest.mark.parametrize("uri", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", ["redirect_uris", "post_logout_redirect_uris"])
def test_redirect_uris_that_do_not(uri: str, name: str) -> None:
    """RFC 6749 §3.1.2, RFC 9700 §4.1.3: absolute, clean, no fragment; also for after logout.
    Authlib 1.9.9 registers `javascript://host/…`."""
    assert name in refused(**{name: (uri,)}) or "https is required" in refused(**{name: (uri,)})


@pytest.mark.parametrize("uri", ["tw.gov.example:/callback", "tw.gov.example.app://callback"])
def test_an_app_s_own_scheme(uri: str) -> None:
    """RFC 8252 §7.1: a reversed domain name, for native clients alone."""
    made(redirect_uris=(uri,), application_type="native")
    assert "https is required" in refused(redirect_uris=(uri,))


@pytest.mark.parametrize("uri", ["myapp:/callback", "http://service.test/", "javascript:x"])
def test_schemes_that_no_app_owns(uri: str) -> None:
    """RFC 8252 §8.4: a word without a dot belongs to everybody."""
    refused(redirect_uris=(uri,), application_type="native")


ANSWERED = ["state=1", "code=", "iss", "error=x", "error_description=x", "error_uri=x",
            "session_state=x", "response=x", "id_token=x", "access_token=x", "a=b&state=1",
            "a=b&%73tate=1", "st%61te=", "token_type=x", "expires_in=1",
            "State=1", "CODE=1", "a;state=1", "%73tate=x", "state[]=1", "state%5B0%5D=1",
            "+state=1", "session.state=1", "error%20description=1", "a=1;Iss=2",
            "state%00x=1"]  # fmt: skip


@pytest.mark.parametrize("query", ANSWERED)
def test_a_redirect_uri_leaves_room_for_the_answer(query: str) -> None:
    """RFC 6749 §4.1.2, RFC 9207: a parameter of the answer would be there twice, and programs read
    the first."""
    assert "which the answer adds" in refused(redirect_uris=(f"{CALLBACK}?{query}",))
    after = f"{CALLBACK}?{query}"
    if re.search("(?i)(?<!_)(st|%73t)(a|%61)te", query.replace(".", "_")):  # all that a logout adds
        assert "which the answer adds" in refused(post_logout_redirect_uris=(after,))
    else:
        assert made(post_logout_redirect_uris=(after,)).post_logout_redirect_uris == (after,)


@pytest.mark.parametrize("query", ["from=idp", "states=1", "mystate=1", "x=state"])
def test_other_parameters_of_a_redirect_uri(query: str) -> None:
    """RFC 6749 §3.1.2: a query is kept."""
    assert made(redirect_uris=(f"{CALLBACK}?{query}",)).redirect_uris == (f"{CALLBACK}?{query}",)


# ── redirect URIs: matching ─────────────────────────────────────────────────────────────────────


def with_uris(*uris: str, native: bool = False) -> Client:
    kind = "native" if native else "web"
    metadata = made(redirect_uris=uris, application_type=kind, sector="s")
    return Client("c", metadata, (), disabled=False)


DIFFERENT = [
    CALLBACK + "/",
    CALLBACK + "?",
    CALLBACK + "?x=y",
    CALLBACK + "#",
    CALLBACK + " ",
    CALLBACK.upper(),
    CALLBACK.replace("https", "HTTPS"),
    CALLBACK.replace("service.test", "SERVICE.test"),
    CALLBACK.replace("service.test", "service.test:443"),
    CALLBACK.replace("service.test", "service.test."),
    CALLBACK.replace("service.test", "user@service.test"),
    CALLBACK.replace("/callback", "//callback"),
    CALLBACK.replace("/callback", "/./callback"),
    CALLBACK.replace("/callback", "/x/../callback"),
    CALLBACK.replace("callback", "%63allback"),
    CALLBACK.replace("https", "http"),
    "https://evil.test/?u=" + CALLBACK,
    "",
]


@pytest.mark.parametrize("uri", DIFFERENT)
def test_matching_is_exact(uri: str) -> None:
    """RFC 9700 §2.1: character by character, nothing is normalised."""
    for native in (False, True):
        client = with_uris(CALLBACK, native=native)
        assert redirect_uri_matches(client, CALLBACK)
        assert not redirect_uri_matches(client, uri)


LOOPBACK = {
    "http://127.0.0.1:51004/cb": True,
    "http://127.0.0.1/cb": True,
    "http://127.0.0.1:65535/cb": True,
    "http://127.0.0.1:51004/other": False,
    "http://127.0.0.1:51004/cb?x": False,
    "http://127.0.0.1:51004/cb/": False,
    "http://127.0.0.2:51004/cb": False,
    "http://localhost:51004/cb": False,
    "http://[::1]:51004/cb": False,
    "https://127.0.0.1:51004/cb": False,
    "http://127.0.0.1:51004@evil.test/cb": False,
    "http://127.0.0.1:510041/cb": False,
    "http://127.0.0.1:/cb": False,
    "http://127.0.0.1:٥١/cb": False,
    "http://127.0.0.1:51004\n/cb": False,
    "http://127.0.0.1:51004/cb#x": False,
}


@pytest.mark.parametrize(("uri", "fits"), LOOPBACK.items())
def test_the_port_of_a_native_client(uri: str, fits: bool) -> None:
    """RFC 8252 §7.3: only the loopback port may differ, and only for native clients."""
    registered = "http://127.0.0.1:3000/cb"
    assert redirect_uri_matches(with_uris(registered, native=True), uri) == fits
    assert not redirect_uri_matches(with_uris(registered), uri)


def test_localhost_keeps_its_port() -> None:
    """RFC 8252 §8.3: a hosts file may move localhost, so it is matched exactly."""
    client = with_uris("http://localhost:3000/cb", native=True)
    assert redirect_uri_matches(client, "http://localhost:3000/cb")
    assert not redirect_uri_matches(client, "http://localhost:3001/cb")


def test_the_first_difference_is_told() -> None:
    """For integrators: which registered URI was meant, and where it differs."""
    registered = (CALLBACK, "https://other.test/")
    assert first_difference(CALLBACK + "/", registered) == (CALLBACK, len(CALLBACK))
    assert first_difference("https://other.tes", registered) == (registered[1], 17)
    assert first_difference("x", ()) == ("", 0)


# ── everything else ─────────────────────────────────────────────────────────────────────────────

INCONSISTENT: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "code without redirect_uri": (
        LOGIN,
        {"redirect_uris": (), "grant_types": ("authorization_code",)},
        "needs a redirect_uri",
    ),
    "code without openid": (LOGIN, {"scopes": ("profile",)}, "scope openid"),
    "public program": (
        PROGRAM,
        {"token_endpoint_auth_method": "none"},
        "public client cannot use client_credentials",
    ),
    "two hosts": (
        LOGIN,
        {"redirect_uris": (CALLBACK, "https://other.test/")},
        "several hosts need a sector",
    ),
    "signs without keys": (
        LOGIN,
        {"token_endpoint_auth_method": "private_key_jwt"},
        "jwks of public keys",
    ),
    "keys without any": (LOGIN, {"jwks": {"keys": []}}, "need jwks of public keys"),
    "signed requests without keys": (
        LOGIN,
        {"require_signed_request_object": True},
        "need jwks of public keys",
    ),
    "unknown member": (LOGIN, {"redirect_uri": CALLBACK}, "redirect_uri"),
    "unknown grant": (LOGIN, {"grant_types": ("password",)}, "grant_types"),
    "implicit": (LOGIN, {"grant_types": ("implicit",)}, "grant_types"),
    "unknown method": (LOGIN, {"token_endpoint_auth_method": "client_secret_jwt"}, "auth_method"),
    "alg none": (LOGIN, {"id_token_signed_response_alg": "none"}, "id_token_signed_response_alg"),
    "alg HS256": (LOGIN, {"id_token_signed_response_alg": "HS256"}, "response_alg"),
    "access token alg none": (LOGIN, {"access_token_alg": "none"}, "access_token_alg"),
    "fragment mode": (LOGIN, {"response_modes": ("fragment",)}, "response_modes"),
    "life of a second": (LOGIN, {"access_token_seconds": 1}, "access_token_seconds"),
    "life of a month": (LOGIN, {"access_token_seconds": 2_592_000}, "access_token_seconds"),
    "uris as a text": (LOGIN, {"redirect_uris": CALLBACK}, "redirect_uris"),
    "uris as a number": (LOGIN, {"redirect_uris": 5}, "redirect_uris"),
    "keys as a list": (LOGIN, {"jwks": []}, "jwks"),
}


@pytest.mark.parametrize(("base", "fields", "why"), INCONSISTENT.values(), ids=INCONSISTENT)
def test_what_does_not_fit_together(base: dict[str, Any], fields: dict[str, Any], why: str) -> None:
    """RFC 7591 §2, OpenID Connect Registration §2: refused when it is written, so that it can be
    trusted when it is read. Authlib 1.9.9 honours `none` and crashes on wrong types."""
    assert why in refused(base, **fields)


def test_all_faults_at_once() -> None:
    """Whoever registers is told everything that is wrong."""
    said = refused(redirect_uris=("http://service.test/",), scopes=("x",))
    for part in ("scope openid", "https is required"):
        assert part in said


def weak() -> RSAKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RSAKey.generate_key(1024)


KEYS: dict[str, tuple[Any, bool]] = {
    "EC P-256": (ECKey.generate_key("P-256"), True),
    "RSA 2048": (RSAKey.generate_key(2048), True),
    "RSA 1024": (weak(), False),
    "EC P-384": (ECKey.generate_key("P-384"), False),
    "Ed25519": (OKPKey.generate_key("Ed25519"), True),
    "X25519": (OKPKey.generate_key("X25519"), False),
}


@pytest.mark.filterwarnings("ignore:Key size")
@pytest.mark.parametrize(("key", "good"), KEYS.values(), ids=KEYS)
def test_keys_of_clients(key: Any, good: bool) -> None:
    """Strong enough, public, and of a kind that we verify."""
    public = {"keys": [key.as_dict(private=False)]}
    private = {"keys": [key.as_dict(private=True)]}
    method = {"token_endpoint_auth_method": "private_key_jwt"}
    if good:
        made(**method, jwks=public)
    else:
        assert "jwks of public keys" in refused(**method, jwks=public)
    assert "jwks of public keys" in refused(**method, jwks=private)


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": {}},
        {"keys": [{}]},
        {"keys": ["x"]},
        {"keys": [{"kty": "RSA"}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]},
        {"keys": [OctKey.import_key("secret" * 8).as_dict()]},
    ],
    ids=str,
)
def test_key_sets_that_are_none(jwks: Any) -> None:
    """No key, half a key, or a secret."""
    said = refused(token_endpoint_auth_method="private_key_jwt", jwks=jwks)
    assert "jwks of public keys" in said


NAMES = {
    "empty": "",
    "only spaces": "   ",
    "too long": "圖" * 101,
    "newline": "圖書館\n",
    "turned round": "圖書館\u202egnp.exe",
    "zero width": "圖\u200b書館",
    "soft hyphen": "圖\u00ad書館",
    "Arabic letter mark": "圖\u061c書館",
    "line separator": "圖\u2028書館",
    "Hangul filler": "圖\u3164書館",
    "Braille blank": "\u2800",
    "tag": "圖\U000e0041書館",
    "nul": "\x00",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_that_deceive(name: str) -> None:
    """A name is shown to people who decide by it: no invisible or turning characters."""
    refused(client_name=name)
    if name.strip():
        refused(client_name_en=name)
        refused(agency=name)


@pytest.mark.parametrize(
    "uri",
    ["http://service.test/", "javascript:alert(1)", "https:", "/home", "https://service.test/#x"],
)
def test_a_home_page_is_one(uri: str) -> None:
    """People are led there: https, or the developer's own machine; nothing else."""
    refused(client_uri=uri)
    refused(policy_uri=uri)
    refused(initiate_login_uri=uri)
    for good in ("", "https://service.test/", "http://127.0.0.1:8200/"):
        assert made(client_uri=good).client_uri == good


def test_where_a_login_begins() -> None:
    """OIDC Registration §2: https and nothing else; Core §4: what is added there is not there."""
    refused(initiate_login_uri="http://127.0.0.1:8200/begin")
    for name in ("iss", "login_hint", "target_link_uri"):
        refused(initiate_login_uri=f"https://service.test/begin?{name}=x")
    known = made(client_uri="https://service.test/", initiate_login_uri="https://service.test/in")
    assert known.home("https://op.test") == "https://service.test/in?iss=https%3A%2F%2Fop.test"
    known = made(initiate_login_uri="https://service.test/in?of=x")
    assert known.home("https://op.test").endswith("/in?of=x&iss=https%3A%2F%2Fop.test")
    assert made(client_uri="https://service.test/").home("https://op.test").endswith(".test/")
    assert made().home("https://op.test") == ""


@pytest.mark.parametrize(
    "uri",
    [
        "http://service.test/out", "javascript:alert(1)", "https:", "/out", "https://a@service.test/",
        "https://service.test/out#x", "https://service.test:25/", "com.example.app:/out",
        "https://service.test/\u5716", "https://service.test:99999/",
    ],
)  # fmt: skip
def test_an_address_that_is_called(uri: str) -> None:
    """Back-Channel Logout §2.2: https without fragment, at a port of the web."""
    refused(backchannel_logout_uri=uri)


def test_who_cannot_be_told_of_a_logout() -> None:
    """At a shared screen the session ends as soon as the login is done."""
    uri = {"backchannel_logout_uri": "https://service.test/out?x=1"}
    assert made(**uri).told_of_logout
    assert "told of a logout" in refused(kiosk=True, **uri)


@pytest.mark.parametrize("scope", ["", " ", "a b", 'a"b', "a\\b", "讀", "a\n", "\x7f"])
def test_scopes_that_are_none(scope: str) -> None:
    """RFC 6749 §3.3."""
    refused(scopes=("openid", scope))
    refused(PROGRAM, audience=(scope,))


def test_it_does_not_change() -> None:
    """What was registered is replaced as a whole, or not at all."""
    with pytest.raises(ValidationError):
        made().client_name = "x"  # type: ignore[misc]  # it is frozen: that is tested


def test_it_survives_the_store() -> None:
    """What is read is what was written."""
    metadata = made(roles=("編輯",), jwks=None).with_sector("c")
    assert stored.read(ClientMetadata, stored.dump(metadata)) == metadata
    assert metadata.sector == "service.test"
    assert Registration.model_validate(PROGRAM).with_sector("p").sector == "client/p"


# ── certificates ────────────────────────────────────────────────────────────────────────────────


def test_one_name_for_a_certificate() -> None:
    """RFC 8705 §2.1.2: exactly one of the five, and only with tls_client_auth."""
    method = {"token_endpoint_auth_method": "tls_client_auth"}
    dns, uri = {"tls_client_auth_san_dns": "a.test"}, {"tls_client_auth_san_uri": "urn:a"}
    Registration.model_validate(PROGRAM | method | dns)
    assert "tls_client_auth needs 1 of" in refused(PROGRAM, **method)
    assert "tls_client_auth needs 1 of" in refused(PROGRAM, **method, **dns, **uri)
    assert "needs none of" in refused(PROGRAM, **dns)


@pytest.mark.parametrize("name", ["program", "CN=program, C=TW", "serialNumber=1", "CN=a,,", "=a"])
def test_a_subject_that_is_none(name: str) -> None:
    """RFC 4514: what no certificate could ever have is refused at once."""
    method = {"token_endpoint_auth_method": "tls_client_auth"}
    fault = refused(PROGRAM, **method, tls_client_auth_subject_dn=name)
    assert "is not a subject (RFC 4514)" in fault


def test_a_subject_by_number() -> None:
    """RFC 4514 §2.3: attributes without a short name are written by their number."""
    method = {"token_endpoint_auth_method": "tls_client_auth"}
    name = "CN=program,2.5.4.5=70770001,C=TW"
    made = Registration.model_validate(PROGRAM | method | {"tls_client_auth_subject_dn": name})
    assert made.tls_client_auth_subject_dn == name


@pytest.mark.parametrize("address", ["127.0.0.256", "a.test", "10.0.0.0/8"])
def test_an_address_that_is_none(address: str) -> None:
    method = {"token_endpoint_auth_method": "tls_client_auth"}
    assert "tls_client_auth_san_ip" in refused(PROGRAM, **method, tls_client_auth_san_ip=address)


def test_certificates_of_its_own_making() -> None:
    """RFC 7517 §4.7: each key with the certificate of that key."""
    method = {"token_endpoint_auth_method": "self_signed_tls_client_auth"}
    one, other = Pair.issued("one"), Pair.issued("other")
    Registration.model_validate(PROGRAM | method | {"jwks": {"keys": [one.jwk, other.jwk]}})
    bare = {name: value for name, value in one.jwk.items() if name != "x5c"}
    for jwk in (
        bare,
        {**one.jwk, "x5c": other.jwk["x5c"]},
        {**one.jwk, "x5c": []},
        {**one.jwk, "x5c": ["%"]},
        {**one.jwk, "x5c": "text"},
    ):
        refused(PROGRAM, **method, jwks={"keys": [other.jwk, jwk]})
    assert "needs the certificate of each key" in refused(PROGRAM, **method, jwks={"keys": [bare]})
    assert "needs jwks" in refused(PROGRAM, **method)
