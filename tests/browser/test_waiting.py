"""The script of the waiting pages: it polls, announces, and completes by itself."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Route

from idp.kernel.templates import template_directory
from tests.browser.conftest import Meet
from tests.browser.person import Person

LATER = "A100000029"  # approves after 3 s


def test_the_page_completes_when_the_phone_approves(person: Person) -> None:
    """Nobody presses anything; it is announced before the page leaves."""
    person.begin()
    person.choose("push", LATER)
    assert person.text("sysname") == "國家圖書館 館藏服務（開發）"
    person.page.wait_for_selector("#allow")
    assert person.heard == ["正在確認驗證結果"]


def test_a_decision_on_the_phone_page_is_noticed(meet: Meet, number: str) -> None:
    """The pretend phone shows the request with the name that the waiting page shows."""
    person, phone = meet(), meet()
    person.begin()
    person.choose("push", number)
    phone.open(f"{person.dev.simulator}/phone?pid={number}")
    assert person.text("sysname") in phone.page.inner_text(".requests")
    phone.page.click("[id^=approve-]")
    person.page.wait_for_selector("#allow")


def test_time_left_is_announced_at_three_marks(person: Person, number: str) -> None:
    """At two minutes, one minute and 30 seconds, and at no other second."""
    left = {"seconds": 180}
    person.page.route("**/status*", lambda route: _pending(route, left["seconds"]))
    _wait(person, number)
    for seconds in (150, 119, 100, 61, 59, 31, 29, 20):
        left["seconds"] = seconds
        with person.page.expect_response("**/status*"):
            person.page.clock.run_for(2000)
        person.page.wait_for_timeout(200)
        person.page.clock.run_for(600)
    assert person.heard == [
        "剩餘 2 分鐘",
        "剩餘 1 分鐘",
        "剩餘 30 秒。時間不夠可以重新產生，取得新的 3 分鐘",
    ]
    assert person.text("clock") in ("00:20", "00:19")  # the script's own second may pass


def _wait(person: Person, number: str, at: float | None = None) -> None:
    """On the waiting page, its script running, with a clock that only tests move."""
    person.page.clock.install(time=at)
    person.begin()
    person.choose("push", number)
    person.text("masked")
    person.page.wait_for_load_state()


def _pass(person: Person, seconds: int) -> None:
    """Second by second, so that the page hears each answer when it comes."""
    for _ in range(seconds):
        person.page.clock.run_for(1000)
        person.page.wait_for_timeout(20)


def _pending(route: Route, seconds: int) -> None:
    route.fulfill(json={"state": "pending", "seconds": seconds})


def test_a_lost_connection_is_told(person: Person, number: str) -> None:
    """First that it is tried again, in the end that it is not; the buttons remain."""
    person.page.route("**/status*", lambda route: route.abort())
    _wait(person, number)
    told = []
    for seconds in (10, 10, 25):
        _pass(person, seconds)
        told.append([n for n in ("offline", "lost") if person.page.is_visible(f"#{n}")])
    assert told == [["offline"], ["offline"], ["lost"]]
    person.page.unroute("**/status*")
    person.press("retry")
    assert person.text("masked") == f"F1****{number[-4:]}"
    assert not person.page.is_visible("#lost")


@pytest.mark.parametrize(("away", "told"), [(20, "offline"), (40, "lost")])
def test_the_network_is_away(person: Person, number: str, away: int, told: str) -> None:
    """It is told at once; after 20 seconds the page goes on by itself, after 40 it has stopped
    asking, and goes on when the browser says that the network is back."""
    _wait(person, number)
    person.context.set_offline(True)
    person.page.wait_for_selector("#offline", state="visible")
    _pass(person, away)
    assert person.page.is_visible(f"#{told}")
    with person.page.expect_response("**/status*"):
        person.context.set_offline(False)
    for notice in ("#offline", "#lost"):
        person.page.wait_for_selector(notice, state="hidden")


def test_a_page_that_is_offline_at_its_end_stays(person: Person, number: str) -> None:
    """At 00:00 without a network it waits for one: a reload would lead to the browser's error."""
    _wait(person, number)
    person.context.set_offline(True)
    person.page.clock.run_for(185_000)
    assert person.text("clock") == "00:00"
    assert person.page.is_visible("#lost")
    person.context.set_offline(False)


