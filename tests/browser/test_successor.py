"""The three ways to log in by the SP-API, and how one can end, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.dev import Dev
from tests.browser.look import faults
from tests.browser.person import ALICE, Person
from tests.services.chromium import Chromium
from tests.services.node import axe

LEVELS = {
    "push": ("urn:twfido:push", "swk user mca"),
    "qr": ("urn:twfido:qr", "swk user mca"),
    "web": ("urn:twfido:web", "swk user"),
}


@pytest.fixture(scope="module")
def successor(chromium: Chromium) -> Iterator[Dev]:
    """`idp dev --scheme sp-api`, running."""
    with Dev("sp-api") as running:
        yield running


@pytest.fixture(params=[True, False], ids=["javascript", "no-javascript"])
def person(
    request: pytest.FixtureRequest, successor: Dev, browser_program: Browser
) -> Iterator[Person]:
    """Somebody with an ordinary browser, and with one that runs no script."""
    met = Person(successor, browser_program, java_script_enabled=request.param)
    yield met
    met.context.close()
    assert met.faults == []


@pytest.mark.parametrize("method", LEVELS)
def test_each_method_logs_in(person: Person, method: str) -> None:
    """The application shows who it is and how it was verified; no page breaks its policy."""
    person.begin()
    assert person.page.locator("#method-dongle").count() == 0
    person.verify(method)
    person.press("allow")
    assert person.text("userinfo-twid") == ALICE
    assert (person.text("id-acr"), person.text("id-amr")) == LEVELS[method]


def test_who_denies_is_told_so(person: Person) -> None:
    """A denial on the phone is a page that leads on."""
    person.begin()
    person.choose("push", "A100000038")
    if not person.scripted:
        person.press("check")
    assert person.error_code == "TF-2101"


def test_the_link_to_the_app(person: Person) -> None:
    """The page of the QR code has the link that opens the app on the same phone."""
    person.begin()
    person.choose("qr", "A123456789")
    link = person.page.get_attribute("#app", "href") or ""
    assert link.startswith("mobilemoica://moica.moi.gov.tw/a2a/verifySign?sp_ticket=")


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("locale", ["zh-TW", "en"])
def test_an_inspector_finds_nothing(
    successor: Dev, browser_program: Browser, locale: str, number: str
) -> None:
    """The pages of this interface on which something of it is drawn, while nothing moves on."""
    person = Person(successor, browser_program, locale=locale)
    person.context.route("**/*.js", lambda route: route.abort())
    found = {name: faults(person.page, axe()) for name in _stops(person, number)}
    person.context.close()
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert list(found) == ["chooser", "qr", "web", "push"]


def _stops(person: Person, number: str) -> Iterator[str]:
    person.begin()
    yield "chooser"
    person.choose("qr", number)
    yield "qr"
    person.begin()
    person.choose("web")
    yield "web"
    person.begin()
    person.choose("push", number)
    yield "push"
