"""Clients as they are read, and as every process remembers them.

Reading goes through a cache that is dropped when the stamp `clients` grows, so that what another
process wrote (the command line beside a running bridge) is seen within a second.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog
from sqlalchemy import and_, bindparam, select

from idp.kernel.clock import Clock
from idp.kernel.database import Database, Row
from idp.kernel.errors import SecretExpired, UnknownClient
from idp.kernel.tables import client_secrets, clients, organisations
from idp.kernel.vault import Vault
from idp.registry.metadata import CLIENT_ID, ClientMetadata
from idp.registry.rows import read_metadata
from idp.registry.secrets import Secret, unexpired
from idp.registry.uses import Uses

log = structlog.get_logger("idp.clients")

REMEMBERED = 20_000  # clients in the cache of a process


@dataclass(frozen=True, slots=True)
class Client:
    """`organisation` owns it, or "". `disabled` by itself (`switched_off`), or with its
    organisation. `registration_digest` is that of its registration access token, or "".
    `unreadable` are the members of its row that cannot be read: it is disabled until they can."""

    client_id: str
    metadata: ClientMetadata
    secrets: tuple[Secret, ...]
    disabled: bool
    organisation: str = ""
    switched_off: bool = False
    registration_digest: str = ""
    unreadable: tuple[str, ...] = ()

    def knows(self, digest: str, now: int) -> bool:
        """Whether a presented secret is one of the live ones; the same work for any."""
        found = False
        for secret in self.secrets:
            found |= hmac.compare_digest(secret.digest, digest) and secret.lives(now)
        return found

    def state(self, now: int) -> Literal["live", "expired", "disabled", "unreadable"]:
        if self.unreadable:
            return "unreadable"
        if self.disabled:
            return "disabled"
        has_ended = self.metadata.with_secret and not any(s.lives(now) for s in self.secrets)
        return "expired" if has_ended else "live"


_C, _S, _O = clients.c, client_secrets.c, organisations.c
_CLIENTS = select(clients, _O.disabled_at.label("organisation_disabled_at")).select_from(
    clients.join(organisations, _O.id == _C.organisation_id, isouter=True)
)
_ALL = _CLIENTS.order_by(_C.created_at, _C.client_id)
_NO_SECRET = select(_C.metadata).where(  # more than the public ones: the metadata decide
    _C.metadata.contains('"none"'), _C.disabled_at.is_(None)
)
_OWNED = _ALL.where(_C.organisation_id == bindparam("id"))
_ALL_SECRETS = select(client_secrets).where(unexpired()).order_by(_S.client_id, _S.created_at)
_SECRETS = _ALL_SECRETS.where(_S.client_id == bindparam("id"))
_BY_ID = (  # a row for each secret, or one without
    _CLIENTS.add_columns(_S.digest, _S.expires_at)
    .join(client_secrets, and_(_S.client_id == _C.client_id, unexpired()), isouter=True)
    .where(_C.client_id == bindparam("id"))
    .order_by(_S.created_at)
)


class Clients:
    def __init__(self, database: Database, clock: Clock, vault: Vault) -> None:
        self._database, self._clock, self._vault = database, clock, vault
        self.uses = Uses(database, vault)
        self._cache: OrderedDict[str, Client] = OrderedDict()
        self._origins: frozenset[str] | None = None

    async def find(self, client_id: str) -> Client | None:
        """Also a disabled one: the caller decides what that means."""
        cache = self._cache  # what is read now must not outlive a change that comes meanwhile
        known = cache.get(client_id)
        if known is not None:
            return known
        if not CLIENT_ID.match(client_id):
            return None
        now = self._clock.now()
        rows = await self._database.all(_BY_ID, id=client_id, now=now)
        if not rows:
            return None
        client = self._read(rows[0], [row for row in rows if row["digest"] is not None])
        cache[client_id] = client
        if len(cache) > REMEMBERED:
            cache.popitem(last=False)
        return client

    async def active(self, client_id: str) -> Client | None:
        client = await self.find(client_id)
        return None if client is None or client.disabled else client

    async def ready(self, client_id: str) -> Client:
        """One for which people can log in now. Raises UnknownClient, SecretExpired."""
        client = await self.active(client_id)
        if client is None:
            raise UnknownClient
        if client.state(self._clock.now()) == "expired":
            raise SecretExpired(told=client.metadata.sandbox)
        return client

    async def all(self) -> list[Client]:
        now, secrets = self._clock.now(), defaultdict[str, list[Row]](list)
        for secret in await self._database.all(_ALL_SECRETS, now=now):
            secrets[secret["client_id"]].append(secret)
        rows = await self._database.all(_ALL)
        return [self._read(row, secrets[row["client_id"]]) for row in rows]

    async def owned(self, owner: str) -> list[Client]:
        rows = await self._database.all(_OWNED, id=owner)
        return [self._read(row, await self._secrets(row["client_id"])) for row in rows]

    def forget(self) -> None:
        """The stamp has grown: read anew."""
        self._cache, self._origins = OrderedDict(), None

    async def browser_origins(self) -> frozenset[str]:
        """Where browser programs run: the origins of the redirect addresses of public clients."""
        if self._origins is not None:
            return self._origins
        cache = self._cache
        rows = await self._database.all(_NO_SECRET)
        read = [read_metadata(row["metadata"]) for row in rows]
        public = [m for m, unreadable in read if m.public and not unreadable]
        found = frozenset(origin for m in public for origin in m.origins)
        if cache is self._cache:  # nothing changed meanwhile
            self._origins = found
        return found

    async def _secrets(self, client_id: str) -> Sequence[Row]:
        now = self._clock.now()
        return await self._database.all(_SECRETS, id=client_id, now=now)

    def _read(self, row: Row, secrets: Sequence[Row]) -> Client:
        metadata, unreadable = read_metadata(row["metadata"])
        if unreadable:
            log.warning("client unreadable", client=row["client_id"], members=unreadable)
        off = row["disabled_at"] or row["organisation_disabled_at"] or unreadable or None
        return Client(
            client_id=row["client_id"],
            metadata=metadata,
            secrets=tuple(Secret(s["digest"], s["expires_at"]) for s in secrets),
            disabled=off is not None,
            organisation=row["organisation_id"] or "",
            switched_off=row["disabled_at"] is not None,
            registration_digest=row["registration_digest"] or "",
            unreadable=unreadable,
        )

    def digest(self, secret: str) -> str:
        """Secrets are 256-bit random: a keyed hash is enough, and a slow one at the token
        endpoint would be a denial of service that we did to ourselves."""
        return self._vault.index("client-secret", secret)
