"""UserInfo: one token, sent the right way, still good. Rows UI-01 to UI-08."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from structlog.testing import capture_logs

from idp.kernel.keyring import ALGORITHMS
from tests.actors import Service
from tests.deeds import Deed, allow, on_sqlite, refused, stored, switch_person
from tests.house import ISSUER, TestHouse
from tests.keys import ANY, Signer, sign, verified_elsewhere


@pytest.fixture
async def deed(service: Service) -> Deed:
    return await allow(service)


@pytest.fixture
async def token(deed: Deed) -> str:
    return str((await deed.tokens())["access_token"])


async def get(house: TestHouse, token: str, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return await house.http().get("/userinfo", headers=headers, **more)


def invalid(answer: httpx.Response) -> None:
    """RFC 6750 §3.1."""
    refused(answer, 401, "invalid_token")
    said = answer.headers["www-authenticate"]
    assert said.startswith("Bearer ")
    assert 'error="invalid_token"' in said


@on_sqlite
@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_a_signed_answer(house: TestHouse, alg: str) -> None:
    """OpenID Connect Core §5.3.2: a client that is registered for it gets a JWT, signed by a
    published key of this algorithm, and the same claims; errors stay JSON."""
    service = Service(
        house,
        await house.register(userinfo_signed_response_alg=alg, id_token_signed_response_alg=alg),
    )
    tokens = await (await allow(service)).tokens()
    answer = await get(house, tokens["access_token"])
    assert answer.headers["content-type"] == "application/jwt"
    assert answer.headers["cache-control"] == "no-store"
    jwks = await house.http().get("/jwks")
    header, claims = verified_elsewhere(answer.text, jwks)
    _, said = verified_elsewhere(tokens["id_token"], jwks)
    assert (header["alg"], claims["aud"], claims["iss"]) == (alg, service.registered.id, ISSUER)
    assert claims["sub"] == said["sub"]
    assert "twid_masked" in claims
    invalid(await get(house, answer.text))


@on_sqlite
@pytest.mark.parametrize("header", [None, "Basic eDp5", "Digest x", "token abc", ""])
async def test_no_token(house: TestHouse, header: str | None) -> None:
    """UI-01: whoever brings none, or knows another scheme only, is told the scheme and no error
    (RFC 6750 §3.1). Authlib 1.9.9 says `missing_authorization`."""
    headers = {} if header is None else {"authorization": header}
    answer = await house.http().get("/userinfo", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert "error" not in answer.headers["www-authenticate"]
    assert answer.json() == {}
    assert answer.headers["cache-control"] == "no-store"


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    header, claims, mark = token.split(".")
    return _json(header), _json(claims), mark


def _json(part: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(part + "==")))


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def tampered(token: str, house: TestHouse) -> dict[str, str]:
    """Everything that is almost this token."""
    header, claims, mark = parts(token)
    foreign, ours = Signer(), house.services.keyring
    own_key = ours.signer(header["alg"])

    def by_us(header: dict[str, Any], claims: dict[str, Any]) -> str:
        return jwt.encode(header, claims, own_key.key, [own_key.alg], registry=ANY)

    return {
        "claims changed": f"{_part(header)}.{_part({**claims, 'scope': 'openid twid'})}.{mark}",
        "alg none": f"{_part({**header, 'alg': 'none'})}.{_part(claims)}.",
        "alg changed": f"{_part({**header, 'alg': 'RS256'})}.{_part(claims)}.{mark}",
        "no signature": token.rpartition(".")[0] + ".",
        "foreign key, our kid": sign(header, json.dumps(claims), foreign.key),
        "foreign kid": sign({**header, "kid": "x"}, json.dumps(claims), foreign.key),
        "embedded key": sign(
            {**header, "kid": "x", "jwk": foreign.public()}, json.dumps(claims), foreign.key
        ),
        "kid absent": by_us({"alg": "ES256", "typ": "at+jwt"}, claims),
        "kid object": f"{_part({**header, 'kid': {}})}.{_part(claims)}.{mark}",
        "foreign iss": by_us(header, {**claims, "iss": "https://evil.test"}),
        "iss absent": by_us(header, {k: v for k, v in claims.items() if k != "iss"}),
        "another typ": by_us({**header, "typ": "JWT"}, claims),
        "typ absent": by_us({"alg": "ES256", "kid": header["kid"]}, claims),
        "exp text": by_us(header, {**claims, "exp": str(claims["exp"])}),
        "exp absent": by_us(header, {k: v for k, v in claims.items() if k != "exp"}),
        "exp infinite": by_us(header, {**claims, "exp": 1e400}),
        "jti absent": by_us(header, {k: v for k, v in claims.items() if k != "jti"}),
        "gid of nobody": by_us(header, {**claims, "gid": "x" * 22}),
        "gid object": by_us(header, {**claims, "gid": {}}),
        "sub number": by_us(header, {**claims, "sub": 1}),
        "claims are a list": f"{_part(header)}.{_part([1])}.{mark}",
        "header is a list": f"{_part([1])}.{_part(claims)}.{mark}",
        "header is a text": f"{_part('at+jwt')}.{_part(claims)}.{mark}",
        "header is null": f"{_part(None)}.{_part(claims)}.{mark}",
        "crit": f"{_part({**header, 'crit': ['x'], 'x': 1})}.{_part(claims)}.{mark}",
        "b64 false": f"{_part({**header, 'b64': False})}.{_part(claims)}.{mark}",
        "10 KiB": "a" * 10_240,
        "dots": "." * 100,
        "one dot": "a.b",
        "five parts": "e30.e30.e30.e30.e30",
        "deep": base64.urlsafe_b64encode(b"[" * 4000).decode().rstrip("=") + ".e30.AAAA",
    }


@on_sqlite
async def test_tokens_that_are_not_ours(house: TestHouse, token: str) -> None:
    """UI-02: tampered, unsigned, foreign, of another kind or no token at all (RFC 9068 §4)."""
    for name, offered in tampered(token, house).items():
        answer = await get(house, offered)
        assert answer.status_code == 401, (name, answer.text)
        invalid(answer)
    assert (await get(house, token)).status_code == 200


async def test_other_tokens_of_ours(service: Service, deed: Deed) -> None:
    """UI-02: an ID token, a refresh token and a code open nothing."""
    tokens = await deed.tokens()
    other = await allow(service)
    for offered in (tokens["id_token"], tokens["refresh_token"], other.code):
        invalid(await get(service.house, offered))


async def test_an_expired_token(deed: Deed, token: str) -> None:
    """UI-02: to the second."""
    deed.house.clock.pass_(599)
    assert (await get(deed.house, token)).status_code == 200
    deed.house.clock.pass_(1)
    invalid(await get(deed.house, token))


async def test_a_revoked_token(service: Service, token: str) -> None:
    """UI-02: a self-contained token dies at once all the same; its refresh token lives on."""
    answer = await service.http.post("/revoke", data={"token": token}, auth=service.auth())
    assert answer.status_code == 200
    invalid(await service.userinfo(token))


async def test_a_token_of_a_revoked_family(service: Service, deed: Deed) -> None:
    """UI-02: and with its refresh token."""
    tokens = await deed.tokens()
    form = {"token": tokens["refresh_token"]}
    await service.http.post("/revoke", data=form, auth=service.auth())
    invalid(await service.userinfo(tokens["access_token"]))


async def test_a_token_whose_key_was_removed(house: TestHouse, token: str) -> None:
    """UI-02: what an unpublished key signed is worth nothing."""
    await house.services.keyring.remove(house.services.keyring.signer("ES256").kid)
    invalid(await get(house, token))


@on_sqlite
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_schemes_have_no_case(house: TestHouse, token: str, scheme: str) -> None:
    """RFC 9110 §11.1."""
    headers = {"authorization": f"{scheme} {token}"}
    assert (await house.http().get("/userinfo", headers=headers)).status_code == 200


@on_sqlite
async def test_the_token_in_the_body(house: TestHouse, token: str) -> None:
    """RFC 6750 §2.2: a form may carry it. Authlib 1.9.9 does not read it."""
    answer = await house.http().post("/userinfo", data={"access_token": token})
    assert answer.status_code == 200
    empty = await house.http().post("/userinfo", data={"access_token": ""})
    # a parameter without a value was not sent (RFC 6749 §3.2): no token, so no error code
    assert (empty.status_code, empty.json()) == (401, {})
    headers = {"authorization": f"Bearer {token}"}
    assert (await house.http().post("/userinfo", headers=headers)).status_code == 200


@on_sqlite
async def test_two_ways_at_once(house: TestHouse, token: str) -> None:
    """UI-04: one token, once, in one way (RFC 6750 §2)."""
    bearer = ("authorization", f"Bearer {token}")
    for headers, data in (
        ([bearer], {"access_token": token}),
        ([bearer, bearer], None),
        ([bearer, ("authorization", "Basic eDp5")], None),
    ):
        answer = await house.http().post("/userinfo", headers=headers, data=data)
        refused(answer, 400, "invalid_request")
    body = f"access_token={token}&access_token={token}"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    refused(
        await house.http().post("/userinfo", content=body, headers=kind), 400, "invalid_request"
    )


@on_sqlite
async def test_the_token_in_the_url(
    house: TestHouse, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """UI-05: refused, though it were good, and it is in no log (RFC 9700 §4.3.2)."""
    caplog.set_level(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the caller's own log
    with capture_logs() as ours:
        answer = await house.http().get("/userinfo", params={"access_token": token})
        both = await get(house, token, params={"access_token": token})
    refused(answer, 400, "invalid_request")
    refused(both, 400, "invalid_request")
    assert token not in caplog.text
    assert token not in str(ours)
    assert token not in str(await house.events())


async def test_the_person_disabled_after_issue(deed: Deed, token: str) -> None:
    """UI-07: looked up at every use."""
    await switch_person(deed, enabled=False)
    invalid(await get(deed.house, token))


async def test_the_client_disabled_after_issue(deed: Deed, token: str) -> None:
    """UI-07: the same for the client."""
    await deed.house.registrar.switch("service", enabled=False)
    invalid(await get(deed.house, token))


MEMBER = """\
card_number,name,gender,identity_type,organization,email,telephone,national_id
07302590,王小明,男,用户,國家圖書館,ming@example.gov.tw,0912345678,A100000010
"""
RELEASED: dict[str, set[str]] = {
    "openid": set(),
    "openid profile": {"name", "gender", "twid_masked", "updated_at"},
    "openid email": {"email", "email_verified"},
    "openid phone": {"phone_number", "phone_number_verified"},
    "openid twid": {"twid"},
    "openid offline_access": set(),
}


@on_sqlite
@pytest.mark.parametrize("scope", RELEASED)
async def test_each_scope_releases_its_claims(
    house: TestHouse, service: Service, scope: str, tmp_path: Path
) -> None:
    """UI-08: with openid alone there is a subject and nothing else; the national ID leaves us only
    for its own scope (OpenID Connect Core §5.4)."""
    sheet = tmp_path / "members.csv"
    sheet.write_text(MEMBER, encoding="utf-8")
    await house.house.directory.import_file(sheet, house.house.login.canonical)
    tokens = await (await allow(service, scope=scope)).tokens()
    answer = await service.userinfo(tokens["access_token"])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    claims = await service.verified(tokens["id_token"])
    assert body.pop("sub") == claims["sub"]  # OpenID Connect Core §5.3.2
    assert body.keys() <= RELEASED[scope]
    if scope in ("openid", "openid offline_access"):
        assert body == {}
    else:
        assert body
    everything = answer.text + json.dumps(claims)
    assert ("A100000010" in everything) == ("twid" in scope.split())


@on_sqlite
async def test_claims_cannot_replace_what_we_say(service: Service) -> None:
    """Claims of a person stand beside iss, aud, nonce and times, never in their place; in Authlib
    1.9.9 they may overwrite them, and all scopes' claims go into the ID token."""
    tokens = await (await allow(service, scope="openid profile email")).tokens()
    claims = await service.verified(tokens["id_token"])
    assert claims.keys() == {
        "iss", "sub", "aud", "iat", "exp", "auth_time", "acr", "amr", "at_hash", "nonce",
    }  # fmt: skip


@on_sqlite
async def test_a_programs_token_names_no_person(house: TestHouse) -> None:
    """RFC 6750 §3.1: a program's token lacks the scope openid, and is told so."""
    program = await house.register_program()
    form = {"grant_type": "client_credentials"}
    auth = (program.id, program.secret or "")
    token = (await house.http().post("/token", data=form, auth=auth)).json()["access_token"]
    answer = await get(house, token)
    refused(answer, 403, "insufficient_scope")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@on_sqlite
async def test_reading_changes_nothing(house: TestHouse, token: str) -> None:
    """UserInfo writes no row."""
    before = await stored(house)
    await get(house, token)
    assert await stored(house) == before


@on_sqlite
@given(header=st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(b"Bearer ".__add__)))
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_no_header_crashes_it(house: TestHouse, header: bytes) -> None:
    """Whatever is in the Authorization header, it is a 401."""
    answer = await house.http().get("/userinfo", headers=[(b"authorization", header)])
    assert answer.status_code == 401
