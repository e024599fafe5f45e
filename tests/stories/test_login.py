"""A citizen logs in to an agency's application, by each method, without JavaScript."""

from __future__ import annotations

import pytest

from tests.actors import Browser, Service, log_in
from tests.house import CALLBACK, ISSUER, SYSTEM_NAME, TestHouse

LEVELS = {
    "push": ("urn:twfido:push", ["swk", "user", "mca"]),
    "qr": ("urn:twfido:qr", ["swk", "user", "mca"]),
    "web": ("urn:twfido:web", ["swk", "user"]),
    "dongle": ("urn:twfido:dongle", ["hwk", "user"]),
}


@pytest.mark.parametrize("method", LEVELS)
async def test_each_method_logs_in(
    house: TestHouse, browser: Browser, service: Service, method: str
) -> None:
    """Whatever the method, the service gets tokens that say who, how and when."""
    page = await log_in(browser, service, method, scope="openid profile twid")
    assert page.url.startswith(CALLBACK + "?")
    assert page.query["state"] == service.state
    assert page.query["iss"] == ISSUER

    answer = await service.redeem(page)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    claims = await service.verified(tokens["id_token"])
    acr, amr = LEVELS[method]
    assert (claims["acr"], claims["amr"]) == (acr, amr)
    assert claims["nonce"] == service.nonce
    assert claims["auth_time"] == house.clock.now()
    assert claims["twid"] == "A100000010"

    person = (await service.userinfo(tokens["access_token"])).json()
    assert person["sub"] == claims["sub"]
    assert person["twid"] == "A100000010"
    assert person["twid_masked"] == "A1****0010"

    again = (await service.refresh(tokens["refresh_token"])).json()
    fresh = await service.verified(again["id_token"])
    assert fresh["sub"] == claims["sub"]
    assert fresh["auth_time"] == claims["auth_time"]
    assert "nonce" not in fresh


async def test_the_waiting_page_names_what_the_phone_shows(
    browser: Browser, service: Service
) -> None:
    """The person can compare the page with the phone."""
    await browser.open(service.url())
    page = await browser.press("continue", method="push", pid="A123456789")
    assert SYSTEM_NAME in page.texts["sysname"]
    assert page.texts["masked"] == "A1****6789"
    assert "A123456789" not in page.html
