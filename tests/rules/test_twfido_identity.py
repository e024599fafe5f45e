"""Who is believed, and when: the rules that the checksum does not give."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from idp.kernel.errors import (
    Denied,
    Disagreement,
    Expired,
    Failed,
    NotStarted,
    UpstreamAway,
    VerificationError,
)
from idp.verify import Attempt, Order, State
from idp.verify.numbers import mask
from idp.verify.twfido.checksum import chksum
from idp.verify.twfido.settings import System
from tests.rules.twfido_upstream import (
    KEY,
    OLD_KEY,
    OTHER,
    PID,
    QRID,
    SYSCODE,
    Upstream,
    opened,
    verifier,
)

NOBODY = Upstream(lambda *_: {"rcode": "2001"})
ELSEWHERE = "20990101000000000001"


def attempt(method: str, **changes: Any) -> Attempt:
    number = None if method == "web" else PID
    known = {"relying_party": "rp", "system": SYSCODE, "handle": QRID, "number": number}
    return Attempt(method=f"twfido:{method}", **(known | changes))


def saying(**fields: Any) -> Upstream:
    return Upstream(lambda *_: fields)


# ── the methods ─────────────────────────────────────────────────────────────────────────────────


def test_levels() -> None:
    """Push is below QR, QR below web, web below dongle; only push disturbs; only web needs no
    number."""
    methods = list(verifier(NOBODY).methods.values())
    ladder = sorted(methods, key=lambda m: m.rank)
    assert [m.acr for m in ladder] == [f"urn:twfido:{m}" for m in ("push", "qr", "web", "dongle")]
    assert [m.name for m in methods if m.disturbs] == ["push"]
    assert [m.name for m in methods if not m.needs_number] == ["web"]


async def test_a_method_that_is_off() -> None:
    """A method that is not configured is not offered and cannot be started."""
    ours = verifier(NOBODY, methods=("qr",))
    assert list(ours.methods) == ["twfido:qr"]
    with pytest.raises(NotStarted):
        await ours.start(Order("rp", "twfido:push", PID))


# ── start ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"rcode": "4002", "qrid": ""}, NotStarted),
        ({"rcode": "4002"}, NotStarted),
        ({"rcode": "9003"}, NotStarted),
        ({"rcode": "1234"}, NotStarted),
        ({"rcode": "9999"}, UpstreamAway),
        (opened(pid=OTHER), Disagreement),
        (opened(pid=mask(OTHER)), Disagreement),
        (opened(qrid=""), Disagreement),
        (opened(qrid=QRID.upper()), Disagreement),
        (opened(tranSeq="0" * 20), Disagreement),
        (opened(chksum="0" * 16), Disagreement),
        (opened(sysname=f"hello {PID}"), Disagreement),
    ],
    ids=str,
)
async def test_openings_that_fail(answer: dict[str, Any], why: type[VerificationError]) -> None:
    """Not registered and every other refusal look alike; contradictions raise an alarm."""
    with pytest.raises(why) as failed:
        await verifier(Upstream(lambda *_: answer)).start(Order("rp", "twfido:qr", PID))
    assert type(failed.value) is why
    assert PID not in str(failed.value)


@pytest.mark.parametrize("number", [None, "", "A123456788", "a123456789"])
async def test_nothing_is_asked_for_a_number_that_is_nobodys(number: str | None) -> None:
    """A number that cannot be one gets the same neutral answer, and nothing is sent."""
    upstream = Upstream(lambda *_: opened())
    for method in ("push", "qr", "dongle"):
        with pytest.raises(NotStarted):
            await verifier(upstream).start(Order("rp", f"twfido:{method}", number))
    assert upstream.seen == []


@pytest.mark.parametrize("pid", [PID, mask(PID), "", None])
async def test_an_opening_may_name_the_person_or_not(pid: str | None) -> None:
    """The answer's pid is optional; ours and its mask are both right."""
    challenge = await verifier(saying(**opened(pid=pid))).start(Order("rp", "twfido:push", PID))
    assert (challenge.system, challenge.handle, challenge.qr) == (SYSCODE, QRID, None)
    assert challenge.display_name == "示範服務"
    assert challenge.expires_in == 180


async def test_the_qr_code() -> None:
    """It carries qrid, op, sysaction and sysname as compact JSON, or the configured template,
    and never a number."""
    order = Order("rp", "twfido:qr", PID)
    made = await verifier(saying(**opened(pid=PID))).start(order)
    assert made.qr is not None
    words = {"qrid": QRID, "op": "Nty", "sysaction": "登入", "sysname": "示範服務"}
    assert words == json.loads(made.qr)
    assert ": " not in made.qr
    other = verifier(saying(**opened()), qr_template="twfido://{qrid}?a={op}")
    assert (await other.start(order)).qr == f"twfido://{QRID}?a=Nty"


