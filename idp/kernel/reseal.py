"""Encrypts every stored value anew under the master key in use, while the bridge serves.

Which columns are sealed, and for which purpose, stands in tables.py. A row is changed only if it
is still what was read, so a worker that writes at the same time wins; whatever was done stays
done, so an interrupted run is simply begun again. The audit trail is sealed under the root, which
is itself one of the values here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, and_, bindparam, select, update

from idp.kernel.database import Database, Row, Transaction
from idp.kernel.tables import metadata
from idp.kernel.vault import Vault

BATCH = 200


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """`purpose` may name other columns of the row in braces."""

    column: Column[Any]
    purpose: str

    @property
    def name(self) -> str:
        return f"{self.column.table.name}.{self.column.name}"


def sealed_columns() -> Iterator[SealedColumn]:
    """Those that can be written again, in the order of tables.py."""
    for table in metadata.tables.values():
        for column in table.c:
            if column.info.get("purpose") and not column.info.get("for_good"):
                yield SealedColumn(column, column.info["purpose"])


async def reseal(
    database: Database, vault: Vault, told: Callable[[str, int], None] = lambda _name, _rows: None
) -> int:
    """The number of values that were sealed under another key. `told` hears of every batch.
    Raises VaultBroken where a value's key is not known: nothing is lost, the key is missing."""
    total = 0
    for sealed in sealed_columns():
        while changed := await _batch(database, vault, sealed):
            total += changed
            told(sealed.name, total)
    return total


async def left(database: Database, vault: Vault) -> int:
    """How many columns still hold a value under another key."""
    found = [await database.one(_stale(s), current=f"{vault.current}.%") for s in sealed_columns()]
    return sum(row is not None for row in found)


async def _batch(database: Database, vault: Vault, sealed: SealedColumn) -> int:
    rows = await database.all(_stale(sealed, BATCH), current=f"{vault.current}.%")
    if not rows:
        return 0
    anew = [(row, _anew(vault, sealed, row)) for row in rows]

    async def work(tx: Transaction) -> int:
        changed = 0
        for row, value in anew:
            key = {f"key_{c.name}": row[c.name] for c in _key(sealed)}
            before = row[sealed.column.name]
            changed += await tx.run(_replace(sealed), before=before, after=value, **key)
        return changed

    # a row that somebody else has just written under the same key counts as done
    return await database.write(work) or len(rows)


def _anew(vault: Vault, sealed: SealedColumn, row: Row) -> str:
    purpose = sealed.purpose.format_map(row)
    return vault.seal(purpose, vault.open(purpose, row[sealed.column.name]))


def _key(sealed: SealedColumn) -> list[Column[Any]]:
    return list(sealed.column.table.primary_key.columns)


def _stale(sealed: SealedColumn, most: int = 1) -> Any:
    return (
        select(*_key(sealed), sealed.column)
        .where(
            sealed.column.is_not(None),
            sealed.column != "",
            sealed.column.not_like(bindparam("current")),
        )
        .limit(most)
    )


def _replace(sealed: SealedColumn) -> Any:
    same = [column == bindparam(f"key_{column.name}") for column in _key(sealed)]
    return (
        update(sealed.column.table)
        .where(and_(*same, sealed.column == bindparam("before")))
        .values({sealed.column.name: bindparam("after")})
    )
