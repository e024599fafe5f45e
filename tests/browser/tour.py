"""Every page that a person can meet, one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from playwright.sync_api import TimeoutError

from tests.browser.person import ALICE, Person

DENIES, SILENT, STRANGER = "A100000038", "A100000047", "A100000056"


def bridge(person: Person, number: str) -> Iterator[str]:
    """The bridge's own pages; stops at each, named."""
    for stage in (choosing, waiting, failing, succeeding, wecard, account, leaving):
        yield from stage(person, number)


def choosing(person: Person, _number: str) -> Iterator[str]:
    person.begin()
    yield "chooser"
    person.choose("push", "A1")
    yield "chooser, bad number"
    person.choose("push", "")
    yield "chooser, no number"


def waiting(person: Person, number: str) -> Iterator[str]:
    person.choose("push", number)
    yield "waiting for the phone"
    person.press("check")
    yield "waiting for the phone, still"
    person.press("other")
    person.choose("qr", number)
    yield "waiting for the scan"
    person.press("other")
    person.choose("dongle", number)
    yield "leaving with a dongle"
    person.press("other")
    person.choose("web")
    yield "leaving for the website"
    person.press("other")


def failing(person: Person, _number: str) -> Iterator[str]:
    person.choose("push", STRANGER)
    yield "not registered"
    person.press("other")
    person.choose("qr", DENIES)
    _until_refused(person)
    yield "denied"
    person.press("other")
    person.choose("qr", SILENT)
    person.dev.control(clock_offset=200)
    _until_refused(person)
    person.dev.control(clock_offset=0)
    yield "out of time"
    person.press("other")


def _until_refused(person: Person) -> None:
    """The callback or the poll may be quicker than the person: then there is nothing to press."""
    with contextlib.suppress(TimeoutError):
        person.page.click("#check", timeout=3000)
    person.page.wait_for_selector("#error-code")


def succeeding(person: Person, _number: str) -> Iterator[str]:
    login = person.page.url
    person.choose("web")
    person.press("go")
    person.page.select_option("#pid", ALICE)
    person.press("approve")
    person.press("return")
    yield "approved"
    person.press("check")
    yield "consent"
    consent = person.page.url
    person.press("allow")
    person.open(login)
    yield "finished"
    person.open(consent)
    yield "consent, finished"


def wecard(person: Person, _number: str) -> Iterator[str]:
    person.open(f"{person.dev.bridge}/wecard")
    yield "cards"
    person.press("get-code")
    yield "binding code"
    person.page.reload()
    yield "cards, code gone"
    person.open(f"{person.dev.bridge}/wecard/left")
    yield "cards, cancelled"


def account(person: Person, _number: str) -> Iterator[str]:
    at = f"{person.dev.bridge}/account"
    person.open(at)
    yield "account"
    person.page.click("[id^=withdraw-]")
    yield "account, withdrawing"
    person.open(f"{at}/not-me")
    yield "account, not me"
    for done in ("", "?done=ended", "?done=not-me"):
        person.open(f"{at}/left{done}")
        yield f"account, left{done}"


def leaving(person: Person, _number: str) -> Iterator[str]:
    at = person.dev.bridge
    person.open(f"{at}/logout?client_id=demo-agency")
    yield "logout"
    person.press("logout")
    yield "logged out"
    person.open(f"{at}/authorize?client_id=nobody")
    yield "unknown service"
    person.open(f"{at}/authorize?client_id=demo-agency&redirect_uri=https://elsewhere.example/")
    yield "wrong redirect_uri"
    person.open(f"{at}/nowhere")
    yield "not found"


def around(person: Person, number: str) -> Iterator[str]:
    """The demo application and the simulator, which speak both languages at once."""
    person.open(person.dev.demo)
    yield "demo, welcome"
    person.open(person.dev.login(prompt="none"))
    yield "demo, refused"
    person.begin()
    person.choose("dongle", ALICE)
    person.press("go")
    yield "simulator, dongle"
    person.press("use-dongle")
    yield "simulator, return"
    person.press("return")
    person.press("check")
    person.press("allow")
    yield "demo, logged in"
    yield from _simulator(person, number)


def _simulator(person: Person, number: str) -> Iterator[str]:
    person.begin()
    person.choose("web")
    person.press("go")
    yield "simulator, web"
    person.begin()
    person.choose("push", number)
    for path in ("", "phone", f"phone?pid={number}", "phone?pid=X", "rp-api-fweb-01"):
        person.open(f"{person.dev.simulator}/{path}")
        yield f"simulator, /{path}"
    person.open(f"{person.dev.simulator}/phone?pid={number}")
    person.page.click("[id^=deny-]")
    yield "simulator, denied"


Tour = Callable[[Person, str], Iterator[str]]