async def test_which_interface_opens_what_is_configuration() -> None:
    """QR and push may change places, since the slides' picture is lost."""
    upstream = Upstream(lambda *_: opened())
    ours = verifier(upstream, opens_with={"qr": "FATH-01", "push": "FEXCH-01"})
    await ours.start(Order("rp", "twfido:qr", PID))
    await ours.start(Order("rp", "twfido:push", PID))
    assert [interface for interface, _ in upstream.seen] == ["fath-01", "fexch-01"]


async def test_the_browser_is_sent_with_signed_fields() -> None:
    """Web and dongle call nobody: the browser gets an address and signed fields, the dongle's
    with the number, the web's without even if one was typed."""
    ours = verifier(NOBODY, browser_base_url="https://browser.test", browser_form_method="get")
    web = await ours.start(Order("rp", "twfido:web", PID))
    dongle = await ours.start(Order("rp", "twfido:dongle", PID))
    assert web.action == "https://browser.test/rp-api-fweb-01"
    assert [name for name, _ in web.fields] == ["syscode", "tranSeq", "chksum"]
    assert dict(dongle.fields)["pid"] == PID
    assert dict(web.fields)["tranSeq"] != dict(dongle.fields)["tranSeq"]
    assert (web.handle, web.form_method) == (None, "get")


# ── poll ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rcode", "state", "why"),
    [
        ("0000", State.APPROVED, None),
        ("2001", State.PENDING, None),
        ("9000", State.PENDING, None),
        ("7777", State.PENDING, None),
        ("9003", State.PENDING, None),
        ("2002", State.ENDED, Failed),
        ("2003", State.ENDED, Expired),
        ("5002", State.ENDED, Failed),
        ("5003", State.ENDED, Expired),
        ("9004", State.ENDED, Denied),
        ("9999", State.ENDED, UpstreamAway),
    ],
)
async def test_result_codes(rcode: str, state: State, why: type[VerificationError] | None) -> None:
    """Only 0000 approves; what we do not know is pending; no failure of a person is an alarm."""
    outcome = await verifier(saying(rcode=rcode)).poll(attempt("push"))
    assert (outcome.state, outcome.why, outcome.code) == (state, why, rcode)
    assert outcome.number == (PID if rcode == "0000" else None)
    assert outcome.alarm is None


IDENTITY = [
    # method, pid in the answer of FATH-02, whom it logs in (None: nobody, with an alarm)
    ("push", None, PID),
    ("push", "", PID),
    ("push", PID, PID),
    ("push", mask(PID), PID),
    ("push", OTHER, None),
    ("push", mask(OTHER), None),
    ("qr", None, PID),
    ("qr", PID, PID),
    ("qr", mask(PID), PID),
    ("qr", OTHER, None),
    ("web", PID, PID),
    ("web", OTHER, OTHER),
    ("web", None, None),
    ("web", "", None),
    ("web", mask(PID), None),
    ("web", "A123456788", None),
    ("dongle", PID, PID),
    ("dongle", OTHER, None),
    ("dongle", None, None),
    ("dongle", mask(PID), None),
]


@pytest.mark.parametrize(("method", "pid", "who"), IDENTITY)
async def test_whom_a_success_logs_in(method: str, pid: str | None, who: str | None) -> None:
    """Push and QR log in the number that we opened with; where the browser brought the qrid the
    answer must say in full who approved, and for the dongle that must be ours."""
    outcome = await verifier(saying(rcode="0000", pid=pid)).poll(attempt(method))
    assert who == outcome.number
    assert (outcome.alarm is None) is (who is not None)
    assert outcome.why is (None if who else Disagreement)
    assert PID not in (outcome.alarm or "")


async def test_another_person_ends_a_pending_attempt_too() -> None:
    """An answer that names somebody else ends the attempt even before it approves anything."""
    outcome = await verifier(saying(rcode="2001", pid=OTHER)).poll(attempt("push"))
    assert (outcome.state, outcome.why) == (State.ENDED, Disagreement)


@pytest.mark.parametrize(
    "lie",
    [
        {"rcode": "0000", "chksum": "0" * 16},
        {"rcode": "0000", "tranSeq": "0" * 20},
        {"rcode": "00000"},
        {"rcode": None},
        {"rcode": "0000", "RCODE": "0000"},
    ],
    ids=str,
)
async def test_lies_end_the_attempt_with_an_alarm(lie: dict[str, Any]) -> None:
    """A wrong checksum, echo or grammar logs nobody in and tells the operator."""
    outcome = await verifier(Upstream(lambda *_: lie)).poll(attempt("push"))
    assert (outcome.state, outcome.why) == (State.ENDED, Disagreement)
    assert outcome.alarm


