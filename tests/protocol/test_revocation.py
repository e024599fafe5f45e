"""Revocation: afterwards nothing works, and nobody learns anything. Rows RV-01 to RV-07."""

from __future__ import annotations

import httpx
import pytest

from idp.kernel.tables import revoked_tokens
from tests.actors import Service
from tests.deeds import Deed, allow, challenged, not_allowed, on_sqlite, refused, stored
from tests.house import TestHouse


@pytest.fixture
async def deed(service: Service) -> Deed:
    return await allow(service)


async def revoke(service: Service, token: str, **more: str) -> httpx.Response:
    form = {"token": token, **more}
    if service.registered.secret is None:
        form["client_id"] = service.registered.id
    return await service.http.post("/revoke", data=form, auth=service.auth())


def done(answer: httpx.Response) -> None:
    """RFC 7009 §2.2: 200 and nothing else."""
    assert answer.status_code == 200, answer.text
    assert answer.content == b""
    assert answer.headers["cache-control"] == "no-store"


UNKNOWN = {
    "RV-01-garbage": "x",
    "RV-01-10-KiB": "a" * 10_240,
    "RV-01-nul": "a\x00",
    "RV-01-chinese": "權杖",
    "RV-01-another-family": "twr_" + "A" * 22 + ".0." + "A" * 43,
    "RV-01-code": "twc_" + "A" * 43,
    "RV-01-unsigned": "eyJhbGciOiJub25lIn0.e30.",
}


@on_sqlite
@pytest.mark.parametrize("token", UNKNOWN.values(), ids=UNKNOWN)
async def test_unknown_tokens(service: Service, token: str) -> None:
    """RV-01: what is no token of ours cannot be used: done (RFC 7009 §2.2)."""
    before = await stored(service.house)
    done(await revoke(service, token))
    assert await stored(service.house) == before


async def test_revoking_twice(service: Service, deed: Deed) -> None:
    """RV-01: the second time finds nothing to do, and audits nothing."""
    tokens = await deed.tokens()
    for name in ("access_token", "refresh_token"):
        done(await revoke(service, tokens[name]))
        done(await revoke(service, tokens[name]))
    assert await deed.house.count(revoked_tokens) == 1
    assert len(await deed.house.events("token.revoked")) == 2


async def test_an_expired_token(service: Service, deed: Deed) -> None:
    """RV-01: and an expired one needs no row."""
    token = (await deed.tokens())["access_token"]
    deed.house.clock.pass_(600)
    done(await revoke(service, token))
    assert await deed.house.count(revoked_tokens) == 0


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
async def test_tokens_of_another_client(service: Service, deed: Deed, kind: str) -> None:
    """RV-02: refused, and the token stays active (RFC 7009 §2.1)."""
    tokens = await deed.tokens()
    other = Service(deed.house, await deed.house.register("other"))
    before = await stored(deed.house)
    refused(await revoke(other, tokens[kind]), 400, "invalid_grant")
    assert await stored(deed.house) == before
    assert (await service.userinfo(tokens["access_token"])).status_code == 200
    assert (await service.refresh(tokens["refresh_token"])).status_code == 200


@on_sqlite
async def test_without_authentication(service: Service, deed: Deed) -> None:
    """RV-04: a confidential client proves itself, as at the token endpoint (RFC 7009 §2.1)."""
    tokens, http = await deed.tokens(), service.http
    for form in (
        {"token": tokens["refresh_token"]},
        {"token": tokens["refresh_token"], "client_id": "service"},
        {"token": tokens["refresh_token"], "client_id": "service", "client_secret": "wrong"},
    ):
        challenged(await http.post("/revoke", data=form))
    assert not await deed.revoked()


async def test_a_public_client_names_itself(house: TestHouse) -> None:
    """RFC 7009 §2.1: a public client may revoke what was issued to it."""
    public = Service(house, await house.register("public", token_endpoint_auth_method="none"))
    deed = await allow(public)
    tokens = await deed.tokens()
    done(await revoke(public, tokens["refresh_token"]))
    assert await deed.revoked()
    refused(await public.refresh(tokens["refresh_token"]), 400, "invalid_grant")


