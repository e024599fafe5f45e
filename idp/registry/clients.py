"""Clients as rows, and as every process remembers them.

Reading goes through a cache that is dropped when the stamp `clients` grows, so that what another
process wrote (the command line beside a running bridge) is seen within a second.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from idp.kernel import audit, stamps
from idp.kernel.clock import token
from idp.kernel.database import Row, Transaction
from idp.kernel.services import Services
from idp.kernel.tables import client_secrets, clients, organisations
from idp.registry.metadata import CLIENT_ID, ClientMetadata
from idp.registry.organisations import STAMP, keep_the_limit, lock
from idp.registry.secrets import Secret, new_secret
from idp.registry.uses import Uses

CREATED = audit.event("client.created", "a client was registered")
CHANGED = audit.event("client.changed", "a client's metadata were changed")
ROTATED = audit.event("client.secret_rotated", "a client got a new secret")
DISABLED = audit.event("client.disabled", "a client was disabled")
ENABLED = audit.event("client.enabled", "a client was enabled again")

REMEMBERED = 20_000  # clients in the cache of a process
KEY_LIFE = 360 * 86_400  # seconds; an organisation's key has an end, unless another is chosen
OVERLAP = 7 * 86_400  # seconds that the secret before the newest still works


@dataclass(frozen=True, slots=True)
class Client:
    """`organisation` owns it, or "". `system` is the client's own account at the verifier, as
    JSON, or "". `disabled` by itself (`switched_off`), or with its organisation."""

    client_id: str
    metadata: ClientMetadata
    secrets: tuple[Secret, ...]
    system: str
    disabled: bool
    organisation: str = ""
    switched_off: bool = False

    def knows(self, digest: str, now: int) -> bool:
        """Whether a presented secret is one of the live ones; the same work for any."""
        found = False
        for secret in self.secrets:
            found |= hmac.compare_digest(secret.digest, digest) and secret.lives(now)
        return found

    def state(self, now: int) -> Literal["live", "expired", "disabled"]:
        if self.disabled:
            return "disabled"
        has_ended = self.metadata.with_secret and not any(s.lives(now) for s in self.secrets)
        return "expired" if has_ended else "live"


_C, _S, _O = clients.c, client_secrets.c, organisations.c
_CLIENTS = select(clients, _O.disabled_at.label("organisation_disabled_at")).select_from(
    clients.join(organisations, _O.id == _C.organisation_id, isouter=True)
)
_BY_SYSTEM = select(_C.client_id).where(_C.system_index == bindparam("index"))
_ALL = _CLIENTS.order_by(_C.created_at, _C.client_id)
_NO_SECRET = select(_C.metadata).where(  # more than the public ones: the metadata decide
    _C.metadata.contains('"none"'), _C.disabled_at.is_(None)
)
_OWNED = _ALL.where(_C.organisation_id == bindparam("id"))
_UNEXPIRED = or_(_S.expires_at.is_(None), _S.expires_at > bindparam("now"))
_ALL_SECRETS = select(client_secrets).where(_UNEXPIRED).order_by(_S.client_id, _S.created_at)
_SECRETS = _ALL_SECRETS.where(_S.client_id == bindparam("id"))
_BY_ID = (  # a row for each secret, or one without
    _CLIENTS.add_columns(_S.digest, _S.expires_at)
    .join(client_secrets, and_(_S.client_id == _C.client_id, _UNEXPIRED), isouter=True)
    .where(_C.client_id == bindparam("id"))
    .order_by(_S.created_at)
)
_INSERT = insert(clients)
_INSERT_SECRET = insert(client_secrets)
_UPDATE = (
    update(clients)
    .where(_C.client_id == bindparam("id"))
    .values(metadata=bindparam("document"), updated_at=bindparam("now"))
)
_TOUCH = update(clients).where(_C.client_id == bindparam("id")).values(updated_at=bindparam("now"))
_SET_SYSTEM = (
    update(clients)
    .where(_C.client_id == bindparam("id"))
    .values(
        system_sealed=bindparam("sealed"),
        system_index=bindparam("index"),
        updated_at=bindparam("now"),
    )
)
_SWITCH = (
    update(clients)
    .where(_C.client_id == bindparam("id"))
    .values(disabled_at=bindparam("at"), updated_at=bindparam("now"))
)
_REPLACE_SECRET = (
    update(client_secrets)
    .where(_S.digest == bindparam("id"))
    .values(expires_at=bindparam("end"), replaced_at=bindparam("now"))
)
_DROP_SECRETS = delete(client_secrets).where(_S.client_id == bindparam("id"))


class Clients:
    def __init__(self, services: Services) -> None:
        self._services = services
        self.uses = Uses(services)
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
        now = self._services.clock.now()
        rows = await self._services.database.all(_BY_ID, id=client_id, now=now)
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

    async def all(self) -> list[Client]:
        now, secrets = self._services.clock.now(), defaultdict[str, list[Row]](list)
        for secret in await self._services.database.all(_ALL_SECRETS, now=now):
            secrets[secret["client_id"]].append(secret)
        rows = await self._services.database.all(_ALL)
        return [self._read(row, secrets[row["client_id"]]) for row in rows]

    async def owned(self, owner: str) -> list[Client]:
        rows = await self._services.database.all(_OWNED, id=owner)
        return [self._read(row, await self._secrets(row["client_id"])) for row in rows]

    def forget(self) -> None:
        """The stamp has grown: read anew."""
        self._cache, self._origins = OrderedDict(), None

    async def browser_origins(self) -> frozenset[str]:
        """Where browser programs run: the origins of the redirect addresses of public clients."""
        if self._origins is not None:
            return self._origins
        cache = self._cache
        rows = await self._services.database.all(_NO_SECRET)
        read = [ClientMetadata.model_validate_json(row["metadata"]) for row in rows]
        found = frozenset(origin for m in read if m.public for origin in m.origins)
        if cache is self._cache:  # nothing changed meanwhile
            self._origins = found
        return found

    async def _secrets(self, client_id: str) -> Sequence[Row]:
        now = self._services.clock.now()
        return await self._services.database.all(_SECRETS, id=client_id, now=now)

    def _read(self, row: Row, secrets: Sequence[Row]) -> Client:
        sealed = row["system_sealed"]
        return Client(
            client_id=row["client_id"],
            metadata=ClientMetadata.model_validate_json(row["metadata"]),
            secrets=tuple(Secret(s["digest"], s["expires_at"]) for s in secrets),
            system=self._services.vault.open_text("system", sealed) if sealed else "",
            disabled=(row["disabled_at"] or row["organisation_disabled_at"]) is not None,
            organisation=row["organisation_id"] or "",
            switched_off=row["disabled_at"] is not None,
        )

    def digest(self, secret: str) -> str:
        """Secrets are 256-bit random: a keyed hash is enough, and a slow one at the token
        endpoint would be a denial of service that we did to ourselves."""
        return self._services.vault.index("client-secret", secret)

    # ── writing ────────────────────────────────────────────────────────────────────────────────

    async def create(
        self,
        metadata: ClientMetadata,
        client_id: str | None = None,
        secret: str | None = None,
        *,
        organisation: str = "",
        life: int | None = None,
    ) -> tuple[Client, str | None]:
        """(client, its secret, shown this once). The secret lives for `life` seconds.
        Raises Conflict if the id is taken, LookupError for an organisation that is nobody,
        Refused for a key too many."""
        client_id = client_id or token(12).lstrip("-")  # or a command takes it for an option
        if not CLIENT_ID.match(client_id):
            raise ValueError("a client_id is 1 to 100 of A-Z a-z 0-9 . _ ~ -")
        metadata = metadata.settled(client_id)
        secret = (secret or new_secret()) if metadata.with_secret else None
        now = self._services.clock.now()
        expires_at = _end(now, metadata, organisation, life)

        async def work(tx: Transaction) -> None:
            if organisation:
                await lock(tx, organisation, now)
            await tx.run(
                _INSERT,
                client_id=client_id,
                organisation_id=organisation or None,
                metadata=metadata.model_dump_json(),
                system_sealed="",
                system_index=None,
                created_at=now,
                updated_at=now,
                disabled_at=None,
            )
            if secret:
                await self._add_secret(tx, client_id, secret, expires_at)
            await keep_the_limit(tx, client_id, now)
            await self._note(tx, CREATED, client_id)

        await self._services.database.write(work)
        return await self._again(client_id), secret

    async def update(self, client_id: str, metadata: ClientMetadata) -> Client:
        """Raises LookupError, Refused."""
        now = self._services.clock.now()

        async def work(tx: Transaction) -> None:
            document = metadata.settled(client_id).model_dump_json()
            if not await tx.run(_UPDATE, id=client_id, document=document, now=now):
                raise LookupError(client_id)
            if not metadata.with_secret:
                await tx.run(_DROP_SECRETS, id=client_id)
            await keep_the_limit(tx, client_id, now)
            await self._note(tx, CHANGED, client_id)

        await self._services.database.write(work)
        return await self._again(client_id)

    async def rotate_secret(
        self, client_id: str, overlap: int = OVERLAP, life: int | None = None
    ) -> str:
        """A new secret; the one before it lives `overlap` seconds more at most, older ones end
        now: never more than two are live. Raises LookupError, Refused."""
        client = await self.find(client_id)
        if client is None:
            raise LookupError(client_id)
        secret, now = new_secret(), self._services.clock.now()
        expires_at = _end(now, client.metadata, client.organisation, life)

        async def work(tx: Transaction) -> None:
            # this also makes a second rotation wait for the first
            if not await tx.run(_TOUCH, id=client_id, now=now):
                raise LookupError(client_id)
            for row in await tx.all(_SECRETS, id=client_id, now=now):
                # one that was replaced before has had its overlap
                end = now if row["replaced_at"] is not None else now + overlap
                end = min(end, row["expires_at"] or end)
                await tx.run(_REPLACE_SECRET, id=row["digest"], end=end, now=now)
            await self._add_secret(tx, client_id, secret, expires_at)
            await keep_the_limit(tx, client_id, now)
            await self._note(tx, ROTATED, client_id)

        await self._services.database.write(work)
        self.forget()
        return secret

    async def by_system(self, account: str) -> Client | None:
        """The client that has this account at the verifier."""
        index = self._services.vault.index("system", account)
        row = await self._services.database.one(_BY_SYSTEM, index=index)
        return await self.find(row["client_id"]) if row else None

    async def set_system(self, client_id: str, account: str, system: str) -> None:
        """Its own account at the verifier, as the JSON that `system` is; or "" and "" for none."""
        sealed = self._services.vault.seal("system", system) if system else ""
        index = self._services.vault.index("system", account) if account else None
        now = self._services.clock.now()

        async def work(tx: Transaction) -> None:
            await tx.run(_SET_SYSTEM, id=client_id, sealed=sealed, index=index, now=now)
            await self._note(tx, CHANGED, client_id)

        await self._services.database.write(work)
        self.forget()

    async def switch(self, client_id: str, *, enabled: bool) -> None:
        """Raises LookupError, Refused."""
        now = self._services.clock.now()

        async def work(tx: Transaction) -> None:
            at = None if enabled else now
            if not await tx.run(_SWITCH, id=client_id, at=at, now=now):
                raise LookupError(client_id)
            if enabled:
                await keep_the_limit(tx, client_id, now)
            await self._note(tx, ENABLED if enabled else DISABLED, client_id)

        await self._services.database.write(work)
        self.forget()

    async def _add_secret(
        self, tx: Transaction, client_id: str, secret: str, expires_at: int | None
    ) -> None:
        await tx.run(
            _INSERT_SECRET,
            digest=self.digest(secret),
            client_id=client_id,
            hint=secret[-4:],
            created_at=self._services.clock.now(),
            expires_at=expires_at,
            replaced_at=None,
        )

    async def _note(self, tx: Transaction, event: str, client_id: str) -> None:
        await stamps.bump(tx, STAMP)
        await self._services.trail.write(tx, audit.entry(event, client_id=client_id))

    async def _again(self, client_id: str) -> Client:
        self.forget()
        client = await self.find(client_id)
        if client is None:
            raise LookupError(client_id)
        return client


def _end(now: int, metadata: ClientMetadata, organisation: str, life: int | None) -> int | None:
    """When a new secret ends: keys of organisations always do."""
    if life is None and organisation and metadata.program:
        life = KEY_LIFE
    return None if life is None else now + life
