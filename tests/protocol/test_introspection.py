"""Introspection: true to those entitled, silent to all others. Rows IN-01 to IN-08."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.actors import Service
from tests.deeds import (
    Deed,
    allow,
    challenged,
    not_allowed,
    on_sqlite,
    refused,
    switch_person,
)
from tests.house import ISSUER, START, Registered, TestHouse
from tests.keys import Signer, form, verified_elsewhere


@pytest.fixture
async def deed(service: Service) -> Deed:
    return await allow(service)


async def ask(house: TestHouse, client: Registered, token: str, **more: str) -> httpx.Response:
    auth = (client.id, client.secret or "")
    return await house.http().post("/introspect", data={"token": token, **more}, auth=auth)


async def token_of(house: TestHouse, program: Registered) -> str:
    auth = (program.id, program.secret or "")
    answer = await house.http().post("/token", data={"grant_type": "client_credentials"}, auth=auth)
    return str(answer.json()["access_token"])


def inactive(answer: httpx.Response) -> None:
    """RFC 7662 §2.2: whatever is wrong, this and nothing else."""
    assert answer.status_code == 200, answer.text
    assert answer.content == b'{"active":false}'
    assert answer.headers["cache-control"] == "no-store"


async def test_an_active_token(service: Service, deed: Deed) -> None:
    """RFC 7662 §2.2: what a resource server needs, without our own marks."""
    tokens = await deed.tokens()
    body = (await ask(deed.house, service.registered, tokens["access_token"])).json()
    assert body.pop("jti")
    assert body.pop("sub") == (await service.verified(tokens["id_token"]))["sub"]
    assert body == {
        "active": True,
        "token_type": "Bearer",
        "iss": ISSUER,
        "aud": ISSUER,
        "client_id": "service",
        "azp": "service",
        "iat": START,
        "exp": START + 600,
        "scope": "openid profile",
        "auth_time": START,
        "acr": "urn:twfido:qr",
        "amr": ["swk", "user", "mca"],
    }


@on_sqlite
async def test_a_programs_token(house: TestHouse) -> None:
    """A token without a scope is still a token; Authlib 1.9.9 fails on it."""
    program = await house.register_program(scopes=())
    body = (await ask(house, program, await token_of(house, program))).json()
    assert body["active"] is True
    assert body["scope"] == ""


@on_sqlite
async def test_who_may_ask(house: TestHouse) -> None:
    """IN-01: nobody without proof, and no public client, which proves nothing (RFC 7662 §2.1)."""
    program = await house.register_program()
    await house.register("public", token_endpoint_auth_method="none")
    token, http = await token_of(house, program), house.http()
    challenged(await http.post("/introspect", data={"token": token}))
    challenged(await http.post("/introspect", data={"token": token, "client_id": program.id}))
    challenged(await http.post("/introspect", data={"token": token}, auth=(program.id, "wrong")))
    challenged(await http.post("/introspect", data={"token": token}, auth=("nobody", "wrong")))
    challenged(await http.post("/introspect", data={"token": token, "client_id": "public"}))
    headers = {"authorization": f"Bearer {token}"}
    challenged(await http.post("/introspect", data={"token": token}, headers=headers))
    assert len(await house.events("client.auth_failed")) == 6


@on_sqlite
async def test_each_method_of_authentication(house: TestHouse) -> None:
    """As at the token endpoint, but for `none`; Authlib 1.9.9 knows only Basic here."""
    program = await house.register_program()
    signer = Signer()
    await house.register_program(
        client_id=signer.client_id,
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [signer.public()]},
    )
    token, http = await token_of(house, program), house.http()
    by_post = {"token": token, "client_id": program.id, "client_secret": program.secret}
    assert (await http.post("/introspect", data=by_post)).json()["active"] is True
    by_key = {**form(signer.assertion(house)), "token": token}
    inactive(await http.post("/introspect", data=by_key))
    challenged(await http.post("/introspect", data=by_key))  # the assertion is spent


@on_sqlite
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_post(house: TestHouse, method: str) -> None:
    """IN-02: a token never travels in an address (RFC 7662 §2.1)."""
    program = await house.register_program()
    auth = (program.id, program.secret or "")
    token = await token_of(house, program)
    answer = await house.http().request(method, "/introspect", params={"token": token}, auth=auth)
    not_allowed(answer, "POST")


@on_sqlite
async def test_malformed_requests(house: TestHouse) -> None:
    """RFC 7662 §2.1: one token, in the body; a token in the query is not looked at."""
    program = await house.register_program()
    token, auth = await token_of(house, program), (program.id, program.secret or "")
    http, kind = house.http(), {"content-type": "application/x-www-form-urlencoded"}
    refused(await http.post("/introspect", data={"x": "y"}, auth=auth), 400, "invalid_request")
    refused(await http.post("/introspect", data={"token": ""}, auth=auth), 400, "invalid_request")
    body = f"token={token}&token={token}"
    answer = await http.post("/introspect", content=body, headers=kind, auth=auth)
    refused(answer, 400, "invalid_request")
    answer = await http.post("/introspect", data={"x": "y"}, params={"token": token}, auth=auth)
    refused(answer, 400, "invalid_request")
    answer = await http.post("/introspect", json={"token": token}, auth=auth)
    refused(answer, 400, "invalid_request")


async def test_tokens_of_others(house: TestHouse, deed: Deed) -> None:
    """IN-04: a resource server learns of tokens for its own audience, and of no others. Authlib
    1.9.9 leaves this to the host."""
    books = await house.register_program(audience=("https://books.test",))
    buses = await house.register_program(audience=("https://buses.test",))
    reader = await house.register_program(audience=("https://books.test",))
    token = await token_of(house, reader)
    assert (await ask(house, reader, token)).json()["active"] is True
    assert (await ask(house, books, token)).json()["active"] is True
    inactive(await ask(house, buses, token))
    inactive(await ask(house, books, (await deed.tokens())["access_token"]))


async def test_a_stored_audience_that_is_the_bridge(house: TestHouse, deed: Deed) -> None:
    """RFC 7662 §4: every token of a person is for UserInfo too, so a client whose row names the
    issuer among its resources would read them all. It learns of its own tokens alone, and its own
    are not for the bridge."""
    persons = (await deed.tokens())["access_token"]
    for number, resource in enumerate((ISSUER, f"{ISSUER}/", ISSUER.upper())):
        name = f"p{number}"
        program = await house.register_program(client_id=name, audience=(resource, "urn:books"))
        inactive(await ask(house, program, persons))
        body = (await ask(house, program, await token_of(house, program))).json()
        assert body["aud"] == "urn:books"
        auth, form = (name, program.secret or ""), {"grant_type": "client_credentials"}
        answer = await house.http().post("/token", data=form | {"resource": resource}, auth=auth)
        refused(answer, 400, "invalid_target")


GARBAGE = {
    "IN-05-garbage": "x",
    "IN-05-10-KiB": "a" * 10_240,
    "IN-05-nul": "a\x00b",
    "IN-05-newline": "a\nb",
    "IN-05-chinese": "權杖",
    "IN-05-quote": '"',
    "IN-05-dots": "..",
    "IN-05-unsigned": "eyJhbGciOiJub25lIn0.e30.",
    "IN-05-list-header": "W10.e30.AAAA",
}


@on_sqlite
@pytest.mark.parametrize("token", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "電"])
async def test_garbage(house: TestHouse, token: str, hint: str | None) -> None:
    """IN-05: what is no token is not active, with whatever hint (RFC 7662 §2.2)."""
    program = await house.register_program()
    more = {"token_type_hint": hint} if hint else {}
    inactive(await ask(house, program, token, **more))


async def test_tokens_that_were_good(service: Service, deed: Deed) -> None:
    """IN-05: expired, revoked by itself, or with its family."""
    house, me = deed.house, service.registered
    tokens = await deed.tokens()
    again = (await service.refresh(tokens["refresh_token"])).json()
    await service.http.post("/revoke", data={"token": tokens["access_token"]}, auth=service.auth())
    inactive(await ask(house, me, tokens["access_token"]))
    assert (await ask(house, me, again["access_token"])).json()["active"] is True
    await service.http.post("/revoke", data={"token": again["refresh_token"]}, auth=service.auth())
    inactive(await ask(house, me, again["access_token"]))

    later = await (await allow(service)).tokens()
    house.clock.pass_(599)
    assert (await ask(house, me, later["access_token"])).json()["active"] is True
    house.clock.pass_(1)
    inactive(await ask(house, me, later["access_token"]))


async def test_other_kinds_of_tokens(service: Service, deed: Deed) -> None:
    """IN-05: codes, refresh and ID tokens are for nobody's API."""
    tokens = await deed.tokens()
    for offered in (tokens["refresh_token"], tokens["id_token"], deed.code):
        inactive(await ask(deed.house, service.registered, offered))


