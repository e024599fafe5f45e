"""A login by a paper passport: the pages, the budgets and the tokens know no TW FidO."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.actors import Browser, Service
from tests.contracts.paper_passport import PaperPassport
from tests.house import TestHouse, running, settings_for
from tests.logins import call_back, land, nobody_is_in, poll, refused, rows, signed, states

NUMBER = "300123456"


@pytest.fixture
def desk() -> PaperPassport:
    """The officer at the desk."""
    return PaperPassport()


@pytest.fixture
async def office(database_url: str, desk: PaperPassport) -> AsyncIterator[TestHouse]:
    """The bridge with the desk beside TW FidO, whose methods are not offered."""
    async with running(settings_for(database_url, login={"schemes": ("passport",)}), desk) as found:
        yield found


@pytest.fixture
async def begun(office: TestHouse) -> tuple[Browser, Service]:
    """Somebody with a passport, waiting."""
    browser, service = Browser(office), Service(office, await office.register("service"))
    page = await browser.open(service.url(scope="openid profile"))
    assert "method-desk" in page.html and "method-qr" not in page.html
    page = await browser.press("continue", method="desk", pid=f" {NUMBER} ")
    assert (page.texts["sysname"], page.texts["masked"]) == ("Desk 1", "*****3456")
    assert page.texts["clock"] == "10:00"
    return browser, service


async def handle(office: TestHouse) -> str:
    return str((await rows(office))[-1]["handle"])


async def test_an_officer_says_yes(
    office: TestHouse, desk: PaperPassport, begun: tuple[Browser, Service]
) -> None:
    """The same pages lead to the same tokens, which say how the person was verified."""
    browser, service = begun
    assert (await poll(browser))["state"] == "pending"
    await desk.decide(await handle(office), True)
    office.clock.pass_(3)
    await browser.press("check")
    tokens = (await service.redeem(await browser.press("allow"))).json()
    claims = await service.verified(tokens["id_token"])
    assert (claims["acr"], claims["amr"]) == ("urn:passport:desk", ["face"])
    assert office.line.calls == []


async def test_an_officer_says_no(
    office: TestHouse, desk: PaperPassport, begun: tuple[Browser, Service]
) -> None:
    """A denial is a page that leads on: a new attempt with the same passport works."""
    browser, _ = begun
    await desk.decide(await handle(office), False)
    assert (await browser.press("check")).error_code == "TF-2101"
    await browser.press("regenerate")
    await desk.decide(await handle(office), True)
    assert "allow" in (await browser.press("check")).buttons()


@pytest.mark.parametrize("button", ["regenerate", "other", "cancel"])
async def test_the_desk_is_told_that_nobody_waits_any_more(
    office: TestHouse, desk: PaperPassport, begun: tuple[Browser, Service], button: str
) -> None:
    """A verifier that can be told is told, so that its ticket is void."""
    browser, _ = begun
    ticket = await handle(office)
    page = await browser.press(button)
    assert desk.said == {ticket: False}
    assert "replaced" in await states(office)
    assert refused(page) == (button == "cancel")


async def test_another_schemes_callbacks_and_returns(office: TestHouse) -> None:
    """What TW FidO sends finds no attempt of the desk's, and lets nobody in."""
    answer = await call_back(office, signed("00000000-0000-4000-8000-000000000000"))
    assert answer.status_code == 200
    page = await land(Browser(office), {"qrid": "x"})
    assert (page.status, page.error_code) == (403, "TF-3001")
    assert await nobody_is_in(office)
