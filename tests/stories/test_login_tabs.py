"""One login in several tabs, browsers and moments: exactly one outcome, and never nowhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from idp.kernel.tables import attempts, logins, metadata, sessions
from idp.settings import Settings
from tests.actors import Browser, Service
from tests.asking import SQLITE, disable
from tests.house import SYSTEM_NAME, TestHouse, running
from tests.logins import (
    AT_ONCE,
    HAND,
    abroad,
    again,
    approved,
    chosen,
    let_in,
    nobody_is_in,
    plain,
    poll,
    qrids,
    refused,
    rows,
    status_of,
    tab,
    the_login,
    until,
    weather,
)

# ── one winner ──────────────────────────────────────────────────────────────────────────────────


async def test_approving_races_cancelling(house: TestHouse, service: Service) -> None:
    """Of “I have confirmed” and “cancel”, pressed at once in two tabs, exactly one counts: there
    is a session and a code, or neither and access_denied."""
    seen = set()
    for round_ in range(16):
        browser = Browser(house)
        await chosen(browser, service, "qr", AT_ONCE)
        await poll(browser)
        await again(browser)
        presses = ["check", "cancel"] if round_ % 2 else ["cancel", "check"]
        pages = await asyncio.gather(*(tab(browser).press(p) for p in presses))
        outcome = dict(zip(presses, pages, strict=True))
        login = next(r for r in await rows(house, logins) if r["id"] in str(browser.page.url))
        assert login["finished_at"] is not None
        assert (login["session_id"] is None) == refused(outcome["cancel"])
        assert let_in(browser, outcome["check"]) == (login["session_id"] is not None)
        seen.add(login["session_id"] is None)
        house.clock.pass_(1)
    entered = [r for r in await rows(house, logins) if r["session_id"]]
    assert len(entered) == len(await rows(house, sessions))
    assert seen


async def test_completing_twice_at_once(house: TestHouse, service: Service) -> None:
    """Five tabs that complete one login make one session, and none of them ends in nowhere."""
    browser = Browser(house)
    await chosen(browser, service, "qr", AT_ONCE)
    await poll(browser)
    await again(browser)
    pages = await asyncio.gather(*(tab(browser).press("check") for _ in range(5)))
    assert len(await rows(house, sessions)) == 1
    assert {page.status for page in pages} == {200}
    assert [r["state"] for r in await rows(house, attempts)] == ["used"]


# ── tabs, Back, other browsers ──────────────────────────────────────────────────────────────────


@SQLITE
async def test_two_tabs_show_one_login(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """What is done in one tab the other is told to go and see: nobody scans a dead code."""
    page = await chosen(browser, service)
    other, seen = tab(browser), status_of(page)
    assert await poll(other, seen) == {"state": "pending", "seconds": 180}
    await browser.press("regenerate")
    assert (await poll(other, seen))["state"] == "done"
    assert plain(await again(other)) == plain(await again(browser))


@SQLITE
async def test_back_after_the_login_is_done(browser: Browser, service: Service) -> None:
    """Before the code is out Back leads on to consent; afterwards the page says it is over."""
    await chosen(browser, service, "qr", AT_ONCE)
    login = browser.page
    await browser.press("check")
    assert login is not None
    assert (await browser.open(login.url)).buttons() == ["allow", "deny"]
    await browser.press("allow")
    page = await browser.open(login.url)
    assert (page.status, page.error_code) == (410, "TF-3002")
    for button in ("check", "regenerate", "other", "cancel"):
        browser.page = login
        assert (await browser.press(button)).error_code == "TF-3002"


@SQLITE
async def test_back_after_cancelling(browser: Browser, service: Service) -> None:
    """A cancelled login stays cancelled."""
    page = await chosen(browser, service, "qr", AT_ONCE)
    await browser.press("cancel")
    for button in ("check", "regenerate", "other", "cancel"):
        browser.page = page
        assert (await browser.press(button)).error_code == "TF-3002"


@SQLITE
@pytest.mark.parametrize("path", ["", "/status", "/check", "/method", "/regenerate", "/cancel"])
async def test_the_wrong_browser(
    house: TestHouse, browser: Browser, service: Service, path: str
) -> None:
    """Who only knows the address of a login can neither see nor touch it, not even with a
    form of a login of their own."""
    page = await chosen(browser, service, "qr", AT_ONCE)
    await approved(house)
    before = await the_login(house), await rows(house)
    thief = Browser(house)
    await thief.open(service.url())
    fields = thief.page.forms[0].fields | {"method": "qr", "pid": HAND}
    post = path not in ("", "/status")
    seen = await (thief.send(page.url + path, fields) if post else thief.open(page.url + path))
    assert seen.status == 403
    assert seen.error_code == "TF-3001" or "wrong_browser" in seen.html
    assert before[0] in await rows(house, logins)
    assert before[1] == await rows(house)


@SQLITE
async def test_two_people_in_two_tabs(house: TestHouse, browser: Browser) -> None:
    """Each login ends with the person who approved it, one after the other in one browser."""
    one = Service(house, await house.register("one"))
    two = Service(house, await house.register("two"))
    other = tab(browser)
    await chosen(browser, one, "qr", HAND, prompt="login")
    await chosen(other, two, "qr", AT_ONCE, prompt="login", scope="openid twid")
    await other.press("check")
    second = await other.press("allow")
    house.simulator.approve(qrids(house)[0])
    await browser.press("check")
    first = await browser.press("allow")
    subjects = []
    for service, page in ((one, first), (two, second)):
        tokens = (await service.redeem(page)).json()
        subjects.append((await service.verified(tokens["id_token"])).get("twid"))
    assert subjects == [None, AT_ONCE]
    assert len({row["id"] for row in await rows(house, sessions)}) == 2


# ── odds ────────────────────────────────────────────────────────────────────────────────────────


@SQLITE
async def test_a_disabled_person_is_told_and_sent_back(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """An operator has locked a person out: no session, a page that says so, and the way back."""
    login = house.house.login
    await house.services.database.write(lambda tx: login.persons.meet(tx, AT_ONCE))
    await disable(house, AT_ONCE)
    await chosen(browser, service, "qr", AT_ONCE)
    page = await browser.press("check")
    assert (page.status, page.error_code) == (403, "TF-3006")
    assert await nobody_is_in(house)
    assert refused(await browser.press("cancel"))


@SQLITE
async def test_a_page_seen_while_the_upstream_is_still_being_asked(
    house: TestHouse, browser: Browser, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload before the upstream has answered shows that it is on its way; then the page is
    told to look again and draws the code."""
    answered, asked = asyncio.Event(), list[str]()
    start = house.twfido.start

    async def slowly(order: Any) -> Any:
        asked.append(order.method)
        await answered.wait()
        return await start(order)

    monkeypatch.setattr(house.twfido, "start", slowly)
    await browser.open(service.url())
    other = tab(browser)
    pressed = asyncio.create_task(browser.press("continue", method="qr", pid=HAND))
    await until(lambda: asked)
    page = await again(other)
    assert {"check", "other", "cancel"} == set(page.buttons())
    assert SYSTEM_NAME not in page.html
    seen = status_of(page)
    assert (await poll(other, seen))["state"] == "pending"
    answered.set()
    await pressed
    assert (await poll(other, seen))["state"] == "done"
    assert SYSTEM_NAME in (await again(other)).texts["sysname"]


