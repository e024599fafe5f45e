"""Polls and presses that no page offered, and answers of the upstream that nobody may believe."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from idp.kernel.tables import upstream_sequences
from idp.login.sequences import BLOCK, SECONDS, Sequences
from idp.verify.twfido.wire import transeq
from tests.actors import Browser, Service
from tests.asking import SQLITE
from tests.house import SYSCODE, TestHouse
from tests.logins import (
    AT_ONCE,
    HAND,
    again,
    asked_for,
    chosen,
    forget_rates,
    nobody_is_in,
    path_of,
    poll,
    rows,
    rung,
    states,
    the_login,
    weather,
)

# ── presses and polls ───────────────────────────────────────────────────────────────────────────


@SQLITE
async def test_polls_faster_than_one_a_second(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """FD-22: 429 with Retry-After, and the upstream is not asked."""
    page = await chosen(browser, service)
    await forget_rates(house)
    answers = [await browser.open(path_of(page) + "/status") for _ in range(4)]
    limited = [a for a in answers if a.status == 429]
    assert len(limited) >= 2  # a second may have ended between two of them
    assert all(1 <= int(a.headers["retry-after"]) <= 2 for a in limited)
    assert asked_for(house) == 1


@SQLITE
@pytest.mark.parametrize("button", ["check", "other", "cancel", "regenerate", "method", "scan"])
async def test_presses_in_a_loop(
    house: TestHouse, browser: Browser, service: Service, button: str
) -> None:
    """Each button of one login is answered sixty times in a minute, all of them together; then
    429 with Retry-After, and neither the store nor the upstream is asked."""
    page = await chosen(browser, service)
    fields = {**page.form_with("check")[0].fields, "method": "none"}
    await forget_rates(house)
    path, seen = f"{path_of(page)}/{button}", []
    for _ in range(64):
        house.clock.pass_(4)  # a press may wait for the upstream
        seen.append(await browser.send(path, fields))
    calls = len(house.line.calls)
    limited = [answer for answer in seen if answer.status == 429]
    assert len(limited) >= 4
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in limited)
    assert (await browser.send(path, fields)).status == 429
    assert calls == len(house.line.calls)


FORGERIES: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("no token", {"csrf": ""}, {}),
    ("another's token", {"csrf": "InNvbWVib2R5Ig.aaaa.bbbb"}, {}),
    ("another site", {}, {"sec-fetch-site": "cross-site"}),
    ("a sibling", {}, {"sec-fetch-site": "same-site"}),
    ("another origin", {}, {"origin": "https://evil.test"}),
    ("no cookie", {}, {"cookie": ""}),
]


@SQLITE
@pytest.mark.parametrize("button", ["method", "check", "regenerate", "other", "cancel"])
@pytest.mark.parametrize(
    ("fields", "headers"), [f[1:] for f in FORGERIES], ids=[f[0] for f in FORGERIES]
)
async def test_presses_that_no_page_offered(
    house: TestHouse,
    browser: Browser,
    service: Service,
    button: str,
    fields: dict[str, str],
    headers: dict[str, str],
) -> None:
    """AZ-41, FD-25: without a page of ours before it, no button does anything, and no phone
    rings."""
    page = await chosen(browser, service, "qr", HAND)
    form = page.form_with("check")[0].fields | {"method": "push", "pid": AT_ONCE} | fields
    before, calls = (await rows(house), await the_login(house)), len(house.line.calls)
    answer = await browser.send(f"{path_of(page)}/{button}", form, **headers)
    assert (answer.status, answer.error_code) == (403, "TF-3003")
    assert before == (await rows(house), await the_login(house))
    assert (rung(house), len(house.line.calls)) == (0, calls)


@SQLITE
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_nothing_happens_by_a_link(
    house: TestHouse, browser: Browser, service: Service, method: str
) -> None:
    """What changes something is a POST: a link, an image or a scanner of mails changes nothing."""
    page = await chosen(browser, service)
    for button in ("method", "check", "regenerate", "other", "cancel"):
        answer = await house.http().request(method, f"{path_of(page)}/{button}")
        assert answer.status_code == 405
    assert (await house.http().get("/twfido/callback")).status_code == 405


@SQLITE
async def test_jumping_to_the_end(house: TestHouse, browser: Browser, service: Service) -> None:
    """AZ-44: who presses “continue” of a page that was never shown, or goes where the login
    would lead, is shown the step that is really next; nothing is stored."""
    page = await chosen(browser, service)
    form = page.form_with("check")[0].fields | {"step": "approved", "attempt": "x", "state": "used"}
    seen = await browser.send(f"{path_of(page)}/check", form)
    assert "check" in seen.buttons() and seen.texts["still"]
    purpose = json.loads((await the_login(house))["purpose"])
    seen = await browser.open(purpose["return_to"])
    assert "continue" in seen.buttons()
    assert await nobody_is_in(house)


@SQLITE
async def test_a_login_of_another_browser(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """AZ-43: with a form of their own, nobody completes or ends somebody else's login."""
    page = await chosen(browser, service, "qr", AT_ONCE)
    thief = Browser(house)
    await chosen(thief, service, "qr", HAND)
    form = thief.page.form_with("check")[0].fields
    for button in ("check", "cancel", "other", "regenerate"):
        seen = await thief.send(f"{path_of(page)}/{button}", form)
        assert (seen.status, seen.error_code) == (403, "TF-3001")
    assert "check" in (await again(browser)).buttons()
    assert (await poll(browser))["state"] == "done"
    assert await nobody_is_in(house)


