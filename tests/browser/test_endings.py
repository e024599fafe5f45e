"""What a person sees when a login does not simply succeed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.browser.conftest import Meet
from tests.browser.dev import Dev
from tests.browser.person import ALICE, Person

LATER, DENIES, SILENT, STRANGER = "A100000029", "A100000038", "A100000047", "A100000056"


@contextmanager
def later(dev: Dev, seconds: int) -> Iterator[None]:
    """The simulator's clock runs ahead; ours cannot be moved."""
    dev.control(clock_offset=seconds)
    try:
        yield
    finally:
        dev.control(clock_offset=0)


def test_a_denial_on_the_phone_is_told(person: Person) -> None:
    """The page changes by itself, says so in its title, and another way still works."""
    person.begin()
    person.choose("push", DENIES)
    assert person.error_code == "TF-2101"
    assert person.title().startswith("錯誤：您在手機上取消了登入｜館藏服務｜")
    person.press("other")
    person.verify("qr")


@pytest.mark.parametrize("scripted", [True, False], ids=["javascript", "no-javascript"])
def test_time_runs_out(meet: Meet, scripted: bool) -> None:
    """Whoever was too slow gets a new try with one press."""
    person = meet(java_script_enabled=scripted)
    person.begin()
    person.choose("push", SILENT)
    assert person.text("masked") == "A1****0047"
    with later(person.dev, 200):
        if not scripted:
            person.press("check")
        assert person.error_code == "TF-2103"
    assert person.title().startswith("錯誤：驗證時間已到｜")
    person.press("regenerate")
    assert person.text("masked") == "A1****0047"
    assert person.text("clock") > "02:50"
    person.press("cancel")


def test_a_number_that_is_not_registered_is_told_neutrally(person: Person) -> None:
    """The page does not say whether the number is somebody's."""
    person.begin()
    person.choose("push", STRANGER)
    assert person.error_code == "TF-2104"
    person.press("cancel")
    assert person.text("error") == "access_denied"


def test_a_mistyped_number_is_told_at_its_field(person: Person, number: str) -> None:
    """The summary leads to the field, what was typed stays, and blanks and width do not matter."""
    person.begin()
    person.choose("push", number[:-1])
    assert person.title().startswith("錯誤：選擇登入方式｜")
    person.page.click("#faults a")
    assert person.page.evaluate("document.activeElement.id") == "pid"
    assert person.page.input_value("#pid") == number[:-1]
    assert person.page.get_attribute("#pid", "aria-describedby") == "pid-hint pid-fault"
    person.page.fill("#pid", f"Ｆ１ {number[2:].lower()} ")
    person.page.keyboard.press("Enter")
    assert person.text("masked") == f"F1****{number[-4:]}"


def test_another_browser_cannot_go_on(meet: Meet, number: str) -> None:
    """The address of a login gives nothing to whoever did not begin it."""
    person, stranger = meet(), meet()
    person.begin()
    person.choose("push", number)
    stranger.open(person.page.url)
    assert stranger.error_code == "TF-3001"
    assert stranger.page.locator("form").count() == 0
    assert number[-4:] not in stranger.page.content()


def test_back_after_the_end(person: Person) -> None:
    """Back shows that the login is over, or a page whose buttons say so; nothing is done twice."""
    person.log_in()
    person.page.go_back()
    if person.page.locator("#allow").count():
        person.press("allow")
    assert person.error_code == "TF-3002"
    person.open(person.dev.demo)
    assert person.text("userinfo-twid") == ALICE


def test_two_tabs_share_one_login(person: Person) -> None:
    """Both wait for the same phone and come to the same question, which is answered once."""
    person.begin()
    person.choose("push", LATER)
    second = person.tab()
    second.goto(person.page.url)
    second.wait_for_selector("#allow")
    person.press("allow")
    person.page.wait_for_url(f"{person.dev.demo}/")
    second.click("#allow")
    assert second.inner_text("#error-code") == "TF-3002"


def test_back_from_the_ministry_stays(person: Person) -> None:
    """The page that sent the person away does not send them away again."""
    person.begin()
    person.choose("web")
    person.page.wait_for_selector("#approve")
    assert person.dev.simulator in person.page.url
    person.page.go_back()
    person.page.wait_for_selector("#go")
    person.page.wait_for_timeout(500)
    assert person.page.url.startswith(person.dev.bridge)
    person.press("other")
    person.verify("qr")
