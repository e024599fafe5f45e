"""The demo's page about a login: each check of a relying party, done once more for the eye."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from starlette.requests import Request

from idp.demo.trace import Trace
from idp.demo.words import CHECKS, PARTS, STEPS, language_of, words

ISSUER, CLIENT = "https://op.test", "library"
KEY, OTHER = ECKey.generate_key(auto_kid=True), ECKey.generate_key(auto_kid=True)
METADATA: dict[str, Any] = {
    "issuer": ISSUER,
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
    "userinfo_endpoint": f"{ISSUER}/userinfo",
    "id_token_signing_alg_values_supported": ["ES256"],
}
ASKED = "state=s1&nonce=n1&acr_values=urn:a&max_age=60&client_id=library"


def answer(url: str, told: dict[str, Any], method: str = "GET", **sent: Any) -> httpx.Response:
    return httpx.Response(200, json=told, request=httpx.Request(method, url, **sent))


def login(key: ECKey = KEY, **claims: Any) -> Trace:
    """A whole login; the claims differ from right ones as told."""
    now = int(time.time())
    right: dict[str, Any] = {
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": "p1",
        "nonce": "n1",
        "acr": "urn:a",
    }
    right |= {"exp": now + 300, "iat": now, "auth_time": now}
    kid = KEY.as_dict()["kid"]
    id_token = jwt.encode({"alg": "ES256", "kid": kid}, right | claims, key)
    trace = Trace(ISSUER, CLIENT, METADATA)
    trace.began(f"{ISSUER}/authorize?{ASKED}")
    trace.returned("https://rp.test/callback", {"code": "c" * 40, "state": "s1", "iss": ISSUER})
    form = {"grant_type": "authorization_code", "code": "c" * 40}
    tokens = {"id_token": id_token, "access_token": "t" * 40}
    trace.heard(answer(f"{ISSUER}/token", tokens, "POST", data=form))
    trace.heard(answer(f"{ISSUER}/jwks", dict(KeySet([KEY]).as_dict(private=False))))
    trace.read_id_token()
    trace.heard(answer(f"{ISSUER}/userinfo", {"sub": "p1"}))
    return trace


def failed(trace: Trace) -> list[str]:
    return [check.name for step in trace.steps for check in step.checks if not check.passed]


def test_a_good_login_passes_every_check() -> None:
    """Each step is there, in the order in which it happened."""
    trace = login()
    assert [step.name for step in trace.steps] == [
        *("discovery", "authorize", "callback", "token_endpoint", "jwks_uri", "id_token"),
        "userinfo_endpoint",
    ]
    assert failed(trace) == []
    assert not trace.failed
    assert len([check for step in trace.steps for check in step.checks]) == 12


@pytest.mark.parametrize(
    ("claims", "check"),
    [
        ({"iss": "https://evil.test"}, "iss"),
        ({"aud": "another"}, "aud"),
        ({"aud": ["another"]}, "aud"),
        ({"exp": 1}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"iat": 4102444800}, "iat"),
        ({"nonce": "n2"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"at_hash": "AAAA"}, "at_hash"),
        ({"acr": "urn:b"}, "acr"),
        ({"auth_time": 1}, "auth_time"),
        ({"sub": "p2"}, "sub"),
    ],
)
def test_one_wrong_claim_fails_its_check_alone(claims: dict[str, Any], check: str) -> None:
    """OIDC Core §3.1.3.7, §5.3.2: what is wrong is named, and nothing else."""
    assert failed(login(**claims)) == [check]


def test_a_foreign_signature_is_told() -> None:
    """OIDC Core §3.1.3.7: claims that nobody vouches for are not shown."""
    trace = login(key=OTHER)
    assert failed(trace) == ["signature", "sub"]
    token = next(step for step in trace.steps if step.name == "id_token")
    assert [name for name, _ in token.got] == ["id_token"]


def test_an_answer_to_somebody_elses_login() -> None:
    """RFC 6749 §10.12, RFC 9207 §2.4: state and iss of another login are seen at the return."""
    trace = Trace(ISSUER, CLIENT, METADATA)
    trace.began(f"{ISSUER}/authorize?{ASKED}")
    trace.returned("https://rp.test/callback", {"code": "c", "state": "s2", "iss": "https://evil"})
    assert failed(trace) == ["state", "iss_parameter"]


def test_secrets_are_cut_short() -> None:
    """A code, a token and a password can be recognized on the page, and not be used."""
    for step in login().steps:
        for name, value in [*step.sent, *step.got]:
            if name in ("code", "access_token", "id_token"):
                assert "… (" in value and len(value) < 24


def test_every_step_and_check_has_words_in_both_languages() -> None:
    """What is shown is explained."""
    steps = login().steps
    assert {step.name for step in steps} <= set(STEPS)
    assert {check.name for step in steps for check in step.checks} <= set(CHECKS)
    assert {name for step in steps for name, _ in [*step.sent, *step.got]} <= set(PARTS)
    for table in (STEPS, CHECKS, PARTS):
        assert all(zh and en and zh != en for zh, en in table.values())
    assert words("en")["steps"]["callback"] == "The browser comes back with the result"


@pytest.mark.parametrize(
    ("query", "accept", "language"),
    [
        ("", "", "zh-Hant-TW"),
        ("", "en-GB,en;q=0.9", "en"),
        ("", "en;q=0.1, zh-TW;q=0.9", "zh-Hant-TW"),
        ("", "fr, en;q=0.5", "en"),
        ("", "zh;q=9.9.9;;,\xff", "zh-Hant-TW"),
        ("lang=en", "zh-TW", "en"),
        ("lang=zh-Hant-TW", "en", "zh-Hant-TW"),
        ("lang=xx", "en", "en"),
    ],
)
def test_the_language(query: str, accept: str, language: str) -> None:
    """RFC 9110 §12.5.4: weights count; the link on the page has the last word."""
    headers = [(b"accept-language", accept.encode("latin-1"))]
    scope = {"type": "http", "query_string": query.encode(), "headers": headers}
    assert language_of(Request(scope)) == language
