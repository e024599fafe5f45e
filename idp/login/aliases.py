"""What an upstream calls a person: remembered the first time, and compared ever after.

The name identifies nobody. It is kept as a keyed index of scheme, person and name together, since
it may be a plain hash of the number.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel.database import Transaction
from idp.kernel.tables import person_aliases

_A = person_aliases.c
_MINE = (_A.number_index == bindparam("person"), _A.scheme == bindparam("at"))
_KNOWN = select(_A.alias_index).where(*_MINE)
_REMEMBER = (
    upsert(person_aliases)
    .values(
        number_index=bindparam("person"),
        scheme=bindparam("at"),
        alias_index=bindparam("alias"),
        seen_at=bindparam("now"),
    )
    .on_conflict_do_nothing(index_elements=[_A.number_index, _A.scheme])
)
_FOLLOW = (
    update(person_aliases)
    .where(*_MINE)
    .values(alias_index=bindparam("alias"), seen_at=bindparam("now"))
)


async def known_alias(tx: Transaction, number_index: str, scheme: str) -> str | None:
    """The index of what this scheme's upstream calls the person, if it ever said."""
    row = await tx.one(_KNOWN, person=number_index, at=scheme)
    return row["alias_index"] if row else None


async def remember_alias(
    tx: Transaction, number_index: str, scheme: str, alias_index: str, now: int
) -> None:
    """The first name stays, also of two that come at once."""
    await tx.run(_REMEMBER, person=number_index, at=scheme, alias=alias_index, now=now)


async def follow_alias(
    tx: Transaction, number_index: str, scheme: str, alias_index: str, now: int
) -> None:
    await tx.run(_FOLLOW, person=number_index, at=scheme, alias=alias_index, now=now)
