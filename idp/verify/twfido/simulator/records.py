"""QUE-01 and QUE-02: what the ledger says about a period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from idp.verify.twfido.simulator.grammar import local_time, months_later, parse_day
from idp.verify.twfido.simulator.reading import Call
from idp.verify.twfido.simulator.world import World

LONGEST = 3  # months

# A transaction that nobody decided is unhandled, whether it has expired or not.
_STATUS = {
    "opened": "unhandled",
    "expired": "unhandled",
    "approved": "success",
    "denied": "fail",
    "failed": "fail",
    "broken": "fail",
}


@dataclass(slots=True)
class Record:
    opened: float
    status: str
    pid: str

    def printed(self) -> dict[str, str]:
        """`txnTime` is HHmmssSSS, Taipei."""
        at = local_time(self.opened)
        clock = f"{at:%H%M%S}{at.microsecond // 1000:03d}"
        return {"status": self.status, "txnDate": f"{at:%Y%m%d}", "txnTime": clock}


def valid_period(start: str, end: str) -> bool:
    """In order, and at most three months long."""
    first, last = parse_day(start), parse_day(end)
    if first is None or last is None or first.year > 9000:
        return False
    return first <= last <= months_later(first, LONGEST)


def of(world: World, call: Call) -> Sequence[Record]:
    """The calling system's transactions opened in the period, newest first."""
    world.settle_all()
    found: dict[str, Record] = {}
    for row in world.ledger:
        if row.syscode != call.system.syscode or not row.qrid or row.event not in _STATUS:
            continue
        record = found.setdefault(row.qrid, Record(row.time, "unhandled", row.pid))
        record.status, record.pid = _STATUS[row.event], row.pid
    start, end = call.fields["startdate"], call.fields["enddate"]
    return [
        record
        for record in reversed(found.values())
        if start <= f"{local_time(record.opened):%Y%m%d}" <= end
    ]
