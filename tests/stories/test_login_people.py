"""Everybody whom the simulator knows by number meets the page that belongs to them."""

from __future__ import annotations

from typing import Any

import pytest

from idp.kernel.tables import sessions
from tests.actors import Browser, Page, Service
from tests.asking import SQLITE
from tests.house import TestHouse
from tests.logins import (
    abroad,
    again,
    chosen,
    let_in,
    nobody_is_in,
    plain,
    rows,
)

SILENT, STRANGER = "A100000047", "A100000056"


# ── the simulator's people ──────────────────────────────────────────────────────────────────────

ALLOWED = "allow"
# number, method, presses of the button, what comes of it
PEOPLE: list[tuple[str, str, int, str]] = [
    ("A100000010", "push", 1, ALLOWED),
    ("A100000029", "push", 1, ALLOWED),
    ("A100000038", "push", 1, "TF-2101"),
    ("A100000038", "qr", 1, "TF-2101"),
    ("A100000056", "push", 0, "TF-2104"),
    ("A100000056", "qr", 0, "TF-2104"),
    ("A100000065", "push", 1, "TF-2102"),
    ("A100000074", "qr", 1, "TF-2202"),
    ("A100000083", "push", 2, ALLOWED),
    ("A100000092", "qr", 1, "TF-2201"),
    ("A100000109", "push", 1, "TF-2201"),
    ("A100000109", "qr", 1, "TF-2201"),
    ("A100000118", "push", 1, ALLOWED),
    ("A100000127", "qr", 1, ALLOWED),
]


@pytest.mark.parametrize(("number", "method", "presses", "end"), PEOPLE)
async def test_people_with_a_phone(
    house: TestHouse,
    browser: Browser,
    service: Service,
    number: str,
    method: str,
    presses: int,
    end: str,
) -> None:
    """Each of the simulator's people meets the page that belongs to what they do."""
    page = await chosen(browser, service, method, number)
    for _ in range(presses):
        page = await browser.press("check")
    await _ends(house, browser, page, end)


@SQLITE
@pytest.mark.parametrize("method", ["web", "dongle"])
@pytest.mark.parametrize(
    ("number", "end"),
    [
        ("A100000010", ALLOWED),
        ("A100000038", "TF-2101"),
        ("A100000047", "TF-2103"),
        ("A100000065", "TF-2102"),
        ("A100000074", "TF-2202"),
        ("A100000092", "TF-2201"),
        ("A100000109", "TF-2201"),
    ],
)
async def test_people_at_the_upstreams_page(
    house: TestHouse, browser: Browser, service: Service, method: str, number: str, end: str
) -> None:
    """Web redirect and dongle end the same ways, and a return that names somebody else than the
    upstream does is a contradiction: nobody is let in, and it is an alarm."""
    await chosen(browser, service, method, number)
    page = await abroad(browser, method, number)
    if end == ALLOWED:
        page = await browser.press("check")
    await _ends(house, browser, page, end)


async def _ends(house: TestHouse, browser: Browser, page: Page, end: str) -> None:
    if end == ALLOWED:
        assert end in page.buttons(), page.html
        assert len(await rows(house, sessions)) == 1
    else:
        assert page.error_code == end, page.html
        assert not let_in(browser, page)
        assert await nobody_is_in(house)
    alarms = await house.events("login.alarm")
    assert bool(alarms) == (end == "TF-2201")


@SQLITE
async def test_somebody_who_never_answers(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A100000047: after three minutes the page says so, and that nothing has happened."""
    await chosen(browser, service, "push", SILENT)
    house.clock.pass_(180)
    page = await again(browser)
    assert page.error_code == "TF-2103"
    assert page.title.startswith("錯誤：驗證時間已到")


@SQLITE
@pytest.mark.parametrize("method", ["push", "qr"])
async def test_nobody_learns_who_is_registered_from_the_words(
    house: TestHouse, service: Service, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not registered, a number that is nobody's, and any refusal that the slides do not know give
    the same bytes, and no number stands in them."""
    from idp.verify.twfido.simulator import faults, interfaces
    from idp.verify.twfido.simulator.personas import PERSONAS, Persona

    pages = [plain(await chosen(Browser(house), service, method, STRANGER))]
    monkeypatch.setitem(PERSONAS, "B222222228", Persona("B222222228", registered=False))
    pages.append(plain(await chosen(Browser(house), service, method, "B222222228")))
    seal = faults.seal

    def sealed(fields: dict[str, Any], *rest: Any) -> dict[str, Any]:
        return seal({**fields, "rcode": "9003"} if fields["rcode"] == "4002" else fields, *rest)

    monkeypatch.setattr(interfaces, "seal", sealed)
    pages.append(plain(await chosen(Browser(house), service, method, STRANGER)))
    assert len(set(pages)) == 1
    assert STRANGER not in pages[0] and "A1****0056" not in pages[0]
