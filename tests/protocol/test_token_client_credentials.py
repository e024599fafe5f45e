"""Tokens of programs, verified by a library that is not ours. Rows TK-41 to TK-44."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs

from idp.kernel import logs
from tests.actors import Service
from tests.deeds import allow, challenged, on_sqlite, patiently, refused
from tests.house import ISSUER, START, Registered, TestHouse
from tests.keys import verified_elsewhere


async def ask(house: TestHouse, program: Registered, **fields: str) -> httpx.Response:
    form = {"grant_type": "client_credentials", **fields}
    return await house.http().post("/token", data=form, auth=(program.id, program.secret or ""))


async def token_of(house: TestHouse, answer: httpx.Response) -> tuple[dict[str, Any], Any]:
    assert answer.status_code == 200, answer.text
    jwks = await house.http().get("/jwks")
    return verified_elsewhere(answer.json()["access_token"], jwks)


async def test_a_programs_token(house: TestHouse) -> None:
    """RFC 9068 §2: an at+jwt with everything that a gateway reads, also where TDX's looks for
    roles. Authlib 1.9.9 would let it live for ten days, for the client itself."""
    program = await house.register_program(
        client_id="bus", audience=("https://api.test",), roles=("basic", "編輯")
    )
    answer = await ask(house, program)
    header, claims = await token_of(house, answer)
    assert header["typ"] == "at+jwt"
    assert header["alg"] == "ES256"
    assert header.keys() == {"typ", "alg", "kid"}
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": "bus",
        "azp": "bus",
        "client_id": "bus",
        "aud": "https://api.test",
        "iat": START,
        "exp": START + 86_400,
        "scope": "api:read api:write",
        "realm_access": {"roles": ["basic", "編輯"]},
    }
    body = answer.json()
    body.pop("access_token")
    assert body == {"token_type": "Bearer", "expires_in": 86_400, "scope": "api:read api:write"}
    assert answer.headers["cache-control"] == "no-store"


@on_sqlite
@pytest.mark.parametrize("alg", ["ES256", "RS256"])
async def test_a_persons_token(house: TestHouse, alg: str) -> None:
    """RFC 9068 §2.2: of a person, with the way they were verified and without their number."""
    service = Service(house, await house.register("service", access_token_alg=alg))
    deed = await allow(service, scope="openid twid")
    tokens = await deed.tokens()
    jwks = await house.http().get("/jwks")
    header, claims = verified_elsewhere(tokens["access_token"], jwks)
    assert (header["typ"], header["alg"]) == ("at+jwt", alg)
    assert claims["exp"] - claims["iat"] == tokens["expires_in"] == 600
    assert claims["scope"] == tokens["scope"] == "openid twid"
    assert claims["acr"] == "urn:twfido:qr"
    assert claims["client_id"] == claims["azp"] == "service"
    assert "A100000010" not in str(claims)
    _, id_token = verified_elsewhere(tokens["id_token"], jwks)
    assert id_token["sub"] == claims["sub"]
    assert id_token["aud"] == "service"


@on_sqlite
async def test_a_client_may_have_its_own_life(house: TestHouse) -> None:
    """expires_in is what the token says; in Authlib 1.9.9 the two may differ."""
    program = await house.register_program(access_token_seconds=3600)
    answer = await ask(house, program)
    _, claims = await token_of(house, answer)
    assert claims["exp"] - claims["iat"] == answer.json()["expires_in"] == 3600


@on_sqlite
async def test_a_new_token_leaves_the_old_one_alone(house: TestHouse) -> None:
    """TDX: tokens do not replace one another; each has an id of its own."""
    program = await house.register_program()
    tokens = [(await ask(house, program)).json()["access_token"] for _ in range(3)]
    auth = (program.id, program.secret or "")
    found = [
        (await house.http().post("/introspect", data={"token": t}, auth=auth)).json()
        for t in tokens
    ]
    assert [f["active"] for f in found] == [True] * 3
    assert len({f["jti"] for f in found}) == 3


async def test_a_public_client(house: TestHouse) -> None:
    """TK-41: nobody proves anything, so nobody gets a token (RFC 6749 §4.4)."""
    await house.register("public", token_endpoint_auth_method="none")
    form = {"grant_type": "client_credentials", "client_id": "public"}
    challenged(await house.http().post("/token", data=form))


@on_sqlite
async def test_a_client_without_the_grant(house: TestHouse) -> None:
    """RFC 6749 §5.2: a client that may only log people in."""
    refused(await ask(house, await house.register()), 400, "unauthorized_client")


TARGETS = {
    "TK-43-unknown-resource": {"resource": "https://evil.test"},
    "TK-43-unknown-audience": {"audience": "https://evil.test"},
    "TK-43-one-of-two": {"resource": "https://api.test", "audience": "https://evil.test"},
    "TK-43-slash": {"resource": "https://api.test/"},
    "TK-43-issuer": {"resource": ISSUER},
    "TK-43-relative": {"resource": "api"},
    "TK-43-chinese": {"resource": "https://圖書館.test"},
    "TK-43-quote": {"resource": 'https://api.test"'},
}


@on_sqlite
@pytest.mark.parametrize("fields", TARGETS.values(), ids=TARGETS)
async def test_unknown_targets(house: TestHouse, fields: dict[str, str]) -> None:
    """TK-43: a resource that is not the client's (RFC 8707 §2)."""
    program = await house.register_program(audience=("https://api.test", "https://other.test"))
    refused(await ask(house, program, **fields), 400, "invalid_target")


