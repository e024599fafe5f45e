"""The memory of the pretend service: systems, transactions, ledger. No I/O; the clock is handed
in and can be shifted. Time decides lazily: whoever looks at a transaction settles it first."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from idp.verify.twfido.simulator.checksum import checksum
from idp.verify.twfido.simulator.grammar import well_formed
from idp.verify.twfido.simulator.personas import (
    ANYBODY,
    OTHER_PERSON,
    Outcome,
    Persona,
    persona,
)

LIFETIME = 180  # seconds in which a person can decide
MEMORY = 3600  # seconds after which a transaction and a tranSeq are forgotten
LEDGER_ROWS = 100_000
TRANSACTIONS = 100_000
TRANSEQS = 200_000  # per system
BY_PHONE = ("FEXCH-01", "FATH-01")
SYSACTION = "您是否正在嘗試登入"


@dataclass(frozen=True, slots=True)
class SimulatedSystem:
    """One connected system: `syscode` 20 digits, `api_key` 32 hex digits, `name` as the phone
    shows it, `success_url` of FWEB-01 and CTAP-01, `callback_url` of FEXCH-02. ValueError."""

    syscode: str
    api_key: str = field(repr=False)
    name: str
    success_url: str
    callback_url: str | None = None

    def __post_init__(self) -> None:
        if not well_formed("syscode", self.syscode):
            raise ValueError("syscode: 20 digits")
        if not well_formed("api_key", self.api_key):
            raise ValueError(f"api_key of {self.syscode}: 32 hexadecimal digits")
        checksum(self.api_key, "0")  # ValueError if both halves of the key are equal
        if not self.name or not isinstance(self.name, str):
            raise ValueError(f"name of {self.syscode}: must not be empty")
        if not _is_url(self.success_url):
            raise ValueError(f"success_url of {self.syscode}: http or https")
        if self.callback_url is not None and not _is_url(self.callback_url):
            raise ValueError(f"callback_url of {self.syscode}: http or https")


def _is_url(text: object) -> bool:
    return isinstance(text, str) and urlsplit(text).scheme in ("http", "https")


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """`time` is seconds since 1970. `result` is an rcode; for a callback what came back."""

    time: float
    event: str  # opened approved denied failed broken expired polled callback refused
    interface: str
    syscode: str
    qrid: str
    tranSeq: str
    pid: str
    result: str


@dataclass(slots=True)
class Transaction:
    """`pid` is the number it was opened with ("" for FWEB-01), `person` who decided."""

    qrid: str
    system: SimulatedSystem
    interface: str
    tranSeq: str
    pid: str
    opened: float
    outcome: Outcome = Outcome.PENDING
    person: str = ""
    waits: int = 0
    answered: bool = False  # the opening answer has left

    @property
    def persona(self) -> Persona:
        return persona(self.person or self.pid)

    @property
    def acts_alone(self) -> Persona:
        """The persona that decides without a click; behind a browser page there is none."""
        return persona(self.pid) if self.interface in BY_PHONE else ANYBODY

    @property
    def named(self) -> str:
        """Whom the result names."""
        return OTHER_PERSON if self.persona.names_other else self.person or self.pid


_POLLED = {
    Outcome.PENDING: "2001",
    Outcome.APPROVED: "0000",
    Outcome.DENIED: "9004",
    Outcome.FAILED: "2002",
    Outcome.BROKEN: "9999",
    Outcome.EXPIRED: "2003",
}


class World:
    """`decided` is called once for each transaction that somebody or time has decided."""

    def __init__(self, systems: Sequence[SimulatedSystem], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first_systems = {system.syscode: system for system in systems}
        if len(self._first_systems) != len(systems):
            raise ValueError("two simulated systems have the same syscode")
        self.decided: Callable[[Transaction], None] = lambda _: None
        self.reset()

    def reset(self) -> None:
        """As on the first day."""
        self.systems = dict(self._first_systems)
        self.clock_offset = 0.0
        self.transactions: dict[str, Transaction] = {}
        self._rows: deque[LedgerRow] = deque(maxlen=LEDGER_ROWS)
        self._used: dict[str, dict[str, float]] = {}

    @property
    def ledger(self) -> list[LedgerRow]:
        """Oldest first."""
        return list(self._rows)

    def now(self) -> float:
        return self._clock() + self.clock_offset

    def use(self, syscode: str, tran_seq: str) -> bool:
        """Spend a tranSeq; False if the system has used it before (within the last hour)."""
        used = self._used.setdefault(syscode, {})
        horizon = self.now() - MEMORY
        while used and (len(used) >= TRANSEQS or next(iter(used.values())) < horizon):
            del used[next(iter(used))]
        if tran_seq in used:
            return False
        used[tran_seq] = self.now()
        return True

    def open(self, interface: str, system: SimulatedSystem, tran_seq: str, pid: str) -> Transaction:
        self._forget()
        transaction = Transaction(
            str(uuid.uuid4()), system, interface, tran_seq, pid, opened=self.now()
        )
        self.transactions[transaction.qrid] = transaction
        self._record(transaction, "opened", "0000")
        return transaction

    def find(self, qrid: str, syscode: str | None = None) -> Transaction | None:
        """The transaction as it stands now, if it belongs to `syscode`."""
        transaction = self.transactions.get(qrid)
        if transaction is None or syscode not in (None, transaction.system.syscode):
            return None
        self.settle(transaction)
        return transaction

    def pending(self, pid: str) -> list[Transaction]:
        """What this person's phone shows, newest first."""
        mine = [
            t
            for t in reversed(self.transactions.values())
            if t.pid == pid and t.interface in BY_PHONE
        ]
        for transaction in mine:
            self.settle(transaction)
        return [t for t in mine if t.outcome is Outcome.PENDING]

    def settle(self, transaction: Transaction) -> None:
        """Let time and the persona decide what they have decided by now."""
        if transaction.outcome is not Outcome.PENDING:
            return
        age, alone = self.now() - transaction.opened, transaction.acts_alone
        if alone.decides is not None and age >= alone.after:
            self._decide(transaction, alone.decides, transaction.pid)
        elif age >= LIFETIME:
            self._decide(transaction, Outcome.EXPIRED, transaction.pid)

    def settle_all(self) -> None:
        for transaction in list(self.transactions.values()):
            self.settle(transaction)

    def approve(self, qrid: str, pid: str | None = None) -> None:
        """Approve by hand. `pid` overrides who does; FWEB-01 needs it. The caller may thereby
        let a stranger approve: that is a test's power, the phone page has it not.
        LookupError: unknown qrid; ValueError: no longer pending, or nobody to approve."""
        self.decide(qrid, Outcome.APPROVED, pid)

    def deny(self, qrid: str) -> None:
        """Deny by hand. Raises as `approve`."""
        self.decide(qrid, Outcome.DENIED)

    def decide(self, qrid: str, outcome: Outcome, pid: str | None = None) -> None:
        transaction = self.find(qrid)
        if transaction is None:
            raise LookupError(f"no transaction {qrid}")
        if transaction.outcome is not Outcome.PENDING:
            raise ValueError(f"{qrid} is already {transaction.outcome}")
        person = transaction.pid if pid is None else pid
        if outcome is Outcome.APPROVED and not well_formed("pid", person):
            raise ValueError("a valid pid is needed: who approves?")
        self._decide(transaction, outcome, person)

    def poll(self, transaction: Transaction) -> str:
        """What FATH-02 says now; 9000 wears off by being asked."""
        if transaction.outcome is Outcome.APPROVED and transaction.waits > 0:
            transaction.waits -= 1
            return "9000"
        return _POLLED[transaction.outcome]

    def result(self, transaction: Transaction) -> str:
        """The rcode of the decision."""
        return _POLLED[transaction.outcome]

    def record(
        self,
        event: str,
        interface: str,
        *,
        syscode: str = "",
        qrid: str = "",
        tran_seq: str = "",
        pid: str = "",
        result: str = "",
    ) -> None:
        row = LedgerRow(self.now(), event, interface, syscode, qrid, tran_seq, pid, result)
        self._rows.append(row)

    def _decide(self, transaction: Transaction, outcome: Outcome, person: str) -> None:
        transaction.outcome, transaction.person = outcome, person
        transaction.waits = transaction.persona.waits
        self._record(transaction, outcome.value, _POLLED[outcome])
        self.decided(transaction)

    def _record(self, t: Transaction, event: str, result: str) -> None:
        self.record(
            event,
            t.interface,
            syscode=t.system.syscode,
            qrid=t.qrid,
            tran_seq=t.tranSeq,
            pid=t.person or t.pid,
            result=result,
        )

    def _forget(self) -> None:
        horizon = self.now() - MEMORY
        while self.transactions:
            oldest = next(iter(self.transactions.values()))
            if oldest.opened >= horizon and len(self.transactions) < TRANSACTIONS:
                return
            self.settle(oldest)
            del self.transactions[oldest.qrid]
