"""Nobody can list who is enrolled: trying a number costs the same, whatever the answer."""

from __future__ import annotations

import asyncio

import pytest

from tests.actors import Browser, Page, Service, log_in
from tests.asking import SQLITE, logged_in
from tests.house import TestHouse
from tests.logins import HAND, chosen, forget_rates, people, plain

STRANGER = "A100000056"
NEUTRAL, OFTEN = "TF-2104", "TF-2105"
FEW = {"login": {"numbered_starts": 6, "numbers": 100}}


def at(house: TestHouse, address: int = 7) -> Browser:
    return Browser(house, f"203.0.113.{address}")


async def tried(house: TestHouse, service: Service, number: str, method: str = "qr") -> Page:
    """A login of its own for each number, always from one address."""
    await forget_rates(house)
    return await chosen(at(house), service, method, number)


def started(page: Page) -> bool:
    return page.error_code == "" and "check" in page.buttons()


async def test_registered_numbers_of_one_address(house: TestHouse, service: Service) -> None:
    """An address that tries one registered number after the other learns of thirty in ten
    minutes, and the upstream is not asked about more; others go on."""
    crowd = people(34)
    found = [started(await tried(house, service, number)) for number in crowd[:30]]
    assert found == [True] * 30
    calls = len(house.line.calls)
    assert {(await tried(house, service, n)).error_code for n in crowd[30:33]} == {NEUTRAL}
    assert calls == len(house.line.calls)
    assert started(await chosen(at(house, 8), service, "qr", crowd[33]))
    house.clock.pass_(601)
    assert started(await tried(house, service, crowd[33]))


@SQLITE
@pytest.mark.parametrize("changed_settings", [FEW])
@pytest.mark.parametrize("method", ["qr", "push"])
async def test_a_refusal_says_nothing_of_the_number(
    house: TestHouse, service: Service, method: str
) -> None:
    """Beyond the budget a registered and an unregistered number get the same page, and the
    upstream hears of neither."""
    for number in people(6):
        await tried(house, service, number)
    calls = len(house.line.calls)
    registered = await tried(house, service, HAND, method)
    unknown = await tried(house, service, STRANGER, method)
    assert registered.error_code == unknown.error_code == (OFTEN if method == "push" else NEUTRAL)
    assert plain(registered) == plain(unknown)
    assert calls == len(house.line.calls)


@SQLITE
@pytest.mark.parametrize("changed_settings", [FEW])
async def test_push_and_qr_share_the_budget(house: TestHouse, service: Service) -> None:
    """A number is a number: changing the method buys no more tries."""
    crowd = people(7)
    for number in crowd[:3]:
        await tried(house, service, number, "push")
    for number in crowd[3:6]:
        await tried(house, service, number, "qr")
    assert (await tried(house, service, crowd[6], "qr")).error_code == NEUTRAL
    assert "go" in (await tried(house, service, "", "web")).buttons()


@pytest.mark.parametrize("changed_settings", [FEW])
async def test_many_numbers_at_once(house: TestHouse, service: Service) -> None:
    """Of fourteen that start at the same moment from one address, six do."""
    await forget_rates(house)
    pages = await asyncio.gather(*(chosen(at(house), service, "qr", n) for n in people(14)))
    assert sum(started(page) for page in pages) == 6


NETWORK = {"login": {"unfinished_starts": 6, "numbers": 100}}


@pytest.mark.parametrize("changed_settings", [NETWORK])
@pytest.mark.parametrize("sources", ["2001:db8:7:{}::1", "198.51.100.{}"], ids=["IPv6", "IPv4"])
async def test_many_sources_of_one_network(
    house: TestHouse, service: Service, sources: str
) -> None:
    """Whoever has many addresses has them in one network (a /48, a /24), which has a budget of its
    own. Another network goes on, and so does this one after ten minutes."""
    crowd = people(9)
    for address, number in enumerate(crowd[:6], 1):
        page = await chosen(Browser(house, sources.format(address)), service, "qr", number)
        assert started(page)
    calls = len(house.line.calls)
    for method, code in (("qr", NEUTRAL), ("push", OFTEN)):
        page = await chosen(Browser(house, sources.format(7)), service, method, crowd[6])
        assert page.error_code == code
    assert calls == len(house.line.calls)
    assert "go" in (await chosen(Browser(house, sources.format(7)), service, "web")).buttons()
    assert started(await chosen(at(house), service, "qr", crowd[7]))
    house.clock.pass_(601)
    assert started(await chosen(Browser(house, sources.format(8)), service, "qr", crowd[8]))


@pytest.mark.parametrize("changed_settings", [NETWORK])
async def test_a_carrier_is_not_locked_out(house: TestHouse, service: Service) -> None:
    """A start that ends with a login listed nobody and is given back: people of one network log in
    by the thousand. A login without a number gives nothing back."""
    for _ in range(12):
        await forget_rates(house)
        await logged_in(house, service)
    for number in people(4):
        await tried(house, service, number)
    for _ in range(3):
        await log_in(at(house), service, "web", "A100000010")
    found = [started(await tried(house, service, number)) for number in people(8)[4:]]
    assert found == [True, True, False, False]


@SQLITE
async def test_numbers_of_one_login(house: TestHouse, service: Service) -> None:
    """One login tries three numbers. Then it goes on with those, or by a way without a number."""
    browser, crowd = at(house), people(4)
    await chosen(browser, service, "qr", crowd[0])
    for number in crowd[1:3]:
        await browser.press("other")
        assert started(await browser.press("continue", method="qr", pid=number))
    await browser.press("other")
    page = await browser.press("continue", method="qr", pid=crowd[3])
    assert page.error_code == NEUTRAL
    assert "請等 30 分鐘再試" in page.html
    await browser.press("other")
    assert started(await browser.press("continue", method="qr", pid=crowd[0]))
    await browser.press("other")
    assert "go" in (await browser.press("continue", method="web", pid="")).buttons()
