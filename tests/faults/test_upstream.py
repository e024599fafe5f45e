"""TW FidO is slow, lies or is away: a clear page quickly, nobody let in, all else goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.actors import Browser, Page, Service, log_in
from tests.asking import SQLITE
from tests.house import TestHouse, running, settings_for
from tests.logins import (
    AT_ONCE,
    HAND,
    abroad,
    again,
    asked_for,
    chosen,
    forget_rates,
    nobody_is_in,
    poll,
    qrids,
    rung,
    states,
    tab,
    weather,
)

pytestmark = SQLITE
HASTY = 0.25  # the time limit of a call here, in seconds
AWAY, LIES, NEUTRAL = "TF-2202", "TF-2201", "TF-2104"

# what befalls the answer, and what the page of a new login says
OPENINGS: list[tuple[Any, str]] = [
    (500, AWAY),
    (503, AWAY),
    (302, AWAY),
    (204, AWAY),
    ("garbage", AWAY),
    ("cut", AWAY),
    ("huge", AWAY),
    ({"hang": 60}, AWAY),
    ("bad_checksum", LIES),
    ("wrong_transeq", LIES),
    ("other_pid", LIES),
]
# the same for the answer to “how did it end”: what cannot be read is asked for again
RESULTS = [(fault, "" if page == AWAY else page) for fault, page in OPENINGS]


@pytest.fixture
async def hasty(database_url: str) -> AsyncIterator[TestHouse]:
    """A bridge that waits a quarter of a second for an upstream that can really be slow."""
    settings = settings_for(database_url, twfido={"total_timeout": HASTY})
    async with running(settings, sleep=asyncio.sleep) as found:
        yield found


async def service_of(house: TestHouse) -> Service:
    return Service(house, await house.register("service"))


@pytest.mark.parametrize("method", ["push", "qr"])
@pytest.mark.parametrize(("fault", "code"), OPENINGS, ids=str)
async def test_a_login_cannot_be_opened(
    hasty: TestHouse, method: str, fault: Any, code: str
) -> None:
    """Whatever the upstream's answer suffers, the page says so within a second, leads on, and
    works again when the upstream does. Nothing is sent twice."""
    service, browser = await service_of(hasty), Browser(hasty)
    await weather(hasty, **{"FATH_01" if method == "push" else "FEXCH_01": fault})
    began = time.monotonic()
    page = await chosen(browser, service, method, AT_ONCE)
    assert time.monotonic() - began < 2
    assert page.error_code == code
    assert {"regenerate", "other", "cancel"} == set(page.buttons())
    assert len(hasty.line.calls) == 1
    assert await nobody_is_in(hasty)
    await weather(hasty)
    await browser.press("regenerate")
    assert "allow" in (await browser.press("check")).buttons()


@pytest.mark.parametrize(("fault", "code"), RESULTS, ids=str)
async def test_a_result_cannot_be_read(hasty: TestHouse, fault: Any, code: str) -> None:
    """An answer that contradicts itself ends the attempt with an alarm; one that is not there
    leaves it waiting, and the next one counts. Nobody is let in by either."""
    service, browser = await service_of(hasty), Browser(hasty)
    await chosen(browser, service, "push", AT_ONCE)
    await weather(hasty, FATH_02=fault)
    began = time.monotonic()
    page = await browser.press("check")
    assert time.monotonic() - began < 3
    assert page.error_code == code
    assert await nobody_is_in(hasty)
    assert bool(await hasty.events("login.alarm")) == (code == LIES)
    await weather(hasty)
    hasty.clock.pass_(3)
    await browser.press("regenerate" if code else "check")
    if code:
        await browser.press("check")
    assert "allow" in browser.page.buttons()


async def test_a_button_does_not_wait_for_ever(hasty: TestHouse) -> None:
    """With the upstream hanging, “I have confirmed” answers after one question, not after as
    many as would fit."""
    service, browser = await service_of(hasty), Browser(hasty)
    await chosen(browser, service, "push", HAND)
    await weather(hasty, FATH_02={"hang": 60})
    assert (await browser.press("check")).texts["still"]
    assert asked_for(hasty) <= 3


async def test_somebody_with_a_slow_connection(hasty: TestHouse) -> None:
    """A100000118: six seconds are longer than we wait here, so the page says that it is away."""
    page = await chosen(Browser(hasty), await service_of(hasty), "push", "A100000118")
    assert page.error_code == AWAY


@pytest.mark.parametrize("method", ["web", "dongle"])
async def test_a_return_while_the_upstream_is_away(hasty: TestHouse, method: str) -> None:
    """Who comes back when the result cannot be asked for waits, and gets in when it can."""
    service, browser = await service_of(hasty), Browser(hasty)
    await chosen(browser, service, method, AT_ONCE)
    await weather(hasty, FATH_02=503)
    page = await abroad(browser, method, AT_ONCE)
    assert "check" in page.buttons() and page.error_code == ""
    await weather(hasty)
    hasty.clock.pass_(3)
    assert (await browser.press("check")).texts["masked"]
    assert "allow" in (await browser.press("check")).buttons()


async def test_every_third_checksum_is_wrong(house: TestHouse, service: Service) -> None:
    """An upstream that lies now and then fails those logins, lets in no wrong person, and is not
    asked again about what it lied about."""
    await weather(house, FATH_02={"bad_checksum": True, "every": 3})
    ends = []
    for _ in range(9):
        browser = Browser(house)
        await chosen(browser, service, "qr", AT_ONCE)
        page = await browser.press("check")
        ends.append(page.error_code or page.buttons()[0])
    assert ends == ["allow", "allow", LIES] * 3
    assert len(await house.events("login.alarm")) == 3


# ── the connection is refused ───────────────────────────────────────────────────────────────────


async def test_a_refused_connection(house: TestHouse, browser: Browser, service: Service) -> None:
    """A new login gets a clear page; one that waits goes on when the connection is back."""
    await chosen(browser, service, "push", AT_ONCE)
    house.line.cut = True
    assert (await chosen(Browser(house), service, "qr", HAND)).error_code == AWAY
    assert (await browser.press("check")).texts["still"]
    house.line.cut = False
    house.clock.pass_(3)
    assert "allow" in (await browser.press("check")).buttons()


async def test_the_circuit_opens_and_closes_by_itself(house: TestHouse, service: Service) -> None:
    """After ten failures the upstream is left alone but for one question every three seconds;
    the first good answer opens the way for everybody."""
    house.line.cut = True
    for _ in range(10):
        assert (await chosen(Browser(house), service, "qr", HAND)).error_code == AWAY
    calls = len(house.line.calls)
    assert calls == 10
    for _ in range(5):
        assert (await chosen(Browser(house), service, "qr", HAND)).error_code == AWAY
    assert len(house.line.calls) == calls
    house.clock.pass_(3.5)
    assert (await chosen(Browser(house), service, "qr", HAND)).error_code == AWAY
    assert (await chosen(Browser(house), service, "qr", HAND)).error_code == AWAY
    assert len(house.line.calls) == calls + 1
    house.line.cut = False
    house.clock.pass_(3.5)
    for _ in range(3):
        assert "check" in (await chosen(Browser(house), service, "qr", HAND)).buttons()
    assert rung(house) == 0


async def test_an_open_circuit_is_no_failed_start(house: TestHouse, service: Service) -> None:
    """An upstream that is away locks no address out: nobody was trying out numbers."""
    house.line.cut = True
    for _ in range(15):
        await chosen(Browser(house), service, "qr", HAND)
    house.line.cut = False
    house.clock.pass_(4)
    assert "check" in (await chosen(Browser(house), service, "qr", HAND)).buttons()


async def test_waiting_pages_do_not_storm_an_upstream_that_is_away(
    house: TestHouse, service: Service
) -> None:
    """Thirty pages that wait ask no faster than the open circuit lets them."""
    tabs = []
    for _ in range(30):
        browser = Browser(house)
        await chosen(browser, service, "qr", HAND)
        tabs.append(browser)
    house.line.cut, calls = True, len(house.line.calls)
    for _ in range(4):
        await forget_rates(house)
        await asyncio.gather(*(poll(browser) for browser in tabs))
        house.clock.pass_(3.5)
    # ten questions of two tries open the circuit; from then on one probe per pause
    assert len(house.line.calls) - calls <= 30 + 2 * 4
    assert set(await states(house)) == {"pending"}


# ── everything else goes on ─────────────────────────────────────────────────────────────────────


async def test_what_needs_no_upstream_goes_on(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Sessions, codes, refresh, userinfo, machine tokens, keys and readiness work with the
    upstream away, and who is logged in needs no new login."""
    page = await log_in(browser, service, "qr", AT_ONCE, scope="openid profile offline_access")
    program = Service(house, await house.register_program())
    house.line.cut = True
    tokens = (await service.redeem(page)).json()
    assert (await service.refresh(tokens["refresh_token"])).status_code == 200
    assert (await service.userinfo(tokens["access_token"])).status_code == 200
    assert (await program.token(grant_type="client_credentials")).status_code == 200
    for path in ("/jwks", "/.well-known/openid-configuration", "/health/ready"):
        assert (await house.http().get(path)).status_code == 200
    other = Service(house, await house.register("other", trusted=True))
    assert "code" in (await browser.open(other.url())).query
    assert (await chosen(Browser(house), service, "push", HAND)).error_code == AWAY


