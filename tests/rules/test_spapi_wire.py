"""The fields of the SP-API: grammar before checksum, tolerance where installations differ."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from idp.kernel.errors import Disagreement
from idp.verify.spapi import answers, checksum, ticket, wire
from idp.verify.spapi.answers import Proof
from tests.rules.spapi_upstream import (
    HASHED,
    KEY,
    OLD_KEY,
    PID,
    SERVICE,
    TICKET_ID,
    TRANSACTION,
    packed,
    returned,
    signed,
)
from tests.rules.spapi_upstream import ticket as made

PROOF = Proof((KEY, OLD_KEY), TRANSACTION)
VALUES = {
    "transaction_id": TRANSACTION,
    "sp_service_id": SERVICE,
    "id_num": PID,
    "op_code": "ATH",
    "op_mode": "I-SCAN",
    "hint": "登入",
    "time_limit": "180",
    "sign_type": "PKCS#1",
    "sign_data": f"login:{TRANSACTION}",
    "tbs_encoding": "NONE",
    "hash_algorithm": "SHA256",
    "sp_ticket_id": TICKET_ID,
}
REQUEST_SUMS = {
    "ATH-01": f"{TRANSACTION}{SERVICE}{PID}ATHI-SCAN登入login:{TRANSACTION}",
    "ATH-02": f"{TRANSACTION}{SERVICE}{TICKET_ID}",
    "ATH-03": f"{TRANSACTION}{SERVICE}{PID}ATH登入login:{TRANSACTION}",
    "WEB-01": f"{TRANSACTION}{SERVICE}ATH登入login:{TRANSACTION}",
    "LF-01": f"{TRANSACTION}{SERVICE}{PID}",
}


def emitted(name: str, **changes: str) -> dict[str, str]:
    return wire.emit(wire.INTERFACES[name], VALUES | changes, KEY, lambda n: b"\1" * n)


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", REQUEST_SUMS)
def test_requests_are_signed_over_the_right_fields(name: str) -> None:
    """The checksum of each request is over the fields of the table in its order."""
    fields = emitted(name)
    assert checksum.matches([KEY], REQUEST_SUMS[name], fields["sp_checksum"])


def test_the_json_of_an_opening() -> None:
    """The time is an integer and what is to be signed an object, as the interface has it."""
    body = wire.document(emitted("ATH-01"))
    assert body["time_limit"] == 180
    assert body["sign_info"] == {
        "sign_type": "PKCS#1",
        "sign_data": f"login:{TRANSACTION}",
        "tbs_encoding": "NONE",
        "hash_algorithm": "SHA256",
    }
    assert "op_mode" not in wire.document(emitted("ATH-03"))


def test_nothing_to_sign() -> None:
    """Without a signature the object is left out, and counts as empty under the checksum."""
    nothing = dict.fromkeys(("sign_type", "sign_data", "tbs_encoding", "hash_algorithm"), "")
    fields = emitted("ATH-03", **nothing)
    assert "sign_info" not in wire.document(fields)
    assert checksum.matches([KEY], f"{TRANSACTION}{SERVICE}{PID}ATH登入", fields["sp_checksum"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("transaction_id", TRANSACTION.upper()),
        ("transaction_id", TRANSACTION + "\n"),
        ("transaction_id", "1"),
        ("sp_service_id", ""),
        ("sp_service_id", "S P"),
        ("sp_service_id", "Ｓ1"),
        ("id_num", "A123456788"),
        ("id_num", "a123456789"),
        ("op_code", "SIGN"),
        ("op_mode", "PUSH"),
        ("hint", ""),
        ("hint", "x" * 101),
        ("hint", "a\nb"),
        ("hint", "a\u202eb"),
        ("time_limit", "0"),
        ("time_limit", "1800"),
        ("sign_data", "login:x"),
        ("sign_type", "RAW"),
    ],
)
def test_nothing_unclean_is_signed(field: str, value: str) -> None:
    """What does not fit the grammar is never sent, and the fault does not quote it."""
    with pytest.raises(Disagreement) as refused:
        emitted("ATH-01", **{field: value})
    assert not value or repr(value) not in str(refused.value)


# ── codes ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "bare"),
    [
        ("0", "0"),
        (0, "0"),
        ("20002", "20002"),
        (20003, "20003"),
        ("SPTKT_OVD", "SPTKT_OVD"),
        ("SP-API-ATH-02-SPTKT_OVD", "SPTKT_OVD"),
        ("SP-API-ATH-02-SPTKT_OVD: 逾期", "SPTKT_OVD"),
        ("SPTKTID_TXNLOG_NF: transaction log not found", "SPTKTID_TXNLOG_NF"),
        ("SP-API-LF-01-IDNUM_DEVPROF_NF :x", "IDNUM_DEVPROF_NF"),
        ("SOMETHING_NEW", "SOMETHING_NEW"),
    ],
)
def test_codes(value: Any, bare: str) -> None:
    """A code is the same with the interface before it and words behind it, as text or number."""
    assert wire.code(value).bare == bare
    assert wire.code(value).success is (bare == "0")


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", True, False, 0.0, [], {}, "00", " 0", "0 ", "0: ok", "-1", -1),
        *("SP-API-ATH-02-0", "ok", "0x", "0\n", "０", "SPTKT_ovd", "A" * 400, "A\u202e", 10**9),
    ],
)
def test_what_is_no_code(value: Any) -> None:
    """Nothing but the digit itself is success, and what has no form of a code is a Disagreement."""
    with pytest.raises(Disagreement):
        wire.code(value)


# ── answers ─────────────────────────────────────────────────────────────────────────────────────


def result(**changes: Any) -> dict[str, Any]:
    return signed("ATH-02", TRANSACTION, hashed_id_num=HASHED, signed_response="AAAA", **changes)


def test_answers_that_fit() -> None:
    """A success brings the ticket, the result, or the device's state."""
    opened = answers.opened("ATH-01", signed("ATH-01", TRANSACTION, sp_ticket=made()), PROOF)
    assert opened.ticket is not None
    assert (opened.ticket.sp_ticket_id, opened.ticket.sp_name) == (TICKET_ID, "示範服務")
    found = answers.result(result(cert="MIIB"), PROOF)
    assert (found.success, found.hashed_id_num, found.cert) == (True, HASHED, "MIIB")
    status = answers.device_status(
        signed("LF-01", TRANSACTION, is_fido="Y", is_mcert_sign="N"), PROOF
    )
    assert (status.is_fido, status.is_mcert_sign) == (True, False)


