"""Who is believed, and when: the rules of the SP-API that its checksums do not give."""

from __future__ import annotations

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
from idp.verify import Attempt, State
from idp.verify.spapi import rules, ticket
from idp.verify.spapi.answers import BrowserAnswer, Result
from idp.verify.spapi.rules import Handle
from idp.verify.twfido.rules import METHODS as FIRST
from tests.rules.spapi_upstream import (
    HASHED,
    KEY,
    OLD_KEY,
    OTHER,
    PID,
    SERVICE,
    TICKET_ID,
    TRANSACTION,
)
from tests.rules.spapi_upstream import ticket as made

TICKET = ticket.read(made())
HANDLE = Handle.of(TRANSACTION, TICKET, KEY)
KEYS = (KEY, OLD_KEY)
ELSEWHERE = TRANSACTION.replace("4", "5")


def attempt(method: str, **changes: Any) -> Attempt:
    handle = TRANSACTION if method == "web" else str(HANDLE)
    known: dict[str, Any] = {"relying_party": "rp", "system": SERVICE, "handle": handle}
    known |= {"number": PID, "returned_code": "0" if method == "web" else ""}
    return Attempt(method=f"spapi:{method}", **(known | changes))


# ── methods ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", rules.METHODS)
def test_levels_are_those_of_the_first_interface(name: str) -> None:
    """A client that demands a level gets it from either interface: same words, same order."""
    ours = rules.METHODS[name]
    theirs = FIRST[f"twfido:{ours.name}"]
    assert (ours.acr, ours.amr, ours.rank) == (theirs.acr, theirs.amr, theirs.rank)


def test_there_is_no_dongle() -> None:
    """The interface has no USB dongle, so none is offered."""
    assert {method.name for method in rules.METHODS.values()} == {"push", "qr", "web"}


# ── handles ─────────────────────────────────────────────────────────────────────────────────────


def test_a_handle_holds_all_that_is_needed() -> None:
    """Transaction and ticket come back as they were, and the person's hash is recognised."""
    found = Handle.read(str(HANDLE))
    assert (found.transaction_id, found.sp_ticket_id) == (TRANSACTION, TICKET_ID)
    assert found.knows(HASHED, KEYS)
    assert not found.knows("0" * 64, KEYS)
    assert not found.knows("", KEYS)


def test_a_handle_betrays_no_number() -> None:
    """The hash is in it under our key only: from the hash itself a number could be found by trying
    all of them."""
    assert HASHED not in str(HANDLE)
    assert str(HANDLE) != str(Handle.of(TRANSACTION, TICKET, OLD_KEY))


def test_a_handle_outlives_a_change_of_keys() -> None:
    """What was opened under the older key is recognised while both are configured."""
    before = Handle.of(TRANSACTION, TICKET, OLD_KEY)
    assert before.knows(HASHED, KEYS)
    assert not before.knows(HASHED, (KEY,))


def test_a_ticket_without_a_hash() -> None:
    """Where the ticket told none, there is nothing to compare."""
    handle = Handle.of(TRANSACTION, ticket.read(made(hashed_id_num=None)), KEY)
    assert Handle.read(str(handle)) == handle
    assert handle.knows("anything", KEYS)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", TRANSACTION.upper(), f"{TRANSACTION}:", f"{TRANSACTION}::{TICKET_ID}"),
        *(f"{TRANSACTION}:x:{TICKET_ID}", f"{TRANSACTION}:-:", f"{HANDLE}\n", f"{HANDLE}:x"),
    ],
)
def test_what_is_no_handle(text: str) -> None:
    """A stored handle that cannot be ours is a Disagreement."""
    with pytest.raises(Disagreement):
        Handle.read(text)


# ── openings ────────────────────────────────────────────────────────────────────────────────────