# ── what the upstream answers ───────────────────────────────────────────────────────────────────


@SQLITE
@pytest.mark.parametrize("rcode", ["2001", "9000", "1234", "00000", "0", "0001", "5000"])
async def test_only_four_zeros_are_a_success(
    house: TestHouse,
    browser: Browser,
    service: Service,
    rcode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FD-13: whatever else is answered for an approved transaction, nobody is let in by it."""
    await chosen(browser, service, "push", AT_ONCE)
    monkeypatch.setattr("idp.verify.twfido.simulator.reading.MESSAGES", _Words())
    monkeypatch.setattr("idp.verify.twfido.simulator.interfaces.MESSAGES", _Words())
    monkeypatch.setattr(house.simulator, "poll", lambda _: rcode)
    page = await browser.press("check")
    assert await nobody_is_in(house)
    if len(rcode) == 4:
        assert page.texts["still"]
        assert await states(house) == ["pending"]
    else:
        assert page.error_code == "TF-2201"


class _Words(dict[str, str]):
    def __missing__(self, _: str) -> str:
        return ""


@SQLITE
@pytest.mark.parametrize("fault", ["bad_checksum", "wrong_transeq", "other_pid"])
async def test_answers_that_contradict_themselves(
    house: TestHouse, browser: Browser, service: Service, fault: str
) -> None:
    """FD-26: a wrong checksum, echo or person ends the attempt with an alarm; the next is free."""
    await chosen(browser, service, "push", AT_ONCE)
    await weather(house, FATH_02={fault: True})
    page = await browser.press("check")
    assert page.error_code == "TF-2201"
    assert len(await house.events("login.alarm")) == 1
    assert await nobody_is_in(house)
    await weather(house)
    await browser.press("regenerate")
    assert "allow" in (await browser.press("check")).buttons()


class Chances(random.Random):
    """Chance as a test wants it; order is left as it is."""

    def __init__(self, drawn: Iterator[int]) -> None:
        super().__init__()
        self._drawn = drawn

    def randrange(self, *_bounds: Any, **_more: Any) -> int:
        return next(self._drawn)


async def _block(house: TestHouse, chance: random.Random | None = None) -> list[str]:
    """What a worker asks for until its first reservation is used up, as tranSeq."""
    worker = Sequences(house.services.database, house.clock, chance)
    return [transeq(*await worker.reserve(SYSCODE)) for _ in range(BLOCK)]


async def test_our_own_sequence_is_never_used_twice(house: TestHouse) -> None:
    """FD-28: neither a clock set back nor the same chance twice repeats a number; of many workers
    at once each has numbers of its own."""
    chances = Chances(iter([700, 700, 799, 800, 700, 800, 900]))
    first = await _block(house, chances)
    second = await _block(house, chances)
    house.clock.pass_(60)
    house.clock.pass_(-60)
    third = await _block(house, chances)
    numbers = {*first, *second, *third}
    assert len(numbers) == 300
    assert all(len(s) == 20 and s.isdigit() and s != SYSCODE for s in numbers)
    repeating = Chances(iter([n // 4 * 100 for n in range(200)]))
    found = await asyncio.gather(*(_block(house, repeating) for _ in range(20)))
    assert len(set().union(*found)) == 2000
    assert len(await rows(house, upstream_sequences)) == 23


async def test_calls_at_once_have_numbers_of_their_own(house: TestHouse) -> None:
    """One worker with many calls at the end of a block, for two systems; an hour later it takes
    a new block, so that a number's time is near the time of its call."""
    worker = Sequences(house.services.database, house.clock)
    calls = [worker.reserve(system) for system in (SYSCODE, "1" * 20) for _ in range(250)]
    found = await asyncio.gather(*calls)
    assert len(set(found[:250])) == len(set(found[250:])) == 250
    house.clock.pass_(SECONDS)
    assert (await worker.reserve(SYSCODE))[0] == house.clock.now()


async def test_numbers_do_not_tell_how_many_are_between(house: TestHouse) -> None:
    """A browser carries some of them to TW FidO and could count our other calls."""
    block = await _block(house)
    assert sorted(block) != block
    assert sorted(block, reverse=True) != block
