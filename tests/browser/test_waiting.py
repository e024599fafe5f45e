"""The script of the waiting pages: it polls, announces, and completes by itself."""

from __future__ import annotations

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
    person.page.clock.install()
    person.begin()
    person.choose("push", number)
    for seconds in (150, 119, 100, 61, 59, 31, 29, 20):
        left["seconds"] = seconds
        with person.page.expect_response("**/status*"):
            person.page.clock.run_for(2000)
        person.page.wait_for_timeout(200)
        person.page.clock.run_for(600)
    assert person.heard == [
        "剩餘 2 分鐘",
        "剩餘 1 分鐘",
        "剩餘 30 秒，可按「重新產生」取得新的 3 分鐘",
    ]
    assert person.text("clock") == "00:20"


def _pending(route: Route, seconds: int) -> None:
    route.fulfill(json={"state": "pending", "seconds": seconds})


def test_a_lost_connection_is_told(person: Person, number: str) -> None:
    """First that it is tried again, in the end that it is not; the buttons remain."""
    person.page.route("**/status*", lambda route: route.abort())
    person.page.clock.install()
    person.begin()
    person.choose("push", number)
    notice, told = person.page.locator("#offline"), []
    for _ in range(3):
        with person.page.expect_event("requestfailed"):
            person.page.clock.run_for(16_000)
        person.page.wait_for_timeout(300)
        told.append(notice.inner_text() if notice.is_visible() else "")
    assert told == ["", "連線中斷，正在重試…", "連線中斷。網路恢復後，請重新整理這一頁。"]
    assert person.page.is_enabled("#check")


def test_a_qr_code_that_is_cut_off_is_told(meet: Meet, number: str) -> None:
    """On a low screen there is a note, until the whole code is in view."""
    person = meet(viewport={"width": 320, "height": 480})
    person.begin()
    person.choose("qr", number)
    note = person.page.locator("#qr-cut")
    note.wait_for(state="visible")
    person.page.locator("#qr").scroll_into_view_if_needed()
    note.wait_for(state="hidden")


def test_the_script_stays_small() -> None:
    """Three kilobytes, so that an old embedded browser on a slow line has it at once."""
    script = (template_directory() / "static" / "wait.js").read_text(encoding="utf-8")
    assert len(script.encode()) <= 3072
    assert not any(word in script for word in ("fetch(", "=>", "let ", "const ", "import "))
