"""Consents as rows: what each person has allowed each client so far."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel.database import Reader, Transaction
from idp.kernel.tables import consents
from idp.oidc import store

_C = consents.c
_CONSENT = select(_C.scope).where(
    _C.person_id == bindparam("person"), _C.client_id == bindparam("client")
)
# Whoever withdraws waits for the grants that are being made, and revokes them too; whoever comes
# after finds no row.
_LOCKED = _CONSENT.with_for_update(read=True)
_OF_PERSON = (
    select(consents)
    .where(_C.person_id == bindparam("person"))
    .order_by(_C.granted_at.desc(), _C.client_id)
)
_WITHDRAW = delete(consents).where(
    _C.person_id == bindparam("person"), _C.client_id == bindparam("client")
)
_ERASE = delete(consents).where(_C.client_id == bindparam("client"))
_GIVE = (
    upsert(consents)
    .values(
        person_id=bindparam("person"),
        client_id=bindparam("client"),
        scope=bindparam("scope"),
        granted_at=bindparam("now"),
    )
    .on_conflict_do_update(
        index_elements=[_C.person_id, _C.client_id],
        set_={"scope": bindparam("scope"), "granted_at": bindparam("now")},
    )
)


@dataclass(frozen=True, slots=True)
class Consent:
    client_id: str
    granted_at: int  # the last time


async def allowed(
    reader: Reader, person_id: str, client_id: str, *, lock: bool = False
) -> frozenset[str]:
    """The scopes that the person has allowed the client; with `lock` (in a transaction) nobody
    withdraws them before that ends."""
    statement = _LOCKED if lock else _CONSENT
    row = await reader.one(statement, person=person_id, client=client_id)
    return frozenset(row["scope"].split()) if row else frozenset()


async def of_person(reader: Reader, person_id: str) -> list[Consent]:
    """Newest first."""
    rows = await reader.all(_OF_PERSON, person=person_id)
    return [Consent(row["client_id"], row["granted_at"]) for row in rows]


async def give(
    tx: Transaction, person_id: str, client_id: str, scopes: tuple[str, ...], now: int
) -> str:
    """What was allowed before stays allowed. All that is allowed now."""
    before = await allowed(tx, person_id, client_id)
    scope = " ".join(sorted(before | set(scopes)))
    await tx.run(_GIVE, person=person_id, client=client_id, scope=scope, now=now)
    return scope


async def withdraw(tx: Transaction, person_id: str, client_id: str, now: int) -> bool:
    """The consent, and every token that came of it. Whether there was one."""
    if not await tx.run(_WITHDRAW, person=person_id, client=client_id):
        return False
    await store.revoke_grants_to(tx, person_id, client_id, now)
    return True


async def erase_client(tx: Transaction, client_id: str) -> None:
    """What anybody allowed a client, and what came of it."""
    await tx.run(_ERASE, client=client_id)
    await store.erase_grants(tx, client_id)
