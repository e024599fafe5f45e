"""The login in each of its states, as a person meets it: without JavaScript, in process."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from idp.kernel.tables import attempts, logins, metadata, sessions
from idp.login.flow import GRACE
from tests.actors import Browser, Page, Service
from tests.asking import SQLITE, disable
from tests.house import SYSTEM_NAME, TestHouse
from tests.logins import (
    AT_ONCE,
    HAND,
    abroad,
    again,
    asked_for,
    chosen,
    let_in,
    nobody_is_in,
    poll,
    qrids,
    refused,
    rows,
    rung,
    states,
    tab,
    the_login,
    until,
    weather,
)

DENIES, SILENT, STRANGER = "A100000038", "A100000047", "A100000056"


def plain(page: Page) -> str:
    """The page without what is different each time."""
    assert page.texts["reference"]
    bare = page.html.replace(page.texts["reference"], "")
    bare = re.sub(r'name="csrf" value="[^"]+"', "", bare)
    return re.sub(r"/login/[\w-]{22}", "/login/x", bare)


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

SIGHTS: list[tuple[str, str, str, int, set[str]]] = [
    ("qr", HAND, "", 0, {"check", "regenerate", "other"}),
    ("push", HAND, "", 0, {"check", "regenerate", "other"}),
    ("web", HAND, "", 0, {"go", "regenerate", "other"}),
    ("dongle", HAND, "", 0, {"go", "regenerate", "other"}),
    ("qr", AT_ONCE, "check-once", 0, {"check"}),
    ("qr", HAND, "", 180, {"regenerate", "other"}),
    ("web", HAND, "", 180, {"regenerate", "other"}),
    ("qr", DENIES, "check", 0, {"regenerate", "other"}),
    ("push", DENIES, "check", 0, {"other"}),
    ("push", STRANGER, "", 0, {"regenerate", "other"}),
]


@SQLITE
@pytest.mark.parametrize(
    ("method", "number", "then", "seconds", "buttons"), SIGHTS, ids=lambda value: str(value)
)
async def test_every_page_leads_on_and_stays_the_same_when_reloaded(
    house: TestHouse,
    browser: Browser,
    service: Service,
    method: str,
    number: str,
    then: str,
    seconds: int,
    buttons: set[str],
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
    assert {*buttons, "cancel"} == set(page.buttons())
    calls = len(house.line.calls)
    assert plain(page) == plain(await again(browser))
    assert calls == len(house.line.calls)
    assert refused(await browser.press("cancel"))
    assert browser.page is not None and browser.page.query["state"] == service.state
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
        login = next(r for r in await rows(house, logins) if r["id"] in str(browser.page.url))  # type: ignore[union-attr]
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
    other, seen = tab(browser), _status_of(page)
    assert await poll(other, seen) == {"state": "pending", "seconds": 180}
    await browser.press("regenerate")
    assert (await poll(other, seen))["state"] == "done"
    assert plain(await again(other)) == plain(await again(browser))


def _status_of(page: Page) -> str:
    found = re.search(r'data-status="[^"?]+(\?[^"]+)"', page.html)
    assert found
    return found[1]


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
    before = await the_login(house), await rows(house)
    thief = Browser(house)
    await thief.open(service.url())
    assert thief.page is not None
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


# ── the simulator's people ──────────────────────────────────────────────────────────────────────

ALLOWED = "allow"
# number, method, presses of the button, what comes of it
PEOPLE: list[tuple[str, str, int, str]] = [
    ("A100000010", "push", 1, ALLOWED),
    ("A100000029", "push", 1, ALLOWED),
    ("A100000038", "push", 1, "TF-2101"),
    ("A100000038", "qr", 1, "TF-2101"),
    ("A100000056", "push", 0, "TF-2104"),
    ("A100000056", "qr", 0, "TF-2104"),
    ("A100000065", "push", 1, "TF-2102"),
    ("A100000074", "qr", 1, "TF-2202"),
    ("A100000083", "push", 2, ALLOWED),
    ("A100000092", "qr", 1, "TF-2201"),
    ("A100000109", "push", 1, "TF-2201"),
    ("A100000109", "qr", 1, "TF-2201"),
    ("A100000118", "push", 1, ALLOWED),
    ("A100000127", "qr", 1, ALLOWED),
]


@pytest.mark.parametrize(("number", "method", "presses", "end"), PEOPLE)
async def test_people_with_a_phone(
    house: TestHouse,
    browser: Browser,
    service: Service,
    number: str,
    method: str,
    presses: int,
    end: str,
) -> None:
    """Each of the simulator's people meets the page that belongs to what they do."""
    page = await chosen(browser, service, method, number)
    for _ in range(presses):
        page = await browser.press("check")
    await _ends(house, browser, page, end)


