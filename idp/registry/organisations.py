"""Organisations: member accounts that own clients, and at most three live keys each.

A key is a program's client: its grant is client_credentials. It is live while neither it is
disabled nor all its secrets have expired.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter
from sqlalchemy import bindparam, func, insert, select, update

from idp.kernel import audit, stamps
from idp.kernel.audit import Trail
from idp.kernel.clock import Clock, token
from idp.kernel.database import Database, Row, Transaction
from idp.kernel.tables import client_secrets, clients, organisations
from idp.registry.metadata import CLIENT_ID
from idp.registry.registration import Label, Name
from idp.registry.rows import read_metadata
from idp.registry.secrets import unexpired

CREATED = audit.event("organisation.created", "an organisation was registered")
DISABLED = audit.event("organisation.disabled", "an organisation was disabled with all its clients")
ENABLED = audit.event("organisation.enabled", "an organisation was enabled again")

MOST_KEYS = 3  # as TDX has it
STAMP = "clients"


class Refused(Exception):
    """The organisation may not have this; the text tells the operator what to do."""


@dataclass(frozen=True, slots=True)
class Organisation:
    id: str
    name: str
    name_en: str
    created_at: int
    disabled: bool


_O, _C, _S = organisations.c, clients.c, client_secrets.c
_INSERT = insert(organisations)
_BY_ID = select(organisations).where(_O.id == bindparam("id"))
_ALL = select(organisations).order_by(_O.created_at, _O.id)
_SWITCH = (
    update(organisations)
    .where(_O.id == bindparam("key"))
    .values(disabled_at=bindparam("at"), updated_at=bindparam("now"))
)
_TOUCH = update(organisations).where(_O.id == bindparam("key")).values(updated_at=bindparam("now"))
_OWNER = select(_C.organisation_id).where(_C.client_id == bindparam("id"))
_LIVE_SECRETS = (
    select(func.count()).where(_S.client_id == _C.client_id, unexpired()).scalar_subquery()
)
_ENABLED_CLIENTS = select(_C.client_id, _C.metadata, _LIVE_SECRETS.label("live_secrets")).where(
    _C.organisation_id == bindparam("id"), _C.disabled_at.is_(None)
)


class Organisations:
    def __init__(self, database: Database, clock: Clock, trail: Trail) -> None:
        self._database, self._clock, self._trail = database, clock, trail

    async def create(self, name: str, name_en: str = "", key: str | None = None) -> Organisation:
        """Raises Conflict if the id is taken, ValueError for an id or a name that is none."""
        TypeAdapter(Name).validate_python(name)
        TypeAdapter(Label).validate_python(name_en)
        key, now = key or token(9).lstrip("-"), self._clock.now()
        if not CLIENT_ID.match(key):
            raise ValueError("an id is 1 to 100 of A-Z a-z 0-9 . _ ~ -")
        await self._database.write(lambda tx: self.add(tx, key, name, name_en))
        return Organisation(key, name, name_en, now, disabled=False)

    async def add(self, tx: Transaction, key: str, name: str, name_en: str) -> None:
        """In somebody's transaction. Raises Conflict if the id is taken."""
        now = self._clock.now()
        await tx.run(
            _INSERT, id=key, name=name, name_en=name_en, created_at=now, updated_at=now,
            disabled_at=None,
        )  # fmt: skip
        await self._trail.write(tx, audit.entry(CREATED, organisation=key))

    async def find(self, key: str) -> Organisation | None:
        row = await self._database.one(_BY_ID, id=key) if CLIENT_ID.match(key) else None
        return _read(row) if row else None

    async def all(self) -> list[Organisation]:
        return [_read(row) for row in await self._database.all(_ALL)]

    async def switch(self, key: str, *, enabled: bool) -> None:
        """All its clients stop, or go on, as soon as each worker has seen it.
        Raises LookupError."""
        now = self._clock.now()

        async def work(tx: Transaction) -> None:
            if not await tx.run(_SWITCH, key=key, at=None if enabled else now, now=now):
                raise LookupError(key)
            await stamps.bump(tx, STAMP)
            event = ENABLED if enabled else DISABLED
            await self._trail.write(tx, audit.entry(event, organisation=key))

        await self._database.write(work)


def _read(row: Row) -> Organisation:
    return Organisation(
        row["id"], row["name"], row["name_en"], row["created_at"], row["disabled_at"] is not None
    )


async def lock(tx: Transaction, key: str, now: int) -> None:
    """Until this transaction is over, others wait who would change its clients.
    Raises LookupError."""
    if not await tx.run(_TOUCH, key=key, now=now):
        raise LookupError(key)


async def keep_the_limit(tx: Transaction, client_id: str, now: int) -> None:
    """After whatever may have brought a key to life: counted behind the lock, so that two at once
    cannot make four. Raises Refused, which undoes the change."""
    owner = await tx.one(_OWNER, id=client_id)
    if owner is None or owner["organisation_id"] is None:
        return
    await lock(tx, owner["organisation_id"], now)
    rows = await tx.all(_ENABLED_CLIENTS, id=owner["organisation_id"], now=now)
    if sum(map(_is_live_key, rows)) > MOST_KEYS:
        raise Refused(
            f"最多 {MOST_KEYS} 組；請先停用一組。 An organisation may have {MOST_KEYS} live keys: "
            "disable one first (idp client disable CLIENT_ID)"
        )


def _is_live_key(row: Row) -> bool:
    metadata, unreadable = read_metadata(row["metadata"])
    usable = not metadata.with_secret or row["live_secrets"] > 0
    return not unreadable and metadata.program and usable
