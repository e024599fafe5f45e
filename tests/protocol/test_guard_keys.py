"""The guard and tokens that are bound to a key (RFC 9449 §7)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from idp.guard import INVALID, Rule, gate
from tests.agency import RULES, Api, token
from tests.house import ISSUER, TestHouse, empty_sqlite, running, settings_for
from tests.keys import Holder

API = "https://api.test"


@pytest.fixture
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHouse]:
    """The guard does not touch the store: one kind is enough."""
    url = empty_sqlite(tmp_path_factory.getbasetemp())
    async with running(settings_for(url)) as found:
        yield found


@pytest.fixture
def holder() -> Holder:
    return Holder()


async def bound(house: TestHouse, holder: Holder) -> str:
    """A program's token that only the holder may use."""
    program = await house.register_program()
    answer = await house.http().post(
        "/token",
        data={"grant_type": "client_credentials"},
        auth=(program.id, program.secret or ""),
        headers={"dpop": holder.proof(house.clock.now(), f"{ISSUER}/token")},
    )
    return str(answer.json()["access_token"])


async def call(
    api: Api, token: str, *proofs: str, scheme: str = "DPoP", path: str = "/v1/stops"
) -> httpx.Response:
    headers = [("authorization", f"{scheme} {token}"), *(("dpop", proof) for proof in proofs)]
    return await api.http.get(path, headers=headers)


def proof(
    house: TestHouse, holder: Holder, token: str, path: str = "/v1/stops", **changes: Any
) -> str:
    known: dict[str, Any] = {"method": "GET", "token": token} | changes
    return holder.proof(house.clock.now(), API + path, **known)


def refused(answer: httpx.Response, error: str, scheme: str = "DPoP") -> None:
    """In TDX's words, with the challenge of the scheme that was tried."""
    assert (answer.status_code, answer.json()) == (401, {"message": INVALID})
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith(f'{scheme} realm="api"')
    assert challenge.endswith(f'error="{error}"')


async def test_who_holds_the_key_passes(house: TestHouse, holder: Holder) -> None:
    """A bound token opens the API for its holder, and only under its own scheme."""
    api, mine = Api(house, origin=API), await bound(house, holder)
    assert (await call(api, mine, proof(house, holder, mine))).status_code == 200
    for proofs in ((), (proof(house, holder, mine),)):
        refused(await call(api, mine, *proofs, scheme="Bearer"), "invalid_token", "Bearer")
    refused(await call(api, mine), "invalid_dpop_proof")


async def test_each_proof_counts_once(house: TestHouse, holder: Holder) -> None:
    """A proof that somebody overheard opens nothing (§11.1)."""
    api, mine = Api(house, origin=API), await bound(house, holder)
    overheard = proof(house, holder, mine)
    assert (await call(api, mine, overheard)).status_code == 200
    refused(await call(api, mine, overheard), "invalid_dpop_proof")


async def test_wrong_proofs(house: TestHouse, holder: Holder) -> None:
    """For another token, address or method, of another key, of another time, or two of them."""
    api, mine = Api(house, origin=API), await bound(house, holder)
    good = proof(house, holder, mine)
    for proofs in (
        (proof(house, Holder(), mine),),
        (proof(house, holder, ""),),
        (proof(house, holder, mine, "/v1/other"),),
        (proof(house, holder, mine, method="POST"),),
        (proof(house, holder, mine, htu="https://evil.test/v1/stops"),),
        (proof(house, holder, mine, iat=0),),
        (good, good),
    ):
        refused(await call(api, mine, *proofs), "invalid_dpop_proof")
    assert (await call(api, mine, good)).status_code == 200


async def test_the_host_header_is_no_address(house: TestHouse, holder: Holder) -> None:
    """§4.3, 9: who was given a proof for itself cannot use it here by naming itself as Host."""
    api, mine = Api(house, origin=API), await bound(house, holder)
    evil = proof(house, holder, mine, htu="https://evil.test/v1/stops")
    headers = {"authorization": f"DPoP {mine}", "dpop": evil, "host": "evil.test"}
    refused(await api.http.get("/v1/stops", headers=headers), "invalid_dpop_proof")


async def test_without_an_origin_no_proof_is_good(house: TestHouse, holder: Holder) -> None:
    """A guard that does not know its own address refuses, and says so in its log; one whose
    audience is an address knows it."""
    mine = await bound(house, holder)
    refused(await call(Api(house), mine, proof(house, holder, mine)), "invalid_dpop_proof")


async def test_the_audience_may_tell_the_origin(house: TestHouse, holder: Holder) -> None:
    """Most APIs are their own audience."""
    api = Api(house, audience=f"{API}/v1")
    program = await house.register_program(audience=(f"{API}/v1",))
    answer = await house.http().post(
        "/token",
        data={"grant_type": "client_credentials"},
        auth=(program.id, program.secret or ""),
        headers={"dpop": holder.proof(house.clock.now())},
    )
    mine = answer.json()["access_token"]
    assert (await call(api, mine, proof(house, holder, mine))).status_code == 200


async def test_a_free_token_is_no_bound_one(house: TestHouse, holder: Holder) -> None:
    """Under the scheme DPoP a token must be bound; and a rule may ask for that."""
    api = Api(house, origin=API, rules=[*RULES, Rule("/v1/money", bound=True)])
    free = await token(house)
    refused(await call(api, free, proof(house, holder, free)), "invalid_token")
    assert (await api.get("/v1/stops", free)).status_code == 200
    refused(await api.get("/v1/money", free), "invalid_token")
    mine, path = await bound(house, holder), "/v1/money"
    good = proof(house, holder, mine, path)
    assert (await call(api, mine, good, path=path)).status_code == 200


async def test_an_escaped_path(house: TestHouse, holder: Holder) -> None:
    """The address is the one that was sent, whatever the server has decoded."""
    api, mine, path = Api(house, origin=API), await bound(house, holder), "/v1/%E7%AB%99?x=1"
    good = proof(house, holder, mine, path)
    assert (await call(api, mine, good, path=path)).status_code == 200


async def test_behind_nginx(house: TestHouse, holder: Holder) -> None:
    """The gate checks the address that nginx holds back, not its own."""
    mine, path = await bound(house, holder), "/v1/stops"
    transport = httpx.ASGITransport(gate(**Api(house, origin=API).options))
    told = {"x-original-uri": f"{path}?x=1", "x-original-method": "GET", "x-real-ip": "203.0.113.9"}
    good = proof(house, holder, mine, path)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8300") as nginx:
        sent = {**told, "authorization": f"DPoP {mine}", "dpop": good}
        assert (await nginx.get("/", headers=sent)).status_code == 204
        again = await nginx.get("/", headers=sent)
    assert (again.status_code, again.headers["x-guard-status"]) == (401, "401")


async def test_nonces(house: TestHouse, holder: Holder) -> None:
    """§8: with a secret the guard asks for its nonce, the same in each of its processes."""
    secret = b"0" * 32
    here, there = (Api(house, origin=API, nonce_secret=secret) for _ in range(2))
    mine = await bound(house, holder)
    asked = await call(here, mine, proof(house, holder, mine))
    refused(asked, "use_dpop_nonce")
    nonce = asked.headers["dpop-nonce"]
    answer = await call(there, mine, proof(house, holder, mine, nonce=nonce))
    assert answer.status_code == 200
    assert answer.headers["dpop-nonce"] == nonce
