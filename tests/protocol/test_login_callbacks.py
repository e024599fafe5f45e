"""The callback of the upstream: a wake-up, never proof, and only from where it may come. Rows FD-*
of the table of negative tests are named where they are kept."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest

from idp.kernel import metrics
from idp.kernel.tables import audit, logins
from tests.actors import Browser, Service
from tests.asking import SQLITE
from tests.house import API_KEY, HOME, MINISTRY, TestHouse, alarms
from tests.logins import (
    AT_ONCE,
    HAND,
    approved,
    asked_for,
    call_back,
    chosen,
    nobody_is_in,
    qrids,
    rows,
    signed,
    states,
    the_login,
)

TEST_KEY = "59C55AAD2AEADF8A87EC55317CA148E7"  # printed in the slides
ACKNOWLEDGED = {"rcode": "0000", "msg": "OK"}
UNSIGNED = {"error": "unauthorized"}
NEVER_SEEN = "00000000-0000-4000-8000-000000000000"
FULL_WIDTH = str.maketrans("0123456789ABCDEF", "０１２３４５６７８９ＡＢＣＤＥＦ")
REFUSED_CALLS: list[tuple[str, dict[str, Any]]] = [
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


async def waiting(
    house: TestHouse, browser: Browser, service: Service, number: str = HAND
) -> dict[str, Any]:
    """A login by QR code that waits, and the callback for it, rightly signed."""
    await chosen(browser, service, "qr", number)
    return signed(qrids(house)[-1], pid=number)


def spoilt(good: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    made = {k: v(good[k]) if callable(v) else v for k, v in changes.items()}
    return {k: v for k, v in (good | made).items() if v is not None}


def unwritten() -> float:
    """Entries that the trail left out: it takes ten of a kind a minute from one caller."""
    label = {"event": "callback.unsigned"}
    return metrics.registry.get_sample_value("idp_audit_left_out_total", label) or 0


# ── callbacks that are not believed ─────────────────────────────────────────────────────────────


@SQLITE
async def test_malformed_or_unsigned_callbacks(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """FD-01, FD-04, FD-05: one fixed body, 401, an entry in the trail, and no effect."""
    good = await waiting(house, browser, service)
    before, left_out = (await rows(house), await the_login(house)), unwritten()
    for name, changes in REFUSED_CALLS:
        answer = await call_back(house, spoilt(good, changes))
        assert (answer.status_code, answer.json()) == (401, UNSIGNED), name
    assert before == (await rows(house), await the_login(house))
    assert asked_for(house) == 0
    written = len(await house.events("callback.unsigned"))
    assert written >= 10
    assert written + unwritten() - left_out == len(REFUSED_CALLS)
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
        for _ in range(3):  # many at once are one reason to ask
            assert (await call_back(house, fields)).json() == ACKNOWLEDGED
        house.clock.pass_(1)
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
    theirs = "9" * 20
    await house.register("owner")
    account = house.twfido.account_document(theirs, [TEST_KEY], "自己的服務")
    await house.house.accounts.set("owner", "twfido", theirs, account)
    good = await waiting(house, browser, service)
    fields = signed(good["qrid"], key=TEST_KEY, syscode=theirs)
    assert (await call_back(house, fields)).json() == ACKNOWLEDGED
    assert asked_for(house) == 0


async def test_many_callbacks_at_once(house: TestHouse, browser: Browser, service: Service) -> None:
    """Twenty copies of one callback make one approval, and one entry of it."""
    good = await waiting(house, browser, service)
    house.simulator.approve(good["qrid"])
    answers = await asyncio.gather(*(call_back(house, good) for _ in range(20)))
    assert {a.status_code for a in answers} == {200}
    await approved(house)  # the simulator's own callback may be the one that asks
    assert len(await house.events("login.verified")) == 1


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

    monkeypatch.setattr(house.twfido, "wakeup", never)
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
        ("10.0.0.5", "", 403),
        ("10.0.0.5", f"{MINISTRY}, ", 403),
        ("10.0.0.5", f"{MINISTRY}, -", 403),
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
