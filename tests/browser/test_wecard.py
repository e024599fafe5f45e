"""A verified person gets a code for a card, and the code opens the card."""

from __future__ import annotations

from tests.browser.conftest import Meet
from tests.browser.person import ALICE, Person
from tests.services.bridge import idp


def test_a_binding_code_works_once(meet: Meet) -> None:
    """WeCard's side of the exchange gets the member for the code, and not a second time."""
    person = meet(java_script_enabled=False)
    person.open(f"{person.dev.bridge}/wecard")
    person.choose("qr", ALICE)
    person.press("check")
    person.press("get-code")
    code = person.text("code")
    call = ("-c", person.dev.state / "idp.toml", "wecard", "call", "--card", "07302590")
    first = idp(*call, "--password", code)
    assert first.returncode == 0, first.stderr
    assert "王小明" in first.stdout
    assert idp(*call, "--password", code).returncode == 1


def test_a_reload_makes_no_new_code(person: Person) -> None:
    """The code on the screen stays the one that works; the page says why there is none."""
    person.open(f"{person.dev.bridge}/wecard")
    person.choose("qr", ALICE)
    person.press("get-code")
    assert person.text("code")
    person.page.reload()
    assert person.page.locator("#code").count() == 0
    assert person.page.locator("#notice").count() == 1


def test_cancelling_leads_to_a_page_of_its_own(person: Person) -> None:
    """Who does not want to log in gets no code and no second chooser."""
    person.open(f"{person.dev.bridge}/wecard")
    person.press("cancel")
    assert person.page.inner_text("h1") == "已取消登入"
    person.press("again")
    assert person.page.inner_text("h1") == "選擇登入方式"
