"""A paper passport and an ID card counter beside TW FidO, in one running bridge.

Each is one more entry in the list of schemes; no other room knows of it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import bindparam, update

from idp.kernel.metrics import exposition
from idp.kernel.tables import attempts
from tests.actors import Browser, Page, Service, log_in
from tests.contracts.paper_passport import CardCounter, PaperPassport
from tests.house import CALLBACK, HOME, SYSCODE, TestHouse, running, settings_for
from tests.logins import (
    AT_ONCE,
    HAND,
    asked_for,
    call_back,
    carried,
    chosen,
    land,
    qrids,
    rows,
    signed,
    states,
)

PASSPORT = "300123456"
ALL = ("twfido", "passport", "idcard")


@pytest.fixture
def desk() -> PaperPassport:
    return PaperPassport()


@pytest.fixture
def counter() -> CardCounter:
    return CardCounter()


@pytest.fixture
async def office(
    database_url: str, desk: PaperPassport, counter: CardCounter
) -> AsyncIterator[TestHouse]:
    """Three schemes, TW FidO preferred."""
    async with running(settings_for(database_url, login={"schemes": ALL}), desk, counter) as found:
        yield found


async def service_at(office: TestHouse, client_id: str, **metadata: Any) -> Service:
    return Service(office, await office.register(client_id, **metadata))


async def last(office: TestHouse) -> dict[str, Any]:
    return (await rows(office))[-1]


async def with_a_card(
    office: TestHouse, counter: CardCounter, browser: Browser, service: Service
) -> Page:
    """A login at the counter, by the method that has the same name as one of TW FidO's."""
    await chosen(browser, service, "qr", AT_ONCE)
    await counter.decide((await last(office))["handle"], True)
    page = await browser.press("check")
    return await browser.press("allow") if "allow" in page.buttons() else page


async def test_each_is_chosen_on_one_page(office: TestHouse, desk: PaperPassport) -> None:
    """Both stand on one page, and each leads to tokens that say how the person was verified."""
    first, second = Browser(office), Browser(office)
    service = await service_at(office, "service")
    page = await first.open(service.url())
    assert "method-desk" in page.html
    assert "method-qr" in page.html
    await first.press("continue", method="desk", pid=PASSPORT)
    assert (await last(office))["method"] == "passport:desk"
    assert qrids(office) == []
    await desk.decide((await last(office))["handle"], True)
    await first.press("check")
    tokens = (await service.redeem(await first.press("allow"))).json()
    by_passport = await service.verified(tokens["id_token"])
    tokens = (await service.redeem(await log_in(second, service))).json()
    by_app = await service.verified(tokens["id_token"])
    assert (by_passport["acr"], by_app["acr"]) == ("urn:passport:desk", "urn:twfido:qr")
    assert by_passport["sub"] != by_app["sub"]


@pytest.mark.parametrize(("method", "number"), [("desk", HAND), ("qr", PASSPORT)])
async def test_a_number_is_read_as_its_scheme_reads_it(
    office: TestHouse, browser_there: Browser, method: str, number: str
) -> None:
    """A number of another scheme is a fault of the field, and nothing is begun."""
    page = await chosen(browser_there, await service_at(office, "service"), method, number)
    assert 'id="pid-fault"' in page.html
    assert await rows(office) == []


@pytest.fixture
def browser_there(office: TestHouse) -> Browser:
    return Browser(office)


async def test_pages_speak_of_the_app_of_the_method(
    office: TestHouse, browser_there: Browser
) -> None:
    """Of the preferred scheme's before a method is chosen, of the method's own afterwards."""
    service = await service_at(office, "service")
    page = await browser_there.open(service.url())
    assert "行動自然人憑證" in page.html
    assert "https://fido.moi.gov.tw" in page.html
    page = await browser_there.press("continue", method="desk", pid=PASSPORT)
    assert "護照櫃檯" in page.html
    assert "行動自然人憑證" not in page.html
    english = await browser_there.open(f"{page.url}?lang=en")
    assert "Passport desk" in english.html


async def test_two_methods_of_one_name(
    office: TestHouse, counter: CardCounter, browser_there: Browser
) -> None:
    """The preferred scheme's is used, unless the relying party names the other scheme; a relying
    party that names one scheme sees that scheme's methods alone."""
    everybody = await service_at(office, "everybody")
    cards = await service_at(office, "cards", schemes=("idcard",))
    await chosen(browser_there, everybody, "qr")
    assert (await last(office))["method"] == "twfido:qr"
    page = await browser_there.open(cards.url())
    assert "method-counter" in page.html
    assert "method-desk" not in page.html
    assert "method-push" not in page.html
    assert "身分證櫃檯" in page.html
    await with_a_card(office, counter, browser_there, cards)
    assert (await last(office))["method"] == "idcard:qr"


