"""Refresh tokens: one family, one owner; a public client's rotate. Rows TK-32 to TK-40."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.actors import Service
from tests.deeds import Deed, allow, on_sqlite, patiently, refused, stored, switch_person
from tests.house import TestHouse, running

GRACE = 120
DAY = 86_400


@pytest.fixture
async def public(house: TestHouse) -> Service:
    """A client without a secret: its refresh tokens rotate (RFC 9700 §4.14.2)."""
    return Service(house, await house.register("public", token_endpoint_auth_method="none"))


async def begun(service: Service, **changes: Any) -> tuple[Deed, dict[str, Any]]:
    deed = await allow(service, **changes)
    return deed, await deed.tokens()


async def ok(service: Service, refresh_token: str, **changes: str) -> dict[str, Any]:
    answer = await service.refresh(refresh_token, **changes)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return dict(answer.json())


async def test_a_confidential_clients_token_stays(service: Service) -> None:
    """RFC 9700 §4.14.2: a client that proves itself at each refresh needs no rotation. It gets an
    ID token with the time of the verification; Authlib 1.9.9 would say now, or nothing."""
    deed, tokens = await begun(service)
    first = await service.verified(tokens["id_token"])
    deed.house.clock.pass_(300)
    again = await ok(service, tokens["refresh_token"])
    assert again["refresh_token"] == tokens["refresh_token"]
    assert again["access_token"] != tokens["access_token"]
    fresh = await service.verified(again["id_token"])
    for claim in ("iss", "sub", "aud", "auth_time", "acr", "amr"):  # OIDC Core §12.2
        assert fresh[claim] == first[claim]
    assert fresh["iat"] == first["iat"] + 300
    assert "nonce" not in fresh


async def test_a_public_clients_token_rotates(public: Service) -> None:
    """Each refresh gives the next token. Authlib 1.9.9 does not rotate unless told to."""
    _, tokens = await begun(public)
    seen = [tokens["refresh_token"]]
    for _ in range(3):
        public.house.clock.pass_(3600)
        seen.append((await ok(public, seen[-1]))["refresh_token"])
    assert len(set(seen)) == 4


AGES = {
    "TK-32-idle": ([7 * DAY], 400),
    "TK-32-almost-idle": ([7 * DAY - 1], 200),
    "TK-32-absolute": ([6 * DAY] * 5, 400),
    "TK-32-almost-absolute": ([6 * DAY] * 4 + [6 * DAY - 1], 200),
}


@on_sqlite
@pytest.mark.parametrize(("pauses", "status"), AGES.values(), ids=AGES)
async def test_tokens_die_of_age(service: Service, pauses: list[int], status: int) -> None:
    """TK-32: unused for 7 days, or 30 days after the login whatever was done (RFC 9700 §4.14.2)."""
    deed, tokens = await begun(service)
    for pause in pauses[:-1]:
        deed.house.clock.pass_(pause)
        await ok(service, tokens["refresh_token"])
    deed.house.clock.pass_(pauses[-1])
    answer = await service.refresh(tokens["refresh_token"])
    assert answer.status_code == status
    if status == 400:
        refused(answer, 400, "invalid_grant")


async def test_an_old_token_revokes_the_family(public: Service) -> None:
    """TK-34: a rotated token that comes back after the grace is somebody else's: nothing of the
    family works any more, and it is audited. Authlib 1.9.9 has no reuse detection."""
    deed, tokens = await begun(public)
    successor = await ok(public, tokens["refresh_token"])
    deed.house.clock.pass_(GRACE + 1)
    refused(await public.refresh(tokens["refresh_token"]), 400, "invalid_grant")
    assert await deed.revoked()
    refused(await public.refresh(successor["refresh_token"]), 400, "invalid_grant")
    assert (await public.userinfo(successor["access_token"])).status_code == 401
    assert len(await deed.house.events("token.refresh_reused")) == 1


async def test_within_the_grace_the_same_successor(public: Service) -> None:
    """An answer that was lost on the way can be had again; there is still one successor."""
    deed, tokens = await begun(public)
    successor = await ok(public, tokens["refresh_token"])
    deed.house.clock.pass_(GRACE)
    again = await ok(public, tokens["refresh_token"])
    assert again["refresh_token"] == successor["refresh_token"]
    assert not await deed.revoked()
    await ok(public, successor["refresh_token"])


async def test_the_grace_is_for_one_generation(public: Service) -> None:
    """TK-34: a token two generations old gets nothing; within the grace it may have been on its way
    while two others were, so it kills nothing either, and after it it is reuse."""
    deed, tokens = await begun(public)
    successor = await ok(public, tokens["refresh_token"])
    newest = await ok(public, successor["refresh_token"])
    refused(await public.refresh(tokens["refresh_token"]), 400, "invalid_grant")
    assert not await deed.revoked()
    newest = await ok(public, newest["refresh_token"])
    deed.house.clock.pass_(GRACE + 1)
    refused(await public.refresh(tokens["refresh_token"]), 400, "invalid_grant")
    assert await deed.revoked()
    refused(await public.refresh(newest["refresh_token"]), 400, "invalid_grant")


async def test_an_answer_that_was_lost_for_a_minute(public: Service) -> None:
    """A client that gives up waiting after a minute and asks again is not thrown out."""
    deed, tokens = await begun(public)
    await ok(public, tokens["refresh_token"])
    deed.house.clock.pass_(61)
    again = await ok(public, tokens["refresh_token"])
    await ok(public, again["refresh_token"])
    assert not await deed.revoked()


async def test_reuse_is_found_by_a_restarted_bridge(public: Service) -> None:
    """TK-35: what a process remembers does not matter: another one, started later, revokes too."""
    deed, tokens = await begun(public)
    successor = await ok(public, tokens["refresh_token"])
    async with running(deed.house.settings) as restarted:
        restarted.clock.at = deed.house.clock.at + GRACE + 1
        elsewhere = Service(restarted, public.registered)
        refused(await elsewhere.refresh(tokens["refresh_token"]), 400, "invalid_grant")
        refused(await elsewhere.refresh(successor["refresh_token"]), 400, "invalid_grant")
    assert await deed.revoked()


@patiently
async def test_a_hundred_refreshes_have_one_successor(public: Service) -> None:
    """TK-37: many tabs refresh at once: each gets the same successor, and the family goes on."""
    deed, tokens = await begun(public)
    answers = await asyncio.gather(*(public.refresh(tokens["refresh_token"]) for _ in range(100)))
    assert {a.status_code for a in answers} == {200}
    successors = {a.json()["refresh_token"] for a in answers}
    assert len(successors) == 1
    assert (await deed.grant())["generation"] == 1
    await ok(public, successors.pop())


@patiently
async def test_a_hundred_refreshes_of_a_confidential_client(service: Service) -> None:
    """TK-37: nothing rotates, so all succeed with the token they had."""
    deed, tokens = await begun(service)
    answers = await asyncio.gather(*(service.refresh(tokens["refresh_token"]) for _ in range(100)))
    assert {a.json()["refresh_token"] for a in answers} == {tokens["refresh_token"]}
    assert (await deed.grant())["generation"] == 0


@patiently
@pytest.mark.parametrize("who", ["confidential", "public"])
async def test_revocation_wins_every_race(house: TestHouse, service: Service, who: str) -> None:
    """TK-38: once /revoke has answered 200, nothing of the family is active, whatever the
    refreshes that ran beside it were told (RFC 7009 §2.1)."""
    if who == "public":
        service = Service(house, await house.register(token_endpoint_auth_method="none"))
    deed, tokens = await begun(service)
    public = {"client_id": service.registered.id} if who == "public" else {}
    form = {"token": tokens["refresh_token"], **public}
    refreshes = [service.refresh(tokens["refresh_token"]) for _ in range(20)]
    revoking = service.http.post("/revoke", data=form, auth=service.auth())
    *answers, revoked = await asyncio.gather(*refreshes, revoking)
    assert revoked.status_code == 200
    assert await deed.revoked()
    for answer in answers:
        if answer.status_code == 200:
            refused(await service.refresh(answer.json()["refresh_token"]), 400, "invalid_grant")
            assert (await service.userinfo(answer.json()["access_token"])).status_code == 401
        else:
            refused(answer, 400, "invalid_grant")
    refused(await service.refresh(tokens["refresh_token"]), 400, "invalid_grant")


async def test_a_refresh_token_belongs_to_its_client(service: Service) -> None:
    """RFC 6749 §6: another client is refused, and the owner's family lives on."""
    deed, tokens = await begun(service)
    other = Service(deed.house, await deed.house.register("other"))
    before = await stored(deed.house)
    refused(await other.refresh(tokens["refresh_token"]), 400, "invalid_grant")
    assert await stored(deed.house) == before
    await ok(service, tokens["refresh_token"])


