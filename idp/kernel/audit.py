"""The audit trail: append-only, sealed in a chain, no personal data in clear.

An entry that belongs to a decision is written in the transaction of that decision. Entries of
busy, harmless events (machine tokens) are gathered and written in batches. Seals are made aside:
each covers all entries up to an id and the seal before it, so writers never queue for a lock.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Text, bindparam, func, insert, or_, select

from idp.kernel import metrics
from idp.kernel.clock import Clock, iso
from idp.kernel.database import Conflict, Database, Row, Transaction
from idp.kernel.errors import Unavailable
from idp.kernel.tables import audit, audit_seals
from idp.kernel.vault import Vault

log = structlog.get_logger("idp.audit")

SETTLED = 15  # seconds: no transaction lives longer, so no lower id can still appear
BACKLOG = 10_000  # gathered entries; beyond that we would rather refuse than forget
BATCH = 1_000
PIECE = 20_000  # ids that one statement of a search looks at
BEFORE_ALL = -(2**63)  # no id is lower: also an entry put before the first is noticed

CATALOGUE: dict[str, str] = {}


def event(name: str, description: str) -> str:
    """Declares an event: `subject.happened`, and one sentence for the operator."""
    CATALOGUE[name] = description
    return name


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal of the chain: written NUMBER:MARK."""

    number: int
    mark: str

    def __str__(self) -> str:
        return f"{self.number}:{self.mark}"


@dataclass(frozen=True, slots=True)
class Entry:
    """Who (client, person), what (event), from where, which incident (reference)."""

    event: str
    reference: str = ""
    client_id: str = ""
    person_id: str = ""
    address: str = ""
    detail: tuple[tuple[str, Any], ...] = ()


def entry(
    event: str,
    *,
    reference: str = "",
    client_id: str = "",
    person_id: str = "",
    address: str = "",
    **detail: Any,
) -> Entry:
    return Entry(event, reference, client_id, person_id, address, tuple(sorted(detail.items())))


@dataclass(frozen=True, slots=True)
class Search:
    """Which entries: "" and None mean all. `since` and `until` are UTC seconds. With `after`, the
    oldest `most` with a higher id; else the newest, with `before` those of a lower id."""

    event: str = ""
    reference: str = ""
    client_id: str = ""
    person_id: str = ""
    since: int = 0
    until: int = 2**62
    after: int | None = None
    before: int | None = None
    most: int = 500

    @property
    def forwards(self) -> bool:
        return self.after is not None

    @property
    def conditions(self) -> dict[str, Any]:
        names = ("event", "reference", "client_id", "person_id", "since", "until")
        return {name: getattr(self, name) for name in names}


EVERYTHING = Search()

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_INSERT = insert(audit).values({c.name: bindparam(c.name) for c in audit.c if c.name != "id"})
_SEAL = select(audit_seals).where(audit_seals.c.number == bindparam("number"))
_LAST_SEAL = select(audit_seals).order_by(audit_seals.c.number.desc()).limit(1)
_SEALS = select(audit_seals).order_by(audit_seals.c.number)
_TO_SEAL = (
    select(audit)
    .where(audit.c.id > bindparam("after"), audit.c.id <= bindparam("upto"))
    .order_by(audit.c.id)
    .limit(BATCH)
)
_BETWEEN = (
    select(audit)
    .where(audit.c.id > bindparam("after"), audit.c.id <= bindparam("upto"))
    .order_by(audit.c.id)
)
_NEWEST = select(func.max(audit.c.id).label("id"))
_UNSEALED = select(func.count()).select_from(audit).where(audit.c.id > bindparam("after"))
_OLDEST = select(func.min(audit.c.id).label("id"))
_MATCHING = select(audit).where(
    audit.c.id > bindparam("after"),
    audit.c.id <= bindparam("upto"),
    audit.c.at >= bindparam("since"),
    audit.c.at < bindparam("until"),
    *(
        or_(bindparam(name, type_=Text) == "", audit.c[name] == bindparam(name, type_=Text))
        for name in ("event", "reference", "client_id", "person_id")
    ),
)
_FORWARDS = _MATCHING.order_by(audit.c.id).limit(bindparam("most"))
_BACKWARDS = _MATCHING.order_by(audit.c.id.desc()).limit(bindparam("most"))
_INSERT_SEAL = insert(audit_seals)