async def test_a_refresh_token_takes_all_with_it(service: Service, deed: Deed) -> None:
    """RV-05: the family is revoked, and every access token of it dies (RFC 7009 §2.1)."""
    tokens = await deed.tokens()
    second = (await service.refresh(tokens["refresh_token"])).json()
    elsewhere = await allow(service)
    others = await elsewhere.tokens()
    done(await revoke(service, tokens["refresh_token"]))
    assert await deed.revoked()
    for token in (tokens["access_token"], second["access_token"]):
        assert (await service.userinfo(token)).status_code == 401
    assert (await service.userinfo(others["access_token"])).status_code == 200


async def test_an_old_refresh_token_revokes_too(house: TestHouse) -> None:
    """RV-05: a rotated token still names its family: whoever logs out means all of it."""
    public = Service(house, await house.register("public", token_endpoint_auth_method="none"))
    deed = await allow(public)
    tokens = await deed.tokens()
    successor = (await public.refresh(tokens["refresh_token"])).json()
    done(await revoke(public, tokens["refresh_token"]))
    refused(await public.refresh(successor["refresh_token"]), 400, "invalid_grant")


async def test_an_access_token_goes_alone(service: Service, deed: Deed) -> None:
    """RFC 7009 §2.1: its refresh token may stay, and does."""
    tokens = await deed.tokens()
    done(await revoke(service, tokens["access_token"]))
    assert (await service.userinfo(tokens["access_token"])).status_code == 401
    assert (await service.refresh(tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "id_token", "電", '"', ""])
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@on_sqlite
async def test_hints_decide_nothing(service: Service, deed: Deed, kind: str, hint: str) -> None:
    """RV-07: a wrong or unknown hint is no reason to leave a token alive (RFC 7009 §2.1). Authlib
    1.9.9 answers an unknown one with unsupported_token_type."""
    tokens = await deed.tokens()
    done(await revoke(service, tokens[kind], token_type_hint=hint))
    assert (await service.userinfo(tokens["access_token"])).status_code == 401


@on_sqlite
async def test_a_programs_token(house: TestHouse) -> None:
    """A program may throw its own token away."""
    program = Service(house, await house.register_program())
    token = (await program.token(grant_type="client_credentials")).json()["access_token"]
    done(await revoke(program, token))
    answer = await program.http.post("/introspect", data={"token": token}, auth=program.auth())
    assert answer.json() == {"active": False}


@on_sqlite
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_post(house: TestHouse, method: str) -> None:
    """RFC 7009 §2.1."""
    not_allowed(await house.http().request(method, "/revoke", params={"token": "x"}), "POST")


@on_sqlite
async def test_malformed_requests(service: Service, deed: Deed) -> None:
    """RFC 7009 §2.1: one token, in the body."""
    token, http = (await deed.tokens())["access_token"], service.http
    kind = {"content-type": "application/x-www-form-urlencoded"}
    body = f"token={token}&token={token}"
    for answer in (
        await http.post("/revoke", data={"x": "y"}, auth=service.auth()),
        await http.post("/revoke", data={"token": ""}, auth=service.auth()),
        await http.post("/revoke", content=body, headers=kind, auth=service.auth()),
        await http.post("/revoke", json={"token": token}, auth=service.auth()),
        await http.post("/revoke", params={"token": token}, data={"x": ""}, auth=service.auth()),
    ):
        refused(answer, 400, "invalid_request")
    assert (await service.userinfo(token)).status_code == 200


async def test_codes_can_be_thrown_away_by_revoking_nothing(service: Service, deed: Deed) -> None:
    """A code is no token: offered here it stays what it is."""
    done(await revoke(service, deed.code))
    assert not await deed.burnt()
    await deed.tokens()
