"""The login in each of its states, as a person meets it: without JavaScript, in process."""

from __future__ import annotations

import asyncio

import pytest

from idp.login.flow import GRACE, RESEND
from tests.actors import Browser, Service
from tests.asking import SQLITE
from tests.house import TestHouse
from tests.logins import (
    AT_ONCE,
    HAND,
    again,
    asked_for,
    chosen,
    let_in,
    nobody_is_in,
    plain,
    poll,
    qrids,
    refused,
    rows,
    rung,
    states,
    tab,
    the_login,
    until,
)

DENIES, STRANGER = "A100000038", "A100000056"


# ── choosing ────────────────────────────────────────────────────────────────────────────────────


@SQLITE
@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ({"method": "qr", "pid": ""}, "pid-fault"),
        ({"method": "qr", "pid": "A123456788"}, "pid-fault"),
        ({"method": "push", "pid": "<script>"}, "pid-fault"),
        ({"method": "push", "pid": "A" * 5000}, "pid-fault"),
        ({"method": "fax", "pid": HAND}, "method-fault"),
        ({"method": "", "pid": HAND}, "method-fault"),
    ],
)
async def test_what_is_typed_wrongly_is_told_at_its_field(
    house: TestHouse, browser: Browser, service: Service, typed: dict[str, str], fault: str
) -> None:
    """The first page says what is wrong, keeps what was typed, and asks nobody."""
    await browser.open(service.url())
    page = await browser.press("continue", **typed)
    assert page.title.startswith("錯誤：")
    assert page.texts[fault]
    assert page.form_with("continue")[0].fields["pid"] == typed["pid"]
    assert "<script>" not in page.html
    assert (house.line.calls, await rows(house)) == ([], [])


@SQLITE
async def test_a_number_is_accepted_as_people_type_it(browser: Browser, service: Service) -> None:
    """Full-width characters, blanks and lower case are the same number."""
    page = await chosen(browser, service, "push", " ａ１２３ 456789\u200b")
    assert page.texts["masked"] == "A1****6789"


@SQLITE
async def test_the_method_is_remembered_and_the_number_is_not(
    browser: Browser, service: Service
) -> None:
    """The next login begins with the same method, and with an empty field."""
    await chosen(browser, service, "push")
    page = await browser.press("other")
    form = page.form_with("continue")[0]
    assert (form.fields["method"], form.fields["pid"]) == ("push", "")


@SQLITE
async def test_a_remembered_method_that_is_not_offered(house: TestHouse, browser: Browser) -> None:
    """Something is always chosen, even if the method of last time is not allowed here."""
    await chosen(browser, Service(house, await house.register("any")), "push")
    strict = Service(house, await house.register("strict", methods=("qr", "dongle")))
    page = await browser.open(strict.url())
    assert page.form_with("continue")[0].fields["method"] in ("qr", "dongle")


# ── every page leads on ─────────────────────────────────────────────────────────────────────────

SIGHTS: list[tuple[str, str, str, int, str]] = [
    ("qr", HAND, "", 0, "check regenerate other"),
    ("push", HAND, "", 0, "check regenerate scan other"),
    ("push", HAND, "", 180, "regenerate scan other"),
    ("web", HAND, "", 0, "go regenerate other"),
    ("dongle", HAND, "", 0, "go regenerate other"),
    ("qr", AT_ONCE, "poll", 0, "check"),
    ("qr", HAND, "", 180, "regenerate other"),
    ("web", HAND, "", 180, "regenerate other"),
    ("qr", DENIES, "check", 0, "regenerate other"),
    ("push", DENIES, "check", 0, "other"),
    ("push", STRANGER, "", 0, "regenerate other"),
]


@SQLITE
@pytest.mark.parametrize(("method", "number", "then", "seconds", "buttons"), SIGHTS)
async def test_every_page_leads_on_and_stays_the_same_when_reloaded(
    house: TestHouse,
    browser: Browser,
    service: Service,
    method: str,
    number: str,
    then: str,
    seconds: int,
    buttons: str,
) -> None:
    """Each page offers what makes sense there and the way back to the service; a reload shows
    the same page, and the way back answers access_denied."""
    await chosen(browser, service, method, number)
    if then == "check":
        await browser.press("check")
    elif then:
        await poll(browser)
    house.clock.pass_(seconds)
    page = await again(browser)
    assert {*buttons.split(), "cancel"} == set(page.buttons())
    calls = len(house.line.calls)
    assert plain(page) == plain(await again(browser))
    assert calls == len(house.line.calls)
    assert refused(await browser.press("cancel"))
    assert browser.page.query["state"] == service.state
    assert await nobody_is_in(house)