@on_sqlite
@pytest.mark.parametrize("name", ["resource", "audience"])
async def test_known_targets(house: TestHouse, name: str) -> None:
    """RFC 8707 §2.2: the token is for what was asked, or for all that the client may call."""
    both = ["https://api.test", "https://other.test"]
    program = await house.register_program(audience=tuple(both))
    _, claims = await token_of(house, await ask(house, program, **{name: both[1]}))
    assert claims["aud"] == both[1]
    _, claims = await token_of(house, await ask(house, program))
    assert claims["aud"] == both


SCOPES: dict[str, tuple[str, str | None]] = {
    "absent": ("", "api:read api:write"),
    "one": ("api:write", "api:write"),
    "turned round": ("api:write api:read", "api:read api:write"),
    "twice": ("api:read api:read", "api:read"),
    "of habit": ("openid profile email", "api:read api:write"),
    "of habit, and one": ("openid api:read", "api:read"),
    "unknown": ("api:delete", None),
    "one of them unknown": ("api:read api:delete", None),
    "chinese": ("讀取", None),
    "quote": ('api:read"', None),
}


@on_sqlite
@pytest.mark.parametrize(("asked", "granted"), SCOPES.values(), ids=SCOPES)
async def test_scopes(house: TestHouse, asked: str, granted: str | None) -> None:
    """RFC 6749 §3.3: what was granted is always told; OpenID's own scopes, which programs send
    by habit, mean nothing here."""
    program = await house.register_program()
    answer = await ask(house, program, scope=asked) if asked else await ask(house, program)
    if granted is None:
        refused(answer, 400, "invalid_scope")
    else:
        assert answer.json()["scope"] == granted


LIMIT = {"oidc": {"token_calls_per_minute": 3}}


@on_sqlite
@pytest.mark.parametrize("changed_settings", [LIMIT])
async def test_too_many_calls(house: TestHouse, service: Service) -> None:
    """TK-44: per client and address; the answer is JSON, says when to come back and to keep the
    token. Other grants, clients and addresses are not touched by it."""
    program, other = await house.register_program(), await house.register_program()
    answers = [await ask(house, program) for _ in range(5)]
    assert [a.status_code for a in answers] == [200] * 3 + [429] * 2
    refused(answers[-1], 429, "slow_down")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert "keep" in answers[-1].json()["error_description"]

    assert (await ask(house, other)).status_code == 200
    form = {"grant_type": "client_credentials"}
    auth = (program.id, program.secret or "")
    assert (await house.http("192.0.2.8").post("/token", data=form, auth=auth)).status_code == 200
    for _ in range(5):
        tokens = await (await allow(service)).tokens()
        assert (await service.refresh(tokens["refresh_token"])).status_code == 200


@on_sqlite
@pytest.mark.parametrize("changed_settings", [LIMIT])
async def test_the_limit_tells_nobody_who_exists(house: TestHouse) -> None:
    """TK-10, TK-44: whoever has no secret fails alike for a client that exists and one that does
    not, and uses up nobody's calls."""
    program = await house.register_program()
    for client_id in (program.id, "nobody"):
        for _ in range(6):
            form = {"grant_type": "client_credentials"}
            challenged(await house.http().post("/token", data=form, auth=(client_id, "wrong")))
    assert (await ask(house, program)).status_code == 200


@patiently
async def test_many_at_once(house: TestHouse) -> None:
    """Programs do not wait for one another, nor for the store: their audit comes in batches."""
    program = await house.register_program()
    answers = await asyncio.gather(*(ask(house, program) for _ in range(50)))
    assert {a.status_code for a in answers} == {200}
    assert len(await house.events("token.program")) == 50


@on_sqlite
async def test_no_token_in_any_log(
    house: TestHouse, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Authlib 1.9.9 writes whole tokens to its debug log; ours never shows one, not even where
    somebody has set everything to DEBUG."""
    monkeypatch.setattr(structlog, "configure", lambda **_: None)
    logs.configure(production=True)
    program = await house.register_program()
    with capture_logs() as ours, caplog.at_level(logging.DEBUG):
        token = (await ask(house, program)).json()["access_token"]
    assert token not in caplog.text
    assert token not in str(ours)
    assert str(program.secret) not in caplog.text + str(ours)