async def test_the_person_disabled(service: Service) -> None:
    """TK-29: checked at each refresh; enabled again, the family goes on."""
    deed, tokens = await begun(service)
    await switch_person(deed, enabled=False)
    refused(await service.refresh(tokens["refresh_token"]), 400, "invalid_grant")


async def test_nothing_else_is_a_refresh_token(service: Service) -> None:
    """TK-40: tokens of other kinds, or forged ones, are no refresh token and take no harm."""
    deed, tokens = await begun(service)
    other = await allow(service)
    family, _, mark = tokens["refresh_token"].rpartition(".")
    for name, offered in {
        "access token": tokens["access_token"],
        "ID token": tokens["id_token"],
        "code": other.code,
        "grant": other.grant_id,
        "another family": f"twr_{other.grant_id}.0.{mark}",
        "a later generation": f"{family[:-1]}1.{mark}",
        "ten generations": f"{family}0.{mark}",
        "a sign": f"{family[:-1]}-0.{mark}",
        "other digits": f"{family[:-1]}٠.{mark}",
        "no mark": f"{family}.{'A' * 43}",
        "a newline": tokens["refresh_token"] + "\n",
        "nul": tokens["refresh_token"] + "\x00",
        "10 KiB": "twr_" + "A" * 10_240,
        "chinese": "更新",
    }.items():
        before = await stored(deed.house)
        refused(await service.refresh(offered), 400, "invalid_grant")
        assert await stored(deed.house) == before, name
    assert (await service.redeem(other.code)).status_code == 200
    await ok(service, tokens["refresh_token"])