@SQLITE
async def test_an_opening_that_never_came_back(
    house: TestHouse, browser: Browser, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If we die between asking and being answered, the page says after a while that it failed."""

    async def crash(_order: Any) -> Any:
        raise RuntimeError("the process dies here")

    monkeypatch.setattr(house.twfido, "start", crash)
    await browser.open(service.url())
    with pytest.raises(RuntimeError):
        await browser.press("continue", method="qr", pid=HAND)
    assert "check" in (await again(browser)).buttons()
    house.clock.pass_(15)
    page = await again(browser)
    assert page.error_code == "TF-2202"
    monkeypatch.undo()
    assert "check" in (await browser.press("regenerate")).buttons()


@SQLITE
async def test_a_method_that_is_switched_off_meanwhile(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A login that was waiting by a method which no longer exists goes back to the choice."""
    await chosen(browser, service, "push")
    known = house.settings.model_dump()
    known["twfido"]["methods"] = [m for m in known["twfido"]["methods"] if m != "push"]
    async with running(Settings.model_validate(known)) as restarted:
        later = Browser(restarted)
        later.cookies, later.page = browser.cookies, browser.page
        page = await again(later)
    assert "continue" in page.buttons() and "method-push" not in page.html


@SQLITE
@pytest.mark.parametrize("method", ["push", "qr", "web", "dongle"])
async def test_no_number_is_stored_for_reading(
    house: TestHouse, browser: Browser, service: Service, method: str
) -> None:
    """In no row of any table stands a number, whatever the method and however far it came; the
    one that a browser brought back is kept sealed until the upstream has named the same."""
    await weather(house, FATH_02=503)
    await chosen(browser, service, method, AT_ONCE)
    (opened,) = await rows(house)
    assert (opened["number_sealed"] is None) == (method == "web")
    if method in ("web", "dongle"):
        await abroad(browser, method, AT_ONCE)
    (waiting,) = await rows(house)
    assert waiting["number_index"] == house.house.login.persons.index(AT_ONCE)
    assert opened["number_sealed"] in (None, waiting["number_sealed"])
    await weather(house)
    house.clock.pass_(3)
    page = await browser.press("check")
    if method in ("web", "dongle"):  # whose verification it is must be confirmed
        page = await browser.press("check")
    assert page.buttons() == ["allow", "deny"]
    assert await house.count(sessions) == 1
    for table in metadata.sorted_tables:
        assert AT_ONCE not in str(await rows(house, table)), table.name
