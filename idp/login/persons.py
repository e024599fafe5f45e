"""Persons: a national ID is stored sealed, found by a keyed index, and known by a random id."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel.clock import token
from idp.kernel.database import Reader, Row, Transaction
from idp.kernel.services import Services
from idp.kernel.tables import persons
from idp.login.session import END_ALL

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


class Persons:
    def __init__(self, services: Services) -> None:
        self._services = services

    def index(self, number: str) -> str:
        """The keyed mark under which a person, a member or a budget is found by number."""
        return self._services.vault.index("person", number)

    async def meet(self, tx: Transaction, number: str) -> tuple[str, bool]:
        """(person id, may log in); a person never seen before is written down."""
        index = self.index(number)
        sealed = self._services.vault.seal("person", number)
        await tx.run(
            _INSERT, id=token(16), index=index, sealed=sealed, now=self._services.clock.now()
        )
        row = await tx.one(_BY_INDEX, index=index)
        if row is None:
            raise AssertionError("a person cannot vanish")
        return row["id"], row["disabled_at"] is None

    async def find(self, number: str) -> str | None:
        row = await self._services.database.one(_BY_INDEX, index=self.index(number))
        return row["id"] if row else None

    async def row(self, reader: Reader, person_id: str) -> Row:
        row = await reader.one(_BY_ID, id=person_id)
        if row is None:
            raise AssertionError("a person cannot vanish")
        return row

    async def number(self, reader: Reader, person_id: str) -> str:
        row = await self.row(reader, person_id)
        return self._services.vault.open_text("person", row["number_sealed"])

    async def switch(self, tx: Transaction, person_id: str, *, enabled: bool) -> None:
        """Disabling ends every session at once; enabling brings none back."""
        now = self._services.clock.now()
        await tx.run(_SWITCH, key=person_id, at=None if enabled else now)
        if not enabled:
            await tx.run(END_ALL, person=person_id, now=now)
