"""private_key_jwt: an assertion of the client, for us, once. Rows TK-13 to TK-17."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, OctKey, RSAKey

from idp.kernel.tables import spent_assertions
from tests.deeds import challenged, on_sqlite, patiently, refused, stored
from tests.house import ISSUER, TestHouse
from tests.keys import Signer, form, rsa, sign


@pytest.fixture
async def signer(house: TestHouse) -> Signer:
    return await registered(house, Signer())


async def registered(house: TestHouse, *signers: Signer, **fields: str) -> Signer:
    await house.register_program(
        client_id=signers[0].client_id,
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [s.public() for s in signers]},
        **fields,
    )
    return signers[0]


async def send(house: TestHouse, assertion: str, **fields: str) -> httpx.Response:
    return await house.http().post("/token", data=form(assertion, **fields))


@on_sqlite
@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "EdDSA"])
@pytest.mark.parametrize("kid", ["k1", None])
async def test_each_algorithm(house: TestHouse, alg: str, kid: str | None) -> None:
    """RFC 7523 §3: a signed assertion is enough, with or without a kid. Authlib 1.9.9 refuses
    PS256 and EdDSA."""
    signer = await registered(house, Signer(alg=alg, kid=kid), Signer(kid="another"))
    assert (await send(house, signer.assertion(house))).status_code == 200


@on_sqlite
async def test_the_registered_algorithm(house: TestHouse) -> None:
    """OpenID Connect Registration §2 token_endpoint_auth_signing_alg: the client uses this one
    only, though its key fits another too."""
    signer = Signer(alg="PS256")
    await registered(house, signer, token_endpoint_auth_signing_alg="PS256")
    assert (await send(house, signer.assertion(house))).status_code == 200
    challenged(await send(house, signer.assertion(house, {"alg": "RS256"})))


@on_sqlite
async def test_each_of_several_keys(house: TestHouse) -> None:
    """A client rotates its keys: each registered one counts, and the kid chooses."""
    first, second = Signer(kid="first"), Signer(kid="second")
    await registered(house, first, second)
    for signer in (first, second):
        assert (await send(house, signer.assertion(house))).status_code == 200
    challenged(await send(house, first.assertion(house, {"kid": "second"})))
    challenged(await send(house, first.assertion(house, {"kid": "third"})))


@on_sqlite
async def test_headers_that_nobody_knows_are_ignored(house: TestHouse, signer: Signer) -> None:
    """RFC 7515 §4: only what is critical must be understood."""
    header = {"typ": "JWT", "x5t": "AAAA", "environment": "test"}
    assert (await send(house, signer.assertion(house, header))).status_code == 200


# ── once ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_jti_counts_once(house: TestHouse, signer: Signer) -> None:
    """TK-13: a replayed assertion is a failed authentication (RFC 7523 §3)."""
    assertion = signer.assertion(house)
    assert (await send(house, assertion)).status_code == 200
    challenged(await send(house, assertion))
    assert await house.count(spent_assertions) == 1
    assert len(await house.events("client.auth_failed")) == 1


@patiently
async def test_of_a_hundred_replays_one_counts(house: TestHouse, signer: Signer) -> None:
    """TK-13: also at once: one 200 and 99 refusals, and one row."""
    assertion = signer.assertion(house)
    http = house.http()
    answers = await asyncio.gather(*(http.post("/token", data=form(assertion)) for _ in range(100)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 99
    for answer in answers:
        if answer.status_code == 401:
            challenged(answer)
    assert await house.count(spent_assertions) == 1


async def test_a_jti_is_spent_by_a_refused_request(house: TestHouse, signer: Signer) -> None:
    """An assertion that was seen is not good for another try, and not at another endpoint."""
    assertion = signer.assertion(house)
    refused(await send(house, assertion, scope="unheard-of"), 400, "invalid_scope")
    challenged(await send(house, assertion))
    proof = {k: v for k, v in form(assertion).items() if k != "grant_type"}
    challenged(await house.http().post("/introspect", data={**proof, "token": "x"}))


async def test_two_clients_may_use_one_jti(house: TestHouse, signer: Signer) -> None:
    """RFC 7523 §3: a jti is unique within its issuer."""
    other = await registered(house, Signer("other"))
    for one in (signer, other):
        assert (await send(house, one.assertion(house, jti="same"))).status_code == 200


# ── claims ──────────────────────────────────────────────────────────────────────────────────────

OTHERS = {
    "TK-14-list-with-another": [ISSUER, "https://evil.test"],
    "TK-14-list": [ISSUER],
    "TK-14-another-server": "https://evil.test",
    "TK-14-endpoint": f"{ISSUER}/token",
    "TK-14-endpoint-of-another": "https://evil.test/token",
    "TK-14-slash": f"{ISSUER}/",
    "TK-14-absent": None,
    "TK-14-number": 1,
    "TK-14-object": {"iss": ISSUER},
}
WRONG: dict[str, dict[str, Any]] = {
    **{name: {"aud": value} for name, value in OTHERS.items()},
    "TK-17-iss-differs": {"iss": "another"},
    "TK-17-iss-absent": {"iss": None},
    "TK-17-iss-list": {"iss": ["signer"]},
    "TK-17-sub-number": {"sub": 7},
    "TK-17-sub-list": {"sub": ["signer"]},
    "TK-17-sub-absent": {"sub": None},
    "TK-17-sub-of-another": {"iss": "another", "sub": "another"},
    "TK-17-jti-absent": {"jti": None},
    "TK-17-jti-empty": {"jti": ""},
    "TK-17-jti-number": {"jti": 5},
    "TK-17-jti-long": {"jti": "x" * 201},
    "TK-17-jti-nul": {"jti": "a\x00"},
    "TK-17-exp-absent": {"exp": None},
    "TK-17-exp-text": {"exp": "9999999999"},
    "TK-17-exp-true": {"exp": True},
    "TK-17-exp-huge": {"exp": 10**30},
    "TK-17-exp-fraction": {"exp": 1e300},
}
TIMES: dict[str, tuple[dict[str, int], int]] = {  # seconds from now, and the answer
    "TK-17-iat-61-s-ahead": ({"iat": 61}, 401),
    "TK-17-iat-10-s-ahead": ({"iat": 10}, 200),
    "TK-17-nbf-61-s-ahead": ({"nbf": 61}, 401),
    "TK-17-nbf-8-s-ahead": ({"nbf": 8}, 200),
    "TK-17-expired": ({"exp": 0}, 401),
    "TK-17-expired-long-ago": ({"exp": -3600}, 401),
    "TK-17-expires-now": ({"exp": 1}, 200),
    "TK-17-a-day": ({"exp": 86_400}, 401),
}


@on_sqlite
@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG)
async def test_wrong_claims(house: TestHouse, signer: Signer, claims: dict[str, Any]) -> None:
    """TK-14, TK-17: for us alone, of the client alone (RFC 7523 §3, FAPI 2.0 §5.3.2.1: aud is our
    issuer, as a string). Authlib 1.9.9 takes lists of audiences."""
    before = await stored(house)
    challenged(await send(house, signer.assertion(house, **claims)))
    assert await stored(house) == before


@on_sqlite
@pytest.mark.parametrize("changed_settings", [{"oidc": {"token_endpoint_as_audience": True}}])
async def test_an_older_audience(house: TestHouse, signer: Signer) -> None:
    """OpenID Connect Core §9: permitted by the operator, and to no client with a profile."""
    older = {"aud": f"{ISSUER}/token"}
    assert (await send(house, signer.assertion(house, **older))).status_code == 200
    strict = Signer("strict")
    keys = {"keys": [strict.public()]}
    await house.register_program(client_id="strict", profile="fapi2", jwks=keys)
    challenged(await send(house, strict.assertion(house, **older)))


@on_sqlite
@pytest.mark.parametrize(("shifts", "status"), TIMES.values(), ids=TIMES)
async def test_times(house: TestHouse, signer: Signer, shifts: dict[str, int], status: int) -> None:
    """TK-17: clocks may differ by 10 seconds, not by 60 (FAPI 2.0 §5.3.2.1)."""
    claims = {name: house.clock.now() + shift for name, shift in shifts.items()}
    assert (await send(house, signer.assertion(house, **claims))).status_code == status


@on_sqlite
async def test_the_form_names_another_client(house: TestHouse, signer: Signer) -> None:
    """RFC 7521 §4.2: client_id, if sent, is the assertion's. Authlib 1.9.9 does not compare."""
    await house.register_program(client_id="another")
    challenged(await send(house, signer.assertion(house), client_id="another"))
    answer = await send(house, signer.assertion(house), client_id=signer.client_id)
    assert answer.status_code == 200


