"""The memory of a pretend service: transactions and ledger. No I/O; the clock is handed in and
can be shifted. Time decides lazily: whoever looks at a transaction settles it first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from idp.verify.simulated.numbers import valid_pid
from idp.verify.simulated.people import ANYBODY, OTHER_PERSON, Outcome, Persona

MEMORY = 3600  # seconds after which a transaction is forgotten
LEDGER_ROWS = 100_000
TRANSACTIONS = 100_000


@dataclass(slots=True, kw_only=True)
class Transaction:
    """`pid` is the number it was opened with ("" where a page asks), `person` who decided,
    `name` what the phone shows; `lifetime` in seconds."""

    handle: str
    interface: str
    name: str
    pid: str
    opened: float
    lifetime: int
    by_phone: bool
    people: Mapping[str, Persona] = field(repr=False)
    outcome: Outcome = Outcome.PENDING
    person: str = ""
    waits: int = 0
    answered: bool = False  # the opening answer has left

    @property
    def persona(self) -> Persona:
        return self.people.get(self.person or self.pid, ANYBODY)

    @property
    def acts_alone(self) -> Persona:
        """The persona that decides without a click; behind a browser page there is none."""
        return self.people.get(self.pid, ANYBODY) if self.by_phone else ANYBODY

    @property
    def named(self) -> str:
        """Whom the result names."""
        return OTHER_PERSON if self.persona.names_other else self.person or self.pid


T = TypeVar("T", bound=Transaction)


class World(ABC, Generic[T]):
    """`decided` is called once for each transaction that somebody or time has decided; `codes`
    is how the service writes an outcome."""

    codes: ClassVar[Mapping[Outcome, str]]

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.decided: Callable[[T], None] = lambda _: None
        self.reset()

    def reset(self) -> None:
        """As on the first day."""
        self.clock_offset = 0.0
        self.transactions: dict[str, T] = {}
        self.rows: deque[Any] = deque(maxlen=LEDGER_ROWS)

    @property
    def ledger(self) -> list[Any]:
        """Dataclasses, oldest first."""
        return list(self.rows)

    def now(self) -> float:
        return self._clock() + self.clock_offset

    @abstractmethod
    def note(self, transaction: T, event: str, result: str) -> None:
        """Write a row of the ledger."""

    def keep(self, transaction: T, result: str) -> T:
        self._forget()
        self.transactions[transaction.handle] = transaction
        self.note(transaction, "opened", result)
        return transaction

    def find(self, handle: str) -> T | None:
        """The transaction as it stands now."""
        transaction = self.transactions.get(handle)
        if transaction is not None:
            self.settle(transaction)
        return transaction

    def pending(self, pid: str) -> list[T]:
        """What this person's phone shows, newest first."""
        mine = [t for t in reversed(self.transactions.values()) if t.pid == pid and t.by_phone]
        for transaction in mine:
            self.settle(transaction)
        return [t for t in mine if t.outcome is Outcome.PENDING]

    def settle(self, transaction: T) -> None:
        """Let time and the persona decide what they have decided by now."""
        if transaction.outcome is not Outcome.PENDING:
            return
        age, alone = self.now() - transaction.opened, transaction.acts_alone
        if alone.decides is not None and age >= alone.after:
            self._decide(transaction, alone.decides, transaction.pid)
        elif age >= transaction.lifetime:
            self._decide(transaction, Outcome.EXPIRED, transaction.pid)

    def settle_all(self) -> None:
        for transaction in list(self.transactions.values()):
            self.settle(transaction)

    def approve(self, handle: str, pid: str | None = None) -> None:
        """Approve by hand. `pid` overrides who does; a redirect without a number needs it. The
        caller may thereby let a stranger approve: that is a test's power, the phone page has it
        not. LookupError: unknown; ValueError: no longer pending, or nobody to approve."""
        self.decide(handle, Outcome.APPROVED, pid)

    def deny(self, handle: str) -> None:
        """Deny by hand. Raises as `approve`."""
        self.decide(handle, Outcome.DENIED)

    def decide(self, handle: str, outcome: Outcome, pid: str | None = None) -> None:
        transaction = self.find(handle)
        if transaction is None:
            raise LookupError(f"no transaction {handle}")
        if transaction.outcome is not Outcome.PENDING:
            raise ValueError(f"{handle} is already {transaction.outcome}")
        person = transaction.pid if pid is None else pid
        if outcome is Outcome.APPROVED and not valid_pid(person):
            raise ValueError("a valid pid is needed: who approves?")
        self._decide(transaction, outcome, person)

    def result(self, transaction: T) -> str:
        """The code of the decision."""
        return self.codes[transaction.outcome]

    def _decide(self, transaction: T, outcome: Outcome, person: str) -> None:
        transaction.outcome, transaction.person = outcome, person
        transaction.waits = transaction.persona.waits
        self.note(transaction, outcome.value, self.codes[outcome])
        self.decided(transaction)

    def _forget(self) -> None:
        horizon = self.now() - MEMORY
        while self.transactions:
            oldest = next(iter(self.transactions.values()))
            if oldest.opened >= horizon and len(self.transactions) < TRANSACTIONS:
                return
            self.settle(oldest)
            del self.transactions[oldest.handle]