async def test_the_person_disabled_after_issue(service: Service, deed: Deed) -> None:
    """IN-07: looked up at every question."""
    token = (await deed.tokens())["access_token"]
    await switch_person(deed, enabled=False)
    inactive(await ask(deed.house, service.registered, token))


async def test_the_client_disabled_after_issue(house: TestHouse) -> None:
    """IN-07: a token whose client was disabled is not active, for whoever asks."""
    reader = await house.register_program(audience=("https://books.test",))
    books = await house.register_program(audience=("https://books.test",))
    token = await token_of(house, reader)
    await house.registrar.switch(reader.id, enabled=False)
    inactive(await ask(house, books, token))
    challenged(await ask(house, reader, token))


async def test_the_store_is_away(service: Service, deed: Deed, monkeypatch: Any) -> None:
    """IN-08: then we know nothing, and say neither true nor false; nor does any other endpoint
    pretend."""
    tokens = await deed.tokens()
    token, me = tokens["access_token"], service.registered
    assert (await ask(deed.house, me, token)).json()["active"] is True
    await deed.house.services.trail.flush()
    await deed.house.services.database.close()
    for answer in (
        await ask(deed.house, me, token),
        await service.userinfo(token),
        await service.refresh(tokens["refresh_token"]),
        await service.redeem(deed.code),
        await service.http.post("/revoke", data={"token": token}, auth=service.auth()),
    ):
        assert "active" not in answer.text
        assert answer.headers["retry-after"] == "5"
        assert answer.status_code == 503
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["error"] == "temporarily_unavailable"


