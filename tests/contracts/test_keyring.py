"""Signing keys: published before they sign and until their last token has died."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import bindparam, delete, select

from idp.kernel.clock import iso
from idp.kernel.connect import connect
from idp.kernel.database import Database
from idp.kernel.errors import Unavailable
from idp.kernel.keyring import ALGORITHMS, FURTHER, KeyRing, KeyState, RotationRefused
from idp.kernel.tables import further_signing_keys, signing_keys, stamps
from idp.kernel.vault import Vault, VaultBroken
from tests.house import START, StillClock, TestHouse

LEAD, KEEP = 600, 172_800
VAULT = Vault(bytes(32))


@pytest.fixture
async def ring(database: Database, clock: StillClock) -> KeyRing:
    ring = KeyRing(database, VAULT, clock)
    await ring.ensure()
    return ring


@pytest.fixture
async def replica(database_url: str, ring: KeyRing, clock: StillClock) -> AsyncIterator[KeyRing]:
    """Another process on the same store."""
    store = await connect(database_url)
    other = KeyRing(store, VAULT, clock)
    await other.ensure()
    yield other
    await store.close()


def states(ring: KeyRing, clock: StillClock, alg: str = "ES256") -> dict[str, KeyState]:
    now = clock.now()
    return {k.kid: k.state(now) for k in ring.published() if k.alg == alg}


def kid_of(ring: KeyRing, clock: StillClock, state: KeyState, alg: str = "ES256") -> str:
    (kid,) = [k for k, s in states(ring, clock, alg).items() if s is state]
    return kid


async def test_the_first_start(ring: KeyRing, clock: StillClock) -> None:
    """For each algorithm one key signs, and the next is published already."""
    for alg in ALGORITHMS:
        assert sorted(states(ring, clock, alg).values()) == [KeyState.ACTIVE, KeyState.NEXT]
        signer = ring.signer(alg)
        assert signer.alg == alg
        assert signer.public["kid"] == signer.kid == signer.key.thumbprint()  # RFC 7638
        assert (signer.public["use"], signer.public["alg"]) == ("sig", alg)
        assert not {"d", "p", "q", "dp", "dq", "qi"} & signer.public.keys()


async def test_a_second_start_changes_nothing(ring: KeyRing, replica: KeyRing) -> None:
    """Keys are made once; a replica signs with the same."""
    assert [k.kid for k in replica.published()] == [k.kid for k in ring.published()]
    assert replica.signer("RS256").kid == ring.signer("RS256").kid


async def test_two_first_starts_at_once(database_url: str, clock: StillClock) -> None:
    """One of them wins, and all use its keys."""
    stores = [await connect(database_url) for _ in range(4)]
    rings = [KeyRing(store, VAULT, clock) for store in stores]
    await asyncio.gather(*(ring.ensure() for ring in rings))
    assert len({tuple(k.kid for k in ring.published()) for ring in rings}) == 1
    assert len(rings[0].published()) == 2 * len(ALGORITHMS)
    for store in stores:
        await store.close()


async def test_a_key_s_life(ring: KeyRing, replica: KeyRing, clock: StillClock) -> None:
    """next → active → retiring → gone, at times that are known beforehand: a replica that only
    looks at the clock changes over at the same moment."""
    first, second = (kid_of(ring, clock, s) for s in (KeyState.ACTIVE, KeyState.NEXT))
    at = await ring.rotate(LEAD, KEEP)
    assert at == START + LEAD
    await replica.load()
    timeline: list[tuple[float, str, KeyState]] = [
        (0, first, KeyState.NEXT),
        (LEAD - 1, first, KeyState.NEXT),
        (LEAD, second, KeyState.RETIRING),
        (LEAD + KEEP - 1, second, KeyState.RETIRING),
        (LEAD + KEEP, second, KeyState.GONE),
    ]
    for after, signs, other in timeline:
        clock.at = START + after
        for one in (ring, replica):
            assert one.signer("ES256").kid == signs
            not_signing = second if signs == first else first
            found = {k.kid: k.state(clock.now()) for k in await one.history()}
            assert found[not_signing] is other
            assert (one.find(not_signing) is None) == (other is KeyState.GONE)


async def test_a_key_that_is_known_long_enough_signs_at_once(
    ring: KeyRing, clock: StillClock
) -> None:
    """Lead is counted from publication: verifiers that keep a JWKS so long have seen the key."""
    coming = kid_of(ring, clock, KeyState.NEXT)
    clock.pass_(LEAD)
    assert await ring.rotate(LEAD, KEEP) == clock.now()
    assert ring.signer("ES256").kid == coming


async def test_in_a_hurry(ring: KeyRing, clock: StillClock) -> None:
    """`immediately` does not wait for verifiers."""
    coming = kid_of(ring, clock, KeyState.NEXT)
    assert await ring.rotate(LEAD, KEEP, immediately=True) == START
    assert ring.signer("ES256").kid == coming


async def test_all_algorithms_rotate_together(ring: KeyRing, clock: StillClock) -> None:
    """And each has a next key again, published at once."""
    before = {alg: ring.signer(alg).kid for alg in ALGORITHMS}
    await ring.rotate(LEAD, KEEP)
    clock.pass_(LEAD)
    for alg in ALGORITHMS:
        assert ring.signer(alg).kid != before[alg]
        found = sorted(states(ring, clock, alg).values())
        assert found == [KeyState.ACTIVE, KeyState.NEXT, KeyState.RETIRING]


async def test_one_rotation_at_a_time(ring: KeyRing, clock: StillClock) -> None:
    """While one is under way another is refused, and told until when."""
    await ring.rotate(LEAD, KEEP)
    for hurry in (False, True):
        with pytest.raises(RotationRefused, match=iso(START + LEAD)):
            await ring.rotate(LEAD, KEEP, immediately=hurry)
    clock.pass_(LEAD)
    await ring.rotate(LEAD, KEEP)


async def test_two_rotations_at_once(ring: KeyRing, replica: KeyRing, clock: StillClock) -> None:
    """From two processes: one happens, the other is refused, and nothing is left half done."""
    results = await asyncio.gather(
        ring.rotate(LEAD, KEEP), replica.rotate(LEAD, KEEP), return_exceptions=True
    )
    assert sorted(type(r).__name__ for r in results) == ["RotationRefused", "int"]
    await ring.load()
    clock.pass_(LEAD)
    for alg in ALGORITHMS:
        found = sorted(states(ring, clock, alg).values())
        assert found == [KeyState.ACTIVE, KeyState.NEXT, KeyState.RETIRING]


async def test_years_of_rotations(ring: KeyRing, clock: StillClock) -> None:
    """There is always exactly one that signs, and one to come."""
    for _ in range(5):
        await ring.rotate(LEAD, KEEP)
        for step in (1, LEAD, KEEP + 1):
            clock.pass_(step)
            for alg in ALGORITHMS:
                found = list(states(ring, clock, alg).values())
                assert found.count(KeyState.ACTIVE) == 1
                assert found.count(KeyState.NEXT) >= 1
    assert len(ring.published()) == 2 * len(ALGORITHMS)


# ── emergencies: after each, something signs now and at every later time ────────────────────────


async def lost_active(ring: KeyRing, clock: StillClock) -> str:
    return kid_of(ring, clock, KeyState.ACTIVE)


async def lost_next(ring: KeyRing, clock: StillClock) -> str:
    return kid_of(ring, clock, KeyState.NEXT)


async def lost_active_amid_a_rotation(ring: KeyRing, clock: StillClock) -> str:
    await ring.rotate(LEAD, KEEP)
    return kid_of(ring, clock, KeyState.ACTIVE)


async def lost_scheduled(ring: KeyRing, clock: StillClock) -> str:
    coming = kid_of(ring, clock, KeyState.NEXT)
    await ring.rotate(LEAD, KEEP)
    return coming


async def lost_next_amid_a_rotation(ring: KeyRing, clock: StillClock) -> str:
    before = set(states(ring, clock))
    await ring.rotate(LEAD, KEEP)
    (coming,) = set(states(ring, clock)) - before
    return coming


async def lost_retiring(ring: KeyRing, clock: StillClock) -> str:
    await ring.rotate(LEAD, KEEP)
    clock.pass_(LEAD)
    return kid_of(ring, clock, KeyState.RETIRING)


Lose = Callable[[KeyRing, StillClock], Awaitable[str]]
LOST: list[Lose] = [
    lost_active,
    lost_next,
    lost_active_amid_a_rotation,
    lost_scheduled,
    lost_next_amid_a_rotation,
    lost_retiring,
]


@pytest.mark.parametrize("lose", LOST, ids=[f.__name__ for f in LOST])
async def test_removal(ring: KeyRing, replica: KeyRing, clock: StillClock, lose: Lose) -> None:
    """Whatever its state, the key is unpublished at once; at every later moment exactly one key
    signs, and another rotation is possible."""
    lost = await lose(ring, clock)
    assert ring.find(lost) is not None
    await ring.remove(lost)
    await replica.load()
    for _ in range(3):
        for one in (ring, replica):
            assert one.find(lost) is None
            found = list(states(one, clock).values())
            assert found.count(KeyState.ACTIVE) == 1
            assert found.count(KeyState.NEXT) >= 1
            assert one.signer("ES256").kid != lost
        clock.pass_(LEAD)
    await ring.rotate(LEAD, KEEP)
    clock.pass_(LEAD)
    assert ring.signer("ES256").kid != lost
    clock.pass_(KEEP)
    assert len(states(ring, clock)) == 2


async def test_removing_what_is_not_there(ring: KeyRing) -> None:
    """Twice, or never published: refused."""
    kid = ring.signer("ES256").kid
    await ring.remove(kid)
    for name in (kid, "nobody"):
        with pytest.raises(RotationRefused):
            await ring.remove(name)


async def test_two_removals_at_once(ring: KeyRing, replica: KeyRing, clock: StillClock) -> None:
    """One happens, and one successor is promoted."""
    kid = ring.signer("ES256").kid
    results = await asyncio.gather(ring.remove(kid), replica.remove(kid), return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["NoneType", "RotationRefused"]
    await ring.load()
    assert sorted(states(ring, clock).values()) == [KeyState.ACTIVE, KeyState.NEXT]


# ── an upgrade ──────────────────────────────────────────────────────────────────────────────────


async def test_the_release_before_can_read_its_table(ring: KeyRing, database: Database) -> None:
    """It reads every row of signing_keys, knows two algorithms, and stops at another kind of key:
    also after rotations and removals, keys of further algorithms stand elsewhere."""
    await ring.rotate(LEAD, KEEP)
    for alg in ALGORITHMS:
        await ring.remove(ring.signer(alg).kid)
    for table, algorithms in ((signing_keys, {"RS256", "ES256"}), (further_signing_keys, FURTHER)):
        rows = await database.all(select(table))
        assert {row["alg"] for row in rows} == set(algorithms)
        assert all(json.loads(row["public"])["alg"] == row["alg"] for row in rows)


async def test_a_database_of_the_release_before(database: Database, clock: StillClock) -> None:
    """Its keys go on signing, and the further ones are made at the first start."""
    first = KeyRing(database, VAULT, clock)
    await first.ensure()
    before = {alg: first.signer(alg).kid for alg in ALGORITHMS}
    await database.run(delete(further_signing_keys))
    for alg in FURTHER:
        await database.run(delete(stamps).where(stamps.c.name == bindparam("n")), n=f"keys-{alg}")
    ring = KeyRing(database, VAULT, clock)
    await ring.ensure()
    for alg in ALGORITHMS:
        assert (ring.signer(alg).kid == before[alg]) == (alg not in FURTHER)


# ── at rest ─────────────────────────────────────────────────────────────────────────────────────


async def test_private_keys_are_sealed(ring: KeyRing, database: Database) -> None:
    """Whoever reads the store cannot sign; whoever has another master key cannot even load."""
    stranger = KeyRing(database, Vault(bytes([1] * 32)), StillClock())
    with pytest.raises(VaultBroken):
        await stranger.load()


async def test_without_keys_nobody_signs(database: Database, clock: StillClock) -> None:
    """A ring that has none answers 503, never a token."""
    empty = KeyRing(database, VAULT, clock)
    with pytest.raises(Unavailable):
        empty.signer("ES256")


async def test_the_bridge_rotates_without_a_restart(house: TestHouse) -> None:
    """What the old key signed is verified on; new tokens have the new kid, which was published."""
    program = await house.register_program()
    form, auth = {"grant_type": "client_credentials"}, (program.id, program.secret or "")
    http, ring = house.http(), house.services.keyring

    async def token() -> str:
        return str((await http.post("/token", data=form, auth=auth)).json()["access_token"])

    async def active(token: str) -> bool:
        answer = await http.post("/introspect", data={"token": token}, auth=auth)
        return bool(answer.json()["active"])

    before = await token()
    published = {k["kid"] for k in (await http.get("/jwks")).json()["keys"]}
    await ring.rotate(0, KEEP)
    after = await token()
    assert ring.signer("ES256").kid in published
    assert before.split(".")[0] != after.split(".")[0]
    assert await active(before)
    assert await active(after)