def test_an_answer_under_the_older_key() -> None:
    """During a change of keys the older one is still believed."""
    assert answers.result(result(key=OLD_KEY), PROOF).success


@pytest.mark.parametrize("code", [0, "0"])
def test_numbers_as_strings_and_strings_as_numbers(code: Any) -> None:
    """Success may come as a number; so may what a ticket says."""
    answer = result(code=code)
    answer["transaction_id"] = TRANSACTION
    assert answers.result(answer, PROOF).success
    assert ticket.read(made(sp_ticket_id=12345, version=2)).sp_ticket_id == "12345"


OTHER_TRANSACTION = TRANSACTION.replace("4", "5")


def swapped() -> dict[str, Any]:
    """hashed_id_num and signed_response in each other's place, under the checksum of before."""
    answer = result()
    found = answer["result"]
    found["hashed_id_num"], found["signed_response"] = "AAAA", HASHED
    return answer


def lying(**changes: Any) -> dict[str, Any]:
    answer = result()
    answer["result"] = {**answer["result"], **changes}
    return answer


LIES: dict[str, dict[str, Any]] = {
    "another transaction's": signed("ATH-02", OTHER_TRANSACTION, hashed_id_num=HASHED),
    "echoes another": {**result(), "transaction_id": OTHER_TRANSACTION},
    "swapped fields": swapped(),
    "another person": lying(hashed_id_num="0" * 64),
    "another signature": lying(signed_response="BBBB"),
    "no checksum": lying(idp_checksum=None),
    "checksum is a number": lying(idp_checksum=1),
    "short checksum": lying(idp_checksum="00"),
    "a success made of an error": {**signed("ATH-02", TRANSACTION, "20002"), "error_code": "0"},
    "no result": {"error_code": "0", "error_message": "", "result": None},
    "a list": {"error_code": "0", "result": []},
    "a text": {"error_code": "0", "result": "x"},
    "an error with a list": {"error_code": "20002", "result": [1]},
    "an error with a wrong checksum": {
        "error_code": "20002",
        "result": {"idp_checksum": "0" * 184},
    },
    "no code": {"result": {}},
    "empty": {},
    "not base64": lying(signed_response="§"),
    "a nested hash": lying(hashed_id_num={"a": 1}),
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES)
def test_lies(answer: dict[str, Any]) -> None:
    """A result that was changed, of another transaction or unsigned is a Disagreement."""
    with pytest.raises(Disagreement):
        answers.result(answer, PROOF)


