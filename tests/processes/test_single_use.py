"""What may be used once is used once, however many ask at the same moment on two workers."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from sqlalchemy import select

from idp.house import directory_of
from idp.kernel.tables import attempts, audit, counters, grants, logins, sessions
from idp.verify.numbers import canonical
from idp.verify.twfido.simulator.checksum import checksum
from tests.keys import Holder
from tests.processes.people import (
    CARD,
    MEMBERS,
    OTHER_CARD,
    Answer,
    Browser,
    Service,
    binding_code,
    card_request,
    code_for,
    crowd,
    program,
    statuses,
    volley,
    web_client,
)
from tests.services.bridge import API_KEY, SYSCODE, Bridge
from tests.services.process import LOOPBACK

BY_HAND = "A123456789"  # decides when the test says so
REFUSED_CARDS = select(audit).where(audit.c.event == "card.refused")
Way = Callable[[Bridge, Browser], Awaitable[list[httpx.Request]]]


@pytest.fixture
async def service(bridge: Bridge) -> Service:
    """A confidential relying party."""
    return await web_client(bridge)


async def test_a_code_is_redeemed_once(bridge: Bridge, service: Service) -> None:
    """TK-23: of 1,000 redemptions at once one wins, and what it won is revoked (RFC 6749 4.1.2)."""
    code = await code_for(bridge, service)
    answers = await crowd(service.redemption(code), 1000)
    assert statuses(answers) == {200: 1, 400: 999}
    assert errors_of(answers) == {"invalid_grant"}

    won = next(a for a in answers if a.status == 200).json()
    assert (await service.userinfo(won["access_token"])).status_code == 401
    assert (await service.refresh(won["refresh_token"])).json()["error"] == "invalid_grant"
    (family,) = await bridge.all(select(grants).where(grants.c.client_id == service.registered.id))
    assert family["revoked_at"] is not None


def errors_of(answers: list[Answer]) -> set[str]:
    """The errors of those that were refused."""
    return {a.json()["error"] for a in answers if a.status != 200}


async def test_a_callback_changes_the_state_once(bridge: Bridge, service: Service) -> None:
    """FT-25: one callback 100 times at once is acknowledged 100 times and lets one session in."""
    browser = Browser(bridge)
    await browser.open(service.url())
    await browser.press("continue", method="qr", pid=BY_HAND)
    handle = (await attempt_of(bridge, service))["handle"]
    before = len(await bridge.all(select(sessions)))

    await bridge.simulator.control(faults={"FEXCH-02": {"hang": 2}})  # after ours
    await bridge.simulator.control("/control/approve", qrid=handle)
    answers = await crowd(callback(bridge, handle), 100)
    await bridge.simulator.control(faults={})
    assert statuses(answers) == {200: 100}
    assert {a.json()["rcode"] for a in answers} == {"0000"}
    attempt = await attempt_of(bridge, service)
    assert attempt["state"] == "approved"

    page = await browser.press("check")
    assert "code" in page.query
    assert len(await bridge.all(select(sessions))) == before + 1


async def attempt_of(bridge: Bridge, service: Service) -> Any:
    """The only verification that this service has asked for."""
    mine = attempts.c.relying_party == service.registered.id
    (found,) = await bridge.all(select(attempts).where(mine))
    return found


def callback(bridge: Bridge, qrid: str) -> httpx.Request:
    """FEXCH-02 as the ministry sends it, signed by the simulator's own checksum."""
    sequence = f"{secrets.randbelow(10**20):020d}"
    fields = {"qrid": qrid, "tranSeq": sequence, "rcode": "0000", "syscode": SYSCODE}
    signed = {**fields, "msg": "OK", "chksum": checksum(API_KEY, "0000", sequence)}
    return httpx.Request("POST", f"{bridge.url}/twfido/callback", json=signed)


@pytest.fixture
async def members(bridge: Bridge) -> None:
    """Two people with a card each are in the directory."""
    async with bridge.services() as services:
        await directory_of(services).take_in(MEMBERS.splitlines(keepends=True), canonical)


