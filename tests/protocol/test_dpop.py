"""Tokens that are bound to a key (RFC 9449), from the authorization request to the API. Row
TK-47."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from idp.kernel.tables import authorizations, codes, spent_assertions
from tests.actors import Browser, Service, log_in
from tests.deeds import Deed, allow, challenged, on_sqlite, patiently, refused
from tests.house import CALLBACK, ISSUER, TestHouse
from tests.keys import Holder, Signer, form

USERINFO = f"{ISSUER}/userinfo"


@pytest.fixture
def holder() -> Holder:
    return Holder()


@pytest.fixture
async def app(house: TestHouse) -> Service:
    """A public client."""
    return Service(house, await house.register("app", token_endpoint_auth_method="none"))


def showing(service: Service, holder: Holder, **claims: Any) -> Service:
    """The service, whose next token request shows the key."""
    service.headers = {"dpop": holder.proof(service.house.clock.now(), **claims)}
    return service


async def redeemed(deed: Deed, holder: Holder) -> dict[str, Any]:
    """The tokens of a code that was redeemed with a proof."""
    showing(deed.service, holder)
    return await deed.tokens()


async def userinfo(
    house: TestHouse,
    token: str,
    *proofs: str,
    scheme: str = "DPoP",
    method: str = "GET",
) -> httpx.Response:
    headers = [("authorization", f"{scheme} {token}"), *(("dpop", proof) for proof in proofs)]
    return await house.http().request(method, "/userinfo", headers=headers)


def by_key(answer: httpx.Response, error: str) -> None:
    """A refusal of a token that came with a key (RFC 9449 §7.1)."""
    refused(answer, 401, error)
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('DPoP realm="userinfo", algs="ES256 PS256 EdDSA Ed25519"')
    assert challenge.endswith(f'error="{error}"')


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_code_with_a_proof(service: Service, holder: Holder) -> None:
    """§5, §6.1: whoever redeems a code with a proof gets tokens that name the key."""
    tokens = await redeemed(await allow(service), holder)
    assert tokens["token_type"] == "DPoP"
    claims = await service.verified(tokens["access_token"])
    assert claims["cnf"] == {"jkt": holder.jkt}
    answer = await userinfo(service.house, tokens["access_token"], _proof(service, holder, tokens))
    assert answer.status_code == 200


def _proof(service: Service, holder: Holder, tokens: dict[str, Any], **changes: Any) -> str:
    """For /userinfo, with the access token."""
    known = {"method": "GET", "token": tokens["access_token"]} | changes
    return holder.proof(service.house.clock.now(), USERINFO, **known)


@on_sqlite
async def test_without_a_proof(service: Service) -> None:
    """Nothing changes for a client that shows no key."""
    tokens = await (await allow(service)).tokens()
    assert tokens["token_type"] == "Bearer"
    assert "cnf" not in await service.verified(tokens["access_token"])


@on_sqlite
async def test_a_program(house: TestHouse, holder: Holder) -> None:
    """§5: also a program's tokens, in the TDX manner too."""
    program = await house.register_program()
    for path in ("/token", "/realms/TDXConnect/protocol/openid-connect/token"):
        proof = holder.proof(house.clock.now(), ISSUER + path)
        answer = await house.http().post(
            path,
            data={"grant_type": "client_credentials"},
            auth=(program.id, program.secret or ""),
            headers={"dpop": proof},
        )
        assert answer.json()["token_type"] == "DPoP", answer.text


@on_sqlite
async def test_a_client_that_is_held_to_it(house: TestHouse, holder: Holder) -> None:
    """§5.2: dpop_bound_access_tokens refuses a token request without a proof, and the code is
    good for another try."""
    strict = Service(house, await house.register("strict", dpop_bound_access_tokens=True))
    deed = await allow(strict)
    refused(await strict.redeem(deed.code), 400, "invalid_dpop_proof")
    assert not await deed.burnt()
    assert (await redeemed(deed, holder))["token_type"] == "DPoP"


WRONG: dict[str, dict[str, Any]] = {
    "htm": {"method": "GET"},
    "htu": {"htu": f"{ISSUER}/userinfo"},
    "htu-of-the-host": {"htu": "https://evil.test/token"},
    "iat": {"iat": 0},
    "jti": {"jti": None},
}


