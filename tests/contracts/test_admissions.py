"""Initial access tokens: an operator's word that an organisation may register clients."""

from __future__ import annotations

import asyncio

import pytest

from idp.house import organisations_of
from idp.kernel.database import Transaction
from idp.kernel.tables import registration_tokens
from idp.registry.admissions import Admissions, NotAdmitted
from tests.house import TestHouse

DAY = 86_400


@pytest.fixture
async def admissions(house: TestHouse) -> Admissions:
    await organisations_of(house.services).create("國家圖書館", key="library")
    services = house.services
    return Admissions(services.database, services.clock, services.vault, services.trail)


async def spend(house: TestHouse, admissions: Admissions, text: str) -> tuple[str, str]:
    async def work(tx: Transaction) -> tuple[str, str]:
        return await admissions.spend(tx, text)

    found: tuple[str, str] = await house.services.database.write(work)
    return found


async def refused(house: TestHouse, admissions: Admissions, text: str) -> None:
    with pytest.raises(NotAdmitted):
        await spend(house, admissions, text)


async def test_as_often_as_was_said(house: TestHouse, admissions: Admissions) -> None:
    """Each use counts, and the trail says who got the token; the token itself is kept nowhere."""
    text = await admissions.issue("library", 2, DAY)
    for left in (1, 0):
        assert await spend(house, admissions, text) == ("library", text[-4:])
        (seen,) = await admissions.all()
        assert (seen.uses_left, seen.hint) == (left, text[-4:])
    await refused(house, admissions, text)
    (event,) = await house.events("registration.token_issued")
    assert event["detail"] | {"uses": 2, "organisation": "library"} == event["detail"]
    rows = await house.services.database.all(registration_tokens.select())
    assert text not in repr([dict(row) for row in rows])


async def test_of_many_at_once_as_many_as_was_said(
    house: TestHouse, admissions: Admissions
) -> None:
    """The row count of one statement decides."""
    text = await admissions.issue("library", 3, DAY)
    results = await asyncio.gather(
        *(spend(house, admissions, text) for _ in range(20)), return_exceptions=True
    )
    assert [type(r) for r in results].count(tuple) == 3
    assert {type(r) for r in results} == {tuple, NotAdmitted}


async def test_until_its_day(house: TestHouse, admissions: Admissions) -> None:
    """At its end it is nobody's."""
    text = await admissions.issue("library", 2, DAY)
    house.clock.pass_(DAY - 1)
    await spend(house, admissions, text)
    house.clock.pass_(1)
    await refused(house, admissions, text)


async def test_revoked(house: TestHouse, admissions: Admissions) -> None:
    """By its last four characters, once; others live on."""
    lost, kept = [await admissions.issue("library", 9, DAY) for _ in range(2)]
    await admissions.revoke(lost[-4:])
    await refused(house, admissions, lost)
    await spend(house, admissions, kept)
    with pytest.raises(LookupError):
        await admissions.revoke(lost[-4:])
    assert len(await house.events("registration.token_revoked")) == 1


async def test_nobodys(house: TestHouse, admissions: Admissions) -> None:
    """No token for an organisation that does not exist; none of one that is disabled is good."""
    with pytest.raises(LookupError):
        await admissions.issue("nobody", 1, DAY)
    text = await admissions.issue("library", 1, DAY)
    await organisations_of(house.services).switch("library", enabled=False)
    for unknown in (text, text[:-1], "twi_", ""):
        await refused(house, admissions, unknown)
    assert [token.uses_left for token in await admissions.all()] == [1]
