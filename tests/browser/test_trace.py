"""“Each step of this login” of the demo application, in a real browser."""

from __future__ import annotations

from tests.browser.look import faults
from tests.browser.person import Person
from tests.services.node import axe


def test_a_login_step_by_step(person: Person) -> None:
    """What was sent and what came back, each check ticked; nothing to complain about."""
    person.log_in()
    person.press("trace")
    assert person.text("verdict") == "所有檢查都通過。"
    assert person.page.locator(".checks li").count() >= 10
    assert person.page.locator(".checks .failed").count() == 0
    assert "… (" in person.text("step-4-code")
    assert person.page.get_attribute("html", "lang") == "zh-Hant-TW"
    assert faults(person.page, axe()) == []
    person.page.click("text=English")
    assert person.text("verdict") == "All checks passed."
    assert person.page.get_attribute("html", "lang") == "en"
    assert faults(person.page, axe()) == []


def test_what_went_wrong_is_shown(person: Person) -> None:
    """RFC 6749 §10.12: an answer that this browser did not ask for fails the check of state."""
    person.begin()
    person.open(f"{person.dev.demo}/callback?code=x&state=forged&iss=https://evil.test")
    assert person.page.inner_text("h1").startswith("沒有登入")
    person.press("trace")
    assert person.text("verdict") == "有一項檢查沒有通過，不可以讓人登入。"
    assert person.page.locator("#check-state.failed").count() == 1
    assert person.page.locator("#check-iss_parameter.failed").count() == 1
