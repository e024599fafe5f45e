"""English from the first page to the last, however it was asked for."""

from __future__ import annotations

from tests.browser.conftest import Meet
from tests.browser.person import Person


def test_the_service_asks_for_english(person: Person, number: str) -> None:
    """ui_locales holds on every page of the login, also after a form."""
    person.begin(ui_locales="en")
    assert person.title().startswith("Choose how to sign in｜Library services｜Mobile identity")
    person.choose("push", "X")
    assert person.title().startswith("Error: Choose how to sign in｜")
    person.choose("push", number)
    assert person.page.inner_text("h1") == "Confirm on your phone"
    person.press("other")
    person.verify("qr")
    assert person.page.inner_text("h1") == "Share your data with Library services?"
    assert person.page.get_attribute("html", "lang") == "en"


def test_the_person_switches_to_english(person: Person, number: str) -> None:
    """The link keeps the login, and the choice stays for the pages that follow."""
    person.begin()
    person.page.click("text=English")
    assert person.page.get_attribute("html", "lang") == "en"
    person.choose("push", number)
    assert person.page.inner_text("h1") == "Confirm on your phone"
    person.page.click("text=中文")
    assert person.page.inner_text("h1") == "請在手機上確認登入"
    assert person.text("masked").endswith(number[-4:])


def test_the_person_outranks_the_service(person: Person, number: str) -> None:
    """Who chose Chinese keeps it, although the service asks for English."""
    person.begin(ui_locales="en")
    person.page.click("text=中文")
    person.choose("push", number)
    assert person.page.inner_text("h1") == "請在手機上確認登入"


def test_the_browser_asks_for_english(meet: Meet) -> None:
    """Accept-Language counts where nobody said anything else."""
    person = meet(locale="en-GB", java_script_enabled=False)
    person.begin()
    assert person.page.inner_text("h1") == "Choose how to sign in"


def test_switching_at_logout_keeps_the_question(person: Person) -> None:
    """The page that asks whether to log out still knows where to return afterwards."""
    where = f"{person.dev.bridge}/logout?client_id=demo-agency"
    person.open(f"{where}&post_logout_redirect_uri={person.dev.demo}/")
    person.page.click("text=English")
    assert person.page.inner_text("h1") == "Sign out?"
    person.press("logout")
    person.page.wait_for_selector("#login")
    assert person.page.url == f"{person.dev.demo}/"