class Trail:
    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database, self._vault, self._clock = database, vault, clock
        self._gathered: deque[dict[str, Any]] = deque()
        self._flushing = asyncio.Lock()
        self._seen: deque[tuple[float, int]] = deque()
        self._head: Head | None = None  # the newest seal that this process has seen
        self._told_always: dict[str, Any] = {}

    def tell_always(self, **detail: Any) -> None:
        """Every entry of this process tells this too: a command names its operator and why."""
        self._told_always = detail

    async def write(self, tx: Transaction, *entries: Entry) -> None:
        for item in entries:
            await tx.run(_INSERT, **self._row(item))

    async def note(self, *entries: Entry) -> None:
        """One entry that belongs to no other change."""

        async def work(tx: Transaction) -> None:
            await self.write(tx, *entries)

        await self._database.write(work)

    def gather(self, item: Entry) -> None:
        """For busy events; written by the next `flush`. Raises Unavailable when the store has
        been away so long that entries would be lost."""
        if len(self._gathered) >= BACKLOG:
            raise Unavailable(detail="the audit backlog is full")
        self._gathered.append(self._row(item))

    async def flush(self) -> None:
        async with self._flushing:
            while self._gathered:
                rows = [self._gathered[i] for i in range(min(BATCH, len(self._gathered)))]
                await self._database.write(functools.partial(_insert_all, rows))
                for _ in rows:
                    self._gathered.popleft()

    def _row(self, item: Entry) -> dict[str, Any]:
        address = item.address
        return {
            "at": self._clock.now(),
            "event": item.event,
            "reference": item.reference,
            "client_id": item.client_id,
            "person_id": item.person_id,
            "address_sealed": address and self._vault.seal_for_good("address", address),
            "detail": _COMPACT.encode(dict(item.detail) | self._told_always),
        }

    # ── sealing ────────────────────────────────────────────────────────────────────────────────

    async def seal(self) -> None:
        """Seals what has settled. Two replicas may try at once: the number is unique. Nothing is
        sealed on top of a chain that is no longer the one that was seen."""
        last = await self._database.one(_LAST_SEAL)
        if not await self._continues(last):
            return
        after = last["last_id"] if last else BEFORE_ALL
        rows = await self._database.all(_TO_SEAL, after=after, upto=await self._settled())
        if not rows:
            return
        seal = {
            "number": (last["number"] if last else 0) + 1,
            "last_id": rows[-1]["id"],
            "rows": len(rows),
            "mark": self._mark(last["mark"] if last else "", rows),
            "sealed_at": self._clock.now(),
        }
        try:
            await self._database.write(lambda tx: tx.run(_INSERT_SEAL, **seal))
        except Conflict:
            return  # another replica was first
        self._head = Head(seal["number"], seal["mark"])
        # the log leaves this machine: whoever cuts the chain's end here is found out there
        log.info("audit.sealed", seal=str(self._head), rows=seal["rows"])

    async def _continues(self, last: Row | None) -> bool:
        """Whether the chain still contains the newest seal that was seen. Whoever can drop seals
        could forge entries and have them sealed anew: an alarm, until this process ends."""
        seen, known = self._head, True
        if seen is not None:
            row = await self._database.one(_SEAL, number=seen.number)
            known = row is not None and row["mark"] == seen.mark
        if not known:
            metrics.ALARMS.labels("audit_head").inc()
            log.error("audit.head_went_back", seen=str(seen), found=last["number"] if last else 0)
        elif last is not None:
            self._head = Head(last["number"], last["mark"])
        return known

    async def _settled(self) -> int:
        """The highest id that we saw SETTLED seconds ago: no id below it can still appear. The
        entries' own times would not tell: gathered ones are written later than they happened."""
        row = await self._database.one(_NEWEST)
        now = self._clock.monotonic()
        self._seen.append((now, (row and row["id"]) or 0))
        while len(self._seen) > 1 and self._seen[1][0] <= now - SETTLED:
            self._seen.popleft()
        when, newest = self._seen[0]
        return newest if when <= now - SETTLED else 0

    def _mark(self, previous: str, rows: list[Row]) -> str:
        text = "\n".join([previous, *(_canonical(row) for row in rows)])
        return self._vault.index("audit-seal", text)

    async def head(self) -> str:
        """The newest seal as `verify` expects it; "" if there is none."""
        last = await self._database.one(_LAST_SEAL)
        return str(Head(last["number"], last["mark"])) if last else ""

    async def verify(self, expect: str = "") -> tuple[int, int, str | None]:
        """(sealed entries, unsealed entries, what is wrong or None). `expect` is a seal that is
        known from elsewhere, as the log line audit.sealed names it."""
        if fault := await self._missing(expect):
            return 0, 0, fault
        previous, after, count = "", BEFORE_ALL, 0
        for number, seal in enumerate(await self._database.all(_SEALS), start=1):
            rows = await self._database.all(_BETWEEN, after=after, upto=seal["last_id"])
            if seal["number"] != number or seal["mark"] != self._mark(previous, rows):
                return count, 0, f"seal {number}: entries up to {seal['last_id']} differ"
            previous, after, count = seal["mark"], seal["last_id"], count + len(rows)
        row = await self._database.one(_UNSEALED, after=after)
        return count, int(next(iter(dict(row).values()))) if row else 0, None

    async def _missing(self, expect: str) -> str | None:
        if not expect:
            return None
        number, _, mark = expect.partition(":")
        plain = number.isascii() and number.isdecimal() and len(number) <= 18  # a bigint
        row = await self._database.one(_SEAL, number=int(number)) if plain else None
        return None if row and row["mark"] == mark else f"seal {number}: not the one expected"

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    async def search(self, wanted: Search = EVERYTHING) -> list[dict[str, Any]]:
        """In the order of writing; addresses opened for the operator. Nothing but the id is
        indexed, since every login and token writes here: it is read in pieces that are short."""
        found: list[Row] = []
        async for after, upto in self._pieces(wanted):
            found += await self._database.all(
                _FORWARDS if wanted.forwards else _BACKWARDS,
                after=after,
                upto=upto,
                most=wanted.most - len(found),
                **wanted.conditions,
            )
            if len(found) >= wanted.most:
                break
        return [self._opened(row) for row in sorted(found, key=lambda row: row["id"])]

    async def _pieces(self, wanted: Search) -> AsyncIterator[tuple[int, int]]:
        """(after this id, up to this id), from where the search begins."""
        oldest, newest = [await self._database.one(s) for s in (_OLDEST, _NEWEST)]
        if not oldest or oldest["id"] is None or not newest:
            return
        first, last = oldest["id"] - 1, newest["id"]
        first = first if wanted.after is None else max(first, wanted.after)
        last = last if wanted.before is None else min(last, wanted.before - 1)
        starts = range(first, last, PIECE)
        for start in starts if wanted.forwards else reversed(starts):
            yield start, min(start + PIECE, last)

    def _opened(self, row: Row) -> dict[str, Any]:
        names = ("id", "at", "event", "reference", "client_id", "person_id")
        shown = {name: iso(row[name]) if name == "at" else row[name] for name in names}
        sealed = row["address_sealed"]
        address = self._vault.open_text("address", sealed) if sealed else ""
        return {**shown, "address": address, "detail": json.loads(row["detail"])}


async def _insert_all(rows: list[dict[str, Any]], tx: Transaction) -> None:
    await tx.run_many(_INSERT, rows)


def _canonical(row: Row) -> str:
    return json.dumps([row[c.name] for c in audit.c], ensure_ascii=False)
