"""Advice on the pages of a login names only ways that are open there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.actors import Browser, Service
from tests.house import TestHouse, running, settings_for
from tests.logins import chosen

WEB, QR = "前往網站驗證", "改用 QR Code"
NOBODY, HAND = "A100000056", "A123456789"


@pytest.fixture(params=[("push",), ("push", "qr"), ("push", "dongle"), ("push", "web", "qr")])
async def limited(
    request: pytest.FixtureRequest, database_url: str
) -> AsyncIterator[tuple[TestHouse, tuple[str, ...]]]:
    """A bridge with these methods, and one push for each person."""
    changes = {"twfido": {"methods": request.param}, "login": {"push": {"per_ten_minutes": 1}}}
    async with running(settings_for(database_url, **changes)) as found:
        yield found, request.param


async def test_a_number_that_is_not_registered(
    limited: tuple[TestHouse, tuple[str, ...]],
) -> None:
    """TF-2104 sends to the website only where that is offered; a dongle, which needs the number
    as well, is no such way."""
    house, methods = limited
    service = Service(house, await house.register("service"))
    page = await chosen(Browser(house), service, "push", NOBODY)
    assert page.error_code == "TF-2104"
    assert (WEB in page.html) == ("web" in methods)


async def test_too_many_pushes(limited: tuple[TestHouse, tuple[str, ...]]) -> None:
    """TF-2105 and the help under a push speak of a QR code only where there is one."""
    house, methods = limited
    service = Service(house, await house.register("service"))
    page = await chosen(Browser(house), service, "push", HAND)
    assert (QR in page.html) == ("qr" in methods)
    page = await chosen(Browser(house), service, "push", HAND)
    assert page.error_code == "TF-2105"
    assert (QR in page.html) == ("qr" in methods)


async def test_a_relying_party_that_allows_less(house: TestHouse) -> None:
    """What counts is what this login offers, not what the bridge has."""
    service = Service(house, await house.register("service", methods=("push",)))
    page = await chosen(Browser(house), service, "push", NOBODY)
    assert page.error_code == "TF-2104"
    assert WEB not in page.html
