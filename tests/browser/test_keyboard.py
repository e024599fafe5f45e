"""Each way to log in, and each way out, with a keyboard alone."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Meet
from tests.browser.person import ALICE, Person

LATER = "A100000029"  # approves after 3 s
MOST = 40  # stops on a page
RING = """
() => {
  const at = document.activeElement, ring = getComputedStyle(at), box = at.getBoundingClientRect();
  const seen = box.top >= 0 && box.bottom <= innerHeight + 1;
  return [at.id, ring.outlineStyle !== "none" && parseFloat(ring.outlineWidth) >= 3, seen];
}
"""


def reach(person: Person, name: str) -> None:
    """Tab until the element with this id has the focus; each stop on the way shows it, in view."""
    person.page.wait_for_selector(f"#{name}")
    person.page.wait_for_load_state()
    for _ in range(MOST):
        person.page.keyboard.press("Tab")
        at, ring, seen = person.page.evaluate(RING)
        assert ring and seen, f"{at} on {person.page.url}"
        if at == name:
            return
    raise AssertionError(f"{name} is not reached on {person.page.url}")


def enter(person: Person, name: str) -> None:
    reach(person, name)
    person.page.keyboard.press("Enter")


def choose(person: Person, method: str, number: str) -> None:
    """The radio buttons are one stop; the arrows go round among them and submit nothing."""
    keys, page = person.page.keyboard, person.page
    reach(person, "method-qr")
    for _ in range(4):
        if page.is_checked(f"#method-{method}"):
            break
        keys.press("ArrowDown")
    assert page.is_checked(f"#method-{method}") and page.is_visible("#continue")
    reach(person, "pid")
    keys.type(number)
    keys.press("Enter")


@pytest.mark.parametrize("method", ["qr", "push", "web", "dongle"])
def test_logging_in_by_keyboard(meet: Meet, method: str) -> None:
    """From the chooser to the service, without a script that presses anything for the person."""
    person = meet(java_script_enabled=True)
    person.context.route("**/wait.js", lambda route: route.abort())
    person.begin()
    choose(person, method, "" if method == "web" else ALICE)
    if method in ("web", "dongle"):
        enter(person, "go")
        if method == "web":
            reach(person, "pid")
            person.page.keyboard.type(ALICE)
        enter(person, "approve" if method == "web" else "use-dongle")
        person.page.wait_for_selector("#check")
    enter(person, "check")
    enter(person, "allow")
    person.page.wait_for_url(f"{person.dev.demo}/")
    assert person.text("userinfo-twid") == ALICE


@pytest.mark.parametrize("way", ["cancel", "other", "scan", "deny"])
def test_ways_out_by_keyboard(person: Person, number: str, way: str) -> None:
    """Cancelling, another way, a code instead, not agreeing: all are stops of the Tab key."""
    person.begin()
    choose(person, "qr" if way == "deny" else "push", ALICE if way == "deny" else number)
    person.page.wait_for_selector("#deny" if way == "deny" else "#masked")
    enter(person, way)
    if way == "other":
        person.page.wait_for_selector("#continue")
    elif way == "scan":
        person.page.wait_for_selector("#qr")
    else:
        assert person.text("error") == "access_denied"


def test_a_mistake_is_mended_by_keyboard(person: Person, number: str) -> None:
    """The summary is the first stop in the page after skip link and language, and leads to the
    field."""
    person.begin()
    choose(person, "push", number[:-1])
    person.page.wait_for_selector("#faults")
    for _ in range(3):
        person.page.keyboard.press("Tab")
    person.page.keyboard.press("Enter")
    assert person.page.evaluate("document.activeElement.id") == "pid"
    person.page.keyboard.press("End")
    person.page.keyboard.type(number[-1])
    person.page.keyboard.press("Enter")
    assert person.text("masked").endswith(number[-4:])


def test_the_clock_and_the_help_open_by_keyboard(person: Person, number: str) -> None:
    """What is folded is a stop, and Enter unfolds it."""
    person.begin()
    choose(person, "push", number)
    person.page.wait_for_selector("#masked")
    help_ = person.page.locator("main > details").last
    for _ in range(MOST):
        person.page.keyboard.press("Tab")
        if person.page.evaluate("document.activeElement.localName") != "summary":
            continue
        person.page.keyboard.press("Enter")
        if help_.get_attribute("open") is not None:
            break
    assert help_.locator("li").first.is_visible()
    assert not person.page.is_visible("#clock")
