"""Reading client authentication, without a server: which method, which client, is it proven."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.kernel.errors import InvalidClient, InvalidRequest
from idp.oidc import clientauth
from idp.oidc.clientauth import ASSERTION_TYPE, basic, presented, verify_assertion
from idp.oidc.preload import SpendAssertion
from idp.registry.clients import Client
from idp.registry.metadata import ClientMetadata
from tests.house import ISSUER, START, StillClock, TestHouse
from tests.keys import Signer

Form = dict[str, str]


def encoded(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


class Hour:
    """All that an assertion asks of a house: its clock."""

    clock = StillClock()


def assertion(signer: Signer, **claims: Any) -> str:
    return signer.assertion(cast(TestHouse, Hour()), **claims)


WAYS: dict[str, tuple[Mapping[str, str], Form, tuple[str, str]]] = {
    "basic": ({"authorization": encoded("a:b")}, {}, ("client_secret_basic", "a")),
    "basic and id": (
        {"authorization": encoded("a:b")},
        {"client_id": "a"},
        ("client_secret_basic", "a"),
    ),
    "post": ({}, {"client_id": "a", "client_secret": "b"}, ("client_secret_post", "a")),
    "none": ({}, {"client_id": "a"}, ("none", "a")),
    "none, with empty fields": (
        {"authorization": ""},
        {
            "client_id": "a",
            "client_secret": "",
            "client_assertion": "",
            "client_assertion_type": "",
        },
        ("none", "a"),
    ),
    "basic and empty fields": (
        {"authorization": encoded("a:b")},
        {"client_id": "", "client_secret": "", "client_assertion": ""},
        ("client_secret_basic", "a"),
    ),
    "basic, two blanks": (
        {"authorization": encoded("a:b").replace(" ", "  ")},
        {},
        ("client_secret_basic", "a"),
    ),
    "basic without a secret": ({"authorization": encoded("a:")}, {}, ("none", "a")),
    "basic without a secret, and id": (
        {"authorization": encoded("a:")},
        {"client_id": "a"},
        ("none", "a"),
    ),
    "assertion": (
        {},
        {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion(Signer("a"))},
        ("private_key_jwt", "a"),
    ),
}


@pytest.mark.parametrize(("headers", "form", "found"), WAYS.values(), ids=WAYS)
def test_each_way(headers: Mapping[str, str], form: Form, found: tuple[str, str]) -> None:
    """RFC 6749 §2.3, RFC 7521 §4.2: the method and the client it claims to be."""
    credentials = presented(headers, form)
    assert (credentials.method, credentials.client_id) == found


REFUSED: dict[str, tuple[Mapping[str, str], Form, type[Exception]]] = {
    "basic and post": ({"authorization": "x"}, {"client_secret": "x"}, InvalidRequest),
    "basic and assertion": ({"authorization": "x"}, {"client_assertion": "x"}, InvalidRequest),
    "post and assertion": (
        {},
        {"client_secret": "x", "client_assertion_type": ASSERTION_TYPE},
        InvalidRequest,
    ),
    "nothing": ({}, {}, InvalidClient),
    "secret without id": ({}, {"client_secret": "x"}, InvalidClient),
    "two ids": ({"authorization": encoded("a:b")}, {"client_id": "c"}, InvalidClient),
    "assertion without type": ({}, {"client_assertion": "x"}, InvalidClient),
    "type without assertion": ({}, {"client_assertion_type": ASSERTION_TYPE}, InvalidClient),
}


@pytest.mark.parametrize(("headers", "form", "error"), REFUSED.values(), ids=REFUSED)
def test_refused_ways(headers: Mapping[str, str], form: Form, error: type[Exception]) -> None:
    """RFC 6749 §2.3: one method in one request; and nobody is guessed."""
    with pytest.raises(error):
        presented(headers, form)


PRINTABLE = st.text(min_size=1, max_size=40)


@given(PRINTABLE, PRINTABLE)
def test_basic_reads_what_clients_encode(client_id: str, secret: str) -> None:
    """RFC 6749 §2.3.1: whatever id and secret hold, form-encoded they arrive."""
    header = encoded(f"{quote_plus(client_id)}:{quote_plus(secret)}")
    assert basic(header) == (client_id, secret)


@given(st.text(max_size=60))
def test_basic_never_crashes(text: str) -> None:
    """InvalidClient and nothing else."""
    for header in (text, f"Basic {text}"):
        try:
            basic(header)
        except InvalidClient:
            continue


@given(st.binary(max_size=60))
def test_basic_of_any_bytes(raw: bytes) -> None:
    """Also where the base64 is right and what is in it is not; only the secret may be empty."""
    try:
        client_id, secret = basic("Basic " + base64.b64encode(raw).decode())
    except InvalidClient:
        return
    assert client_id
    assert secret or raw.endswith(b":")


@pytest.mark.parametrize("padding", ["", "=", "==", "==="])
def test_base64_is_strict(padding: str) -> None:
    """RFC 4648 §3.2, §3.3: the right padding and no other characters; Authlib 1.9.9 skips them."""
    text = base64.b64encode(b"a:bc").decode().rstrip("=")
    if padding == "==":
        assert basic(f"Basic {text}{padding}") == ("a", "bc")
    else:
        with pytest.raises(InvalidClient):
            basic(f"Basic {text}{padding}")


# ── assertions ──────────────────────────────────────────────────────────────────────────────────


def client(*signers: Signer) -> Client:
    metadata = ClientMetadata(
        client_name="程式",
        grant_types=("client_credentials",),
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [s.public() for s in signers]},
    )
    return Client(signers[0].client_id, metadata, (), disabled=False)


def test_a_proven_assertion_is_spent() -> None:
    """Its id is remembered for as long as it could come again."""
    signer = Signer()
    found = verify_assertion(client(signer), assertion(signer, jti="once"), ISSUER, START)
    assert found == SpendAssertion("signer", "once", START + 60)


@pytest.mark.parametrize("aud", [ISSUER, f"{ISSUER}/token"])
def test_the_token_endpoint_may_be_the_audience(aud: str) -> None:
    """OpenID Connect Core §9: where the operator permits it, alone and as it is spelled."""
    signer, endpoint = Signer(), f"{ISSUER}/token"
    verify_assertion(client(signer), assertion(signer, aud=aud), ISSUER, START, endpoint)
    for other in (f"{aud}/", [aud], "", None):
        with pytest.raises(InvalidClient):
            text = assertion(signer, aud=other)
            verify_assertion(client(signer), text, ISSUER, START, endpoint)


LIVES = {"an hour": (3600, True), "an hour and a minute": (3660, False), "a year": (31e6, False)}


@pytest.mark.parametrize(("seconds", "good"), LIVES.values(), ids=LIVES)
def test_an_assertion_lives_an_hour_at_most(seconds: float, good: bool) -> None:
    """Whoever wants us to remember ids for a year is refused."""
    signer = Signer()
    text = assertion(signer, exp=START + int(seconds))
    if good:
        verify_assertion(client(signer), text, ISSUER, START)
    else:
        with pytest.raises(InvalidClient, match="exp"):
            verify_assertion(client(signer), text, ISSUER, START)


def test_the_log_says_why_and_the_client_does_not_learn_it() -> None:
    """Each rule has a name in our log; the answer is the same for all but the audience, the one
    that programs written for other servers get wrong: it tells the right one."""
    signer = Signer()
    said = set()
    with pytest.raises(InvalidClient) as refused:
        verify_assertion(client(signer), assertion(signer, aud="x"), ISSUER, START)
    assert refused.value.detail == "assertion: aud"
    assert refused.value.description == f"client_assertion: aud must be {ISSUER}"
    for claims in ({"iss": "x"}, {"jti": ""}, {"exp": 1}, {"iat": START + 61}):
        with pytest.raises(InvalidClient) as refused:
            verify_assertion(client(signer), assertion(signer, **claims), ISSUER, START)
        said.add(refused.value.detail)
        assert refused.value.description == "client authentication failed"
    assert said == {f"assertion: {name}" for name in ("iss", "jti", "exp", "iat")}


@given(st.text(max_size=200))
def test_any_text_as_an_assertion(text: str) -> None:
    """InvalidClient and nothing else."""
    with pytest.raises(InvalidClient):
        clientauth.unverified_subject(text)
