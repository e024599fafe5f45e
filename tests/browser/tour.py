"""The pages around the bridge, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from tests.browser.person import ALICE, Person


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