@SQLITE
@pytest.mark.parametrize("method", ["web", "dongle"])
@pytest.mark.parametrize(
    ("number", "end"),
    [
        ("A100000010", ALLOWED),
        ("A100000038", "TF-2101"),
        ("A100000047", "TF-2103"),
        ("A100000065", "TF-2102"),
        ("A100000074", "TF-2202"),
        ("A100000092", "TF-2201"),
        ("A100000109", "TF-2201"),
    ],
)
async def test_people_at_the_upstreams_page(
    house: TestHouse, browser: Browser, service: Service, method: str, number: str, end: str
) -> None:
    """Web redirect and dongle end the same ways, and a return that names somebody else than the
    upstream does is a contradiction: nobody is let in, and it is an alarm."""
    await chosen(browser, service, method, number)
    page = await abroad(browser, method, number)
    if end == ALLOWED:
        page = await browser.press("check")
    await _ends(house, browser, page, end)


async def _ends(house: TestHouse, browser: Browser, page: Page, end: str) -> None:
    if end == ALLOWED:
        assert end in page.buttons(), page.html
        assert len(await rows(house, sessions)) == 1
    else:
        assert page.error_code == end, page.html
        assert not let_in(browser, page)
        assert await nobody_is_in(house)
    alarms = await house.events("login.alarm")
    assert bool(alarms) == (end == "TF-2201")


@SQLITE
async def test_somebody_who_never_answers(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A100000047: after three minutes the page says so, and that nothing has happened."""
    await chosen(browser, service, "push", SILENT)
    house.clock.pass_(180)
    page = await again(browser)
    assert page.error_code == "TF-2103"
    assert page.title.startswith("錯誤：驗證時間已到")


@SQLITE
@pytest.mark.parametrize("method", ["push", "qr"])
async def test_nobody_learns_who_is_registered_from_the_words(
    house: TestHouse, service: Service, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not registered, a number that is nobody's, and any refusal that the slides do not know give
    the same bytes, and no number stands in them."""
    from idp.verify.twfido.simulator import interfaces
    from idp.verify.twfido.simulator.personas import PERSONAS, Persona

    pages = [plain(await chosen(Browser(house), service, method, STRANGER))]
    monkeypatch.setitem(PERSONAS, "B222222228", Persona("B222222228", registered=False))
    pages.append(plain(await chosen(Browser(house), service, method, "B222222228")))
    seal = interfaces.seal

    def sealed(fields: dict[str, Any], *rest: Any) -> dict[str, Any]:
        return seal({**fields, "rcode": "9003"} if fields["rcode"] == "4002" else fields, *rest)

    monkeypatch.setattr(interfaces, "seal", sealed)
    pages.append(plain(await chosen(Browser(house), service, method, STRANGER)))
    assert len(set(pages)) == 1
    assert STRANGER not in pages[0] and "A1****0056" not in pages[0]


# ── odds ────────────────────────────────────────────────────────────────────────────────────────


@SQLITE
async def test_a_disabled_person_is_told_and_sent_back(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """An operator has locked a person out: no session, a page that says so, and the way back."""
    login = house.house.login
    await house.ground.database.write(lambda tx: login.persons.meet(tx, AT_ONCE))
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
    start = house.house.verifier.start

    async def slowly(order: Any) -> Any:
        asked.append(order.method)
        await answered.wait()
        return await start(order)

    monkeypatch.setattr(house.house.verifier, "start", slowly)
    await browser.open(service.url())
    other = tab(browser)
    pressed = asyncio.create_task(browser.press("continue", method="qr", pid=HAND))
    await until(lambda: asked)
    page = await again(other)
    assert {"check", "other", "cancel"} == set(page.buttons())
    assert SYSTEM_NAME not in page.html
    seen = _status_of(page)
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

    monkeypatch.setattr(house.house.verifier, "start", crash)
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
    house: TestHouse, browser: Browser, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that was waiting by a method which no longer exists goes back to the choice."""
    await chosen(browser, service, "push")
    verifier = house.house.verifier
    left = {k: m for k, m in verifier.methods.items() if k != "push"}
    monkeypatch.setattr(verifier, "_methods", left)
    page = await again(browser)
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
    assert (await browser.press("check")).buttons() == ["allow", "deny"]
    assert await house.count(sessions) == 1
    for table in metadata.sorted_tables:
        assert AT_ONCE not in str(await rows(house, table)), table.name
