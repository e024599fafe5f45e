"""Reading TW FidO tolerantly, writing it exactly."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.kernel.errors import Disagreement
from idp.verify.twfido import answers, wire
from idp.verify.twfido.checksum import chksum
from tests.rules.twfido_upstream import KEY, OLD_KEY, PID, QRID, SYSCODE

SEQ = "00000000000000000001"
PROOF = answers.Proof((KEY,), SEQ)


def result(**changes: Any) -> dict[str, Any]:
    """FATH-02's answer as the papers have it, rightly signed."""
    fields: dict[str, Any] = {"rcode": "0000", "tranSeq": SEQ, "pid": PID, "msg": "ok"} | changes
    return {"chksum": chksum(KEY, f"{fields['rcode']}{fields['tranSeq']}"), **fields}


# ── names ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("grid", "qrid"),
        ("QRID", "qrid"),
        (" qr id ", "qrid"),
        ("transeq", "tranSeq"),
        ("TranSeq", "tranSeq"),
        ("tran Seq", "tranSeq"),
        ("RCode", "rcode"),
        ("ISDEVICE", "isDevice"),
        ("SysName\u3000", "sysname"),
        ("somethingElse", "somethingelse"),
    ],
)
def test_field_names_are_read_tolerantly(written: str, meant: str) -> None:
    """Any letter case, stray blanks and the slides' misspellings mean the proper field."""
    assert {meant: "x"} == wire.fold({written: "x"})


@pytest.mark.parametrize(
    "raw", [{"qrid": 1, "grid": 2}, {"rcode": 1, "RCODE": 1}, {"foo": 1, "f oo": 2}]
)
def test_two_names_for_one_field_are_refused(raw: dict[str, object]) -> None:
    """A field that stands there twice is refused: two readers would see two values."""
    with pytest.raises(Disagreement):
        wire.fold(raw)


# ── values ──────────────────────────────────────────────────────────────────────────────────────

GOOD = {"syscode": SYSCODE, "qrid": QRID, "tranSeq": SEQ, "rcode": "0000", "pid": PID}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda v: v + "\n",
        lambda v: v + "\0",
        lambda v: " " + v,
        lambda v: v[:-1] + "９",
        lambda v: v[:-1] + "٩",
        lambda v: v.upper() + "0",
        lambda v: "",
    ],
)
def test_values_are_plain_ascii_of_fixed_length(name: str, spoil: Any) -> None:
    """No newline, NUL, blank or foreign digit passes the grammar, so none reaches a checksum."""
    assert wire.fits(name, GOOD[name])
    value = spoil(GOOD[name])
    longer_seq = name == "tranSeq" and value.isascii() and value.isdigit() and len(value) <= 20
    assert longer_seq or not wire.fits(name, value)


@pytest.mark.parametrize(
    ("pid", "rcode"), [("A12345678", "90000"), ("A1234567890", "000"), ("", "A1234567890000")]
)
def test_shifted_bytes_are_refused(pid: str, rcode: str) -> None:
    """Moving bytes between pid and rcode keeps the checksum right and is refused all the same."""
    fields = {"qrid": QRID, "pid": pid, "rcode": rcode, "chksum": chksum(KEY, f"{PID}0000")}
    with pytest.raises(Disagreement):
        answers.browser_answer("FWEB-01", fields, [KEY])


SHORT = "20200801000000"  # not aligned: zero bytes can be added under the same checksum


@pytest.mark.parametrize(
    ("rcode", "seq"), [("00002", SHORT[1:]), ("000", "0" + SHORT), ("0000", SHORT + "\0")]
)
def test_shifted_and_padded_results_are_refused(rcode: str, seq: str) -> None:
    """Neither a digit moved between rcode and tranSeq nor zero bytes at the end pass."""
    fields = result(rcode=rcode, tranSeq=seq)
    assert fields["chksum"] == result(tranSeq=SHORT)["chksum"]
    with pytest.raises(Disagreement):
        answers.result(fields, answers.Proof((KEY,), SEQ, strict_echo=False))


