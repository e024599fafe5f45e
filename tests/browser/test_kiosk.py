"""A shared screen in a real browser: it clears itself, says so before, and Back shows nothing."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from idp.kernel.templates import template_directory
from tests.browser.conftest import Meet
from tests.browser.dev import Dev
from tests.browser.look import faults
from tests.browser.person import ALICE, Person
from tests.services.bridge import idp
from tests.services.node import axe

DONE = "kiosk-done"


@pytest.fixture(scope="module")
def counter(dev: Dev) -> str:
    """The link that begins a login at the counter."""
    back = f"{dev.demo}/{DONE}"
    call = ("-c", dev.state / "idp.toml", "client", "create", "--name", "櫃檯", "--kiosk")
    more = ("--client-id", "counter", "--redirect-uri", back)
    made = idp(*call, *more, "--scope", "openid twid")
    assert made.returncode == 0, made.stderr
    wishes = {"client_id": "counter", "redirect_uri": back, "response_type": "code"}
    wishes |= {"scope": "openid twid", "state": "s", "nonce": "n"}
    return f"{dev.bridge}/authorize?{urlencode(wishes)}"


def untouched(person: Person, seconds: int) -> None:
    person.page.clock.run_for(seconds * 1000)


def test_the_chooser_clears_itself(person: Person, counter: str) -> None:
    """A warning after 40 seconds, which one touch takes away; 60 after the last touch the typed
    number is gone, the login too, and Back brings neither."""
    person.page.clock.install()
    person.open(counter)
    person.page.fill("#pid", ALICE)
    notice = person.page.locator("#kiosk")
    untouched(person, 30)
    assert not notice.is_visible()
    untouched(person, 11)
    assert notice.is_visible()
    person.press("stay")
    assert not notice.is_visible()
    untouched(person, 39)
    assert not notice.is_visible()
    untouched(person, 19)
    assert notice.is_visible() and DONE not in person.page.url
    untouched(person, 3)
    person.page.wait_for_url(f"**/{DONE}?error=access_denied*")
    person.page.go_back()
    person.page.wait_for_selector("#error-code")
    assert ALICE not in person.page.content()
    assert person.error_code == "TF-3002"


@pytest.mark.parametrize("way", ["keyboard", "pointer"])
def test_every_act_counts(person: Person, counter: str, way: str) -> None:
    """A key or a movement is a person: the minute begins anew."""
    person.page.clock.install()
    person.open(counter)
    for turn in range(3):
        untouched(person, 45)
        assert person.page.locator("#kiosk").is_visible()
        if way == "keyboard":
            person.page.keyboard.press("Tab")
        else:
            person.page.mouse.move(10 * turn + 5, 20)
            assert person.page.locator("#kiosk").is_visible()  # it does not jump away
            untouched(person, 3)
        person.page.wait_for_selector("#kiosk", state="hidden")


def test_the_question_clears_itself(person: Person, counter: str) -> None:
    """Whoever leaves at the consent page has given nothing, and the session is gone."""
    person.page.clock.install()
    person.open(counter)
    person.page.check("#method-qr")
    person.page.fill("#pid", ALICE)
    person.press("continue")
    person.page.clock.run_for(5000)
    person.page.wait_for_selector("#allow")
    untouched(person, 61)
    person.page.wait_for_url(f"**/{DONE}?error=access_denied*")
    assert not [c for c in person.context.cookies() if "session" in c["name"]]
    person.page.go_back()
    person.page.wait_for_load_state()
    assert person.page.locator("#allow").count() == 0


def test_back_after_the_login_shows_nothing(person: Person, counter: str) -> None:
    """After a login, however often Back is pressed, no page has a button or a claim."""
    person.open(counter)
    person.page.check("#method-qr")
    person.page.fill("#pid", ALICE)
    person.press("continue")
    person.page.wait_for_selector("#allow")
    assert person.text("claim-twid") == "（公用電腦不顯示）"
    person.press("allow")
    person.page.wait_for_url(f"**/{DONE}?code=*")
    for _ in range(3):
        person.page.go_back()
        person.page.wait_for_load_state()
        if person.dev.bridge not in person.page.url:
            break
        assert person.page.locator("#allow, #continue, #claim-twid").count() == 0
        assert ALICE not in person.page.content()


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("locale", ["zh-TW", "en"])
def test_the_warning_is_accessible(meet: Meet, counter: str, locale: str) -> None:
    """With the warning shown: axe in both themes, 320 pixels, targets, title, language."""
    person = meet(locale=locale)
    person.page.clock.install()
    person.open(counter)
    untouched(person, 45)
    assert person.page.locator("#kiosk").is_visible()
    found = [fault for fault in faults(person.page, axe()) if "櫃檯" not in fault]
    assert found == []


def test_the_scripts_of_a_page_stay_small() -> None:
    """Three kilobytes for whatever goes together; plain enough for an old embedded browser."""
    folder = template_directory() / "static"
    script = (folder / "kiosk.js").read_text(encoding="utf-8")
    together = len(script.encode()) + len((folder / "copy.js").read_bytes())
    assert together <= 3072
    assert not any(word in script for word in ("fetch(", "=>", "let ", "const ", "import "))
