"""The pages around the bridge, and what a keyboard and large letters meet on the first page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import tour
from tests.browser.conftest import Meet
from tests.browser.look import faults
from tests.browser.person import Person
from tests.services.node import axe, html_faults_of


def _inspect(person: Person, stops: Iterator[str], source: str) -> dict[str, list[str]]:
    """What is wrong, by page. Each is looked at as the server sent it and as it is shown."""
    found: dict[str, list[str]] = {}
    sent: dict[str, str] = {}
    for name in stops:
        found[name] = faults(person.page, source)
        sent[name] = person.source["html"].text()
    for name, wrong in html_faults_of(sent).items():
        found[name] += [f"html {line}" for line in wrong]
    return {name: wrong for name, wrong in found.items() if wrong}


def _still(meet: Meet, locale: str) -> Person:
    """A person on whose screen no page moves on by itself."""
    person = meet(locale=locale)
    person.context.route("**/*.js", lambda route: route.abort())
    return person


@pytest.mark.usefixtures("node")
def test_every_page_around_it(meet: Meet, number: str) -> None:
    """Demo application and simulator: nothing to complain about either."""
    person = _still(meet, "zh-TW")
    assert _inspect(person, tour.around(person, number), axe()) == {}


def test_the_keyboard_reaches_everything_in_order(person: Person) -> None:
    """Skip link, language, methods, number, continue, cancel; each shows a focus ring."""
    person.begin()
    reached = []
    for _ in range(6):
        person.page.keyboard.press("Tab")
        reached.append(
            person.page.evaluate(
                "[document.activeElement.id || document.activeElement.textContent,"
                " getComputedStyle(document.activeElement).outlineWidth]"
            )
        )
    names = ["跳到主要內容", "English", "method-qr", "pid", "continue", "cancel"]
    assert reached == [[name, "3px"] for name in names]


def test_text_may_be_twice_as_large(meet: Meet) -> None:
    """At 200 % text size on a narrow screen nothing runs out of the page."""
    person = meet(viewport={"width": 640, "height": 800})
    person.begin()
    person.page.evaluate("document.documentElement.style.fontSize = '212.5%'")
    assert person.page.evaluate("document.documentElement.scrollWidth") <= 640
