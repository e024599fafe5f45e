"""What changes in the register. Every write is audited, and makes other processes read again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy import bindparam, delete, insert, select, update

from idp.kernel import audit, stamps, stored
from idp.kernel.audit import Trail
from idp.kernel.clock import Clock, token
from idp.kernel.database import Database, Transaction
from idp.kernel.tables import client_secrets, clients
from idp.kernel.vault import Vault
from idp.registry.clients import Client, Clients
from idp.registry.metadata import CLIENT_ID, ClientMetadata
from idp.registry.organisations import STAMP, keep_the_limit, lock
from idp.registry.registration import Registration
from idp.registry.secrets import new_secret, unexpired

CREATED = audit.event("client.created", "a client was registered")
CHANGED = audit.event("client.changed", "a client's metadata were changed")
ROTATED = audit.event("client.secret_rotated", "a client got a new secret")
DISABLED = audit.event("client.disabled", "a client was disabled")
ENABLED = audit.event("client.enabled", "a client was enabled again")
WITHDRAWN = audit.event("client.withdrawn", "a client that had registered itself ended itself")

BAD_ID = "a client_id is 1 to 100 of A-Z a-z 0-9 . _ ~ -"
KEY_LIFE = 360 * 86_400  # seconds; an organisation's key has an end, unless another is chosen
OVERLAP = 7 * 86_400  # seconds that the secret before the newest still works

_C, _S = clients.c, client_secrets.c
_SECRETS = (
    select(client_secrets)
    .where(_S.client_id == bindparam("id"), unexpired())
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
_SWITCH = (
    update(clients)
    .where(_C.client_id == bindparam("id"))
    .values(disabled_at=bindparam("at"), updated_at=bindparam("now"))
)
_WITHDRAW = (
    update(clients)
    .where(_C.client_id == bindparam("id"))
    .values(disabled_at=bindparam("now"), updated_at=bindparam("now"), registration_digest=None)
)
_REPLACE_SECRET = (
    update(client_secrets)
    .where(_S.digest == bindparam("id"))
    .values(expires_at=bindparam("end"), replaced_at=bindparam("now"))
)
_DROP_SECRETS = delete(client_secrets).where(_S.client_id == bindparam("id"))


Step = Callable[[Transaction], Awaitable[object]]


class Registrar:
    """The only one who writes clients. `clients` is the cache of this process."""

    def __init__(
        self, clients: Clients, database: Database, clock: Clock, vault: Vault, trail: Trail
    ) -> None:
        self._clients, self._database = clients, database
        self._clock, self._vault, self._trail = clock, vault, trail

    async def create(
        self,
        registration: Registration,
        client_id: str | None = None,
        secret: str | None = None,
        *,
        organisation: str = "",
        life: int | None = None,
        registration_digest: str | None = None,
        first: Step | None = None,
    ) -> tuple[Client, str | None]:
        """(client, its secret, shown this once). The secret lives for `life` seconds. `first` runs
        in the same transaction, and may refuse by raising.
        Raises Conflict if the id is taken, LookupError for an organisation that is nobody,
        Refused for a key too many."""
        client_id = client_id or token(12).lstrip("-")  # or a command takes it for an option
        if not CLIENT_ID.match(client_id):
            raise ValueError(BAD_ID)
        metadata = registration.with_sector(client_id)
        secret = (secret or new_secret()) if metadata.with_secret else None
        now = self._clock.now()
        expires_at = _end(now, metadata, organisation, life)

        async def work(tx: Transaction) -> None:
            if first:
                await first(tx)
            if organisation:
                await lock(tx, organisation, now)
            await tx.run(
                _INSERT,
                client_id=client_id,
                organisation_id=organisation or None,
                metadata=stored.dump(metadata),
                system_sealed="",  # unused
                system_index=None,
                created_at=now,
                updated_at=now,
                disabled_at=None,
                registration_digest=registration_digest,
            )
            if secret:
                await self._add_secret(tx, client_id, secret, expires_at)
            await keep_the_limit(tx, client_id, now)
            await self._note(tx, CREATED, client_id)

        await self._database.write(work)
        return await self._again(client_id), secret

    async def update(self, client_id: str, registration: Registration) -> Client:
        """Raises LookupError, Refused."""
        await self.update_all({client_id: registration})
        return await self._again(client_id)

    async def update_all(
        self, registrations: Mapping[str, Registration], first: Step | None = None
    ) -> None:
        """All of them or none; `first` as for `create`. Raises LookupError, Refused."""
        found = {}
        for client_id, registration in registrations.items():
            before = await self._clients.find(client_id)
            if before is None:
                raise LookupError(client_id)
            found[client_id] = registration.with_sector(client_id, before.metadata.sector)

        async def work(tx: Transaction) -> None:
            if first:
                await first(tx)
            for client_id, metadata in found.items():
                await self._change(tx, client_id, metadata)

        await self._database.write(work)
        self._clients.forget()

    async def _change(self, tx: Transaction, client_id: str, metadata: ClientMetadata) -> None:
        document, now = stored.dump(metadata), self._clock.now()
        if not await tx.run(_UPDATE, id=client_id, document=document, now=now):
            raise LookupError(client_id)
        if not metadata.with_secret:
            await tx.run(_DROP_SECRETS, id=client_id)
        await keep_the_limit(tx, client_id, now)
        await self._note(tx, CHANGED, client_id)

    async def rotate_secret(
        self, client_id: str, overlap: int = OVERLAP, life: int | None = None
    ) -> str:
        """A new secret; the one before it lives `overlap` seconds more at most, older ones end
        now: never more than two are live. Raises LookupError, Refused."""
        client = await self._clients.find(client_id)
        if client is None:
            raise LookupError(client_id)
        secret, now = new_secret(), self._clock.now()
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

        await self._database.write(work)
        self._clients.forget()
        return secret

    async def switch(self, *client_ids: str, enabled: bool, first: Step | None = None) -> None:
        """All of them or none; `first` as for `create`. Raises LookupError, Refused."""
        now = self._clock.now()

        async def work(tx: Transaction) -> None:
            if first:
                await first(tx)
            for client_id in client_ids:
                at = None if enabled else now
                if not await tx.run(_SWITCH, id=client_id, at=at, now=now):
                    raise LookupError(client_id)
                if enabled:
                    await keep_the_limit(tx, client_id, now)
                await self._note(tx, ENABLED if enabled else DISABLED, client_id)

        await self._database.write(work)
        self._clients.forget()

    async def withdraw(self, client_id: str) -> None:
        """For good, at its own request (RFC 7592 §2.3): its name stays for the trail and for the
        history of persons. Raises LookupError."""
        now = self._clock.now()

        async def work(tx: Transaction) -> None:
            if not await tx.run(_WITHDRAW, id=client_id, now=now):
                raise LookupError(client_id)
            await tx.run(_DROP_SECRETS, id=client_id)
            await self._note(tx, WITHDRAWN, client_id)

        await self._database.write(work)
        self._clients.forget()

    async def _add_secret(
        self, tx: Transaction, client_id: str, secret: str, expires_at: int | None
    ) -> None:
        await tx.run(
            _INSERT_SECRET,
            digest=self._clients.digest(secret),
            client_id=client_id,
            hint=secret[-4:],
            created_at=self._clock.now(),
            expires_at=expires_at,
            replaced_at=None,
        )

    async def _note(self, tx: Transaction, event: str, client_id: str) -> None:
        await stamps.bump(tx, STAMP)
        await self._trail.write(tx, audit.entry(event, client_id=client_id))

    async def _again(self, client_id: str) -> Client:
        self._clients.forget()
        client = await self._clients.find(client_id)
        if client is None:
            raise LookupError(client_id)
        return client


def _end(now: int, metadata: ClientMetadata, organisation: str, life: int | None) -> int | None:
    """When a new secret ends: keys of organisations always do."""
    if life is None and organisation and metadata.program:
        life = KEY_LIFE
    return None if life is None else now + life
