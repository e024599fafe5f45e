"""What a client proves itself with: secrets as they are made, kept, and shown to their owner."""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, and_, bindparam, or_, select

from idp.kernel.clock import token
from idp.kernel.database import Database, Row
from idp.kernel.tables import client_secrets, credential_uses
from idp.kernel.vault import Vault
from idp.registry.uses import LastUse, last_use_in

PREFIX = "twf_"  # so that scanners recognise a leaked secret


@dataclass(frozen=True, slots=True)
class Secret:
    digest: str
    expires_at: int | None

    def lives(self, now: int) -> bool:
        return self.expires_at is None or self.expires_at > now


def new_secret() -> str:
    """twf_ + 256 random bits + checksum, URL-safe: a scanner can tell a real one from noise."""
    body = token(32)
    return f"{PREFIX}{body}_{zlib.crc32(body.encode()):08x}"


@dataclass(frozen=True, slots=True)
class HeldSecret:
    """A secret as its owner may see it: never itself. Times in UTC seconds."""

    hint: str
    created_at: int
    expires_at: int | None
    replaced: bool
    last_use: LastUse | None


@dataclass(slots=True)
class HeldCredentials:
    """Every secret a client has had, the oldest first, and the last use of its own keys."""

    secrets: list[HeldSecret] = field(default_factory=list)
    keys_last_use: LastUse | None = None


_S, _U = client_secrets.c, credential_uses.c
_ALL_HELD = (
    select(client_secrets, _U.used_at, _U.address_sealed)
    .select_from(
        client_secrets.join(
            credential_uses,
            and_(_U.client_id == _S.client_id, _U.credential == _S.digest),
            isouter=True,
        )
    )
    .order_by(_S.created_at, _S.replaced_at.is_(None))
)
_HELD = _ALL_HELD.where(_S.client_id == bindparam("id"))
_ALL_BY_KEYS = select(credential_uses).where(_U.credential == "")
_BY_KEYS = _ALL_BY_KEYS.where(_U.client_id == bindparam("id"))


def unexpired() -> ColumnElement[bool]:
    """Of a secret's row, at the time `now`."""
    return or_(_S.expires_at.is_(None), _S.expires_at > bindparam("now"))


async def held_credentials(
    database: Database, vault: Vault, client_id: str = ""
) -> defaultdict[str, HeldCredentials]:
    """By client: of this one, or of all."""
    of = {"id": client_id} if client_id else {}
    found = defaultdict[str, HeldCredentials](HeldCredentials)
    for row in await database.all(_HELD if of else _ALL_HELD, **of):
        found[row["client_id"]].secrets.append(_held(vault, row))
    for row in await database.all(_BY_KEYS if of else _ALL_BY_KEYS, **of):
        found[row["client_id"]].keys_last_use = last_use_in(vault, row)
    return found


def _held(vault: Vault, row: Row) -> HeldSecret:
    return HeldSecret(
        hint=row["hint"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        replaced=row["replaced_at"] is not None,
        last_use=last_use_in(vault, row) if row["used_at"] is not None else None,
    )
