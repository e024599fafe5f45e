"""Each of the four ways to log in, with and without JavaScript."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Meet
from tests.browser.person import ALICE, Person

LEVELS = {
    "push": ("urn:twfido:push", "swk user mca"),
    "qr": ("urn:twfido:qr", "swk user mca"),
    "web": ("urn:twfido:web", "swk user"),
    "dongle": ("urn:twfido:dongle", "hwk user"),
}


@pytest.mark.parametrize("scripted", [True, False], ids=["javascript", "no-javascript"])
@pytest.mark.parametrize("method", LEVELS)
def test_each_method_logs_in(meet: Meet, method: str, scripted: bool) -> None:
    """The application shows who it is, how it was verified, and what the directory knows."""
    person = meet(java_script_enabled=scripted)
    person.log_in(method)
    assert person.text("userinfo-twid") == ALICE
    assert person.text("id-twid") == ALICE
    assert (person.text("id-acr"), person.text("id-amr")) == LEVELS[method]
    assert person.text("userinfo-name") == "王小明"
    assert person.text("userinfo-email") == "ming@example.gov.tw"
    assert person.text("id-iss") == person.dev.bridge


def test_consent_shows_what_will_be_given(person: Person) -> None:
    """Names and values, the number masked; Enter on the fresh page decides nothing."""
    person.begin()
    person.verify("qr")
    assert person.text("claim-name") == "王小明"
    assert person.text("claim-twid") == "A1****0010"
    assert ALICE not in person.page.content()
    person.page.keyboard.press("Enter")
    assert person.page.evaluate("document.activeElement === document.body")
    allow, deny = (person.page.locator(f"#{name}").bounding_box() for name in ("allow", "deny"))
    assert allow and deny
    assert (allow["width"], allow["height"]) == (deny["width"], deny["height"])
    person.press("deny")
    assert person.text("error") == "access_denied"


def test_consent_is_asked_once(person: Person) -> None:
    """Who has agreed is not asked again, and a session spares the second verification."""
    person.log_in()
    person.open(person.dev.login())
    assert person.page.url == f"{person.dev.demo}/"
    assert person.text("userinfo-twid") == ALICE


def test_the_application_refreshes_and_logs_out(person: Person) -> None:
    """New tokens without the person; after logout the next login verifies again."""
    person.log_in("push")
    person.press("refresh")
    person.page.get_by_text("已更新 1 次").wait_for()
    assert person.text("userinfo-twid") == ALICE
    person.press("logout")
    person.page.wait_for_selector("#login")
    assert person.page.url == f"{person.dev.demo}/"
    person.open(person.dev.login(prompt="none"))
    assert person.text("error") == "login_required"


def test_cancel_returns_to_the_application(meet: Meet) -> None:
    """Also before anything was chosen, and without JavaScript."""
    person = meet(java_script_enabled=False)
    person.begin()
    person.press("cancel")
    assert person.text("error") == "access_denied"
    assert person.host in person.dev.demo
