"""The memory of the pretend service: systems, transactions, ledger. No I/O; the clock is handed
in and can be shifted. Time decides lazily: whoever looks at a transaction settles it first."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from idp.verify.simulated import world
from idp.verify.simulated.world import MEMORY
from idp.verify.twfido.simulator.checksum import checksum
from idp.verify.twfido.simulator.grammar import well_formed
from idp.verify.twfido.simulator.personas import PERSONAS, Outcome

LIFETIME = 180  # seconds in which a person can decide
TRANSEQS = 200_000  # per system, for an hour
MAX_SYSTEMS = 10_000
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


@dataclass(slots=True, kw_only=True)
class Transaction(world.Transaction):
    system: SimulatedSystem
    tranSeq: str

    @property
    def qrid(self) -> str:
        return self.handle


class World(world.World[Transaction]):
    codes: ClassVar = {
        Outcome.PENDING: "2001",
        Outcome.APPROVED: "0000",
        Outcome.DENIED: "9004",
        Outcome.FAILED: "2002",
        Outcome.BROKEN: "9999",
        Outcome.EXPIRED: "2003",
    }

    def __init__(self, systems: Sequence[SimulatedSystem], clock: Callable[[], float]) -> None:
        self._first_systems = {system.syscode: system for system in systems}
        if len(self._first_systems) != len(systems):
            raise ValueError("two simulated systems have the same syscode")
        super().__init__(clock)

    def reset(self) -> None:
        super().reset()
        self.systems = dict(self._first_systems)
        self._used: dict[str, dict[str, float]] = {}

    def register(self, described: dict[str, Any]) -> dict[str, str]:
        """A known syscode gets its new key and addresses. ValueError, TypeError."""
        system = SimulatedSystem(**described)
        if len(self.systems) >= MAX_SYSTEMS and system.syscode not in self.systems:
            raise ValueError(f"at most {MAX_SYSTEMS} systems")
        self.systems[system.syscode] = system
        return {"syscode": system.syscode}

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
        opened = Transaction(
            handle=str(uuid.uuid4()),
            interface=interface,
            name=system.name,
            pid=pid,
            opened=self.now(),
            lifetime=LIFETIME,
            by_phone=interface in BY_PHONE,
            people=PERSONAS,
            system=system,
            tranSeq=tran_seq,
        )
        return self.keep(opened, "0000")

    def of_system(self, qrid: str, syscode: str) -> Transaction | None:
        """The transaction as it stands now, if it belongs to `syscode`."""
        transaction = self.find(qrid)
        mine = transaction is not None and transaction.system.syscode == syscode
        return transaction if mine else None

    def poll(self, transaction: Transaction) -> str:
        """What FATH-02 says now; 9000 wears off by being asked."""
        if transaction.outcome is Outcome.APPROVED and transaction.waits > 0:
            transaction.waits -= 1
            return "9000"
        return self.result(transaction)

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
        self.rows.append(row)

    def note(self, transaction: Transaction, event: str, result: str) -> None:
        self.record(
            event,
            transaction.interface,
            syscode=transaction.system.syscode,
            qrid=transaction.qrid,
            tran_seq=transaction.tranSeq,
            pid=transaction.person or transaction.pid,
            result=result,
        )