def test_xor_forgery_is_refused() -> None:
    """Two CBC checksums joined by XOR make a third one; its text is not ASCII digits."""
    first = bytes.fromhex(chksum(KEY, "00001598"))
    joined = bytes(a ^ b for a, b in zip(first, b"00000000", strict=True))
    forged = "00001598" + joined.decode("latin-1") + "12345678"
    assert not wire.fits("tranSeq", forged[4:])


def test_an_opening_answer_cannot_become_a_request() -> None:
    """A tranSeq that starts with a syscode would turn E(qrid+tranSeq) into FATH-02's request sum:
    ours is as long as a syscode, so nothing is left over for a second tranSeq."""
    assert len(SYSCODE) == wire.TRANSEQ_LENGTH
    assert not wire.fits("tranSeq", SYSCODE + "1")


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_our_numbers_have_one_length(now: int, chance: int) -> None:
    """A sequence number of ours is always 20 digits."""
    assert len(wire.transeq(now, chance)) == wire.TRANSEQ_LENGTH
    assert wire.fits("tranSeq", wire.transeq(now, chance))


# ── writing ─────────────────────────────────────────────────────────────────────────────────────

VALUES = GOOD | {"startdate": "20260101", "enddate": "20260331"}
WRITTEN = [
    ("FWEB-01", ["syscode", "tranSeq"], SYSCODE + SEQ),
    ("CTAP-01", ["pid", "syscode", "tranSeq"], PID + SYSCODE + SEQ),
    ("FEXCH-01", ["syscode", "pid", "tranSeq"], PID + SYSCODE + SEQ),
    ("FATH-01", ["syscode", "pid", "tranSeq"], PID + SYSCODE + SEQ),
    ("FATH-02", ["syscode", "qrid", "tranSeq"], QRID + SYSCODE + SEQ),
    ("REG-01", ["syscode", "pid", "tranSeq"], PID + SYSCODE + SEQ),
    ("QUE-01", ["syscode", "startdate", "enddate", "tranSeq"], SYSCODE + SEQ),
    ("QUE-02", ["syscode", "pid", "startdate", "enddate", "tranSeq"], PID + SYSCODE + SEQ),
]


@pytest.mark.parametrize(("interface", "names", "text"), WRITTEN)
def test_requests_are_written_exactly(interface: str, names: list[str], text: str) -> None:
    """Each request has the papers' field names in their order, and their checksum."""
    request = wire.emit(wire.INTERFACES[interface], VALUES, KEY)
    assert [*names, "chksum"] == list(request)
    assert chksum(KEY, text) == request["chksum"]


def test_the_sum_of_reg_01_can_be_changed() -> None:
    """REG-01's formula is configuration; a qrid that it does not have counts as empty."""
    request = wire.emit(wire.INTERFACES["REG-01"], VALUES, KEY, ("qrid", "syscode", "tranSeq"))
    assert chksum(KEY, SYSCODE + SEQ) == request["chksum"]


def test_nothing_unclean_is_signed() -> None:
    """A value outside the grammar is never signed, and the error does not show it."""
    with pytest.raises(Disagreement) as refused:
        wire.emit(wire.INTERFACES["FATH-01"], VALUES | {"pid": "A1234567890"}, KEY)
    assert "A123" not in str(refused.value)


# ── answers ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changes",
    [
        {"chksum": "0" * 16},
        {"chksum": None},
        {"rcode": 0},
        {"rcode": ""},
        {"tranSeq": 1},
        {"tranSeq": "2"},
        {"pid": "A123456788"},
        {"pid": ["A123456789"]},
        {"pid": "A1***56789"},
    ],
)
def test_answers_that_do_not_fit(changes: dict[str, Any]) -> None:
    """A wrong checksum, echo, type or grammar is a Disagreement, never a crash."""
    with pytest.raises(Disagreement) as refused:
        answers.result(result(**changes), PROOF)
    assert "A12" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "pid"),
    [({}, PID), ({"pid": ""}, ""), ({"pid": None}, ""), ({"pid": "A1****6789"}, "A1****6789")],
)
def test_a_result_may_name_the_person(changes: dict[str, Any], pid: str) -> None:
    """FATH-02's pid may be full, masked, empty or absent; who is believed is decided later."""
    assert pid == answers.result(result(**changes), PROOF).pid


