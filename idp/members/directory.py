"""The member directory: one sealed record a card, found by card or by person."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import Executable

from idp.kernel import audit
from idp.kernel.audit import Trail
from idp.kernel.clock import Clock
from idp.kernel.database import Database, Reader, Row, Transaction
from idp.kernel.tables import members, persons
from idp.kernel.vault import Vault, VaultBroken
from idp.login.persons import Persons
from idp.members import record, sheet
from idp.members.sheet import Rejected

IMPORTED = audit.event("members.imported", "a list of members was imported")

CHUNK = 200  # rows of one INSERT

_M = members.c
_FOUND = select(members, persons.c.id.label("person_id"), persons.c.disabled_at).select_from(
    members.outerjoin(persons, persons.c.number_index == _M.number_index)
)
_BY_CARD = _FOUND.where(_M.card_number == bindparam("card"))
_BY_PERSON = _FOUND.where(_M.number_index == bindparam("index")).order_by(
    _M.updated_at.desc(), _M.card_number
)
_CARDS = select(_M.card_number)
_PAGE = _FOUND.where(_M.card_number > bindparam("after")).order_by(_M.card_number).limit(100)


@functools.cache
def _upsert(rows: int) -> Executable:
    """INSERT … ON CONFLICT of so many rows; bind names carry the row's number."""
    values: list[dict[str, Any]] = [
        {c.name: bindparam(f"{c.name}_{i}") for c in _M} for i in range(rows)
    ]
    statement = insert(members).values(values)
    changed = {c.name: statement.excluded[c.name] for c in _M if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=[_M.card_number], set_=changed)


@dataclass(frozen=True, slots=True)
class Member:
    """A row of the directory. `card_number` is canonical; `person` is the keyed index of the
    linked person, `person_id` known only once that person has logged in."""

    card_number: str
    person: str | None
    person_id: str
    barred: bool
    password_hash: str | None = field(repr=False)
    valid_from: int | None
    valid_until: int | None
    updated_at: int
    _sealed: str = field(repr=False)

    def valid(self, now: int) -> bool:
        """Within its dates, and its person not disabled."""
        begun = self.valid_from is None or self.valid_from <= now
        ended = self.valid_until is not None and self.valid_until < now
        return begun and not ended and not self.barred


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or with `dry_run` would do."""

    lines: int
    added: int
    updated: int
    rejected: tuple[Rejected, ...]
    written: bool


class Directory:
    def __init__(
        self, database: Database, clock: Clock, vault: Vault, trail: Trail, persons: Persons
    ) -> None:
        self._database, self._clock, self._vault, self._trail = database, clock, vault, trail
        self._persons = persons

    # ── finding ────────────────────────────────────────────────────────────────────────────────

    async def by_card(self, reader: Reader, card_number: str) -> Member | None:
        """`card_number` must be canonical."""
        # what no card can look like is not asked for: the drivers have their own ideas of NUL
        card = card_number if record.CARD.match(card_number) else ""
        row = await reader.one(_BY_CARD, card=card)
        return _member(row) if row else None

    async def by_person(self, reader: Reader, number_index: str) -> list[Member]:
        """The valid cards of a person, newest first."""
        now = self._clock.now()
        found = [_member(row) for row in await reader.all(_BY_PERSON, index=number_index)]
        return [member for member in found if member.valid(now)]

    async def page(self, after: str = "") -> list[Member]:
        """A hundred members, in the order of their cards, for the operator."""
        return [_member(row) for row in await self._database.all(_PAGE, after=after)]

    def record(self, member: Member) -> dict[str, str]:
        """Raises VaultBroken, also for a record that was sealed for another card."""
        opened = record.read(self._vault.open_text("member", member._sealed))
        # who can write rows but has no key must not move one person's record to another's card
        if record.canonical_card(opened["card_number"]) != member.card_number:
            raise VaultBroken("member")
        return opened

    async def claims(self, reader: Reader, number_index: str) -> dict[str, object]:
        """The standard claims of a person, as far as the newest card knows."""
        found = await self.by_person(reader, number_index)
        return record.claims(self.record(found[0]), found[0].updated_at) if found else {}

    async def profile_of(self, number_index: str) -> dict[str, object]:
        return await self.claims(self._database, number_index)

    # ── importing ──────────────────────────────────────────────────────────────────────────────

    async def import_file(
        self, file: Path, canonical: sheet.Canonical, **options: bool
    ) -> ImportReport:
        """As `take_in`. Raises also OSError."""
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return await self.take_in(lines, canonical, **options)

    async def take_in(
        self,
        lines: Iterable[str],
        canonical: sheet.Canonical,
        *,
        dry_run: bool = False,
        skip_rejected: bool = False,
    ) -> ImportReport:
        """All or nothing: with a rejected line nothing is written, unless told to skip it.
        Raises SheetRefused."""
        found = list(sheet.read(lines, canonical))
        rejected = tuple(x for x in found if isinstance(x, Rejected))
        rows = [self._row(x) for x in found if not isinstance(x, Rejected)]
        write = not dry_run and (skip_rejected or not rejected)
        added = await self._database.write(functools.partial(self._import, rows, write))
        return ImportReport(len(found), added, len(rows) - added, rejected, write)

    async def _import(self, rows: list[dict[str, Any]], write: bool, tx: Transaction) -> int:
        known = {row["card_number"] for row in await tx.all(_CARDS)}
        added = sum(row["card_number"] not in known for row in rows)
        if write:
            for start in range(0, len(rows), CHUNK):
                chunk = rows[start : start + CHUNK]
                values = {f"{k}_{i}": v for i, row in enumerate(chunk) for k, v in row.items()}
                await tx.run(_upsert(len(chunk)), **values)
            entry = audit.entry(IMPORTED, added=added, updated=len(rows) - added)
            await self._trail.write(tx, entry)
        return added

    def _row(self, line: sheet.SheetRow) -> dict[str, Any]:
        vault, number = self._vault, line.national_id
        return {
            "card_number": line.card_number,
            "number_index": self._persons.index(number) if number else None,
            "number_sealed": vault.seal("person", number) if number else None,
            "record_sealed": vault.seal("member", json.dumps(line.record, ensure_ascii=False)),
            "password_hash": line.password_hash,
            "valid_from": line.valid_from,
            "valid_until": line.valid_until,
            "updated_at": self._clock.now(),
        }


def _member(row: Row) -> Member:
    return Member(
        card_number=row["card_number"],
        person=row["number_index"],
        person_id=row["person_id"] or "",
        barred=row["disabled_at"] is not None,
        password_hash=row["password_hash"],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        updated_at=row["updated_at"],
        _sealed=row["record_sealed"],
    )
