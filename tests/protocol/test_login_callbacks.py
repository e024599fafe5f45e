"""What comes to the login from outside: the upstream's callback, browsers that return, polls and
presses. Rows FD-* and AZ-41..44 of the table of negative tests are named where they are kept."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from idp import app
from idp.kernel import metrics
from idp.kernel.tables import audit, handles, landings, logins, upstream_sequences
from tests.actors import Browser, Service
from tests.asking import SQLITE
from tests.house import API_KEY, HOME, MINISTRY, SYSCODE, TestHouse
from tests.logins import (
    AT_ONCE,
    HAND,
    abroad,
    again,
    asked_for,
    call_back,
    carried,
    chosen,
    forget_rates,
    land,
    let_in,
    nobody_is_in,
    path_of,
    poll,
    qrids,
    rows,
    rung,
    signed,
    states,
    tab,
    the_login,
    weather,
)

TEST_KEY = "59C55AAD2AEADF8A87EC55317CA148E7"  # printed in the slides
ACKNOWLEDGED = {"rcode": "0000", "msg": "OK"}
UNSIGNED = {"error": "unauthorized"}
NEVER_SEEN = "00000000-0000-4000-8000-000000000000"
REFUSED_CALLS = [
    ("FD-01 absent", {"chksum": None}),
    ("FD-01 empty", {"chksum": ""}),
    ("FD-01 wrong", {"chksum": "0" * 16}),
    ("FD-01 15 digits", {"chksum": lambda good: good[:15]}),
    ("FD-01 17 digits", {"chksum": lambda good: good + "0"}),
    ("FD-01 blanks", {"chksum": lambda good: good[:8] + " " + good[8:]}),
    ("FD-01 newline", {"chksum": lambda good: good + "\n"}),
    ("FD-01 0x", {"chksum": lambda good: "0x" + good}),
    ("FD-01 full-width", {"chksum": lambda good: good.translate(FULL_WIDTH)}),
    ("FD-01 a number", {"chksum": 1234567890123456}),
    ("FD-04 NUL after rcode", {"rcode": "0000\0"}),
    ("FD-04 NUL after tranSeq", {"tranSeq": "20261122000000000001\0"}),
    ("FD-05 moved digit", {"rcode": "00002", "tranSeq": "0261122000000000001"}),
    ("qrid not a uuid", {"qrid": "x"}),
    ("qrid upper case", {"qrid": lambda good: good.upper()}),
    ("qrid a list", {"qrid": ["x"]}),
    ("unknown syscode", {"syscode": "9" * 20}),
    ("half a pid", {"pid": "A12345678"}),
]
FULL_WIDTH = str.maketrans("0123456789ABCDEF", "０１２３４５６７８９ＡＢＣＤＥＦ")


async def waiting(
    house: TestHouse, browser: Browser, service: Service, number: str = HAND
) -> dict[str, Any]:
    """A login by QR code that waits, and the callback for it, rightly signed."""
    await chosen(browser, service, "qr", number)
    return signed(qrids(house)[-1], pid=number)


def spoilt(good: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    made = {k: v(good[k]) if callable(v) else v for k, v in changes.items()}
    return {k: v for k, v in (good | made).items() if v is not None}


def alarms(kind: str) -> float:
    return metrics.ALARMS.labels(kind)._value.get()


# ── callbacks that are not believed ─────────────────────────────────────────────────────────────


@SQLITE
async def test_malformed_or_unsigned_callbacks(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """FD-01, FD-04, FD-05: one fixed body, 401, an entry in the trail, and no effect."""
    good = await waiting(house, browser, service)
    before = await rows(house), await the_login(house)
    for name, changes in REFUSED_CALLS:
        answer = await call_back(house, spoilt(good, changes))
        assert (answer.status_code, answer.json()) == (401, UNSIGNED), name
    assert before == (await rows(house), await the_login(house))
    assert asked_for(house) == 0
    assert len(await house.events("callback.unsigned")) == len(REFUSED_CALLS)
    assert HAND not in str(await rows(house, audit))


@SQLITE
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{" * 1000,
        b'{"qrid":1}',
        b'{"qrid":"a","qrid":"b"}',
        b"qrid=%00&chksum=%",
        b"qrid=a&qrid=b",
        b"&" * 5000,
        b"x" * 60_000,
    ],
    ids=range(10),
)
async def test_nonsense_at_the_callback(house: TestHouse, body: bytes) -> None:
    """Whatever is sent, JSON, form or neither, gets the same refusal and never a crash."""
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        answer = await call_back(house, body, **{"content-type": kind})
        assert (answer.status_code, answer.json()) == (401, UNSIGNED)


@SQLITE
async def test_a_forged_two_part_message(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """FD-05: CBC-MAC lets a forger splice a block in, but only as bytes that are no digits."""
    from idp.verify.twfido.simulator.checksum import encrypt

    good = await waiting(house, browser, service)
    first = encrypt(API_KEY, "00001598")
    spliced = b"1598" + bytes(a ^ b for a, b in zip(first, b"00000000", strict=True)) + b"12345678"
    known = encrypt(API_KEY, "0000000012345678")[-8:].hex()
    fields = good | {"tranSeq": spliced, "chksum": known}
    assert (await call_back(house, urlencode(fields).encode())).status_code == 401
    text = fields | {"tranSeq": spliced.decode("latin-1")}
    assert (await call_back(house, text)).status_code == 401
    assert asked_for(house) == 0


@SQLITE
async def test_a_callback_under_the_other_environments_key(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """FD-02: production and test call from one address; the key tells them apart, and it is an
    alarm."""
    await waiting(house, browser, service)
    before = alarms("callback-unsigned")
    answer = await call_back(house, signed(qrids(house)[-1], key=TEST_KEY))
    assert (answer.status_code, answer.json()) == (401, UNSIGNED)
    assert alarms("callback-unsigned") == before + 1
    assert await states(house) == ["pending"]


# ── callbacks that are acknowledged ─────────────────────────────────────────────────────────────


async def test_a_callback_only_wakes_us(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """It is acknowledged; then the upstream is asked, and only what it says counts."""
    good = await waiting(house, browser, service)
    for rcode in ("0000", "2002", "9004", "9999", "1234"):
        fields = signed(good["qrid"], rcode)
        assert (await call_back(house, fields)).json() == ACKNOWLEDGED
    assert await states(house) == ["pending"]
    assert asked_for(house) == 5
    assert await nobody_is_in(house)


@SQLITE
async def test_a_callback_as_a_form(house: TestHouse, browser: Browser, service: Service) -> None:
    """The slides print no format: a form is as good as JSON."""
    good = await waiting(house, browser, service)
    answer = await call_back(house, urlencode(good).encode())
    assert (answer.status_code, answer.json(), asked_for(house)) == (200, ACKNOWLEDGED, 1)


@SQLITE
async def test_a_callback_for_nobody(house: TestHouse, browser: Browser, service: Service) -> None:
    """FD-07: an unknown qrid is acknowledged and written down, and nobody is asked."""
    await waiting(house, browser, service)
    answer = await call_back(house, signed(NEVER_SEEN))
    assert (answer.status_code, answer.json()) == (200, ACKNOWLEDGED)
    assert len(await house.events("login.late")) == 1
    assert asked_for(house) == 0


@SQLITE
async def test_a_callback_after_the_time(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """FD-08: acknowledged, recorded as late, and nobody is asked or let in."""
    good = await waiting(house, browser, service)
    house.clock.pass_(180)
    assert (await call_back(house, good)).json() == ACKNOWLEDGED
    assert (await house.events("login.late"))[0]["detail"]["state"] == "pending"
    assert (asked_for(house), await states(house)) == (0, ["pending"])


@SQLITE
@pytest.mark.parametrize("changes", [{"pid": "B222222228"}, {"rcode": "9004"}])
async def test_a_callback_that_contradicts_a_finished_login(
    house: TestHouse, browser: Browser, service: Service, changes: dict[str, str]
) -> None:
    """FD-10: another person is an alarm, another verdict is recorded; nothing changes."""
    await chosen(browser, service, "qr", AT_ONCE)
    await browser.press("check")
    before = await rows(house), await rows(house, logins)
    fields = {"rcode": "0000", "pid": AT_ONCE} | changes
    answer = await call_back(house, signed(qrids(house)[-1], **fields))
    assert (answer.status_code, answer.json()) == (200, ACKNOWLEDGED)
    assert before == (await rows(house), await rows(house, logins))
    assert bool(await house.events("login.alarm")) == ("pid" in changes)
    assert await house.events("login.late")


async def test_a_callback_that_names_another_person(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """FD-11: an alarm; the outcome is what the upstream says when it is asked."""
    good = await waiting(house, browser, service)
    house.simulator.approve(good["qrid"])
    assert (await call_back(house, good | {"pid": "B222222228"})).json() == ACKNOWLEDGED
    assert len(await house.events("login.alarm")) == 1
    assert "allow" in (await browser.press("check")).buttons()


@SQLITE
async def test_a_callback_for_another_system(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A qrid belongs to the account that opened it: another account's key wakes nobody."""
    from idp.verify.twfido.settings import System

    theirs = System("9" * 20, (TEST_KEY,))
    good = await waiting(house, browser, service)

    async def by_syscode(_: str) -> System:
        return theirs

    house.house.verifier._by_syscode = by_syscode  # type: ignore[attr-defined]
    fields = signed(good["qrid"], key=TEST_KEY, syscode=theirs.syscode)
    assert (await call_back(house, fields)).json() == ACKNOWLEDGED
    assert asked_for(house) == 0