def test_an_error_without_a_result() -> None:
    """An error may come unsigned, with and without a result: it never approves."""
    nothing: list[dict[str, Any]] = [{}, {"result": None}, {"result": {}}, {"result": ""}]
    for empty in nothing:
        found = answers.result({"error_code": "SPTKT_OVD", **empty}, PROOF)
        assert (found.code, found.success) == ("SPTKT_OVD", False)
        assert answers.opened("ATH-03", {"error_code": "SPSVCID_NF", **empty}, PROOF).ticket is None


def test_no_success_can_be_read_two_ways() -> None:
    """However its bytes are divided anew, a signed answer is read as itself or refused: a success
    begins with the one digit, and no other code does."""
    payload = f"0{HASHED}AAAA"
    sealed = checksum.seal(KEY, TRANSACTION + payload)
    read = []
    for one, two in itertools.combinations(range(1, len(payload)), 2):
        found = {"hashed_id_num": payload[one:two], "signed_response": payload[two:]}
        answer = {"error_code": payload[:one], "result": {**found, "idp_checksum": sealed}}
        try:
            read.append(answers.result(answer, PROOF))
        except Disagreement:
            continue
    assert all(result.code == "0" for result in read)
    # which of these is right is decided by the ticket's hashed_id_num (rules.Handle.knows)
    assert sum(result.hashed_id_num == HASHED for result in read) == 1


# ── tickets ─────────────────────────────────────────────────────────────────────────────────────

BROKEN_TICKETS = {
    "no dot": made().replace(".", ""),
    "another digest": made().rpartition(".")[0] + "." + made("x").rpartition(".")[2],
    "another body": made("x").rpartition(".")[0] + "." + made().rpartition(".")[2],
    "no digest": made().rpartition(".")[0] + ".",
    "not json": packed(b"words"),
    "a list": packed(b"[]"),
    "twice": packed(b'{"sp_ticket_id":"a","sp_ticket_id":"b"}'),
    "deep": packed(b'{"a":' * 50 + b"1" + b"}" * 50),
    "large": packed(b'{"a":"' + b"x" * 9000 + b'"}'),
    "no id": made(sp_ticket_id=None),
    "odd id": made(sp_ticket_id="a:b"),
    "bad base64": "abcde." + "A" * 43,
    "odd hash": made(hashed_id_num="§"),
}


@pytest.mark.parametrize("text", BROKEN_TICKETS.values(), ids=BROKEN_TICKETS)
def test_broken_tickets(text: str) -> None:
    """A ticket whose digest or JSON is broken is refused, though the answer's checksum fits."""
    with pytest.raises(Disagreement):
        answers.opened("ATH-01", signed("ATH-01", TRANSACTION, sp_ticket=text), PROOF)