async def test_a_binding_code_is_used_once(bridge: Bridge, members: None) -> None:
    """FT-38: one binding code 100 times at once gives the member's record to one call."""
    code = await binding_code(Browser(bridge))
    answers = await crowd(card_request(bridge, CARD, code), 100)
    assert statuses(answers) == {200: 100}
    assert sorted(a.json()["code"] for a in answers) == [0] + [1001] * 99


async def test_wrong_codes_are_all_counted(bridge: Bridge, members: None) -> None:
    """WC-04: of 20 wrong codes at once exactly 20 are counted, at most 5 are looked at, and all
    are answered with the same bytes."""
    before = {row["id"] for row in await bridge.all(REFUSED_CARDS)}
    guesses = [card_request(bridge, OTHER_CARD, secrets.token_hex(6)) for _ in range(20)]
    answers = await volley(guesses)
    assert statuses(answers) == {200: 20}
    assert len({a.body for a in answers}) == 1
    rows = [row for row in await bridge.all(REFUSED_CARDS) if row["id"] not in before]
    reasons = [json.loads(row["detail"])["why"] for row in rows]
    assert sorted(reasons) == ["locked"] * 15 + ["wrong code or password"] * 5
    counted = await bridge.all(select(counters).where(counters.c.kind == "card"))
    assert 20 in {row["count"] for row in counted}


# ── approve, check and cancel ───────────────────────────────────────────────────────────────────


async def test_a_login_ends_one_way(bridge: Bridge, service: Service) -> None:
    """FT-28: approval, check and cancel at the same moment have one outcome everywhere."""
    lanes = [(at_once, 0.08), (by_hand, 0.6)] * 3
    ends = await asyncio.gather(*(lane(bridge, service, *each) for each in lanes))
    print("let in:", *(f"{sum(lane)} of {len(lane)}" for lane in ends))
    assert {end for lane in ends for end in lane} == {True, False}


async def lane(bridge: Bridge, service: Service, way: Way, patience: float) -> list[bool]:
    """Some rounds, one after the other; the cancel comes at any time within `patience`."""
    delays = [random.uniform(0, patience) for _ in range(7)]  # noqa: S311
    return [await race(bridge, service, way, delay) for delay in delays]


async def race(bridge: Bridge, service: Service, way: Way, delay: float) -> bool:
    """Whether this round's person was let in."""
    browser = Browser(bridge)
    await browser.open(service.url())
    approval = await way(bridge, browser)
    requests = [*approval, browser.pressing("check"), browser.pressing("cancel")]
    delays = [0.0] * (len(requests) - 1) + [delay]
    *_, checked, cancelled = await volley(requests, delays)
    assert statuses([checked, cancelled]) == {303: 2}
    let_in = "idp_session=" in checked.head
    assert let_in != cancelled.location.endswith("/cancelled")
    await agree(bridge, browser.login_id, let_in)
    return let_in


async def at_once(_bridge: Bridge, browser: Browser) -> list[httpx.Request]:
    """Somebody whose phone approves before anybody can press anything."""
    await browser.press("continue", method="qr", pid="A100000010")
    return []


async def by_hand(bridge: Bridge, browser: Browser) -> list[httpx.Request]:
    """Somebody whose phone approves in the same moment."""
    await browser.press("continue", method="qr", pid=BY_HAND)
    mine = attempts.c.login_id == browser.login_id
    (attempt,) = await bridge.all(select(attempts).where(mine))
    url = f"http://{LOOPBACK}:{bridge.simulator.port}/control/approve"
    return [httpx.Request("POST", url, json={"qrid": attempt["handle"]})]


