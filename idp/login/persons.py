"""Persons: a national ID is stored sealed, found by a keyed index, and known by a random id."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel.clock import Clock, token
from idp.kernel.database import Database, Reader, Row, Transaction
from idp.kernel.tables import persons
from idp.kernel.vault import Vault
from idp.login.endings import Ending, SessionEnds

_P = persons.c
_BY_INDEX = select(persons).where(_P.number_index == bindparam("index"))
_BY_ID = select(persons).where(_P.id == bindparam("id"))
_INSERT = (
    upsert(persons)
    .values(
        id=bindparam("id"),
        number_index=bindparam("index"),
        number_sealed=bindparam("sealed"),
        created_at=bindparam("now"),
    )
    .on_conflict_do_nothing(index_elements=[_P.number_index])
)
_SWITCH = update(persons).where(_P.id == bindparam("key")).values(disabled_at=bindparam("at"))
_PAUSED = (  # a push that begins and a pause that begins wait for each other
    select(_P.push_paused_at)
    .where(_P.number_index == bindparam("index"))
    .with_for_update(read=True)
)
_PAUSE = update(persons).where(_P.id == bindparam("key")).values(push_paused_at=bindparam("at"))


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was verified here once. `push_paused_at`: “this was not me”, so no push until
    they lift it."""

    id: str
    number_index: str
    number_sealed: str = field(repr=False)
    disabled_at: int | None
    push_paused_at: int | None

    @property
    def enabled(self) -> bool:
        return self.disabled_at is None


class Persons:
    def __init__(self, database: Database, vault: Vault, clock: Clock, ends: SessionEnds) -> None:
        self._database, self._vault, self._clock, self._ends = database, vault, clock, ends

    def index(self, number: str) -> str:
        """The keyed index by which a person, a member or a budget is found by number."""
        return self._vault.index("person", number)

    async def meet(self, tx: Transaction, number: str) -> Person:
        """Writes down a person who was never seen before."""
        index = self.index(number)
        sealed = self._vault.seal("person", number)
        await tx.run(_INSERT, id=token(16), index=index, sealed=sealed, now=self._clock.now())
        return _known(await tx.one(_BY_INDEX, index=index))

    async def find(self, number: str) -> Person | None:
        row = await self._database.one(_BY_INDEX, index=self.index(number))
        return _known(row) if row else None

    async def get(self, reader: Reader, person_id: str) -> Person:
        return _known(await reader.one(_BY_ID, id=person_id))

    async def number(self, reader: Reader, person_id: str) -> str:
        person = await self.get(reader, person_id)
        return self._vault.open_text("person", person.number_sealed)

    async def switch(self, tx: Transaction, person_id: str, *, enabled: bool) -> None:
        """Disabling ends every session at once; enabling brings none back."""
        now = self._clock.now()
        await tx.run(_SWITCH, key=person_id, at=None if enabled else now)
        if not enabled:
            await self._ends.end_all(tx, person_id, Ending.PERSON_DISABLED)


async def push_paused(tx: Transaction, number_index: str) -> bool:
    """Whether the person with this number wants no push."""
    row = await tx.one(_PAUSED, index=number_index)
    return row is not None and row["push_paused_at"] is not None


async def pause_push(tx: Transaction, person_id: str, at: int | None) -> None:
    """None lifts the pause."""
    await tx.run(_PAUSE, key=person_id, at=at)


def _known(row: Row | None) -> Person:
    if row is None:
        raise AssertionError("a person cannot vanish")
    return Person(
        id=row["id"],
        number_index=row["number_index"],
        number_sealed=row["number_sealed"],
        disabled_at=row["disabled_at"],
        push_paused_at=row["push_paused_at"],
    )