def test_the_echo_is_a_switch() -> None:
    """The slides' own examples echo another tranSeq: with the switch off they are read."""
    lax = answers.Proof((KEY,), SEQ, strict_echo=False)
    assert answers.result(result(tranSeq="20200801000000"), lax).rcode == "0000"


def test_answers_under_the_older_key() -> None:
    """During a key change an answer signed with the older key is believed."""
    assert answers.result(result(), answers.Proof((OLD_KEY, KEY), SEQ)).rcode == "0000"


def test_a_refused_opening_needs_no_qrid() -> None:
    """4002 comes without a qrid and its checksum covers an empty one; a success needs one."""
    for rcode, fits in (("4002", True), ("0000", False)):
        fields = {"rcode": rcode, "qrid": "", "tranSeq": SEQ, "chksum": chksum(KEY, SEQ)}
        if fits:
            assert answers.opened("FATH-01", fields, PROOF).rcode == rcode
        else:
            with pytest.raises(Disagreement):
                answers.opened("FATH-01", fields, PROOF)


def test_words_for_people_are_harmless() -> None:
    """Control and bidi characters are dropped from sysname, and it is cut to 100 characters."""
    clean = wire.text({"sysname": "臺北\u202e市\x00\n" + "長" * 200}, "sysname")
    assert clean.startswith("臺北市長")
    assert len(clean) == 100
    assert wire.text({"sysname": 7}, "sysname") == ""


def test_statistics_and_records() -> None:
    """QUE-01's counts may be numbers or digits; QUE-02's rows are held to their grammar."""
    counts = {"Success": 3, "fail": "1", "un handled": 0}
    assert answers.statistics(result(data=counts), PROOF) == answers.Statistics("0000", 3, 1, 0)
    row = {"status": "success", "TxnDate": "20260731", "txntime": "093000123"}
    found = answers.records(result(result=[row]), PROOF)
    at = datetime(2026, 7, 31, 1, 30, 0, 123_000, UTC)  # 09:30 in Taipei
    assert found.records == (answers.Record("success", at),)
    for bad in ({"data": counts | {"fail": -1}}, {"data": 7}, {"data": counts | {"fail": True}}):
        with pytest.raises(Disagreement):
            answers.statistics(result(**bad), PROOF)
    no_time = [[row | {"txnDate": "20260231"}], [row | {"txntime": "240000000"}]]
    for rows in ([row | {"status": "maybe"}], [7], 7, *no_time):
        with pytest.raises(Disagreement):
            answers.records(result(result=rows), PROOF)


def test_a_mask_only_from_the_dongle_page() -> None:
    """A masked pid is accepted in CTAP-01's browser answer and nowhere else in a browser."""
    masked = {"qrid": QRID, "rcode": "0000", "pid": "A1****6789"}
    fields = masked | {"chksum": chksum(KEY, "A1****67890000")}
    assert answers.browser_answer("CTAP-01", fields, [KEY]).pid == "A1****6789"
    with pytest.raises(Disagreement):
        answers.browser_answer("FWEB-01", fields, [KEY])


def test_a_failed_page_need_not_name_anybody() -> None:
    """5002 without a pid is read; a success without one is refused."""
    fields = {"qrid": QRID, "rcode": "5002", "pid": "", "chksum": chksum(KEY, "5002")}
    assert answers.browser_answer("FWEB-01", fields, [KEY]).rcode == "5002"
    with pytest.raises(Disagreement):
        answers.browser_answer(
            "FWEB-01", fields | {"rcode": "0000", "chksum": chksum(KEY, "0000")}, [KEY]
        )


def test_reprs_name_nobody() -> None:
    """What a careless log line prints of an answer contains neither numbers nor keys."""
    seen = repr(answers.result(result(), PROOF)) + repr(PROOF)
    assert PID not in seen
    assert KEY not in seen