@SQLITE
async def test_cancelling_on_the_first_page(browser: Browser, service: Service) -> None:
    """Who does not want to log in at all goes back with access_denied."""
    await browser.open(service.url())
    assert refused(await browser.press("cancel"))


# ── waiting ─────────────────────────────────────────────────────────────────────────────────────


@SQLITE
async def test_three_minutes_by_the_servers_clock(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """The page begins with 03:00 and counts by our clock; the poll says the same."""
    page = await chosen(browser, service)
    assert page.texts["clock"] == "03:00"
    house.clock.pass_(61)
    assert (await again(browser)).texts["clock"] == "01:59"
    assert await poll(browser) == {"state": "pending", "seconds": 119}
    house.clock.pass_(119)
    assert await poll(browser) == {"state": "done", "seconds": 0}


@SQLITE
async def test_who_asks_too_early_is_told_so(browser: Browser, service: Service) -> None:
    """A person without JavaScript who presses the button before the phone gets the same page,
    with a word that nothing has come yet."""
    await chosen(browser, service)
    page = await browser.press("check")
    assert page.texts["still"]
    assert "check" in page.buttons()


@SQLITE
async def test_the_upstream_is_not_asked_more_often_than_agreed(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """However many tabs poll, there are three seconds between two questions."""
    await chosen(browser, service)
    for _ in range(9):
        await asyncio.gather(*(poll(tab(browser)) for _ in range(3)))
        house.clock.pass_(1)
    assert asked_for(house) == 3


@SQLITE
async def test_polling_prolongs_nothing(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A page left open keeps neither its login nor a session alive."""
    await chosen(browser, service)
    before = await the_login(house), (await rows(house))[0]["expires_at"]
    house.clock.pass_(60)
    await poll(browser)
    assert before == (await the_login(house), (await rows(house))[0]["expires_at"])


@SQLITE
async def test_the_poll_tells_nothing_but_go_and_see(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Approved or denied look alike to whoever reads the poll, and nobody is let in by it."""
    for number in (AT_ONCE, DENIES):
        house.clock.pass_(1)
        await chosen(browser, service, "qr", number)
        assert (await poll(browser))["state"] == "done"
    assert await nobody_is_in(house)


# ── regenerate, other, cancel ───────────────────────────────────────────────────────────────────


@SQLITE
@pytest.mark.parametrize("button", ["regenerate", "other", "cancel"])
async def test_a_late_approval_is_ignored_and_recorded(
    house: TestHouse, browser: Browser, service: Service, button: str
) -> None:
    """Who approves what was replaced or cancelled lets nobody in; the trail says that it came."""
    await chosen(browser, service)
    page = await browser.press(button)
    house.simulator.approve(qrids(house)[0])
    await _delivered(house)
    assert [e["event"] for e in await house.events("login.late")] == ["login.late"]
    if button != "cancel":
        page = await again(browser)
        assert not let_in(browser, page)
    if button == "regenerate":
        page = await browser.press("check")
        assert page.texts["still"]
        house.simulator.approve(qrids(house)[1])
        page = await browser.press("check")
        assert page.buttons() == ["allow", "deny"]


async def _delivered(house: TestHouse) -> None:
    """The simulator's callback has come back."""
    await until(lambda: any(row.event == "callback" for row in house.simulator.ledger))


@SQLITE
async def test_regenerate_opens_a_new_attempt_for_the_same_person(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A new transaction upstream, another three minutes, and nothing to type again."""
    first = await chosen(browser, service, "push")
    house.clock.pass_(100)
    page = await browser.press("regenerate")
    assert (page.texts["clock"], page.texts["masked"]) == ("03:00", first.texts["masked"])
    assert len(set(qrids(house))) == 2
    assert await states(house) == ["replaced", "pending"]


@SQLITE
async def test_regenerate_does_not_throw_an_approval_away(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Who has approved and presses “send again” is not asked a second time."""
    await chosen(browser, service, "push")
    house.simulator.approve(qrids(house)[0])
    page = await browser.press("regenerate")
    assert page.buttons() == ["check", "cancel"]
    assert rung(house) == 1


@SQLITE
async def test_another_way_after_a_denial(browser: Browser, service: Service) -> None:
    """What went wrong by push still works by QR code, in the same login."""
    await chosen(browser, service, "push", DENIES)
    assert (await browser.press("check")).error_code == "TF-2101"
    await browser.press("other")
    await browser.press("continue", method="qr", pid=AT_ONCE)
    assert (await browser.press("check")).buttons() == ["allow", "deny"]


@pytest.mark.parametrize("button", ["continue", "regenerate"])
async def test_two_clicks_ring_one_phone(
    house: TestHouse, browser: Browser, service: Service, button: str
) -> None:
    """A double click, one after the other or both at once, opens one attempt."""
    await browser.open(service.url())
    if button == "regenerate":
        await browser.press("continue", method="push", pid=HAND)
        house.clock.pass_(RESEND)
    before, typed = rung(house), {"method": "push", "pid": HAND} if button == "continue" else {}
    tabs = [tab(browser) for _ in range(5)]
    pages = await asyncio.gather(*(t.press(button, **typed) for t in tabs))
    assert rung(house) == before + 1
    late = await tab(browser).press(button, **typed)
    assert rung(house) == before + 1
    assert {page.status for page in (*pages, late)} == {200}
    assert late.texts["masked"] == "A1****6789"


@SQLITE
async def test_ten_attempts_in_one_login(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Then it is enough: the page says so and leads back to the service."""
    await chosen(browser, service)
    for _ in range(9):
        page = await browser.press("regenerate")
        assert page.status == 200
    page = await browser.press("regenerate")
    assert (page.status, page.error_code) == (410, "TF-3002")
    assert len(qrids(house)) == 10
    assert refused(await browser.press("cancel"))


# ── the end of the time ─────────────────────────────────────────────────────────────────────────


@SQLITE
@pytest.mark.parametrize("how", ["check", "reload", "poll"])
async def test_approved_in_the_last_second(
    house: TestHouse, browser: Browser, service: Service, how: str
) -> None:
    """Who approves before the time is up is let in, even if the page looks only afterwards."""
    await chosen(browser, service, "push")
    house.clock.pass_(179)
    house.simulator.approve(qrids(house)[0])
    house.clock.pass_(2)
    if how == "poll":
        assert (await poll(browser))["state"] == "done"
    if how != "check":
        assert (await again(browser)).buttons() == ["check", "cancel"]
    assert (await browser.press("check")).buttons() == ["allow", "deny"]


@SQLITE
@pytest.mark.parametrize("told", [True, False])
async def test_approved_and_then_asleep(
    house: TestHouse, browser: Browser, service: Service, told: bool
) -> None:
    """An approval is not good for ever: a browser that wakes up later is told that the time is
    over, whether or not we had heard of the approval, and can begin again."""
    await chosen(browser, service, "push")
    house.simulator.approve(qrids(house)[0])
    if told:
        await poll(browser)
    house.clock.pass_(180 + GRACE)
    page = await browser.press("check")
    assert page.error_code == "TF-2103"
    assert await nobody_is_in(house)
    assert "check" in (await browser.press("regenerate")).buttons()


@SQLITE
async def test_after_the_time_the_upstream_is_asked_once(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A page that says “time is up” does not go on asking."""
    await chosen(browser, service, "push")
    house.clock.pass_(181)
    for _ in range(5):
        assert (await again(browser)).error_code == "TF-2103"
        house.clock.pass_(5)
    assert asked_for(house) == 1


@SQLITE
async def test_a_login_that_lay_too_long(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """After half an hour nothing can be begun, but the way back to the service is still open."""
    await chosen(browser, service)
    house.clock.pass_(1800)
    page = await browser.press("regenerate")
    assert (page.status, page.error_code, page.buttons()) == (410, "TF-3002", ["cancel"])
    assert refused(await browser.press("cancel"))