@on_sqlite
@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG)
async def test_a_wrong_proof(service: Service, holder: Holder, claims: dict[str, Any]) -> None:
    """TK-47: a proof for something else is refused, and spends nothing."""
    deed = await allow(service)
    refused(await showing(service, holder, **claims).redeem(deed.code), 400, "invalid_dpop_proof")
    assert not await deed.burnt()


@on_sqlite
@pytest.mark.parametrize("alg", ["PS256", "EdDSA", "Ed25519"])
async def test_other_algorithms(service: Service, alg: str) -> None:
    """FAPI 2.0 §5.4.1: those that it names; the metadata say so."""
    assert (await redeemed(await allow(service), Holder(alg)))["token_type"] == "DPoP"
    document = (await service.http.get("/.well-known/openid-configuration")).json()
    assert alg in document["dpop_signing_alg_values_supported"]


@on_sqlite
async def test_the_address_behind_a_proxy(house: TestHouse, holder: Holder) -> None:
    """§4.3, 9: the address is the issuer's, whatever Host or port the proxy speaks to us."""
    program = await house.register_program()
    answer = await house.http().post(
        "/token",
        data={"grant_type": "client_credentials"},
        auth=(program.id, program.secret or ""),
        headers={"dpop": holder.proof(house.clock.now(), "HTTPS://ID.test:443/token?x#y")},
    )
    assert answer.status_code == 200


@on_sqlite
async def test_two_headers(service: Service, holder: Holder) -> None:
    """§4.3, 1."""
    deed = await allow(service)
    now = service.house.clock.now()
    answer = await service.http.post(
        "/token",
        data={"grant_type": "authorization_code", "code": deed.code},
        auth=service.auth(),
        headers=[("dpop", holder.proof(now)), ("dpop", holder.proof(now))],
    )
    refused(answer, 400, "invalid_dpop_proof")


# ── once ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_proof_counts_once(house: TestHouse, holder: Holder) -> None:
    """§11.1: at the token endpoint and at UserInfo, and not at one after the other."""
    program = await house.register_program()
    http = house.http(
        auth=(program.id, program.secret or ""),
        headers={"dpop": holder.proof(house.clock.now())},
    )
    asked = {"grant_type": "client_credentials"}
    assert (await http.post("/token", data=asked)).status_code == 200
    refused(await http.post("/token", data=asked), 400, "invalid_dpop_proof")
    assert await house.count(spent_assertions) == 1


@patiently
async def test_of_a_hundred_at_once_one_counts(service: Service, holder: Holder) -> None:
    """§11.1: also at the same moment."""
    tokens = await redeemed(await allow(service), holder)
    proof = _proof(service, holder, tokens)
    asked = [userinfo(service.house, tokens["access_token"], proof) for _ in range(100)]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 99
    for answer in answers:
        if answer.status_code == 401:
            by_key(answer, "invalid_dpop_proof")


@on_sqlite
async def test_a_replayed_proof_redeems_no_code(service: Service, holder: Holder) -> None:
    """Nothing of a refused request remains: the code is as it was."""
    first, second = await allow(service), await allow(service)
    await redeemed(first, holder)
    refused(await service.redeem(second.code), 400, "invalid_dpop_proof")
    assert not await second.burnt()


@on_sqlite
async def test_a_flood_leaves_nothing_behind(house: TestHouse, holder: Holder) -> None:
    """§11.1: a jti is forgotten as soon as its proof could not be used any more."""
    from idp.kernel.housekeeping import sweep
    from idp.oidc.store import RETENTION

    program = await house.register_program()
    await house.http().post(
        "/token",
        data={"grant_type": "client_credentials"},
        auth=(program.id, program.secret or ""),
        headers={"dpop": holder.proof(house.clock.now())},
    )
    (row,) = await house.services.database.all(select(spent_assertions))
    assert row["expires_at"] - house.clock.now() <= 61
    assert len(row["jti"]) == 64
    house.clock.pass_(200)
    await sweep(house.services.database, RETENTION, house.clock.now())
    assert await house.count(spent_assertions) == 0


# ── codes and refresh tokens ────────────────────────────────────────────────────────────────────


