"""Codes: one client, one redirect_uri, one verifier, one time. Rows TK-19 to TK-31 and TK-40."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from idp.kernel.tables import codes, grants, sessions
from idp.kernel.vault import digest
from idp.login.endings import Ending
from idp.oidc import store
from tests.actors import Browser, Service, log_in
from tests.asking import code_in
from tests.deeds import (
    PERSON,
    Deed,
    allow,
    challenged,
    on_sqlite,
    patiently,
    refused,
    stored,
    switch_person,
)
from tests.house import Registered, TestHouse


@pytest.fixture
async def deed(service: Service) -> Deed:
    return await allow(service)


# ── what the tests of the token endpoint stand on ───────────────────────────────────────────────


async def rows_of(house: TestHouse, code: str) -> list[dict[str, Any]]:
    """The code, its grant and the session that both came from."""
    joined = codes.join(grants, codes.c.grant_id == grants.c.id)
    joined = joined.join(sessions, grants.c.session_id == sessions.c.id)
    found = []
    for table in (codes, grants, sessions):
        query = select(table).select_from(joined).where(codes.c.digest == digest(code))
        found.append(dict(await house.services.database.one(query)))
    return found


async def test_a_deed_is_what_a_login_leaves(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """`allow` writes the rows that a person writes who logs in and agrees, but for what is random
    and the browser."""
    by_login = await rows_of(house, code_in(await log_in(browser, service)))
    by_allow = await rows_of(house, (await allow(service)).code)
    drawn = {"id", "digest", "grant_id", "session_id", "root", "agent"}
    for real, written in zip(by_login, by_allow, strict=True):
        assert real.keys() == written.keys()
        assert {k for k in real if real[k] != written[k]} <= drawn


async def other_service(house: TestHouse) -> Service:
    return Service(house, await house.register("other"))


async def public_service(house: TestHouse, **fields: Any) -> Service:
    known = {"token_endpoint_auth_method": "none", **fields}
    return Service(house, await house.register("public", **known))


UNKNOWN = {
    "TK-19-unknown": "twc_" + "A" * 43,
    "TK-19-10-KiB": "twc_" + "A" * 10_240,
    "TK-19-nul": "twc_\x00" + "A" * 42,
    "TK-19-chinese": "授權碼",
    "TK-19-quote": 'twc_"',
    "TK-19-newline": "twc_" + "A" * 43 + "\n",
}


@on_sqlite
@pytest.mark.parametrize("code", UNKNOWN.values(), ids=UNKNOWN)
async def test_unknown_codes(service: Service, deed: Deed, code: str) -> None:
    """TK-19: whatever a code holds, it is simply not one of ours (RFC 6749 §5.2)."""
    before = await stored(service.house)
    refused(await service.redeem(code), 400, "invalid_grant")
    assert await stored(service.house) == before


@on_sqlite
async def test_a_missing_code_is_malformed(service: Service) -> None:
    """RFC 6749 §4.1.3: code is required, and an empty one was not sent (§3.2)."""
    refused(await service.redeem(""), 400, "invalid_request")
    answer = await service.token(grant_type="authorization_code")
    refused(answer, 400, "invalid_request")


async def test_a_code_belongs_to_its_client(service: Service, deed: Deed) -> None:
    """TK-20: presented by another client, a code is burnt and an alert is written (RFC 6749
    §4.1.3). Authlib 1.9.9 leaves the binding to whoever looks the code up."""
    other = await other_service(service.house)
    other.verifier = service.verifier
    refused(await other.redeem(deed.code), 400, "invalid_grant")
    assert await deed.burnt()
    assert [e["client_id"] for e in await deed.house.events("token.code_of_another")] == ["other"]
    refused(await service.redeem(deed.code), 400, "invalid_grant")


async def test_without_the_clients_secret_a_code_stays_good(service: Service, deed: Deed) -> None:
    """RFC 6749 §3.2.1: whoever is not the client cannot even burn its code."""
    answer = await service.http.post(
        "/token",
        data={"grant_type": "authorization_code", "code": deed.code},
        auth=("service", "wrong"),
    )
    challenged(answer)
    assert not await deed.burnt()
    await deed.tokens()


async def test_a_second_redemption_kills_the_first(service: Service, deed: Deed) -> None:
    """TK-22: reuse revokes what the code was good for: refresh and access token are dead
    (RFC 6749 §4.1.2, RFC 9700 §4.5). Authlib 1.9.9 knows neither single use nor revocation."""
    tokens = await deed.tokens()
    refused(await service.redeem(deed.code), 400, "invalid_grant")
    refused(await service.refresh(tokens["refresh_token"]), 400, "invalid_grant")
    assert (await service.userinfo(tokens["access_token"])).status_code == 401
    assert await deed.revoked()
    assert len(await deed.house.events("token.code_reused")) == 1


@patiently
async def test_of_a_hundred_redemptions_one_wins(service: Service, deed: Deed) -> None:
    """TK-23: at once, one gets tokens and all others nothing; then the family is dead, since
    two had the code. Written as its documents show, Authlib 1.9.9 lets 23 of 40 win."""
    answers = await asyncio.gather(*(service.redeem(deed.code) for _ in range(100)))
    assert sorted(a.status_code for a in answers) == [200] + [400] * 99
    for answer in answers:
        if answer.status_code == 400:
            refused(answer, 400, "invalid_grant")
    assert await deed.revoked()
    winner = next(a.json() for a in answers if a.status_code == 200)
    refused(await service.refresh(winner["refresh_token"]), 400, "invalid_grant")


VERIFIERS: dict[str, tuple[str | None, str, bool]] = {  # verifier, error, is the code burnt?
    "TK-25-absent": (None, "invalid_grant", True),
    "TK-26-wrong": ("w" * 43, "invalid_grant", True),
    "TK-28-42-characters": ("v" * 42, "invalid_request", False),
    "TK-28-129-characters": ("v" * 129, "invalid_request", False),
    "TK-28-newline": ("v" * 43 + "\n", "invalid_request", False),
    "TK-28-other-character": ("v" * 42 + "+", "invalid_request", False),
    "TK-28-empty": ("", "invalid_grant", True),
    "TK-28-chinese": ("驗" * 43, "invalid_request", False),
}


@on_sqlite
@pytest.mark.parametrize(("verifier", "error", "burnt"), VERIFIERS.values(), ids=VERIFIERS)
@pytest.mark.parametrize("public", [False, True], ids=["confidential", "public"])
async def test_verifiers(
    house: TestHouse, verifier: str | None, error: str, burnt: bool, public: bool
) -> None:
    """TK-25, TK-26, TK-28: the verifier is asked of every client, has one guess, and a malformed
    one is no guess (RFC 7636 §4.6). Authlib 1.9.9 asks confidential clients for none."""
    service = await public_service(house) if public else Service(house, await house.register())
    deed = await allow(service)
    refused(await service.redeem(deed.code, code_verifier=verifier), 400, error)
    assert await deed.burnt() == burnt
    again = await service.redeem(deed.code)
    assert again.status_code == (400 if burnt else 200)


@on_sqlite
async def test_plain_is_no_method(service: Service) -> None:
    """RFC 9700 §2.1.1: the challenge is compared as S256, never with the verifier itself.
    Authlib 1.9.9 takes `plain` where the method is left out."""
    deed = await allow(service, code_challenge=service.verifier)
    refused(await service.redeem(deed.code), 400, "invalid_grant")


@on_sqlite
async def test_a_verifier_nobody_asked_for(house: TestHouse) -> None:
    """RFC 9700 §4.8.2: a code without challenge and a verifier do not belong together."""
    service = Service(house, await house.register())
    deed = await allow(service, code_challenge="")
    refused(await service.redeem(deed.code), 400, "invalid_request")
    without = await allow(service, code_challenge="")
    assert (await service.redeem(without.code, code_verifier=None)).status_code == 200


REDIRECTS = {
    "absent": None,
    "another": "https://service.test/other",
    "longer": "https://service.test/callback/",
    "upper-case": "https://SERVICE.test/callback",
    "escaped": "https://service.test/%63allback",
}


@on_sqlite
@pytest.mark.parametrize("uri", REDIRECTS.values(), ids=REDIRECTS)
async def test_redirect_uris(service: Service, deed: Deed, uri: str | None) -> None:
    """RFC 6749 §4.1.3: exactly the one of the authorization request, and one guess."""
    refused(await service.redeem(deed.code, redirect_uri=uri), 400, "invalid_grant")
    assert await deed.burnt()


async def test_a_code_dies_after_its_minute(service: Service, deed: Deed) -> None:
    """RFC 6749 §4.1.2: codes are short-lived. Authlib 1.9.9 does not look at the time."""
    deed.house.clock.pass_(60)
    refused(await service.redeem(deed.code), 400, "invalid_grant")


async def test_a_code_lives_until_its_minute_ends(service: Service, deed: Deed) -> None:
    """The last second still counts."""
    deed.house.clock.pass_(59)
    await deed.tokens()


async def disable_person(deed: Deed) -> None:
    await switch_person(deed, enabled=False)


async def log_out(deed: Deed) -> None:
    ends = deed.house.house.login.sessions.ends
    await deed.house.services.database.write(
        lambda tx: ends.end(tx, deed.session_id, Ending.LOGGED_OUT)
    )


async def withdraw_consent(deed: Deed) -> None:
    now = deed.house.clock.now()
    await deed.house.services.database.write(
        lambda tx: store.revoke_grants_to(tx, deed.person_id, "service", now)
    )


BETWEEN = {
    "TK-29-person-disabled": disable_person,
    "TK-31-logged-out": log_out,
    "TK-31-consent-withdrawn": withdraw_consent,
}


@pytest.mark.parametrize("happens", BETWEEN.values(), ids=BETWEEN)
async def test_what_happens_between_approval_and_redemption(
    service: Service, deed: Deed, happens: Any
) -> None:
    """TK-29, TK-31: what the person, or an operator, ended in between gives no tokens, and the
    refusal leaves nothing behind."""
    await happens(deed)
    before = await stored(deed.house)
    refused(await service.redeem(deed.code), 400, "invalid_grant")
    assert await stored(deed.house) == before


async def test_a_client_disabled_between(service: Service, deed: Deed) -> None:
    """TK-29: a disabled client is refused like one that does not exist."""
    await deed.house.registrar.switch("service", enabled=False)
    challenged(await service.redeem(deed.code))
    assert not await deed.burnt()


async def test_nothing_else_is_a_code(service: Service, deed: Deed) -> None:
    """TK-40: tokens of other kinds, offered as a code, are no code and take no harm."""
    tokens = await deed.tokens()
    other = await allow(service)
    for name, offered in {
        "access token": tokens["access_token"],
        "ID token": tokens["id_token"],
        "refresh token": tokens["refresh_token"],
        "grant": other.grant_id,
        "session": other.session_id,
        "person": PERSON,
    }.items():
        before = await stored(deed.house)
        refused(await service.redeem(offered), 400, "invalid_grant")
        assert await stored(deed.house) == before, name
    assert (await service.userinfo(tokens["access_token"])).status_code == 200


@on_sqlite
async def test_a_client_without_the_grant(house: TestHouse) -> None:
    """RFC 6749 §5.2: a grant type that the client has not registered."""
    program = Service(house, await house.register_program())
    refused(await program.redeem("twc_" + "A" * 43), 400, "unauthorized_client")
    refused(await program.refresh("twr_x"), 400, "unauthorized_client")


@on_sqlite
async def test_the_grant_type_refresh_token_decides_about_one(house: TestHouse) -> None:
    """A client that may not refresh gets nothing to refresh with."""
    registered: Registered = await house.register(grant_types=("authorization_code",))
    tokens = await (await allow(Service(house, registered))).tokens()
    assert tokens.keys() == {"access_token", "token_type", "expires_in", "scope", "id_token"}


@on_sqlite
async def test_the_answer(service: Service, deed: Deed) -> None:
    """RFC 6749 §5.1, OpenID Connect Core §3.1.3.3: all members, never stored."""
    answer = await service.redeem(deed.code)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 600
    assert body["scope"] == "openid profile"
    assert body.keys() >= {"access_token", "refresh_token", "id_token"}
    assert await deed.house.count(grants) == 1
