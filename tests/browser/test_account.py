"""The citizen's own page and the question before it, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Meet
from tests.browser.look import faults
from tests.browser.person import ALICE, Person
from tests.services.node import axe, html_faults_of


def at(person: Person, path: str = "") -> str:
    return f"{person.dev.bridge}/account{path}"


def come_home(person: Person, phone: Person, number: str) -> None:
    """From the first page to one's own, confirmed on the pretend phone."""
    person.open(at(person))
    person.choose("qr", number)
    phone.open(f"{person.dev.simulator}/phone?pid={number}")
    phone.page.click("[id^=approve-]")
    if not person.scripted:
        person.press("check")
    person.page.wait_for_selector("#history")


@pytest.fixture
def phone(meet: Meet) -> Iterator[Person]:
    """The person's telephone."""
    yield meet()


@pytest.mark.parametrize("scripted", [True, False], ids=["javascript", "no-javascript"])
def test_a_person_puts_their_house_in_order(
    meet: Meet, phone: Person, number: str, scripted: bool
) -> None:
    """Sees the login, withdraws the consent, ends another browser's session, says “not me”; then
    no push is sent until they come back and allow it."""
    person, other = meet(java_script_enabled=scripted), meet()
    other.begin()
    other.choose("qr", number)
    phone.open(f"{person.dev.simulator}/phone?pid={number}")
    phone.page.click("[id^=approve-]")
    other.press("allow")
    other.page.wait_for_url(f"{person.dev.demo}/")
    come_home(person, phone, number)
    assert "館藏服務" in person.text("history") and "登入成功" in person.text("history")
    assert person.page.locator("#sessions li").count() == 2
    person.press("withdraw-1")
    person.press("withdraw")
    assert person.text("done").startswith("已取消同意。")
    assert person.page.locator("#consents").count() == 0
    person.press("end-2")
    expect(person.page.locator("#sessions li")).to_have_count(1)
    person.press("not-me")
    person.press("stop-all")
    assert person.title().startswith("已全部停止｜")
    person.begin()
    person.choose("push", number)
    assert person.error_code == "TF-2104"
    come_home(person, phone, number)
    person.press("resume")
    assert person.text("done") == "已恢復手機推播通知。"
    person.begin()
    person.choose("push", number)
    assert person.text("masked").endswith(number[-4:])


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("locale", ["zh-TW", "en"])
def test_the_page_after_not_me(meet: Meet, phone: Person, number: str, locale: str) -> None:
    """While pushes are paused, and after each button: axe in both themes, 320 pixels, valid."""
    person = meet(locale=locale)
    come_home(person, phone, number)
    person.press("not-me")
    person.press("stop-all")
    found, sent = {"stopped": faults(person.page, axe())}, {"stopped": person.source["html"].text()}
    come_home(person, phone, number)
    found["paused"], sent["paused"] = faults(person.page, axe()), person.source["html"].text()
    person.press("resume")
    found["resumed"], sent["resumed"] = faults(person.page, axe()), person.source["html"].text()
    for name, wrong in html_faults_of(sent).items():
        found[name] += wrong
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_the_keyboard_reaches_each_button_once(person: Person, phone: Person, number: str) -> None:
    """In reading order, each with a focus ring; the page of the question has a safe way back."""
    come_home(person, phone, number)
    reached = []
    for _ in range(6):
        person.page.keyboard.press("Tab")
        reached.append(
            person.page.evaluate(
                "[document.activeElement.id || document.activeElement.textContent,"
                " getComputedStyle(document.activeElement).outlineWidth]"
            )
        )
    names = ["跳到主要內容", "English", "not-me", "record", "end-1", "我的登入紀錄"]
    assert reached == [[name, "3px"] for name in names]
    person.press("not-me")
    person.press("back")
    assert person.page.locator("#history").is_visible()


def test_printed_it_is_a_record(person: Person, phone: Person, number: str) -> None:
    """On paper there are the lines with their times, and no buttons."""
    come_home(person, phone, number)
    person.page.emulate_media(media="print")
    assert person.page.locator("#history time").first.is_visible()
    assert not person.page.locator("#end-1").is_visible()
    person.page.emulate_media(media="screen")


# ── the question ────────────────────────────────────────────────────────────────────────────────


def test_enter_on_the_question_does_nothing(person: Person) -> None:
    """Whoever keeps pressing keys while the page changes has agreed to nothing."""
    person.begin()
    person.verify("qr")
    here = person.page.url
    for key in ("Enter", "Space", "Enter"):
        person.page.keyboard.press(key)
    person.page.wait_for_timeout(500)
    assert person.page.url == here
    assert person.page.evaluate("document.activeElement === document.body")


@pytest.mark.parametrize("locale", ["zh-TW", "en"])
def test_both_answers_are_in_sight(meet: Meet, locale: str) -> None:
    """On a small phone nobody scrolls to find the buttons below what is given. The banner of a
    test environment is not counted."""
    person = meet(locale=locale, viewport={"width": 375, "height": 667})
    person.begin(scope="openid profile twid")
    person.verify("qr")
    person.page.evaluate("document.querySelector('.banner').remove()")
    for name in ("allow", "deny"):
        box = person.page.locator(f"#{name}").bounding_box()
        assert box and box["y"] + box["height"] <= 667


@pytest.mark.parametrize("width", [320, 1280])
def test_yes_and_no_are_of_one_size(meet: Meet, width: int) -> None:
    """Beside each other, and each easy to hit; only the colour says which one is expected."""
    person = meet(viewport={"width": width, "height": 800})
    person.begin()
    person.verify("qr")
    looks = [
        person.page.evaluate(
            "b => { const e = document.getElementById(b), r = e.getBoundingClientRect(),"
            " s = getComputedStyle(e); return [Math.round(r.width), Math.round(r.height),"
            " Math.round(r.top), s.fontWeight]; }",
            button,
        )
        for button in ("allow", "deny")
    ]
    assert looks[0] == looks[1]


def test_the_question_says_what_it_is_about(person: Person) -> None:
    """Which browser, purpose, policy; a number that is given whole says so."""
    person.begin(scope="openid profile twid")
    person.verify("qr")
    assert person.text("asked-by") == "Chrome, Linux"
    assert person.text("purpose") == "借閱與預約館藏"
    assert person.page.get_attribute("#policy", "href") == f"{person.dev.demo}/"
    assert ALICE not in person.page.content()
    assert "服務會收到完整的號碼" in person.page.inner_text(".given")