@on_sqlite
async def test_a_missing_refresh_token_is_malformed(service: Service) -> None:
    """RFC 6749 §6: refresh_token is required."""
    refused(await service.token(grant_type="refresh_token"), 400, "invalid_request")


@on_sqlite
async def test_a_narrower_scope_is_for_once(service: Service) -> None:
    """RFC 6749 §6: fewer scopes may be asked for, and the next refresh has all again. In Authlib
    1.9.9 a narrowed scope sticks to the new refresh token."""
    _, tokens = await begun(service, scope="openid profile email")
    narrow = await ok(service, tokens["refresh_token"], scope="profile")
    assert narrow["scope"] == "profile"
    assert "id_token" not in narrow
    assert (await ok(service, narrow["refresh_token"]))["scope"] == "openid profile email"


@on_sqlite
@pytest.mark.parametrize("scope", ["openid twid", "api:read", "電子", '"', "openid profile x"])
async def test_a_wider_scope_is_refused(service: Service, scope: str) -> None:
    """RFC 6749 §6: nothing that was not granted, and the refusal costs nothing."""
    deed, tokens = await begun(service)
    before = await stored(deed.house)
    refused(await service.refresh(tokens["refresh_token"], scope=scope), 400, "invalid_scope")
    assert await stored(deed.house) == before