async def test_a_code_for_a_key(house: TestHouse, service: Service, holder: Holder) -> None:
    """§10: with dpop_jkt the code is of use only to the holder of the key; a thief without it
    burns it."""
    browser = Browser(house)
    page = await log_in(browser, service, dpop_jkt=holder.jkt)
    refused(await showing(service, Holder()).redeem(page), 400, "invalid_grant")
    page = await log_in(browser, service, dpop_jkt=holder.jkt)
    service.headers = {}
    refused(await service.redeem(page), 400, "invalid_grant")
    page = await log_in(browser, service, dpop_jkt=holder.jkt)
    assert (await showing(service, holder).redeem(page)).status_code == 200
    assert len(await house.events("token.without_key")) == 2
    assert {row["dpop_jkt"] for row in await house.services.database.all(select(codes))} == {
        holder.jkt
    }


@on_sqlite
@pytest.mark.parametrize("jkt", ["short", "x" * 44, "=" * 43, "電" * 43])
async def test_a_thumbprint_that_can_be_none(house: TestHouse, service: Service, jkt: str) -> None:
    """§10: what cannot be a thumbprint is refused before anybody's phone rings."""
    page = await Browser(house).open(service.url(dpop_jkt=jkt))
    assert page.query["error"] == "invalid_request"
    assert await house.count(authorizations) == 0


async def test_a_public_client_is_bound(app: Service, holder: Holder) -> None:
    """§5: an app's refresh tokens are good only with its key, and then need no rotation
    (RFC 9700 §4.14.2)."""
    deed = await allow(app, scope="openid offline_access")
    tokens = await redeemed(deed, holder)
    for thief in ({}, {"dpop": Holder().proof(app.house.clock.now())}):
        app.headers = thief
        refused(await app.refresh(tokens["refresh_token"]), 400, "invalid_grant")
    assert not await deed.revoked()
    fresh = (await showing(app, holder).refresh(tokens["refresh_token"])).json()
    assert fresh["token_type"] == "DPoP"
    assert fresh["refresh_token"] == tokens["refresh_token"]
    assert len(await app.house.events("token.without_key")) == 2


@on_sqlite
async def test_a_public_client_without_a_key_still_rotates(app: Service, holder: Holder) -> None:
    """Only a family that began with a key is bound to it."""
    tokens = await (await allow(app)).tokens()
    fresh = (await showing(app, holder).refresh(tokens["refresh_token"])).json()
    assert fresh["token_type"] == "DPoP"
    assert fresh["refresh_token"] != tokens["refresh_token"]


@on_sqlite
async def test_a_confidential_client_may_change_its_key(service: Service, holder: Holder) -> None:
    """§5: it authenticates, so its refresh tokens need no key; each access token has its own."""
    tokens = await redeemed(await allow(service), holder)
    other = Holder()
    fresh = (await showing(service, other).refresh(tokens["refresh_token"])).json()
    claims = await service.verified(fresh["access_token"])
    assert claims["cnf"] == {"jkt": other.jkt}


# ── UserInfo ────────────────────────────────────────────────────────────────────────────────────


async def test_a_bound_token_needs_its_key(service: Service, holder: Holder) -> None:
    """§7.1, §7.2: not as Bearer, not without a proof, not with another's, not with a proof for
    another token, address or method."""
    house, tokens = service.house, await redeemed(await allow(service), holder)
    access = tokens["access_token"]
    good = _proof(service, holder, tokens)
    for scheme in ("Bearer", "bearer"):
        refused(await userinfo(house, access, scheme=scheme), 401, "invalid_token")
        refused(await userinfo(house, access, good, scheme=scheme), 401, "invalid_token")
    by_key(await userinfo(house, access), "invalid_dpop_proof")
    by_key(await userinfo(house, access, good, good), "invalid_dpop_proof")
    for proof in (
        _proof(service, Holder(), tokens),
        _proof(service, holder, tokens, token=""),
        _proof(service, holder, tokens, token="another"),
        _proof(service, holder, tokens, method="POST"),
        _proof(service, holder, tokens, htu=f"{ISSUER}/token"),
        "nonsense",
    ):
        by_key(await userinfo(house, access, proof), "invalid_dpop_proof")
    in_form = await house.http().post("/userinfo", data={"access_token": access})
    refused(in_form, 401, "invalid_token")
    assert (await userinfo(house, access, good, scheme="dpop")).status_code == 200


