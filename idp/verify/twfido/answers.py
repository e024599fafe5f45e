"""What TW FidO answered, checked: one dataclass and one reader an interface. Pure.

A reader takes the folded fields, holds them to the grammar, verifies checksum and echo, and only
then gives them meaning. Numbers of people stay out of every repr.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from idp.kernel.clock import TAIPEI
from idp.kernel.errors import Disagreement
from idp.verify.twfido.wire import (
    INTERFACES,
    check,
    fold,
    optional,
    optional_pid,
    required,
    text,
)

Fields = Mapping[str, object]
SUCCESS = "0000"


@dataclass(frozen=True, slots=True)
class Proof:
    """What an answer is checked against: the keys (newest first), the tranSeq that we sent, and
    whether the answer must repeat it."""

    keys: Sequence[str] = field(repr=False)
    sent: str
    strict_echo: bool = True


@dataclass(frozen=True, slots=True)
class Opened:
    """FEXCH-01, FATH-01. `qrid` is "" unless rcode is 0000; `pid` full, masked or ""."""

    rcode: str
    qrid: str
    op: str
    sysaction: str
    sysname: str
    pid: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """FATH-02. `pid` full, masked or "": the checksum does not cover it."""

    rcode: str
    pid: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """REG-01."""

    rcode: str
    has_device: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """QUE-01: how many transactions went which way."""

    rcode: str
    success: int = 0
    fail: int = 0
    unhandled: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """QUE-02: one transaction, and when it was."""

    status: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Records:
    """QUE-02, newest first."""

    rcode: str
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class BrowserAnswer:
    """FWEB-01, CTAP-01: carried by a browser, bound to no transaction. Proves nothing."""

    rcode: str
    qrid: str
    pid: str = field(repr=False)


def _checked(interface: str, fields: Fields, proof: Proof, **more: str) -> str:
    """The rcode of an answer whose checksum and echo fit."""
    rcode, seq = required(fields, "rcode"), required(fields, "tranSeq")
    given = required(fields, "chksum")
    values = {"rcode": rcode, "tranSeq": seq, **more}
    check(proof.keys, values, INTERFACES[interface].answer_sum, given)
    if proof.strict_echo and seq != proof.sent:
        # whoever replays an older answer, rightly signed, is caught here
        raise Disagreement(detail=f"{interface}: the answer echoes another tranSeq")
    return rcode


def opened(interface: str, fields: Fields, proof: Proof) -> Opened:
    qrid = optional(fields, "qrid")
    rcode = _checked(interface, fields, proof, qrid=qrid)
    if rcode == SUCCESS and not qrid:
        raise Disagreement(detail=f"{interface}: opened without a qrid")
    op, action, name = (text(fields, field) for field in ("op", "sysaction", "sysname"))
    return Opened(rcode, qrid, op, action, name, pid=optional_pid(fields))


def result(fields: Fields, proof: Proof) -> Result:
    return Result(_checked("FATH-02", fields, proof), pid=optional_pid(fields))


def enrolment(fields: Fields, proof: Proof) -> Enrolment:
    rcode = _checked("REG-01", fields, proof)
    device = required(fields, "isDevice") if rcode == SUCCESS else "N"
    return Enrolment(rcode, device == "Y")


def statistics(fields: Fields, proof: Proof) -> Statistics:
    rcode = _checked("QUE-01", fields, proof)
    if rcode != SUCCESS:
        return Statistics(rcode)
    data = _object(fields.get("data"), "data")
    return Statistics(rcode, *(_count(data, name) for name in ("success", "fail", "unhandled")))


def records(fields: Fields, proof: Proof) -> Records:
    rcode = _checked("QUE-02", fields, proof)
    rows = fields.get("result") or []
    if rcode != SUCCESS:
        return Records(rcode)
    if not isinstance(rows, list):
        raise Disagreement(detail="result is not a list")
    return Records(rcode, tuple(_record(_object(row, "result")) for row in rows))


def browser_answer(interface: str, fields: Fields, keys: Sequence[str]) -> BrowserAnswer:
    """A mask is accepted for CTAP-01 only; a failure may come without a pid."""
    qrid, rcode = required(fields, "qrid"), required(fields, "rcode")
    read_pid = optional_pid if interface == "CTAP-01" else lambda f: optional(f, "pid")
    pid = read_pid(fields)
    if rcode == SUCCESS and not pid:
        raise Disagreement(detail=f"{interface}: success without a pid")
    given = required(fields, "chksum")
    check(keys, {"pid": pid, "rcode": rcode}, INTERFACES[interface].answer_sum, given)
    return BrowserAnswer(rcode, qrid, pid=pid)


def _object(value: object, name: str) -> Fields:
    if not isinstance(value, dict):
        raise Disagreement(detail=f"{name} is not an object")
    return fold(value)


def _count(data: Fields, name: str) -> int:
    value = data.get(name)
    digits = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15):
        raise Disagreement(detail=f"{name} is not a number")
    return int(digits)


def _record(row: Fields) -> Record:
    status, day, time = (required(row, name) for name in ("status", "txnDate", "txnTime"))
    try:  # yyyyMMdd and HHmmssSSS by the upstream's clock
        at = datetime.strptime(f"{day}{time}000", "%Y%m%d%H%M%S%f").replace(tzinfo=TAIPEI)
    except ValueError:
        raise Disagreement(detail="txnDate and txnTime are no time") from None
    return Record(status, at)
