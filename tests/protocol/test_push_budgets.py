"""How often a phone may ring and a number be tried: exact, over all relying parties, and spent by
nobody but those who ring."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from idp.kernel.tables import counters
from idp.login.flow import RESEND
from tests.actors import Browser, Page, Service
from tests.asking import SQLITE
from tests.house import TestHouse
from tests.logins import (
    HAND,
    asked_for,
    call_back,
    chosen,
    forget_rates,
    path_of,
    people,
    qrids,
    rows,
    rung,
    signed,
    states,
)

DENIES, STRANGER = "A100000038", "A100000056"
OFTEN, NEUTRAL = "TF-2105", "TF-2104"


def at(house: TestHouse, address: int = 7) -> Browser:
    """A fresh browser at an address."""
    return Browser(house, f"203.0.113.{address}")


async def ring(house: TestHouse, service: Service, number: str = HAND, address: int = 7) -> Page:
    """Somebody begins a login and lets a phone ring."""
    return await chosen(at(house, address), service, "push", number)


def waits(page: Page) -> bool:
    return page.error_code == "" and "check" in page.buttons()


# ── one person's phone ──────────────────────────────────────────────────────────────────────────


async def test_one_call_at_a_time(house: TestHouse, service: Service) -> None:
    """While a phone rings, no other browser, address or relying party can make it ring, and is
    told how long to wait; when it has ended, they can."""
    other = Service(house, await house.register("other"))
    browser = at(house)
    await chosen(browser, service, "push", HAND)
    house.clock.pass_(50)
    page = await ring(house, other, address=8)
    assert page.error_code == OFTEN
    assert "請等 3 分鐘再試" in page.html
    assert rung(house) == 1
    house.simulator.approve(qrids(house)[0])
    await browser.press("check")
    assert waits(await ring(house, other, address=8))


async def test_a_call_that_this_browser_abandoned(house: TestHouse, service: Service) -> None:
    """Whoever starts again in the same browser need not wait for what they left open: the new
    call replaces it, the upstream is told, and the old page leads back to the choice of methods."""
    browser = at(house)
    left = path_of(await chosen(browser, service, "push", HAND))
    await forget_rates(house)
    assert waits(await chosen(browser, service, "push", HAND))
    assert rung(house) == 2
    assert await states(house) == ["pending", "replaced"]
    assert "continue" in (await browser.open(left)).buttons()
    assert (await ring(house, service, address=8)).error_code == OFTEN


@SQLITE
async def test_an_abandoned_call_counts(house: TestHouse, service: Service) -> None:
    """Starting again is not a way around the budget: the fourth call in ten minutes waits."""
    browser = at(house)
    for _ in range(3):
        await forget_rates(house)
        assert waits(await chosen(browser, service, "push", HAND))
    await forget_rates(house)
    assert (await chosen(browser, service, "push", HAND)).error_code == OFTEN
    assert rung(house) == 3


async def test_an_abandoned_call_lets_nobody_in(house: TestHouse, service: Service) -> None:
    """An approval of the replaced call is heard and written down, and completes no login."""
    browser = at(house)
    await chosen(browser, service, "push", HAND)
    await forget_rates(house)
    await chosen(browser, service, "push", HAND)
    house.simulator.approve(qrids(house)[0])
    house.clock.pass_(3)
    page = await browser.press("check")
    assert "allow" not in page.buttons()
    house.simulator.approve(qrids(house)[1])
    house.clock.pass_(3)
    assert "allow" in (await browser.press("check")).buttons()


@SQLITE
async def test_a_call_that_was_cancelled_no_longer_rings(
    house: TestHouse, service: Service
) -> None:
    """Who cancels frees the phone for the next call, within the budget."""
    browser = at(house)
    await chosen(browser, service, "push", HAND)
    await browser.press("cancel")
    assert waits(await ring(house, service))


async def again(house: TestHouse, browser: Browser) -> Page:
    """“Send again”, as soon as the page lets one."""
    house.clock.pass_(RESEND)
    return await browser.press("regenerate")


@SQLITE
async def test_three_calls_in_ten_minutes(house: TestHouse, service: Service) -> None:
    """“Send again” counts like any other call; after ten minutes there are three more."""
    for _ in range(2):
        browser = at(house)
        await chosen(browser, service, "push", HAND)
        assert waits(await again(house, browser))
        assert waits(await again(house, browser))
        page = await again(house, browser)
        assert page.error_code == OFTEN
        assert "請等 9 分鐘再試" in page.html
        assert {"check", "scan", "other", "cancel"} == set(page.buttons())
        house.clock.pass_(601)
    assert rung(house) == 6


@SQLITE
async def test_what_is_refused_stops_nothing(house: TestHouse, service: Service) -> None:
    """“Send again” over the budget leaves the call that rings as it is: it can be answered."""
    browser = at(house)
    await chosen(browser, service, "push", HAND)
    for _ in range(3):
        page = await again(house, browser)
    assert page.error_code == OFTEN
    house.simulator.approve(qrids(house)[-1])
    assert "allow" in (await browser.press("check")).buttons()


@SQLITE
async def test_ten_calls_a_day(house: TestHouse, service: Service) -> None:
    """However they are spread, a phone rings ten times a day; a QR code disturbs nobody and is
    always possible."""
    for _ in range(10):
        assert waits(await ring(house, service))
        house.clock.pass_(240)
    page = await ring(house, service)
    assert (page.error_code, rung(house)) == (OFTEN, 10)
    assert waits(await chosen(at(house), service, "qr", HAND))
    house.clock.pass_(86_400)
    assert waits(await ring(house, service))


# ── who pressed reject ──────────────────────────────────────────────────────────────────────────


async def test_a_pause_after_a_denial(house: TestHouse, service: Service) -> None:
    """Who pressed reject is not rung for a quarter of an hour, whoever asks from wherever."""
    other = Service(house, await house.register("other"))
    browser = at(house)
    await chosen(browser, service, "push", DENIES)
    page = await browser.press("check")
    assert page.error_code == "TF-2101"
    assert "regenerate" not in page.buttons()
    assert (await ring(house, other, DENIES, 8)).error_code == OFTEN
    assert waits(await chosen(at(house), service, "qr", DENIES))
    house.clock.pass_(890)
    assert (await ring(house, other, DENIES, 9)).error_code == OFTEN
    house.clock.pass_(11)
    assert waits(await ring(house, other, DENIES, 9))


@SQLITE
@pytest.mark.parametrize("changed_settings", [{"login": {"push": {"pause_after_denial": 0}}}])
async def test_no_pause_where_the_operator_wants_none(house: TestHouse, service: Service) -> None:
    """Then a slip can be tried again at once."""
    browser = at(house)
    await chosen(browser, service, "push", DENIES)
    await browser.press("check")
    assert waits(await browser.press("regenerate"))


@pytest.mark.parametrize("gone", ["closed", "cancel", "other", "regenerate"])
async def test_a_denial_counts_even_if_nobody_looks(
    house: TestHouse, service: Service, gone: str
) -> None:
    """Who rings a phone and closes the page, cancels or tries again before asking is stopped by
    the denial all the same: the upstream is asked before the phone rings again."""
    browser = at(house)
    await chosen(browser, service, "push", HAND)
    if gone in ("cancel", "other"):
        await browser.press(gone)
    house.simulator.deny(qrids(house)[0])
    house.clock.pass_(200)
    if gone == "regenerate":
        page = await browser.press(gone)
    else:
        page = await ring(house, service, address=8)
    assert (page.error_code, rung(house)) == (OFTEN, 1)
    assert len(await house.events("login.late")) == (1 if gone in ("cancel", "other") else 0)
    calls = asked_for(house)
    assert (await ring(house, service, address=9)).error_code == OFTEN
    assert asked_for(house) == calls  # what has been heard is not asked for again


@SQLITE
async def test_a_denial_of_a_call_that_was_dropped_while_it_was_being_made(
    house: TestHouse, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelling before the upstream has answered the opening hides no denial, either."""
    browser, start = at(house), house.twfido.start

    async def cancelled_meanwhile(order: Any) -> Any:
        tab = Browser(house)
        tab.cookies, tab.page = browser.cookies, browser.page
        await tab.press("cancel")
        return await start(order)

    monkeypatch.setattr(house.twfido, "start", cancelled_meanwhile)
    await chosen(browser, service, "push", HAND)
    monkeypatch.undo()
    assert await states(house) == ["replaced"]
    house.simulator.deny(qrids(house)[0])
    house.clock.pass_(3)
    assert (await ring(house, service)).error_code == OFTEN
    assert rung(house) == 1