@on_sqlite
async def test_a_free_token_is_no_bound_one(service: Service, holder: Holder) -> None:
    """§7.1: under the scheme DPoP a token must be bound."""
    tokens = await (await allow(service)).tokens()
    proof = _proof(service, holder, tokens)
    by_key(await userinfo(service.house, tokens["access_token"], proof), "invalid_token")


@on_sqlite
async def test_both_schemes_are_offered(house: TestHouse) -> None:
    """§7.1: whoever comes without a token learns of both."""
    answer = await house.http().get("/userinfo")
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="userinfo", DPoP realm="userinfo", algs="')


@on_sqlite
async def test_introspection_tells_the_key(service: Service, holder: Holder) -> None:
    """§6.2: an API that asks us learns to whom the token is bound."""
    tokens = await redeemed(await allow(service), holder)
    answer = await service.http.post(
        "/introspect", data={"token": tokens["access_token"]}, auth=service.auth()
    )
    assert answer.json()["token_type"] == "DPoP"
    assert answer.json()["cnf"] == {"jkt": holder.jkt}


@on_sqlite
async def test_a_browser_program_may_send_proofs(house: TestHouse, app: Service) -> None:
    """§8.2: CORS lets it send a proof, and read the nonce."""
    origin = {"origin": CALLBACK.removesuffix("/callback")}
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "dpop"}
    for path in ("/token", "/userinfo"):
        answer = await app.http.options(path, headers={**origin, **asks})
        assert "dpop" in answer.headers["access-control-allow-headers"]
        answer = await app.http.post(path, headers=origin)
        assert "DPoP-Nonce" in answer.headers["access-control-expose-headers"]


# ── nonces ──────────────────────────────────────────────────────────────────────────────────────

nonces = pytest.mark.parametrize("changed_settings", [{"oidc": {"dpop_nonces": True}}])


@on_sqlite
@nonces
async def test_nonces(service: Service, holder: Holder) -> None:
    """§8, §9: where the operator demands it, a proof without our nonce is answered with one; the
    code is as it was, and the next answer has a nonce too."""
    house, deed = service.house, await allow(service)
    answer = await showing(service, holder).redeem(deed.code)
    refused(answer, 400, "use_dpop_nonce")
    assert not await deed.burnt()
    nonce = answer.headers["dpop-nonce"]
    answer = await showing(service, holder, nonce=nonce).redeem(deed.code)
    assert answer.status_code == 200
    tokens, nonce = answer.json(), answer.headers["dpop-nonce"]
    stale = await userinfo(house, tokens["access_token"], _proof(service, holder, tokens))
    by_key(stale, "use_dpop_nonce")
    good = _proof(service, holder, tokens, nonce=stale.headers["dpop-nonce"])
    assert (await userinfo(house, tokens["access_token"], good)).headers["dpop-nonce"] == nonce
    house.clock.pass_(400)
    old = _proof(service, holder, tokens, nonce=nonce)
    by_key(await userinfo(house, tokens["access_token"], old), "use_dpop_nonce")


@on_sqlite
async def test_an_old_nonce_where_none_is_demanded(service: Service, holder: Holder) -> None:
    """§8: a nonce that is not ours is refused with one that is."""
    deed = await allow(service)
    answer = await showing(service, holder, nonce="made-up").redeem(deed.code)
    refused(answer, 400, "use_dpop_nonce")
    nonce = answer.headers["dpop-nonce"]
    answer = await showing(service, holder, nonce=nonce).redeem(deed.code)
    assert answer.status_code == 200
    assert "dpop-nonce" not in answer.headers


@on_sqlite
@nonces
async def test_an_assertion_survives_the_question_for_a_nonce(
    house: TestHouse, holder: Holder
) -> None:
    """A client that signs and shows a key may send the same assertion with its second try."""
    signer = Signer()
    await house.register_program(
        client_id=signer.client_id,
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [signer.public()]},
    )
    data, post = form(signer.assertion(house)), house.http().post
    first = await post("/token", data=data, headers={"dpop": holder.proof(house.clock.now())})
    refused(first, 400, "use_dpop_nonce")
    proof = holder.proof(house.clock.now(), nonce=first.headers["dpop-nonce"])
    assert (await post("/token", data=data, headers={"dpop": proof})).status_code == 200
    proof = holder.proof(house.clock.now(), nonce=first.headers["dpop-nonce"])
    challenged(await post("/token", data=data, headers={"dpop": proof}))