async def test_no_qrid_no_question() -> None:
    """Until the browser has brought the qrid there is nothing to ask."""
    upstream = Upstream(lambda *_: {"rcode": "0000"})
    outcome = await verifier(upstream).poll(attempt("web", handle=None))
    assert outcome.state is State.PENDING
    assert upstream.seen == []


@pytest.mark.parametrize("changes", [{"method": "fax"}, {"number": None}, {"handle": "x"}])
async def test_an_attempt_that_is_not_ours(changes: dict[str, Any]) -> None:
    """A stored attempt that cannot be ours logs nobody in and crashes nothing."""
    known = {"method": "dongle"} | changes
    outcome = await verifier(saying(rcode="0000", pid=PID)).poll(attempt(**known))
    assert (outcome.state, outcome.why) == (State.ENDED, Disagreement)


# ── what the browser brings ─────────────────────────────────────────────────────────────────────


def carried(pid: str = PID, rcode: str = "0000", key: str = KEY, **changes: str) -> dict[str, str]:
    fields = {"qrid": QRID, "op": "Auth", "pid": pid, "msg": "成功", "rcode": rcode}
    return {**fields, "chksum": chksum(key, pid + rcode), **changes}


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("web", carried()),
        ("web", carried(OTHER)),
        ("web", carried(rcode="5003")),
        ("web", carried("", "5002")),
        ("web", {("grid" if n == "qrid" else n.upper()): v for n, v in carried().items()}),
        ("dongle", carried()),
        ("dongle", carried(mask(PID))),
        ("dongle", carried("", "5002")),
    ],
)
async def test_a_return_tells_the_qrid(method: str, fields: dict[str, str]) -> None:
    """A signed return is read, tolerantly; it yields the qrid and the code, and a number only if
    it names one in full: a mask names a thousand people."""
    rcode = {n.lower(): v for n, v in fields.items()}["rcode"]
    returned = await verifier(NOBODY).accept(attempt(method, handle=None), fields)
    assert (returned.handle, returned.code) == (QRID, rcode)
    named = fields.get("pid") or fields.get("PID") or ""
    assert returned.number == (None if named in ("", mask(PID)) else named)


@pytest.mark.parametrize(
    ("fields", "number"),
    [(carried(), PID), (carried(mask(PID)), None)],
)
async def test_a_return_that_belongs_to_nothing(fields: dict[str, str], number: str | None) -> None:
    """It is read for what it is, with our own keys, so that it can be made worthless."""
    returned = await verifier(NOBODY).accept(None, fields)
    assert (returned.handle, returned.number) == (QRID, number)
    with pytest.raises(Disagreement):
        await verifier(NOBODY).accept(None, fields | {"chksum": "0" * 16})


@pytest.mark.parametrize("pid", [OTHER, "", mask(PID)])
async def test_whom_the_browser_named_the_upstream_must_name(pid: str) -> None:
    """Web redirect: a result that names somebody else than the return did, or nobody in full, is
    a contradiction."""
    outcome = await verifier(saying(rcode="0000", pid=pid)).poll(attempt("web", number=PID))
    assert (outcome.state, outcome.why, outcome.number) == (State.ENDED, Disagreement, None)
    assert outcome.alarm
    same = await verifier(saying(rcode="0000", pid=PID)).poll(attempt("web", number=PID))
    assert (same.state, same.number) == (State.APPROVED, PID)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("web", {}),
        ("web", carried(mask(PID))),
        ("web", carried("A12345678", "90000")),
        ("web", carried(key=OLD_KEY)),
        ("web", carried(chksum="")),
        ("web", carried(grid=QRID)),
        ("web", carried(qrid=QRID + "\n")),
        ("dongle", carried(OTHER)),
        ("dongle", carried(mask(OTHER))),
        ("push", carried()),
        ("qr", carried()),
        ("fax", carried()),
    ],
)
async def test_returns_that_are_refused(method: str, fields: dict[str, str]) -> None:
    """Unsigned, ambiguous, masked or somebody else's returns are a Disagreement."""
    with pytest.raises(Disagreement) as refused:
        await verifier(NOBODY).accept(attempt(method, handle=None), fields)
    assert PID not in str(refused.value)


