"""Browsers that come back from the upstream's pages: they say what to ask for and prove nothing."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest

from idp.kernel.tables import handles, landings
from tests.actors import Browser, Service
from tests.asking import SQLITE
from tests.house import TestHouse
from tests.logins import (
    AT_ONCE,
    HAND,
    abroad,
    carried,
    chosen,
    forget_rates,
    land,
    let_in,
    nobody_is_in,
    path_of,
    qrids,
    rows,
    tab,
)

TEST_KEY = "59C55AAD2AEADF8A87EC55317CA148E7"  # printed in the slides
NEVER_SEEN = "00000000-0000-4000-8000-000000000000"


# ── browsers that return ────────────────────────────────────────────────────────────────────────


async def test_a_return_without_a_login(house: TestHouse, browser: Browser) -> None:
    """FD-19: who returns though nobody was sent away gets 403, and the qrid is burnt: nobody
    else can use it any more."""
    page = await land(browser, carried(NEVER_SEEN))
    assert (page.status, page.error_code) == (403, "TF-3001")
    assert [row["handle"] for row in await rows(house, handles)] == [NEVER_SEEN]
    assert len(await house.events("login.alarm")) == 1
    assert (await land(Browser(house), carried(NEVER_SEEN))).status == 403
    assert len(await house.events("login.alarm")) == 1


@SQLITE
@pytest.mark.parametrize("way", ["GET", "POST"])
@pytest.mark.parametrize("words", ["%B4%FA%A6%A1", "100%", "%00", "%B3%5C%22%7B"])
async def test_a_return_in_big5(house: TestHouse, service: Service, words: str, way: str) -> None:
    """The ministry's server may write its message in Big5, and broken: the fields that count are
    read all the same, and the message is not believed."""
    browser = Browser(house)
    await chosen(browser, service, "web", "")
    await browser.press("go")
    page = await browser.press("approve", pid=AT_ONCE)
    form, _ = page.form_with("return")
    told = urlencode({name: value for name, value in form.fields.items() if name != "msg"})
    body = f"{told}&msg={words}"
    cookies = "; ".join(f"{k}={v}" for k, v in browser.cookies["id.test"].items())
    http = house.http(headers={"cookie": cookies, "sec-fetch-site": "cross-site"})
    if way == "GET":
        answer = await http.get(f"/twfido/return?{body}")
    else:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = await http.post("/twfido/return", content=body, headers=kind)
    assert answer.status_code == 303, answer.text
    page = await browser.open(answer.headers["location"])
    assert "A1****0010" in page.html
    assert "check" in page.buttons()


@SQLITE
async def test_a_result_of_another_browser_again_and_again(
    house: TestHouse, service: Service
) -> None:
    """Somebody brings the result of a login that is not theirs for as long as they like: the alarm
    is written a few times a minute."""
    await chosen(Browser(house), service, "qr", HAND)
    thief = Browser(house)
    for _ in range(40):
        await forget_landings(house)
        await land(thief, carried(qrids(house)[0]))
    assert 1 <= len(await house.events("login.alarm")) <= 20


async def forget_landings(house: TestHouse) -> None:
    """The landings of one address are limited too; this is as if they came over an hour."""
    for key in [key for key in getattr(house.windows, "storage", {}) if "landing" in key]:
        await house.windows.clear(key)


@pytest.mark.parametrize("method", ["web", "dongle"])
async def test_a_return_that_was_seen_in_another_login(
    house: TestHouse, service: Service, method: str
) -> None:
    """FD-19, FD-20: the signed return of a finished login, brought by another browser that waits
    for one of its own, opens nothing; its login waits on."""
    victim, thief = Browser(house), Browser(house)
    await chosen(victim, service, method, AT_ONCE)
    await abroad(victim, method, AT_ONCE)
    pid = AT_ONCE if method == "web" else "A1****0010"
    await chosen(thief, service, method, AT_ONCE)
    own = await rows(house)
    page = await land(thief, carried(qrids(house)[0], pid))
    assert (page.status, page.error_code) == (403, "TF-3001")
    assert own == await rows(house)
    assert await house.events("login.alarm")
    assert not let_in(thief, await again_at(thief, own[-1]["login_id"]))


async def again_at(browser: Browser, login_id: str) -> Any:
    return await browser.open(f"/login/{login_id}")


@SQLITE
async def test_a_burnt_handle_stays_burnt(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A qrid that came once without a login opens none later, even with a login waiting."""
    await land(Browser(house), carried(NEVER_SEEN))
    await chosen(browser, service, "web")
    assert (await land(browser, carried(NEVER_SEEN))).status == 403
    assert (await rows(house))[0]["handle"] is None