# ── as a JWT (RFC 9701) ─────────────────────────────────────────────────────────────────────────

SIGNED = "application/token-introspection+jwt"


async def signed(
    house: TestHouse, client: Registered, token: str, accept: str = SIGNED
) -> httpx.Response:
    auth, headers = (client.id, client.secret or ""), {"accept": accept}
    return await house.http().post("/introspect", data={"token": token}, auth=auth, headers=headers)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_signed_answer(house: TestHouse, alg: str) -> None:
    """RFC 9701 §5: evidence for the API that asked, of a type of its own, and no token itself."""
    program = await house.register_program(id_token_signed_response_alg=alg)
    token = await token_of(house, program)
    answer = await signed(house, program, token)
    assert answer.headers["content-type"] == SIGNED
    assert answer.headers["cache-control"] == "no-store"
    header, claims = verified_elsewhere(answer.text, await house.http().get("/jwks"))
    assert (header["typ"], header["alg"]) == ("token-introspection+jwt", alg)
    assert claims.keys() == {"iss", "aud", "iat", "token_introspection"}
    assert (claims["iss"], claims["aud"], claims["iat"]) == (ISSUER, program.id, START)
    assert claims["token_introspection"] == (await ask(house, program, token)).json()
    inactive(await ask(house, program, answer.text))
    bearer = {"authorization": f"Bearer {answer.text}"}
    assert (await house.http().get("/userinfo", headers=bearer)).status_code == 401


@on_sqlite
async def test_a_signed_answer_about_nothing(house: TestHouse) -> None:
    """RFC 9701 §5: signed too, and silent too."""
    program = await house.register_program()
    answer = await signed(house, program, "nothing")
    _, claims = verified_elsewhere(answer.text, await house.http().get("/jwks"))
    assert claims["token_introspection"] == {"active": False}


@on_sqlite
@pytest.mark.parametrize(
    ("accept", "is_signed"),
    [
        (f"application/json, {SIGNED};q=0.9", True),
        (SIGNED.upper(), True),
        ("application/json", False),
        ("*/*", False),
        ("application/*", False),
        ("application/jwt", False),
    ],
)
async def test_who_asks_for_a_signature(house: TestHouse, accept: str, is_signed: bool) -> None:
    """RFC 9701 §4: whoever names the type; nobody gets one by accident."""
    program = await house.register_program()
    answer = await signed(house, program, await token_of(house, program), accept)
    assert (answer.headers["content-type"] == SIGNED) == is_signed