@on_sqlite
async def test_another_assertion_type(house: TestHouse, signer: Signer) -> None:
    """RFC 7521 §4.2: SAML is not for us."""
    saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
    assertion = signer.assertion(house)
    challenged(await send(house, assertion, client_assertion_type=saml))
    without = form(assertion)
    without.pop("client_assertion_type")
    challenged(await house.http().post("/token", data=without))


# ── signatures ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def canary() -> Iterator[tuple[str, list[Any]]]:
    """A port that must not be called, and who called it."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    calls: list[Any] = []
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys", calls
    try:
        calls.append(listener.accept())
    except BlockingIOError:
        pass
    finally:
        listener.close()
    assert not calls


FORGERIES = [
    "none",
    "none-in-capitals",
    "hs256-by-pem",
    "hs256-by-der",
    "hs256-by-jwk",
    "embedded-jwk",
    "own-key-with-jku",
    "own-key-with-x5u",
    "unknown-crit",
    "empty-crit",
    "b64-false",
    "b64-false-not-critical",
    "another-key",
    "no-signature",
    "another-algorithm",
]


@on_sqlite
@pytest.mark.parametrize("forgery", FORGERIES, ids=[f"TK-16-{name}" for name in FORGERIES])
async def test_forged_signatures(
    house: TestHouse, canary: tuple[str, list[Any]], forgery: str
) -> None:
    """TK-16: no algorithm that the attacker chose, no key that the attacker brought or points to
    (RFC 8725 §3.1; Authlib's CVE-2024-37568 and CVE-2026-27962), and nobody is called."""
    signer = await registered(house, Signer(alg="RS256"))
    challenged(await send(house, forged(house, signer, forgery, canary[0])))


def forged(house: TestHouse, signer: Signer, how: str, url: str) -> str:
    own = rsa("attacker")
    evil = Signer(signer.client_id, "RS256", signer.kid, own)
    claims = json.dumps(signer.claims(house))
    pem, der = signer.key.as_pem(private=False), signer.key.as_der(private=False)
    if how.startswith("none"):
        alg = "none" if how == "none" else "NoNe"
        return f"{_part({'alg': alg, 'kid': 'k1'})}.{_part(signer.claims(house))}."
    symmetric = {"hs256-by-pem": pem, "hs256-by-der": der}
    symmetric["hs256-by-jwk"] = json.dumps(signer.public()).encode()
    if how in symmetric:
        header = {"alg": "HS256", "kid": "k1"}
        return f"{_hmac(header, signer.claims(house), symmetric[how])}"
    headers: dict[str, tuple[Signer, dict[str, Any]]] = {
        "embedded-jwk": (evil, {"jwk": own.as_dict(private=False)}),
        "own-key-with-jku": (signer, {"jku": url}),
        "own-key-with-x5u": (signer, {"x5u": url}),
        "empty-crit": (signer, {"crit": []}),
        "b64-false-not-critical": (signer, {"b64": False}),
        "another-key": (evil, {}),
    }
    if how in headers:
        by, more = headers[how]
        if how == "embedded-jwk":  # too long for a header that joserfc would write
            return _rs256({"alg": "RS256", "kid": "k1", **more}, claims, own)
        return _rs256({"alg": "RS256", "kid": "k1", **more}, claims, by.key)
    if how in ("unknown-crit", "b64-false"):
        more = {"crit": ["x"], "x": 1} if how == "unknown-crit" else {"crit": ["b64"], "b64": False}
        return _rs256({"alg": "RS256", "kid": "k1", **more}, claims, signer.key)
    good = signer.assertion(house)
    if how == "no-signature":
        return good.rsplit(".", 1)[0] + "."
    return sign({"alg": "ES256", "kid": "k1"}, claims, ECKey.generate_key("P-256"))


def _part(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _hmac(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    signed = f"{_part(header)}.{_part(claims)}"
    mark = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"


def _rs256(header: dict[str, Any], claims: str, key: RSAKey) -> str:
    """By hand: no library would write these."""
    signed = f"{_part(header)}.{_part(claims)}"
    assert key.private_key is not None
    mark = key.private_key.sign(signed.encode(), PKCS1v15(), SHA256())
    return f"{signed}.{base64.urlsafe_b64encode(mark).decode().rstrip('=')}"


GARBAGE = {
    "empty": "",
    "one-part": "x",
    "two-parts": "e30.e30",
    "five-parts": "e30.e30.e30.e30.e30",
    "header-list": f"{_part('[]')}.{_part('{}')}.AAAA",
    "header-text": f"{_part(json.dumps('a'))}.{_part('{}')}.AAAA",
    "claims-list": f"{_part({'alg': 'ES256'})}.{_part('[]')}.AAAA",
    "claims-text": f"{_part({'alg': 'ES256'})}.{_part('x')}.AAAA",
    "kid-object": f"{_part({'alg': 'ES256', 'kid': {}})}.{_part({'sub': 'signer'})}.AAAA",
    "alg-list": f"{_part({'alg': ['ES256']})}.{_part({'sub': 'signer'})}.AAAA",
    "alg-absent": f"{_part('{}')}.{_part({'sub': 'signer'})}.AAAA",
    "not-ascii": "電.子.章",
    "deep": f"{_part('[' * 3000)}.{_part({'sub': 'signer'})}.AAAA",
    "deep-claims": f"{_part({'alg': 'ES256'})}.{_part('[' * 9000)}.AAAA",
    "long-header": f"{_part({'alg': 'ES256', 'x': 'y' * 9000})}.{_part({'sub': 'signer'})}.AAAA",
    "surrogate": f"{_part({'alg': 'ES256', 'kid': chr(0xD800)})}.{_part({'sub': 'signer'})}.AAAA",
}


@on_sqlite
@pytest.mark.parametrize("assertion", GARBAGE.values(), ids=GARBAGE)
async def test_garbage(house: TestHouse, signer: Signer, assertion: str) -> None:
    """What is no JWT is a failed authentication and nothing else."""
    challenged(await send(house, assertion))


@on_sqlite
async def test_a_secret_is_no_key(house: TestHouse, signer: Signer) -> None:
    """RFC 8725 §3.1: a client that signs is not let in with a secret, and the reverse."""
    program = await house.register_program(client_id="program")
    secret = {"grant_type": "client_credentials", "client_id": "signer", "client_secret": "x"}
    challenged(await house.http().post("/token", data=secret))
    by_secret = sign(
        {"alg": "HS256"},
        json.dumps(Signer("program").claims(house)),
        OctKey.import_key(program.secret or ""),
    )
    challenged(await send(house, by_secret))


@on_sqlite
async def test_a_disabled_client(house: TestHouse, signer: Signer) -> None:
    """A disabled client's assertions are worth nothing, and are not even remembered."""
    await house.registrar.switch(signer.client_id, enabled=False)
    challenged(await send(house, signer.assertion(house)))
    assert await house.count(spent_assertions) == 0