@SQLITE
async def test_a_false_callback_makes_no_denial(house: TestHouse, service: Service) -> None:
    """Only the upstream's answer is a denial: nobody can silence somebody else's phone."""
    browser = at(house)
    await chosen(browser, service, "push", HAND)
    await call_back(house, signed(qrids(house)[0], "9004"))
    assert await states(house) == ["pending"]
    await browser.press("cancel")
    assert waits(await ring(house, service))


# ── one address ─────────────────────────────────────────────────────────────────────────────────


@SQLITE
async def test_twenty_calls_from_one_address(house: TestHouse, service: Service) -> None:
    """However many people it rings, an address makes twenty calls in ten minutes; others go on."""
    crowd = people(22)
    for number in crowd[:20]:
        assert waits(await ring(house, service, number))
    assert (await ring(house, service, crowd[20])).error_code == OFTEN
    assert waits(await ring(house, service, crowd[21], 8))
    house.clock.pass_(601)
    assert waits(await ring(house, service, crowd[20]))


@SQLITE
@pytest.mark.parametrize("changed_settings", [{"login": {"push": {"per_address": 1}}}])
async def test_who_is_refused_spends_nobody_elses_budget(
    house: TestHouse, service: Service
) -> None:
    """An address over its own budget cannot use up a victim's calls by being refused."""
    await ring(house, service, people(1)[0], address=66)
    before = await rows(house, counters)
    for _ in range(10):  # more of a kind in a minute the trail does not take from one caller
        assert (await ring(house, service, HAND, address=66)).error_code == OFTEN
    assert before == await rows(house, counters)
    assert waits(await ring(house, service))
    assert len(await house.events("login.limited")) == 10