@pytest.mark.parametrize("skew", [-600, 600])
def test_the_clock_of_the_computer_is_wrong(person: Person, number: str, skew: int) -> None:
    """Ten minutes ahead or behind: the time left is the server's, and nothing reloads."""
    _wait(person, number, time.time() + skew)
    loads: list[str] = []
    person.page.on("load", lambda _: loads.append(person.page.url))
    person.page.clock.run_for(10_000)
    assert "02:40" < person.text("clock") < "03:00"
    assert loads == []


def test_at_the_end_the_server_is_asked_what_is_true(person: Person, number: str) -> None:
    """The script counts to 00:00 and reloads once; as the server's clock says that there is time
    left, the page goes on with it."""
    _wait(person, number)
    person.page.route("**/status*", lambda route: _pending(route, 2))
    with person.page.expect_event("load"), person.page.expect_navigation():
        for _ in range(8):
            person.page.clock.run_for(1000)
            person.page.wait_for_timeout(100)
    person.page.unroute("**/status*")
    assert person.text("clock") > "02:30"


def test_polls_that_are_refused(person: Person, number: str) -> None:
    """429 is another tab's fault and is not told; 503 is, and its Retry-After is obeyed."""
    answers = iter([(429, {}), (503, {"Retry-After": "9"})])
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        status, headers = next(answers, (200, {}))
        body = '{"state": "pending", "seconds": 100}'
        route.fulfill(status=status, headers=headers, body=body)

    person.page.route("**/status*", refuse)
    _wait(person, number)
    _polled(person, 2000)
    assert not person.page.is_visible("#offline")
    _polled(person, 3000)
    assert person.page.is_visible("#offline")
    person.page.clock.run_for(8500)
    person.page.wait_for_timeout(200)
    assert len(asked) == 2
    _polled(person, 600)
    person.page.wait_for_selector("#offline", state="hidden")


def _polled(person: Person, milliseconds: int) -> None:
    with person.page.expect_response("**/status*"):
        person.page.clock.run_for(milliseconds)
    person.page.wait_for_timeout(200)


def test_a_button_that_waits(person: Person, number: str) -> None:
    """Sending again is hidden behind its reason, and appears without any script of ours."""
    person.begin()
    person.choose("push", number)
    page = person.page
    reason = page.get_by_text("秒後可以再傳一次")
    assert reason.is_visible() and not page.is_visible("#regenerate")
    page.evaluate("document.getAnimations().forEach(a => a.finish())")
    assert not reason.is_visible() and page.is_visible("#regenerate")
    person.press("scan")
    assert page.is_visible("#qr")


def test_the_clock_may_be_folded_away(person: Person, number: str) -> None:
    """Who is made nervous by it hides it, hears so, and may bring it back; the button says which
    of the two it does, also without a script."""
    person.begin()
    person.choose("push", number)
    for name, told, seen in (
        ("隱藏時間", "已隱藏時間", False),
        ("顯示剩餘時間", "已顯示剩餘時間", True),
    ):
        assert person.page.inner_text("#hide") == name
        person.page.click("#hide")
        person.page.wait_for_function(
            "t => document.getElementById('live').textContent === t", arg=told
        )
        assert person.page.is_visible("#clock") is seen


def test_the_reference_can_be_copied(meet: Meet) -> None:
    """With a script there is a button; it says that it has done it. Without one there is none."""
    person, plain = meet(), meet(java_script_enabled=False)
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for somebody in (person, plain):
        somebody.open(f"{somebody.dev.bridge}/authorize?client_id=nobody")
    assert not plain.page.is_visible("#copy")
    person.press("copy")
    person.page.get_by_text("已複製").wait_for()
    assert person.page.evaluate("navigator.clipboard.readText()") == person.text("reference")


def test_a_qr_code_that_is_cut_off_is_told(meet: Meet, number: str) -> None:
    """On a low screen there is a note, until the whole code is in view."""
    person = meet(viewport={"width": 320, "height": 480})
    person.begin()
    person.choose("qr", number)
    note = person.page.locator("#qr-cut")
    note.wait_for(state="visible")
    person.page.locator("#qr").scroll_into_view_if_needed()
    note.wait_for(state="hidden")


def test_the_scripts_stay_small() -> None:
    """Three kilobytes for a page, so that an old embedded browser on a slow line has it at once."""
    folder = template_directory()
    for template in folder.rglob("*.html"):
        names = re.findall(r'src="/static/(\w+\.js)"', template.read_text(encoding="utf-8"))
        scripts = [(folder / "static" / name).read_text(encoding="utf-8") for name in names]
        assert sum(len(script.encode()) for script in scripts) <= 3072
        for script in scripts:
            assert not any(w in script for w in ("fetch(", "=>", "let ", "const ", "import "))