ASKED = {
    "transaction_id": TRANSACTION,
    "sp_service_id": SERVICE,
    "op_code": "ATH",
    "op_mode": "I-SCAN",
    "hint": "登入",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"transaction_id": ELSEWHERE},
        {"transaction_id": None},
        {"sp_service_id": "SP-OTHER"},
        {"op_code": "SIGN"},
        {"op_mode": "APP2APP"},
        {"hint": "轉帳"},
    ],
    ids=str,
)
def test_a_ticket_that_another_login_opened(changes: dict[str, Any]) -> None:
    """A ticket of another transaction, service, deed or with other words is not ours."""
    assert rules.opening_fault(ticket.read(made(**changes)), ASKED)


def test_a_ticket_that_is_ours() -> None:
    """A ticket that repeats what we asked, or leaves out what it need not say, is ours."""
    assert rules.opening_fault(TICKET, ASKED) is None
    assert rules.opening_fault(ticket.read(made(op_mode="I-SCAN", hint="登入")), ASKED) is None
    bare = made(op_code=None, sp_service_id=None, version=None)
    assert rules.opening_fault(ticket.read(bare), ASKED) is None


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("IDNUM_USERPROF_NF", NotStarted),
        ("IDNUM_DEVPROF_NF", NotStarted),
        ("PM_IDN_FT_ERR", NotStarted),
        ("PS_FCM_NOT_FOUND", NotStarted),
        ("DEV_LIM_REACHED", NotStarted),
        ("SOMETHING_NEW", NotStarted),
        ("12345", NotStarted),
        ("INV_SP_CHECKSUM", Disagreement),
        ("SPSVCID_NF", Disagreement),
        ("TXNLOG_INS_ERR", Disagreement),
        ("SPTKT_TIME_ORV", Disagreement),
        ("SIGNDATA_LEN_LIMIT", Disagreement),
        ("DB_CONN_ERR", UpstreamAway),
        ("IDNUM_USERPROF_DBSQL", UpstreamAway),
        ("PS_FCM_UNAVAILABLE", UpstreamAway),
    ],
)
def test_why_nothing_was_opened(code: str, why: type[VerificationError]) -> None:
    """Not enrolled and unknown codes are one neutral answer; our own faults raise an alarm."""
    assert rules.not_opened(code) is why


# ── results ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "state", "why"),
    [
        ("20002", State.PENDING, None),
        ("20003", State.PENDING, None),
        ("SPTKTID_TXNLOG_NF", State.PENDING, None),
        ("SOMETHING_NEW", State.PENDING, None),
        ("DB_CONN_ERR", State.PENDING, None),
        ("77777", State.PENDING, None),
        ("APP_USER_CANCEL", State.ENDED, Denied),
        ("APP_SIGN_FAILURE", State.ENDED, Failed),
        ("SPTKT_OVD", State.ENDED, Expired),
        ("SPTKTID_SPTKT_RDM", State.ENDED, Failed),
        ("SPTKTID_SPTKT_NF", State.ENDED, Failed),
        ("IDNUM_DEVPROF_NF", State.ENDED, Failed),
        ("UNDEFINED", State.ENDED, UpstreamAway),
    ],
)
@pytest.mark.parametrize("method", ["push", "qr", "web"])
def test_result_codes(
    method: str, code: str, state: State, why: type[VerificationError] | None
) -> None:
    """What we do not know is pending, and no failure of a person is an alarm."""
    outcome = rules.judge(attempt(method), HANDLE, Result(code), KEYS)
    assert (outcome.state, outcome.why, outcome.code) == (state, why, code)
    assert (outcome.number, outcome.alarm) == (None, None)


@pytest.mark.parametrize("code", ["INV_SP_CHECKSUM", "SPSVCID_NF"])
def test_a_question_that_is_refused(code: str) -> None:
    """A key that no longer fits ends the attempt with an alarm: no waiting mends it."""
    outcome = rules.judge(attempt("push"), HANDLE, Result(code), KEYS)
    assert (outcome.state, outcome.why) == (State.ENDED, Disagreement)
    assert outcome.alarm


APPROVED = Result("0", HASHED)


@pytest.mark.parametrize("method", ["push", "qr"])
def test_whom_a_success_logs_in(method: str) -> None:
    """Push and QR log in the number that we opened with."""
    outcome = rules.judge(attempt(method), HANDLE, APPROVED, KEYS)
    assert (outcome.state, outcome.number, outcome.alarm) == (State.APPROVED, PID, None)


