"""One reference for one incident: the page, the audit trail and the log line name the same, and
every ending of a login is one line with the client and the code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.actors import Browser, Page, Service
from tests.asking import SQLITE, disable, logged_in
from tests.house import TestHouse
from tests.logins import (
    AT_ONCE,
    HAND,
    abroad,
    again,
    approved,
    call_back,
    chosen,
    people,
    qrids,
    signed,
    the_login,
    weather,
)

pytestmark = SQLITE

DENIES, STRANGER = "A100000038", "A100000056"
Story = Callable[[TestHouse, Service, Browser], Awaitable[Page]]


async def _completed(_house: TestHouse, service: Service, browser: Browser) -> Page:
    page = await chosen(browser, service, "qr", AT_ONCE)
    await browser.press("check")
    return page


async def _brought_back(_house: TestHouse, service: Service, browser: Browser) -> Page:
    await chosen(browser, service, "web")
    page = await abroad(browser, "web", AT_ONCE)
    await browser.press("check")
    return page


async def _denied(_house: TestHouse, service: Service, browser: Browser) -> Page:
    await chosen(browser, service, "qr", DENIES)
    return await browser.press("check")


async def _denied_by_callback(house: TestHouse, service: Service, browser: Browser) -> Page:
    await chosen(browser, service, "qr", HAND)
    house.simulator.deny(qrids(house)[0])
    house.clock.pass_(2)
    await call_back(house, signed(qrids(house)[0], "9004"))
    return await again(browser)


async def _unknown(_house: TestHouse, service: Service, browser: Browser) -> Page:
    return await chosen(browser, service, "qr", STRANGER)


async def _away(house: TestHouse, service: Service, browser: Browser) -> Page:
    await weather(house, FEXCH_01=503)
    return await chosen(browser, service, "qr", HAND)


async def _expired(house: TestHouse, service: Service, browser: Browser) -> Page:
    await chosen(browser, service, "qr", HAND)
    house.clock.pass_(190)
    await again(browser)
    return await again(browser)


async def _cancelled(_house: TestHouse, service: Service, browser: Browser) -> Page:
    page = await chosen(browser, service, "qr", HAND)
    await browser.press("cancel")
    return page


async def _limited(house: TestHouse, service: Service, browser: Browser) -> Page:
    await chosen(Browser(house), service, "push", HAND)
    return await chosen(browser, service, "push", HAND)


async def _disabled(house: TestHouse, service: Service, browser: Browser) -> Page:
    await disable(house, AT_ONCE)
    await chosen(browser, service, "qr", AT_ONCE)
    return await browser.press("check")


ENDINGS: dict[str, tuple[Story, list[tuple[str, str]]]] = {
    "completed": (_completed, [("login.verified", "approved"), ("login.completed", "completed")]),
    "brought back": (
        _brought_back,
        [("login.verified", "approved"), ("login.completed", "completed")],
    ),
    "denied": (_denied, [("login.ended", "TF-2101")]),
    "denied by callback": (_denied_by_callback, [("login.ended", "TF-2101")]),
    "not registered": (_unknown, [("login.not_started", "TF-2104")]),
    "upstream away": (_away, [("login.not_started", "TF-2202")]),
    "expired": (_expired, [("login.ended", "TF-2103")]),
    "cancelled": (_cancelled, [("login.cancelled", "cancelled")]),
    "over budget": (_limited, [("login.limited", "TF-2105")]),
    "disabled": (_disabled, [("login.verified", "approved"), ("login.person_disabled", "TF-3006")]),
}


def lines(logs: list[Any], reference: str) -> list[tuple[str, str]]:
    """Of the login with this reference: what the log says."""
    found = [entry for entry in logs if entry.get("reference") == reference]
    assert all(entry["client_id"] == "service" for entry in found), found
    return [(entry["event"], entry["what"]) for entry in found]


@pytest.mark.parametrize(("story", "expected"), ENDINGS.values(), ids=ENDINGS)
async def test_every_ending_is_one_line(
    house: TestHouse, service: Service, story: Story, expected: list[tuple[str, str]]
) -> None:
    """With client and code, under the reference that the page shows and the audit trail has."""
    if story is _disabled:
        await logged_in(house, service, AT_ONCE)
    with capture_logs() as logs:
        page = await story(house, service, Browser(house))
    reference = page.texts["reference"]
    assert lines(logs, reference) == expected
    for event, _ in expected:
        entries = [e for e in await house.events(event) if e["reference"] == reference]
        assert [entry["client_id"] for entry in entries] == ["service"]


async def test_every_entry_of_a_login_names_its_client(house: TestHouse, service: Service) -> None:
    """Whoever is asked by a service what happened finds it by the service."""
    for number in (AT_ONCE, DENIES):
        browser = Browser(house)
        await chosen(browser, service, "qr", number)
        await browser.press("check")
    await chosen(Browser(house), service, "push", people(1)[0])
    rows = [row for row in await house.events() if row["event"].startswith("login.")]
    assert len(rows) > 5
    assert {row["client_id"] for row in rows} == {"service"}


async def test_an_approval_that_the_upstream_announces(
    house: TestHouse, service: Service, browser: Browser
) -> None:
    """What a callback brings is written under the reference of the login, not of the call."""
    await chosen(browser, service, "qr", HAND)
    house.clock.pass_(2)
    house.simulator.approve(qrids(house)[0])
    await call_back(house, signed(qrids(house)[0]))
    await approved(house)
    login = await the_login(house)
    entries = await house.events("login.verified")
    assert [entry["reference"] for entry in entries] == [login["reference"]]
