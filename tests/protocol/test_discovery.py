"""Discovery, JWKS and the addresses around them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import KeySet

from tests.asking import FORM, bare
from tests.house import ISSUER, TestHouse
from tests.open_house import LOOP, house, service, shared

__all__ = ["house", "service", "shared"]
pytestmark = LOOP

WELL_KNOWN = "/.well-known/openid-configuration"
DOCUMENTS = [WELL_KNOWN, "/.well-known/oauth-authorization-server"]
PUBLIC = [*DOCUMENTS, "/jwks", "/realms/TDXConnect/protocol/openid-connect/certs"]


WEAK = {"plain", "none", "HS256", "implicit", "password", "fragment", "token", "id_token"}
# a public client authenticates by "none" (RFC 7591 §2), and prompt=none is no algorithm
NONE_IS_FINE = {
    "token_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_methods_supported",
    "prompt_values_supported",
}


async def document(house: TestHouse, *headers: tuple[str, str]) -> dict[str, Any]:
    answer = await bare(house, WELL_KNOWN, headers=headers)
    assert answer.status == 200
    return dict(json.loads(answer.text))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "id.test.evil.example",
        "evil.example@id.test",
        "id.test:8443",
        "id.test.",
        "",
    ],
)
@pytest.mark.parametrize("path", [WELL_KNOWN, "/authorize", "/token", "/jwks"])
async def test_a_foreign_host(house: TestHouse, host: str, path: str) -> None:
    """DI-01: the issuer comes from the configuration, and no other name is served."""
    answer = await bare(house, path, host=host)
    assert answer.status == 400
    assert "evil" not in answer.text


async def test_two_hosts(house: TestHouse) -> None:
    """HD-05: which of them would be meant is an attacker's choice (RFC 9112 §3.2)."""
    assert (await bare(house, WELL_KNOWN, headers=(("host", "id.test"),))).status == 400


@pytest.mark.parametrize(
    "header",
    [
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil"),
        ("x-original-url", "/evil"),
        ("x-rewrite-url", "/evil"),
        ("x-forwarded-for", "203.0.113.99"),
    ],
    ids=lambda header: header[0],
)
async def test_what_a_proxy_might_say(house: TestHouse, header: tuple[str, str]) -> None:
    """DI-02: issuer and endpoints unchanged (CVE-2025-64101, CVE-2023-49097)."""
    assert await document(house, header) == await document(house)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", PUBLIC)
async def test_only_reading(house: TestHouse, path: str, method: str) -> None:
    """DI-04: RFC 9110 §15.5.6."""
    answer = await bare(house, path, method=method, headers=FORM)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_the_keys_are_public(house: TestHouse) -> None:
    """DI-05: RFC 7517 §9.2; no private member, each with kid, use and alg."""
    for path in PUBLIC[2:]:
        keys = json.loads((await bare(house, path)).text)["keys"]
        assert len(keys) >= 2
        for key in keys:
            assert not {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(key)
            assert {"kid", "use", "alg", "kty"} <= set(key)
            assert (key["use"], key["kty"]) in (("sig", "RSA"), ("sig", "EC"), ("sig", "OKP"))
        assert len({key["kid"] for key in keys}) == len(keys)
        KeySet.import_key_set({"keys": keys})


async def test_nothing_weak_is_offered(house: TestHouse) -> None:
    """DI-07: what is not there, written out where the default would be yes."""
    found = await document(house)
    assert found["issuer"] == ISSUER
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["response_types_supported"] == ["code"]
    assert found["request_uri_parameter_supported"] is True
    assert found["require_request_uri_registration"] is True
    assert found["request_parameter_supported"] is True
    assert found["claims_parameter_supported"] is True
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["subject_types_supported"] == ["pairwise", "public"]
    for name, offered in found.items():
        if isinstance(offered, list) and name not in NONE_IS_FINE:
            assert not WEAK & set(offered), name
    assert not WEAK - {"none"} & {x for name in NONE_IS_FINE for x in found[name]}


async def test_what_is_promised_is_there(house: TestHouse) -> None:
    """Every endpoint named is ours, on https, and answers."""
    found = await document(house)
    endpoints = {k: v for k, v in found.items() if k.endswith(("_endpoint", "jwks_uri"))}
    assert len(endpoints) >= 7
    for name, url in endpoints.items():
        assert str(url).startswith(ISSUER + "/"), name
        assert (await bare(house, str(url).removeprefix(ISSUER))).status != 404, name


@pytest.mark.parametrize(
    "path",
    [
        f"{WELL_KNOWN}/../admin",
        f"/{WELL_KNOWN}",
        WELL_KNOWN.replace("/open", "//open"),
        f"{WELL_KNOWN}/",
        f"{WELL_KNOWN};x",
        f"{WELL_KNOWN}.json",
        f"{WELL_KNOWN}%2e%2e",
        "/.well-known/../jwks",
        WELL_KNOWN.upper(),
        "/jwks/",
        "/authorize/",
        "/realms/Other/protocol/openid-connect/certs",
        "/realms//protocol/openid-connect/certs",
        "/auth/realms/tdxconnect/protocol/openid-connect/certs",
        "/static/../base.html",
        "/static/../../pyproject.toml",
        "/static/%2e%2e/base.html",
        "/static/..\\base.html",
        "/static/",
        "/static",
        "//",
        "/.git/config",
        "/..",
    ],
)
async def test_near_misses(house: TestHouse, path: str) -> None:
    """DI-08: a path is this path or nothing (CVE-2026-15573)."""
    assert (await bare(house, path)).status == 404


async def test_they_may_be_kept(house: TestHouse) -> None:
    """Cached as long as the configuration says, validated by ETag, read by any origin."""
    for path in PUBLIC:
        answer = await bare(house, path)
        seconds = house.settings.oidc.jwks_seconds
        assert answer.headers["cache-control"] == f"public, max-age={seconds}"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["content-type"] == "application/json"
        again = await bare(house, path, headers=(("if-none-match", answer.headers["etag"]),))
        assert (again.status, again.text) == (304, "")
        other = await bare(house, path, headers=(("if-none-match", '"other"'),))
        assert (other.status, other.text) == (200, answer.text)


async def test_head(house: TestHouse) -> None:
    """RFC 9110 §9.3.2: the same headers."""
    for path in PUBLIC:
        answer = await bare(house, path, method="HEAD")
        assert (answer.status, "etag" in answer.headers) == (200, True)