async def agree(bridge: Bridge, login_id: str, let_in: bool) -> None:
    """Login, verification and audit trail tell the same story."""
    async with bridge.services() as services:
        read = services.database.all
        (login,) = await read(select(logins).where(logins.c.id == login_id))
        (attempt,) = await read(select(attempts).where(attempts.c.login_id == login_id))
        told = await read(select(audit).where(audit.c.reference == login["reference"]))
    ends = {row["event"] for row in told} & {"login.completed", "login.cancelled"}
    assert ends == {"login.completed" if let_in else "login.cancelled"}
    assert (login["session_id"] is not None) == let_in
    assert login["finished_at"] is not None
    assert attempt["state"] == ("used" if let_in else "replaced")


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_refresh_token_has_one_successor(bridge: Bridge) -> None:
    """TK-37: of 100 refreshes of one rotating token all that succeed get the same successor."""
    app = await web_client(bridge, token_endpoint_auth_method="none")
    first = (await app.redeem(await code_for(bridge, app))).json()["refresh_token"]
    request = app.token_request(grant_type="refresh_token", refresh_token=first)
    answers = await crowd(request, 100)
    print(statuses(answers))
    assert statuses(answers).keys() <= {200, 400}
    assert errors_of(answers) <= {"invalid_grant"}
    (successor,) = {a.json()["refresh_token"] for a in answers if a.status == 200}
    (family,) = await bridge.all(select(grants).where(grants.c.client_id == app.registered.id))
    assert (family["generation"], family["revoked_at"]) == (1, None)
    assert (await app.refresh(successor)).status_code == 200


async def test_nothing_outlives_a_revocation(bridge: Bridge) -> None:
    """TK-38: once /revoke has said 200, no token of the family is good, not even one that was
    refreshed in the same moment."""
    app = await web_client(bridge, token_endpoint_auth_method="none")
    first = (await app.redeem(await code_for(bridge, app))).json()
    mine = {"client_id": app.registered.id, "token": first["refresh_token"]}
    revoke = app.http.build_request("POST", "/revoke", data=mine)
    refresh = app.token_request(grant_type="refresh_token", refresh_token=first["refresh_token"])
    revoked, *answers = await volley([revoke] + [refresh] * 50)
    assert revoked.status == 200
    assert statuses(answers).keys() <= {200, 400}
    for got in [first, *(a.json() for a in answers if a.status == 200)]:
        assert (await app.userinfo(got["access_token"])).status_code == 401
        assert (await app.refresh(got["refresh_token"])).json()["error"] == "invalid_grant"


async def test_an_assertion_is_used_once(bridge: Bridge) -> None:
    """TK-13: one client assertion 1,000 times at once gets one token."""
    key = ECKey.generate_key("P-256", auto_kid=True)
    keys = {"keys": [key.as_dict(private=False)]}
    machine = await program(bridge, token_endpoint_auth_method="private_key_jwt", jwks=keys)
    name, now = machine.registered.id, int(time.time())
    claims = {"iss": name, "sub": name, "aud": bridge.issuer, "iat": now, "exp": now + 60}
    assertion = jwt.encode({"alg": "ES256"}, {**claims, "jti": secrets.token_hex(8)}, key)
    request = machine.token_request(
        grant_type="client_credentials",
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion=assertion,
    )
    answers = await crowd(request, 1000)
    assert statuses(answers) == {200: 1, 401: 999}
    assert errors_of(answers) == {"invalid_client"}


async def test_a_dpop_proof_is_used_once(bridge: Bridge) -> None:
    """TK-47: one DPoP proof 1,000 times at once gets one token (RFC 9449 §11.1)."""
    machine, holder = await program(bridge), Holder()
    request = machine.token_request(grant_type="client_credentials")
    request.headers["dpop"] = holder.proof(time.time(), f"{bridge.issuer}/token")
    answers = await crowd(request, 1000)
    assert statuses(answers) == {200: 1, 400: 999}
    assert errors_of(answers) == {"invalid_dpop_proof"}
    (won,) = [a.json() for a in answers if a.status == 200]
    assert won["token_type"] == "DPoP"


async def test_a_pushed_request_is_followed_by_one_browser(
    bridge: Bridge, service: Service
) -> None:
    """One request_uri opened 1,000 times at once, each time by a browser that was never
    here, begins one login (RFC 9126 §7.3)."""
    reference = (await service.push()).json()["request_uri"]
    asked = {"client_id": service.registered.id, "request_uri": reference}
    before = len(await bridge.all(select(logins)))
    answers = await crowd(service.http.build_request("GET", "/authorize", params=asked), 1000)
    assert statuses(answers) == {303: 1, 403: 999}
    assert len(await bridge.all(select(logins))) == before + 1