async def test_many_callbacks_at_once(house: TestHouse, browser: Browser, service: Service) -> None:
    """Twenty copies of one callback make one approval, and one entry of it."""
    good = await waiting(house, browser, service)
    house.simulator.approve(good["qrid"])
    answers = await asyncio.gather(*(call_back(house, good) for _ in range(20)))
    assert {a.status_code for a in answers} == {200}
    assert len(await house.events("login.verified")) == 1
    assert await states(house) == ["approved"]


@SQLITE
async def test_a_callback_before_the_opening_answer(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """One that overtakes the answer of the opening does no harm, and the login goes on."""
    await chosen(browser, service, "qr", "A100000127")
    assert "allow" in (await browser.press("check")).buttons()


@SQLITE
async def test_an_approval_after_the_browser_cancelled(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """FD-29: acknowledged; there is no session, and nothing is asked."""
    good = await waiting(house, browser, service)
    await browser.press("cancel")
    assert (await call_back(house, good)).json() == ACKNOWLEDGED
    assert await nobody_is_in(house)
    assert (await house.events("login.late"))[0]["detail"]["state"] == "replaced"


# ── where it comes from ─────────────────────────────────────────────────────────────────────────


FORWARDED: list[dict[str, str]] = [
    {},
    {"x-forwarded-for": MINISTRY},
    {"x-forwarded-for": f"{MINISTRY}, {HOME}"},
    {"x-forwarded-for": f"{HOME}, {MINISTRY}"},
    {"x-forwarded-for": "a"},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-real-ip": MINISTRY},
    {"forwarded": f"for={MINISTRY}"},
]


@SQLITE
@pytest.mark.parametrize("address", [HOME, "127.0.0.1", "10.1.2.3", "a", "::1"])
async def test_callbacks_from_elsewhere(
    house: TestHouse, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FD-16, FD-17: from an address that is not listed nothing is even read, whatever the
    headers pretend; a flood of them fills no audit trail."""

    async def never(_body: bytes) -> None:
        raise AssertionError("no cipher runs for strangers")

    monkeypatch.setattr(house.house.verifier, "wakeup", never)
    for headers in FORWARDED:
        answer = await call_back(house, signed(NEVER_SEEN), address, **headers)
        assert (answer.status_code, answer.json()) == (403, {"error": "forbidden"})
    assert len(await house.events("callback.foreign_peer")) == 1


@SQLITE
@pytest.mark.parametrize("changed_settings", [{"web": {"trusted_proxies": ("10.0.0.0/8",)}}])
@pytest.mark.parametrize(
    ("peer", "forwarded", "status"),
    [
        ("10.0.0.5", MINISTRY, 200),
        ("10.0.0.5", f"{MINISTRY}, 10.0.0.6", 200),
        ("10.0.0.5", f"6.6.6.6, {MINISTRY}", 200),
        ("10.0.0.5", f"{MINISTRY}, {HOME}", 403),
        ("10.0.0.5", HOME, 403),
        ("10.0.0.5", "", 400),
        ("10.0.0.5", None, 403),
        ("10.0.0.5", f"{MINISTRY}, a", 400),
        (HOME, MINISTRY, 403),
        (MINISTRY, HOME, 200),
    ],
)
async def test_callbacks_through_a_trusted_proxy(
    house: TestHouse, peer: str, forwarded: str | None, status: int
) -> None:
    """FD-17: a configured proxy is believed, from the right and only so far as it wrote itself;
    what cannot be read is refused."""
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    answer = await call_back(house, signed(NEVER_SEEN), peer, **headers)
    assert answer.status_code == status


# ── browsers that return ────────────────────────────────────────────────────────────────────────


async def test_a_return_without_a_login(house: TestHouse, browser: Browser) -> None:
    """FD-19: who returns though nobody was sent away gets 403, and the qrid is burnt: nobody
    else can use it any more."""
    page = await land(browser, carried(NEVER_SEEN))
    assert (page.status, page.error_code) == (403, "TF-3001")
    assert [row["handle"] for row in await rows(house, handles)] == [NEVER_SEEN]
    assert len(await house.events("login.alarm")) == 1
    assert (await land(Browser(house), carried(NEVER_SEEN))).status == 403
    assert len(await house.events("login.alarm")) == 1


@pytest.mark.parametrize("method", ["web", "dongle"])
async def test_a_return_that_was_seen_in_another_login(
    house: TestHouse, service: Service, method: str
) -> None:
    """FD-19, FD-20: the signed return of a finished login, brought by another browser that waits
    for one of its own, opens nothing; its login waits on."""
    victim, thief = Browser(house), Browser(house)
    await chosen(victim, service, method, AT_ONCE)
    await abroad(victim, method, AT_ONCE)
    pid = AT_ONCE if method == "web" else "A1****0010"
    await chosen(thief, service, method, AT_ONCE)
    own = await rows(house)
    page = await land(thief, carried(qrids(house)[0], pid))
    assert (page.status, page.error_code) == (403, "TF-3001")
    assert own == await rows(house)
    assert await house.events("login.alarm")
    assert not let_in(thief, await again_at(thief, own[-1]["login_id"]))


async def again_at(browser: Browser, login_id: str) -> Any:
    return await browser.open(f"/login/{login_id}")


@SQLITE
async def test_a_burnt_handle_stays_burnt(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A qrid that came once without a login opens none later, even with a login waiting."""
    await land(Browser(house), carried(NEVER_SEEN))
    await chosen(browser, service, "web")
    assert (await land(browser, carried(NEVER_SEEN))).status == 403
    assert (await rows(house))[0]["handle"] is None


@SQLITE
@pytest.mark.parametrize(
    "fields",
    [
        {"a": ""},
        {"qrid": NEVER_SEEN},
        carried(NEVER_SEEN, key=TEST_KEY),
        carried(NEVER_SEEN, pid="A12345678", rcode="90000"),
        carried(NEVER_SEEN) | {"chksum": "0" * 16},
        carried(NEVER_SEEN) | {"grid": NEVER_SEEN},
        carried("x"),
        {"a": "b" * 3000},
    ],
    ids=range(8),
)
async def test_returns_that_are_nonsense(
    house: TestHouse, browser: Browser, service: Service, fields: dict[str, str]
) -> None:
    """Unsigned, ambiguous or empty returns are refused; the login that waits is untouched."""
    await chosen(browser, service, "web")
    before = await rows(house)
    page = await land(browser, fields)
    assert (page.status, page.error_code) == (403, "TF-3001")
    assert before == await rows(house)
    assert not await rows(house, handles)
    await again_at(browser, before[0]["login_id"])
    assert "go" in browser.page.buttons()  # type: ignore[union-attr]


@SQLITE
async def test_a_return_logs_nobody_in(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """The checksum of a return is the same for ever: who brings a stolen one with a qrid that
    nobody approved waits in vain."""
    await chosen(browser, service, "web")
    await browser.press("go")
    page = await land(browser, carried(qrids(house)[-1], AT_ONCE))
    assert "check" in page.buttons()
    page = await browser.press("check")
    assert page.texts["still"]
    house.simulator.deny(qrids(house)[-1])
    house.clock.pass_(3)
    assert (await browser.press("check")).error_code == "TF-2101"
    assert await nobody_is_in(house)


@SQLITE
async def test_a_stolen_result_with_an_approval_of_ones_own(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Who approves themselves but brings back the signed result of another person has
    contradicted the upstream: nobody is let in, and it is an alarm."""
    await chosen(browser, service, "web")
    await browser.press("go")
    house.simulator.approve(qrids(house)[-1], HAND)
    page = await land(browser, carried(qrids(house)[-1], AT_ONCE))
    assert page.error_code == "TF-2201"
    assert len(await house.events("login.alarm")) == 1
    assert await nobody_is_in(house)


@SQLITE
async def test_a_victims_number_with_an_approval_of_ones_own(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A dongle login that was opened with a victim's number takes no return of somebody else."""
    await chosen(browser, service, "dongle", HAND)
    for pid in (AT_ONCE, "A1****0010"):
        assert (await land(browser, carried(NEVER_SEEN, pid))).status == 403
        assert (await rows(house))[0]["handle"] is None


async def test_a_return_that_comes_twice(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A form sent twice at once, or again by the Back button, leads to the same login and is no
    alarm."""
    await chosen(browser, service, "web")
    await browser.press("go")
    await browser.press("approve", pid=AT_ONCE)
    pages = await asyncio.gather(*(tab(browser).press("return") for _ in range(5)))
    pages.append(await tab(browser).press("return"))
    assert {page.status for page in pages} == {200}
    assert not await house.events("login.alarm")
    page = await again_at(browser, (await rows(house))[0]["login_id"])
    assert "check" in page.buttons()


@SQLITE
@pytest.mark.parametrize("late", [False, True])
async def test_a_return_when_nothing_waits_any_more(
    house: TestHouse, browser: Browser, service: Service, late: bool
) -> None:
    """Who comes back too late, or after choosing another way, is led to the login as it is; the
    qrid is burnt."""
    await chosen(browser, service, "web")
    leaving = tab(browser)
    await leaving.press("go")
    await leaving.press("approve", pid=AT_ONCE)
    if late:
        house.clock.pass_(250)
    else:
        await browser.press("other")
    page = await leaving.press("return")
    assert page.error_code == ("TF-2103" if late else "")
    assert ("regenerate" if late else "continue") in page.buttons()
    assert [row["attempt_id"] for row in await rows(house, handles)] == [""]
    assert await nobody_is_in(house)


@SQLITE
async def test_two_tabs_that_left(house: TestHouse, browser: Browser, service: Service) -> None:
    """A return finds its login among several of one browser: the dongle's by the number."""
    await chosen(browser, service, "dongle", AT_ONCE)
    other = tab(browser)
    house.clock.pass_(1)
    await chosen(other, service, "dongle", HAND)
    page = await abroad(browser, "dongle", AT_ONCE)
    assert path_of(page) != path_of(other.page) or "check" in page.buttons()
    by_number = {r["number_index"]: r["handle"] for r in await rows(house)}
    index = house.house.login.persons.index
    assert by_number == {index(AT_ONCE): qrids(house)[0], index(HAND): None}


@SQLITE
async def test_landings_are_limited(house: TestHouse, browser: Browser) -> None:
    """One address can put aside sixty returns a minute, no large one, and each is taken once."""
    await forget_rates(house)
    client = house.http()
    answers = [await client.post("/twfido/return", data={"a": "b"}) for _ in range(61)]
    assert [a.status_code for a in answers] == [303] * 60 + [429]
    assert "retry-after" in answers[-1].headers
    assert len(await rows(house, landings)) == 60
    await forget_rates(house)
    assert (await client.post("/twfido/return", data={"a": "b" * 5000})).status_code == 413
    first = answers[0].headers["location"]
    assert (await client.get(first)).status_code == 403
    assert (await client.get(first)).status_code == 410
    house.clock.pass_(61)
    assert (await client.get(answers[1].headers["location"])).status_code == 410


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
    form = thief.page.form_with("check")[0].fields  # type: ignore[union-attr]
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


async def test_our_own_sequence_is_never_used_twice(
    house: TestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FD-28: neither a clock set back nor the same chance twice repeats a number; many at once
    all differ."""
    chances = iter([7, 7, 7, 8, 7, 8, 9])
    monkeypatch.setattr(app.secrets, "randbelow", lambda _: next(chances))
    first = await app.reserve_sequence(house.ground, SYSCODE)
    second = await app.reserve_sequence(house.ground, SYSCODE)
    house.clock.pass_(60)
    house.clock.pass_(-60)
    third = await app.reserve_sequence(house.ground, SYSCODE)
    assert len({first, second, third}) == 3
    assert all(len(s) == 20 and s.isdigit() and s != SYSCODE for s in (first, second, third))
    monkeypatch.undo()
    monkeypatch.setattr(app.secrets, "randbelow", lambda _: next(numbers))
    numbers = iter([n // 4 for n in range(200)])
    found = await asyncio.gather(*(app.reserve_sequence(house.ground, SYSCODE) for _ in range(20)))
    assert len(set(found)) == 20
    assert len(await rows(house, upstream_sequences)) == 23
