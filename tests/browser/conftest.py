"""The parts of a browser test; each worker of the run has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from playwright.sync_api import Browser, sync_playwright

from idp.verify.numbers import valid
from tests.browser.dev import Dev
from tests.browser.person import Person
from tests.services.chromium import Chromium

Meet = Callable[..., Person]
_SERIAL = count(1)


@pytest.fixture(scope="session")
def dev(chromium: Chromium) -> Iterator[Dev]:
    """`idp dev`, running; not started where there is no browser to look at it."""
    with Dev() as running:
        yield running


@pytest.fixture(scope="module")
def browser_program(chromium: Chromium) -> Iterator[Browser]:
    """Ends with its file: while it is open, no test of the same worker may be async."""
    with sync_playwright() as playwright:
        yield playwright.chromium.connect_over_cdp(chromium.endpoint)


@pytest.fixture
def meet(dev: Dev, browser_program: Browser) -> Iterator[Meet]:
    """`meet(java_script_enabled=False)` is a person with a fresh profile. Whoever was met must
    have seen no broken content security policy and no error of a script."""
    people: list[Person] = []

    def new(**context: object) -> Person:
        people.append(Person(dev, browser_program, **context))
        return people[-1]

    yield new
    for person in people:
        person.context.close()
    assert [fault for person in people for fault in person.faults] == []


@pytest.fixture
def person(meet: Meet) -> Person:
    """Somebody with an ordinary browser."""
    return meet()


@pytest.fixture
def number() -> str:
    """The number of somebody nobody has met: a phone rings for one login at a time. They decide
    on the phone page."""
    serial = f"F1{next(_SERIAL):07}"
    return next(f"{serial}{digit}" for digit in range(10) if valid(f"{serial}{digit}"))
