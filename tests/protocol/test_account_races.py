"""What a person ends is over, also for what is under way at that very moment."""

from __future__ import annotations

import asyncio

import pytest

from idp.kernel.database import Reader, Transaction
from idp.kernel.tables import grants
from idp.login.endings import Ending
from idp.oidc import consents
from tests.actors import Browser, Service
from tests.asking import BOB, is_sent_back, live_sessions, logged_in
from tests.house import TestHouse
from tests.logins import chosen, rung


@pytest.mark.parametrize("ended", ["consent", "session"])
async def test_no_grant_is_made_of_what_has_ended(
    house: TestHouse, service: Service, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """The consent is withdrawn, or the session ended, between the look at it and the code."""
    browser = await logged_in(house, service)
    look = consents.allowed

    async def overtaken(
        reader: Reader, person_id: str, client_id: str, *, lock: bool = False
    ) -> frozenset[str]:
        found = await look(reader, person_id, client_id, lock=lock)
        if lock:
            return found

        async def work(tx: Transaction) -> None:
            if ended == "consent":
                await consents.withdraw(tx, person_id, client_id, house.clock.now())
            else:
                await house.house.login.sessions.ends.end(tx, session["id"], Ending.LOGGED_OUT)

        await house.services.database.write(work)
        return found

    (session,) = await live_sessions(house)
    monkeypatch.setattr(consents, "allowed", overtaken)
    error = "consent_required" if ended == "consent" else "login_required"
    is_sent_back((await browser.open(service.url())).url, error, service.state)
    assert await house.count(grants) == 1


async def test_a_push_at_the_moment_of_not_me(house: TestHouse, service: Service) -> None:
    """A push that begins while its person stops everything waits for the end of that, and rings
    no phone."""
    await logged_in(house, service, BOB)
    login, database = house.house.login, house.services.database
    person = await login.persons.find(BOB)
    assert person
    stopped, go_on = asyncio.Event(), asyncio.Event()

    async def work(tx: Transaction) -> None:
        await login.disown(tx, person)
        stopped.set()
        await go_on.wait()

    calls = rung(house)
    stopping = asyncio.create_task(database.write(work))
    await stopped.wait()
    visiting = asyncio.create_task(chosen(Browser(house), service, "push", BOB))
    await asyncio.sleep(0.5)
    go_on.set()
    await stopping
    assert (await visiting).error_code == "TF-2104"
    assert rung(house) == calls