async def test_a_second_return_must_be_the_same() -> None:
    """Once a qrid was brought, another one is refused."""
    ours = verifier(NOBODY)
    assert (await ours.accept(attempt("web"), carried())).handle == QRID
    with pytest.raises(Disagreement):
        await ours.accept(attempt("web", handle=QRID.replace("8", "9")), carried())


# ── callbacks, and other systems ────────────────────────────────────────────────────────────────

_ACCOUNT = System(ELSEWHERE, (OLD_KEY,), "別的服務").document()
THEIRS, NAMED = {"agency": _ACCOUNT}, {ELSEWHERE: _ACCOUNT}


def called(**changes: str) -> bytes:
    fields = {"qrid": QRID, "tranSeq": "20200801000000", "rcode": "0000", "msg": ""}
    return json.dumps({**fields, "chksum": chksum(KEY, "000020200801000000"), **changes}).encode()


@pytest.mark.parametrize(
    ("changes", "number"),
    [({}, None), ({"pid": PID}, PID), ({"pid": mask(PID)}, None), ({"syscode": SYSCODE}, None)],
)
async def test_a_callback_names_what_to_ask_for(
    changes: dict[str, str], number: str | None
) -> None:
    """It tells system, qrid and code; without a syscode it is taken for our own."""
    woken = await verifier(NOBODY).wakeup(called(**changes))
    assert (woken.system, woken.handle, woken.code) == (SYSCODE, QRID, "0000")
    assert number == woken.number


@pytest.mark.parametrize(
    "changes", [{"syscode": ELSEWHERE}, {"syscode": "1"}, {"chksum": "0" * 16}, {"qrid": ""}]
)
async def test_callbacks_that_wake_nobody(changes: dict[str, str]) -> None:
    """An unknown system, a wrong checksum or no qrid is a Disagreement."""
    with pytest.raises(Disagreement):
        await verifier(NOBODY).wakeup(called(**changes))


async def test_a_callback_is_checked_with_the_keys_of_its_system() -> None:
    """A callback for a relying party's own syscode is checked with that party's key, not ours."""
    ours = verifier(NOBODY, named=NAMED)
    with pytest.raises(Disagreement):
        await ours.wakeup(called(syscode=ELSEWHERE))
    signed = called(syscode=ELSEWHERE, chksum=chksum(OLD_KEY, "000020200801000000"))
    assert (await ours.wakeup(signed)).system == ELSEWHERE


async def test_a_relying_party_with_its_own_system() -> None:
    """Its own syscode, key and name are used, so that the phone shows whom it is for."""
    ours = verifier(NOBODY, of=THEIRS)
    challenge = await ours.start(Order("agency", "twfido:web"))
    fields = dict(challenge.fields)
    assert (challenge.system, challenge.display_name) == (ELSEWHERE, "別的服務")
    assert fields["chksum"] == chksum(OLD_KEY, ELSEWHERE + fields["tranSeq"])


async def test_an_attempt_keeps_its_system() -> None:
    """An attempt is asked for under the account that opened it, even if the relying party has
    another by now; if that account is gone the attempt ends."""
    upstream = saying(rcode="0000")
    await verifier(upstream, of=THEIRS).poll(attempt("push", relying_party="agency"))
    assert upstream.seen[-1][1]["syscode"] == SYSCODE
    await verifier(upstream, named=NAMED).poll(attempt("push", system=ELSEWHERE))
    assert upstream.seen[-1][1]["syscode"] == ELSEWHERE
    gone = await verifier(upstream).poll(attempt("push", system=ELSEWHERE))
    assert gone.why is Disagreement


async def test_nothing_personal_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """No log line of a whole attempt, libraries included, holds a number, key or checksum."""
    caplog.set_level(logging.DEBUG)
    upstream = Upstream(lambda i, _: opened(pid=PID) if i == "fath-01" else {"rcode": "0000"})
    ours = verifier(upstream)
    await ours.start(Order("rp", "twfido:push", PID))
    await ours.poll(attempt("push"))
    secrets = [PID, KEY, *(sent["chksum"] for _, sent in upstream.seen)]
    assert not [word for word in secrets if word in caplog.text]


@pytest.mark.parametrize("method", ["web", "dongle"])
async def test_a_signed_failure_opens_nothing(method: str) -> None:
    """A failure's checksum names nobody and fits every qrid: brought beside somebody else's qrid
    it must not turn their approval into a login."""
    approving = saying(rcode="0000", pid=PID)
    outcome = await verifier(approving).poll(attempt(method, returned_code="5002"))
    assert (outcome.state, outcome.why) == (State.ENDED, Disagreement)
    assert outcome.alarm
    with pytest.raises(Disagreement):
        await verifier(NOBODY).accept(None, carried("", "5002"))