def test_the_checksum_of_another_ticket() -> None:
    """A good ticket under the checksum of another one is refused."""
    answer = signed("ATH-01", TRANSACTION, sp_ticket=made())
    answer["result"]["sp_ticket"] = made(sp_ticket_id="TKT-9")
    with pytest.raises(Disagreement):
        answers.opened("ATH-01", answer, PROOF)


def test_padding_is_tolerated() -> None:
    """Both parts may carry the padding of base64."""
    first, _, second = made().rpartition(".")
    assert ticket.read(f"{first}.{second}=").text == f"{first}.{second}="


# ── what a browser brings ───────────────────────────────────────────────────────────────────────


def test_a_browsers_answer() -> None:
    """It names the transaction, the code and the number, all three under the checksum."""
    found = answers.browser_answer(returned(TRANSACTION, id_num=PID, signed_response="AA"), [KEY])
    assert (found.transaction_id, found.code, found.id_num) == (TRANSACTION, "0", PID)
    denied = answers.browser_answer(returned(TRANSACTION, "APP_USER_CANCEL"), [KEY])
    assert (denied.code, denied.id_num) == ("APP_USER_CANCEL", "")


BROUGHT = returned(TRANSACTION, id_num=PID, signed_response="AA")
BAD_RETURNS: dict[str, dict[str, str]] = {
    "nothing": {},
    "another number": BROUGHT | {"id_num": "B222222228"},
    "no number": returned(TRANSACTION),
    "a masked number": returned(TRANSACTION, id_num="A1****6789"),
    "another transaction": BROUGHT | {"transaction_id": OTHER_TRANSACTION},
    "another code": BROUGHT | {"error_code": "SPTKT_OVD"},
    "unsigned": {k: v for k, v in BROUGHT.items() if k != "idp_checksum"},
    "an unsigned error": {"transaction_id": TRANSACTION, "error_code": "APP_USER_CANCEL"},
    "another signature": BROUGHT | {"signed_response": "BB"},
    "moved bytes": BROUGHT | {"id_num": "", "signed_response": PID + "AA"},
    "a newline": BROUGHT | {"id_num": PID + "\n"},
}


@pytest.mark.parametrize("fields", BAD_RETURNS.values(), ids=BAD_RETURNS)
def test_returns_that_are_refused(fields: dict[str, str]) -> None:
    """Whatever of a return was changed, moved or left out, it is refused; errors too must be
    signed here, for anybody can send a browser to us."""
    with pytest.raises(Disagreement) as refused:
        answers.browser_answer(fields, [KEY])
    assert PID not in str(refused.value)


def test_our_own_request_is_no_answer() -> None:
    """The checksum of our redirect, which its browser sees, cannot be brought back as the
    ministry's: a success would need a service that begins with 0 and a letter."""
    sent = emitted("WEB-01")
    whole = SERVICE + "ATH" + VALUES["hint"] + VALUES["sign_data"]
    for cut in range(len(whole)):
        for length in (0, 10):
            code, rest = whole[:cut], whole[cut:]
            fields = {
                "transaction_id": TRANSACTION,
                "error_code": code,
                "id_num": rest[:length],
                "signed_response": rest[length:],
                "idp_checksum": sent["sp_checksum"],
            }
            with pytest.raises(Disagreement):
                answers.browser_answer(fields, [KEY])


def test_numbers_stay_out_of_reprs() -> None:
    """No repr of an answer shows a number, its hash or the ticket."""
    found = answers.result(result(), PROOF)
    opened = answers.opened("ATH-01", signed("ATH-01", TRANSACTION, sp_ticket=made()), PROOF)
    brought = answers.browser_answer(BROUGHT, [KEY])
    text = repr(found) + repr(opened) + repr(brought) + repr(PROOF)
    assert not any(secret in text for secret in (PID, HASHED, made(), KEY))
