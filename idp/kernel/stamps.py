"""Numbers that grow whenever what they name has changed: each worker looks at them every second."""

from __future__ import annotations

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from idp.kernel.database import Reader, Writer
from idp.kernel.tables import stamps

_BUMP = (
    insert(stamps)
    .values(name=bindparam("name"), value=1)
    .on_conflict_do_update(index_elements=[stamps.c.name], set_={"value": stamps.c.value + 1})
)
_CLAIM = insert(stamps)
_READ = select(stamps)


async def bump(writer: Writer, name: str) -> None:
    """In the transaction of the change."""
    await writer.run(_BUMP, name=name)


async def claim(writer: Writer, name: str) -> None:
    """Raises Conflict if somebody has claimed the name before: of several first starts one wins."""
    await writer.run(_CLAIM, name=name, value=1)


async def read(reader: Reader) -> dict[str, int]:
    return {row["name"]: row["value"] for row in await reader.all(_READ)}