async def test_levels_count_and_not_schemes(
    office: TestHouse, counter: CardCounter, browser_there: Browser
) -> None:
    """Whoever was verified by another scheme at a level that is enough is not asked again, and
    stays the same person for a relying party."""
    cards = await service_at(office, "cards", schemes=("idcard",))
    everybody = await service_at(office, "everybody")
    page = await with_a_card(office, counter, browser_there, cards)
    assert page.url.startswith(CALLBACK)
    opened = len(await rows(office))
    page = await browser_there.open(everybody.url(acr_values="urn:twfido:qr"))
    page = await browser_there.press("allow")
    by_card = await everybody.verified((await everybody.redeem(page)).json()["id_token"])
    assert len(await rows(office)) == opened
    by_app = await log_in(Browser(office), everybody)
    claims = await everybody.verified((await everybody.redeem(by_app)).json()["id_token"])
    assert (by_card["sub"], by_card["acr"]) == (claims["sub"], claims["acr"])
    page = await browser_there.open(everybody.url(acr_values="urn:twfido:web"))
    assert "continue" in page.buttons()  # weaker than wished


async def test_a_scheme_that_cannot_be_strong_enough(office: TestHouse) -> None:
    """Who names a scheme and a level that it does not reach is told so, not shown an empty page."""
    cards = await service_at(
        office, "cards", schemes=("passport",), minimum_acr="urn:twfido:dongle"
    )
    page = await Browser(office).open(cards.url())
    assert page.query["error"] == "unmet_authentication_requirements"


async def test_the_house_decides_what_is_offered(
    database_url: str, desk: PaperPassport, counter: CardCounter
) -> None:
    """`login.schemes` is the switch: the others serve only relying parties that name them."""
    settings = settings_for(database_url, login={"schemes": ("twfido",)})
    async with running(settings, desk, counter) as office:
        service = await service_at(office, "service")
        page = await Browser(office).open(service.url())
        assert "method-desk" not in page.html
        travellers = await service_at(office, "travellers", schemes=("passport",))
        page = await Browser(office).open(travellers.url())
        assert "method-desk" in page.html


async def left_for(office: TestHouse, browser: Browser, method: str) -> dict[str, Any]:
    """Somebody who went to the upstream's page, and has not come back."""
    await chosen(browser, await service_at(office, method), method)
    if method == "web":
        await browser.press("go")
    return await last(office)


async def test_returns_do_not_cross(office: TestHouse, browser_there: Browser) -> None:
    """What one scheme's upstream signed opens nothing at the other's address, though the browser
    is the one that left."""
    attempt = await left_for(office, browser_there, "web")
    (qrid,) = qrids(office)
    for fields in (carried(qrid), {**carried(qrid), "ticket": qrid}):
        page = await browser_there.arrive("/idcard/return", fields)
        assert (page.status, page.error_code) == (403, "TF-3001")
    assert (await last(office))["handle"] is None
    other = Browser(office)
    await left_for(office, other, "counter")
    page = await land(other, {"ticket": "ticket-9"})
    assert (page.status, page.error_code) == (403, "TF-3001")
    page = await other.arrive("/idcard/return", {"ticket": "ticket-9"})
    assert page.status == 200
    assert [row["handle"] for row in await rows(office) if row["id"] != attempt["id"]] == [
        "ticket-9"
    ]


async def counter_calls(office: TestHouse, told: object, address: str) -> httpx.Response:
    return await office.http(address).post("/idcard/callback", content=json.dumps(told))


async def test_callbacks_do_not_cross(
    office: TestHouse, counter: CardCounter, browser_there: Browser
) -> None:
    """One scheme's callback wakes none of the other's attempts, even by its very handle; each is
    read from its own peers alone, and answered in its own words."""
    await chosen(browser_there, await service_at(office, "service"))
    handle, asked = (await last(office))["handle"], asked_for(office)
    told = {"system": SYSCODE, "ticket": handle}
    assert (await counter_calls(office, told, HOME)).status_code == 403
    answer = await counter_calls(office, told, "192.0.2.1")
    assert (answer.status_code, answer.json()) == (200, {"thank": "you"})
    assert asked_for(office) == asked
    assert [e["event"] for e in await office.events("login.late")] == ["login.late"]
    assert (await call_back(office, signed(handle), "192.0.2.1")).status_code == 403
    office.clock.pass_(3)
    assert (await call_back(office, signed(handle))).status_code == 200
    assert asked_for(office) == asked + 1


async def test_entries_and_counts_name_the_scheme(
    office: TestHouse, desk: PaperPassport, browser_there: Browser
) -> None:
    """The audit trail and the metrics say which scheme, beside the method's own name."""
    await chosen(browser_there, await service_at(office, "service"), "desk", PASSPORT)
    await desk.decide((await last(office))["handle"], True)
    await browser_there.press("check")
    for name in ("login.started", "login.verified", "login.completed"):
        (entry,) = await office.events(name)
        assert (entry["detail"]["scheme"], entry["detail"]["method"]) == ("passport", "desk")
    assert b'idp_login_started_total{method="desk",scheme="passport"}' in exposition()


async def test_methods_as_they_were_stored_before(
    office: TestHouse, browser_there: Browser
) -> None:
    """An attempt that the version before opened, by the bare name of a method, is completed."""
    await chosen(browser_there, await service_at(office, "service"), "qr", AT_ONCE)
    bare = update(attempts).where(attempts.c.id == bindparam("key")).values(method="qr")
    await office.services.database.run(bare, key=(await last(office))["id"])
    office.clock.pass_(3)
    assert "allow" in (await browser_there.press("check")).buttons()
    assert await states(office) == ["used"]