REFUSED: dict[str, tuple[Attempt, Handle, Result]] = {
    "another hash": (attempt("push"), HANDLE, Result("0", "0" * 64)),
    "no hash": (attempt("qr"), HANDLE, Result("0")),
    "moved bytes": (attempt("qr"), HANDLE, Result("0", HASHED + "AA")),
    "no number": (attempt("push", number=None), HANDLE, APPROVED),
    "no such method": (attempt("dongle"), HANDLE, APPROVED),
    "no ticket": (attempt("push"), Handle(TRANSACTION), APPROVED),
    "nothing brought": (attempt("web", returned_code=""), Handle(TRANSACTION), APPROVED),
    "a failure brought": (
        attempt("web", returned_code="APP_USER_CANCEL"),
        Handle(TRANSACTION),
        APPROVED,
    ),
    "nobody brought": (attempt("web", number=None), Handle(TRANSACTION), APPROVED),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_approvals_that_let_nobody_in(case: tuple[Attempt, Handle, Result]) -> None:
    """An approval of somebody else, or of an attempt that is not ours, is an alarm."""
    outcome = rules.judge(*case, KEYS)
    assert (outcome.state, outcome.why, outcome.number) == (State.ENDED, Disagreement, None)
    assert outcome.alarm
    assert PID not in outcome.alarm


def test_a_redirect_logs_in_whom_its_return_named() -> None:
    """The number of a web redirect is the one of its signed return, once ATH-02 approves."""
    outcome = rules.judge(attempt("web"), Handle(TRANSACTION), APPROVED, KEYS)
    assert (outcome.state, outcome.number) == (State.APPROVED, PID)


# ── returns ─────────────────────────────────────────────────────────────────────────────────────


def brought(transaction_id: str = TRANSACTION, code: str = "0", number: str = PID) -> BrowserAnswer:
    return BrowserAnswer(code, transaction_id, number)


@pytest.mark.parametrize(
    ("ours", "answer", "good"),
    [
        (attempt("web", number=None), brought(), True),
        (attempt("web", number=None), brought(code="APP_USER_CANCEL", number=""), True),
        (attempt("web"), brought(), True),
        (attempt("web"), brought(number=OTHER), False),
        (attempt("web", number=None), brought(ELSEWHERE), False),
        (attempt("web", handle=None), brought(), False),
        (attempt("push"), brought(), False),
        (attempt("qr"), brought(), False),
        (attempt("fax"), brought(), False),
    ],
)
def test_returns_belong_to_one_transaction(
    ours: Attempt, answer: BrowserAnswer, good: bool
) -> None:
    """A return counts for the transaction that we sent the browser away with, and for no other,
    and names the same person every time."""
    assert (rules.return_fault(ours, answer) is None) is good


# ── links ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["base64url", "base64", "plain"])
@pytest.mark.parametrize("value", [TRANSACTION, "https://id.test/spapi/return?~ÿ"[:-1]])
def test_return_values_come_back(how: Any, value: str) -> None:
    """What was written into the link is read again, however programs write it."""
    assert rules.decoded(rules.encoded(value, how)) == value


def test_the_app_link() -> None:
    """Ticket and return address stand in the link percent-encoded; without a template there is
    none."""
    values = {"sp_ticket": "a.b", "rtn_url": "https://id.test/?x=1&y", "rtn_val": "{sp_ticket}"}
    link = rules.app_link("mobilemoica://x?t={sp_ticket}&u={rtn_url}&v={rtn_val}", values)
    assert link == (
        "mobilemoica://x?t=a.b&u=https%3A%2F%2Fid.test%2F%3Fx%3D1%26y&v=%7Bsp_ticket%7D"
    )
    assert rules.app_link("", values) == ""


def test_no_number_in_a_qr_code() -> None:
    """What everybody can see on the screen must not contain the number."""
    rules.must_not_contain(TICKET, PID)
    with pytest.raises(Disagreement):
        rules.must_not_contain(ticket.read(made(sp_name=f"x{PID}")), PID)