@SQLITE
@pytest.mark.parametrize(
    "fields",
    [
        {"a": ""},
        {"qrid": NEVER_SEEN},
        carried(NEVER_SEEN, key=TEST_KEY),
        carried(NEVER_SEEN, pid="A12345678", rcode="90000"),
        carried(NEVER_SEEN) | {"chksum": "0" * 16},
        carried(NEVER_SEEN) | {"grid": NEVER_SEEN},
        carried("x"),
        {"a": "b" * 3000},
    ],
    ids=range(8),
)
async def test_returns_that_are_nonsense(
    house: TestHouse, browser: Browser, service: Service, fields: dict[str, str]
) -> None:
    """Unsigned, ambiguous or empty returns are refused; the login that waits is untouched."""
    await chosen(browser, service, "web")
    before = await rows(house)
    page = await land(browser, fields)
    assert (page.status, page.error_code) == (403, "TF-3001")
    assert before == await rows(house)
    assert not await rows(house, handles)
    await again_at(browser, before[0]["login_id"])
    assert "go" in browser.page.buttons()


@SQLITE
async def test_a_return_logs_nobody_in(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """The checksum of a return is the same for ever: who brings a stolen one with a qrid that
    nobody approved waits in vain."""
    await chosen(browser, service, "web")
    await browser.press("go")
    page = await land(browser, carried(qrids(house)[-1], AT_ONCE))
    assert "check" in page.buttons()
    page = await browser.press("check")
    assert page.texts["still"]
    house.simulator.deny(qrids(house)[-1])
    house.clock.pass_(3)
    assert (await browser.press("check")).error_code == "TF-2101"
    assert await nobody_is_in(house)


@SQLITE
async def test_a_stolen_result_with_an_approval_of_ones_own(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Who approves themselves but brings back the signed result of another person has
    contradicted the upstream: nobody is let in, and it is an alarm."""
    await chosen(browser, service, "web")
    await browser.press("go")
    house.simulator.approve(qrids(house)[-1], HAND)
    page = await land(browser, carried(qrids(house)[-1], AT_ONCE))
    assert page.error_code == "TF-2201"
    assert len(await house.events("login.alarm")) == 1
    assert await nobody_is_in(house)


@SQLITE
async def test_a_victims_number_with_an_approval_of_ones_own(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A dongle login that was opened with a victim's number takes no return of somebody else."""
    await chosen(browser, service, "dongle", HAND)
    for pid in (AT_ONCE, "A1****0010"):
        assert (await land(browser, carried(NEVER_SEEN, pid))).status == 403
        assert (await rows(house))[0]["handle"] is None


async def test_a_return_that_comes_twice(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A form sent twice at once, or again by the Back button, leads to the same login and is no
    alarm."""
    await chosen(browser, service, "web")
    await browser.press("go")
    await browser.press("approve", pid=AT_ONCE)
    pages = await asyncio.gather(*(tab(browser).press("return") for _ in range(5)))
    pages.append(await tab(browser).press("return"))
    assert {page.status for page in pages} == {200}
    assert not await house.events("login.alarm")
    page = await again_at(browser, (await rows(house))[0]["login_id"])
    assert "check" in page.buttons()


@SQLITE
@pytest.mark.parametrize("late", [False, True])
async def test_a_return_when_nothing_waits_any_more(
    house: TestHouse, browser: Browser, service: Service, late: bool
) -> None:
    """Who comes back too late, or after choosing another way, is led to the login as it is; the
    qrid is burnt."""
    await chosen(browser, service, "web")
    leaving = tab(browser)
    await leaving.press("go")
    await leaving.press("approve", pid=AT_ONCE)
    if late:
        house.clock.pass_(250)
    else:
        await browser.press("other")
    page = await leaving.press("return")
    assert page.error_code == ("TF-2103" if late else "")
    assert ("regenerate" if late else "continue") in page.buttons()
    assert [row["attempt_id"] for row in await rows(house, handles)] == [""]
    assert await nobody_is_in(house)


@SQLITE
async def test_two_tabs_that_left(house: TestHouse, browser: Browser, service: Service) -> None:
    """A return finds its login among several of one browser: the dongle's by the number."""
    await chosen(browser, service, "dongle", AT_ONCE)
    other = tab(browser)
    house.clock.pass_(1)
    await chosen(other, service, "dongle", HAND)
    page = await abroad(browser, "dongle", AT_ONCE)
    assert path_of(page) != path_of(other.page) or "check" in page.buttons()
    by_number = {r["number_index"]: r["handle"] for r in await rows(house)}
    index = house.house.login.persons.index
    assert by_number == {index(AT_ONCE): qrids(house)[0], index(HAND): None}


@SQLITE
async def test_landings_are_limited(house: TestHouse, browser: Browser) -> None:
    """One address can put aside sixty returns a minute, no large one, and each is taken once."""
    await forget_rates(house)
    client = house.http()
    answers = [await client.post("/twfido/return", data={"a": "b"}) for _ in range(61)]
    assert [a.status_code for a in answers] == [303] * 60 + [429]
    assert "retry-after" in answers[-1].headers
    assert len(await rows(house, landings)) == 60
    await forget_rates(house)
    assert (await client.post("/twfido/return", data={"a": "b" * 17_000})).status_code == 413
    first = answers[0].headers["location"]
    assert (await client.get(first)).status_code == 403
    assert (await client.get(first)).status_code == 410
    house.clock.pass_(61)
    assert (await client.get(answers[1].headers["location"])).status_code == 410
