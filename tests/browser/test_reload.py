"""Reload, Back and Forward on every page of a login: nothing is done twice, nothing is lost."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Meet
from tests.browser.person import ALICE, Person

DENIES = "A100000038"
NOBODYS = ""  # a number that no other login waits for: one push at a time rings a phone
STATES = {
    "choose": ("", "", "#continue"),
    "push": ("push", NOBODYS, "#masked"),
    "scan": ("qr", NOBODYS, "#qr"),
    "leave": ("dongle", ALICE, "#go"),
    "denied": ("push", DENIES, "#error-code"),
    "consent": ("qr", ALICE, "#allow"),
}


def come_to(person: Person, state: str, number: str) -> str:
    """The page of this state; what it shows there."""
    method, known, shows = STATES[state]
    person.begin()
    if method:
        person.choose(method, known or number)
    person.page.wait_for_selector(shows)
    person.page.wait_for_load_state()
    return shows


@pytest.mark.parametrize("state", STATES)
def test_reload_shows_the_same(person: Person, number: str, state: str) -> None:
    """However often: the same page, and no question whether to send a form again."""
    shows = come_to(person, state, number)
    title, url = person.title(), person.page.url
    for _ in range(3):
        person.page.reload()
        person.page.wait_for_selector(shows)
        assert (person.title(), person.page.url) == (title, url)


@pytest.mark.parametrize("state", ["push", "scan", "denied"])
def test_back_and_forward_tell_the_truth(meet: Meet, number: str, state: str) -> None:
    """Away to another site and back, or back and forth: what is shown is what is so, also from
    the browser's own memory of the page."""
    person = meet()
    shows = come_to(person, state, number)
    person.page.goto(person.dev.demo)
    for _ in range(2):
        person.page.evaluate("setTimeout(() => history.back(), 0)")
        person.page.wait_for_selector(shows)
        person.page.wait_for_timeout(500)  # what was remembered looks again by itself
        person.page.wait_for_selector(shows)
        person.page.evaluate("setTimeout(() => history.forward(), 0)")
        person.page.wait_for_selector("#login")
    person.page.evaluate("setTimeout(() => history.back(), 0)")
    person.page.wait_for_selector(shows)
    person.page.wait_for_timeout(500)
    person.press("other")
    person.page.wait_for_selector("#continue")
    person.verify("qr")