async def test_a_login_in_the_middle_survives_an_outage(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Reloading, polling and cancelling need no upstream; an approval given meanwhile counts."""
    await chosen(browser, service, "push", HAND)
    house.line.cut = True
    house.simulator.approve(qrids(house)[0])
    assert (await poll(browser))["state"] == "pending"
    assert "check" in (await again(browser)).buttons()
    house.line.cut = False
    house.clock.pass_(5)
    assert (await poll(browser))["state"] == "done"
    await again(browser)
    assert "allow" in (await browser.press("check")).buttons()
    other: Page = await chosen(tab(Browser(house)), service, "qr", HAND)
    assert "check" in other.buttons()


async def test_the_log_says_why_the_upstream_is_away(house: TestHouse) -> None:
    """A login that could not begin, and a question that got no answer, have a line each: which
    method, which interface, and the reason."""
    browser, service = Browser(house), await service_of(house)
    with capture_logs() as lines:
        await chosen(browser, service, "push", HAND)
        house.line.cut = True
        house.clock.pass_(3)
        await poll(browser)
        await chosen(Browser(house), service, "qr", HAND)
    said = {line["event"]: line for line in lines if line["event"].startswith("login.")}
    reason = "connection refused (ConnectError)"
    for event, method, interface in (
        ("login.upstream_away", "push", "FATH-02"),
        ("login.not_started", "qr", "FEXCH-01"),
    ):
        line = said[event]
        assert line["detail"] == f"{interface}: {reason}"
        assert (line["scheme"], line["method"]) == ("twfido", method)