@SQLITE
async def test_refusals_are_limited_too(house: TestHouse, service: Service) -> None:
    """Pressing in a loop is stopped with 429 before it fills the trail."""
    await forget_rates(house)
    browser = at(house)
    await chosen(browser, service, "push", HAND)
    found = [(await again(house, browser)).status for _ in range(3)]
    page, form = browser.page, browser.page.form_with("check")[0].fields
    path = page.url.rsplit("/", 1)[0]
    found += [(await browser.send(f"{path}/regenerate", form)).status for _ in range(20)]
    assert set(found) == {200, 429}
    assert len(await house.events("login.limited")) < 20


async def test_failing_starts_of_one_address(house: TestHouse, service: Service) -> None:
    """After ten numbers that are not registered, an address is told nothing more about any, and
    the upstream is not asked; web redirect, which tells nothing, still works there."""
    for _ in range(10):
        assert (await chosen(at(house), service, "qr", STRANGER)).error_code == NEUTRAL
    calls = len(house.line.calls)
    for method, number in (("qr", HAND), ("qr", STRANGER), ("push", STRANGER)):
        page = await chosen(at(house), service, method, number)
        assert page.error_code in (NEUTRAL, OFTEN)
        assert "請等 10 分鐘再試" in page.html
    assert calls == len(house.line.calls)
    assert "go" in (await chosen(at(house), service, "web")).buttons()
    assert "go" in (await chosen(at(house), service, "dongle", HAND)).buttons()
    assert waits(await chosen(at(house, 8), service, "qr", HAND))
    house.clock.pass_(601)
    assert waits(await chosen(at(house), service, "qr", HAND))


@SQLITE
async def test_trying_many_numbers_at_once_tells_no_more(
    house: TestHouse, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts that are under way when the tenth fails are answered like failures, whether the
    number is registered or not: asking in parallel tells nothing that asking in turn does not."""
    start, slow = house.twfido.start, asyncio.Event()

    async def held(order: Any) -> Any:
        if order.number != STRANGER:
            await slow.wait()
        return await start(order)

    monkeypatch.setattr(house.twfido, "start", held)
    registered = asyncio.create_task(chosen(at(house), service, "qr", HAND))
    failing = [chosen(at(house), service, "qr", STRANGER) for _ in range(10)]
    assert {page.error_code for page in await asyncio.gather(*failing)} == {NEUTRAL}
    slow.set()
    assert (await registered).error_code == NEUTRAL
    assert await states(house) == ["ended"] * 11


# ── many at once ────────────────────────────────────────────────────────────────────────────────


async def test_many_calls_to_one_phone_at_once(house: TestHouse) -> None:
    """Of twelve browsers at twelve addresses that ring one phone at the same moment, one does."""
    services = [Service(house, await house.register(f"s{n}")) for n in range(3)]
    pages = await asyncio.gather(*(ring(house, services[n % 3], HAND, 10 + n) for n in range(12)))
    assert rung(house) == 1
    assert sum(waits(page) for page in pages) == 1
    assert sum(page.error_code == OFTEN for page in pages) == 11


@pytest.mark.parametrize("changed_settings", [{"login": {"push": {"per_address": 5}}}])
async def test_many_calls_from_one_address_at_once(house: TestHouse, service: Service) -> None:
    """Of fifteen phones rung at the same moment from one address, five ring."""
    pages = await asyncio.gather(*(ring(house, service, number) for number in people(15)))
    assert rung(house) == 5
    assert sum(waits(page) for page in pages) == 5
    taken = [row["count"] for row in await rows(house, counters) if row["kind"] == "push-source"]
    assert taken == [5]


@pytest.mark.parametrize("changed_settings", [{"login": {"push": {"per_ten_minutes": 4}}}])
async def test_sending_again_in_many_tabs_at_once(house: TestHouse, service: Service) -> None:
    """Ten tabs of one login that press “send again”, round after round, ring as often as the
    budget says and not once more."""
    browser = at(house)
    await chosen(browser, service, "push", HAND)
    for _ in range(5):
        await forget_rates(house)
        house.clock.pass_(RESEND)
        tabs = [at(house) for _ in range(10)]
        for tab in tabs:
            tab.cookies, tab.page = browser.cookies, browser.page
        await asyncio.gather(*(tab.press("regenerate") for tab in tabs))
        await browser.open("/".join(browser.page.url.split("/")[:5]))
    assert rung(house) == 4
