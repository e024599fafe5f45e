"""Clients as rows, and as every process remembers them.

Reading goes through a cache that is dropped when the stamp `clients` grows, so that what another
process wrote (the command line beside a running bridge) is seen within a second.
"""

from __future__ import annotations

import hmac
import re
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, insert, or_, select, update

from idp.kernel import audit
from idp.kernel.clock import token
from idp.kernel.database import Row, Transaction
from idp.kernel.ground import Ground
from idp.kernel.keyring import BUMP
from idp.kernel.tables import client_secrets, clients
from idp.registry.metadata import WITH_SECRET, ClientMetadata

CREATED = audit.event("client.created", "a client was registered")
CHANGED = audit.event("client.changed", "a client's metadata were changed")
ROTATED = audit.event("client.secret_rotated", "a client got a new secret")
DISABLED = audit.event("client.disabled", "a client was disabled")
ENABLED = audit.event("client.enabled", "a client was enabled again")

STAMP = "clients"
REMEMBERED = 20_000  # clients in the cache of a process
SECRET_PREFIX = "twf_"  # so that scanners recognise a leaked secret
CLIENT_ID = re.compile(r"\A[A-Za-z0-9._~-]{1,100}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Secret:
    digest: str
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class Client:
    """`system` is the client's own account at the verifier, as JSON, or ""."""

    client_id: str
    metadata: ClientMetadata
    secrets: tuple[Secret, ...]
    system: str
    disabled: bool

    def knows(self, digest: str, now: int) -> bool:
        """Whether a presented secret is one of the live ones; the same work for any."""
        found = False
        for secret in self.secrets:
            same = hmac.compare_digest(secret.digest, digest)
            found |= same and (secret.expires_at is None or secret.expires_at > now)
        return found


_C, _S = clients.c, client_secrets.c
_BY_ID = select(clients).where(_C.client_id == bindparam("id"))
_BY_SYSTEM = select(_C.client_id).where(_C.system_index == bindparam("index"))
_ALL = select(clients).order_by(_C.created_at, _C.client_id)
_SECRETS = (
    select(client_secrets)
    .where(
        _S.client_id == bindparam("id"),
        or_(_S.expires_at.is_(None), _S.expires_at > bindparam("now")),
    )
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
_EXPIRE_SECRET = (
    update(client_secrets).where(_S.digest == bindparam("id")).values(expires_at=bindparam("end"))
)
_DROP_SECRETS = delete(client_secrets).where(_S.client_id == bindparam("id"))


class Clients:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._cache: OrderedDict[str, Client] = OrderedDict()

    async def find(self, client_id: str) -> Client | None:
        """Also a disabled one: the caller decides what that means."""
        cache = self._cache  # what is read now must not outlive a change that comes meanwhile
        known = cache.get(client_id)
        if known is not None:
            return known
        if not CLIENT_ID.match(client_id):
            return None
        row = await self._ground.database.one(_BY_ID, id=client_id)
        if row is None:
            return None
        client = await self._read(row)
        cache[client_id] = client
        if len(cache) > REMEMBERED:
            cache.popitem(last=False)
        return client

    async def active(self, client_id: str) -> Client | None:
        client = await self.find(client_id)
        return None if client is None or client.disabled else client

    async def all(self) -> list[Client]:
        return [await self._read(row) for row in await self._ground.database.all(_ALL)]

    def forget(self) -> None:
        """The stamp has grown: read anew."""
        self._cache = OrderedDict()

    async def _read(self, row: Row) -> Client:
        secrets = await self._ground.database.all(
            _SECRETS, id=row["client_id"], now=self._ground.clock.now()
        )
        sealed = row["system_sealed"]
        return Client(
            client_id=row["client_id"],
            metadata=ClientMetadata.model_validate_json(row["metadata"]),
            secrets=tuple(Secret(s["digest"], s["expires_at"]) for s in secrets),
            system=self._ground.vault.open_text("system", sealed) if sealed else "",
            disabled=row["disabled_at"] is not None,
        )

    def digest(self, secret: str) -> str:
        """Secrets are 256-bit random: a keyed hash is enough, and a slow one at the token
        endpoint would be a denial of service that we did to ourselves."""
        return self._ground.vault.index("client-secret", secret)

    # ── writing ────────────────────────────────────────────────────────────────────────────────

    async def create(
        self, metadata: ClientMetadata, client_id: str | None = None, secret: str | None = None
    ) -> tuple[Client, str | None]:
        """(client, its secret, shown this once). Raises Conflict if the id is taken."""
        client_id = client_id or token(12).lstrip("-")  # or a command takes it for an option
        if not CLIENT_ID.match(client_id):
            raise ValueError("a client_id is 1 to 100 of A-Z a-z 0-9 . _ ~ -")
        metadata = metadata.settled(client_id)
        with_secret = metadata.token_endpoint_auth_method in WITH_SECRET
        secret = (secret or new_secret()) if with_secret else None
        now = self._ground.clock.now()

        async def work(tx: Transaction) -> None:
            await tx.run(
                _INSERT,
                client_id=client_id,
                metadata=metadata.model_dump_json(),
                system_sealed="",
                system_index=None,
                created_at=now,
                updated_at=now,
                disabled_at=None,
            )
            if secret:
                await self._add_secret(tx, client_id, secret)
            await self._note(tx, CREATED, client_id)

        await self._ground.database.write(work)
        return await self._again(client_id), secret

    async def update(self, client_id: str, metadata: ClientMetadata) -> Client:
        now = self._ground.clock.now()

        async def work(tx: Transaction) -> None:
            document = metadata.settled(client_id).model_dump_json()
            if not await tx.run(_UPDATE, id=client_id, document=document, now=now):
                raise LookupError(client_id)
            if metadata.token_endpoint_auth_method not in WITH_SECRET:
                await tx.run(_DROP_SECRETS, id=client_id)
            await self._note(tx, CHANGED, client_id)

        await self._ground.database.write(work)
        return await self._again(client_id)

    async def rotate_secret(self, client_id: str, overlap: int) -> str:
        """A new secret; the one before it lives for `overlap` seconds more, older ones end now:
        never more than two are live. Raises LookupError."""
        secret, now = new_secret(), self._ground.clock.now()

        async def work(tx: Transaction) -> None:
            # this also makes a second rotation wait for the first
            if not await tx.run(_TOUCH, id=client_id, now=now):
                raise LookupError(client_id)
            live = await tx.all(_SECRETS, id=client_id, now=now)
            for row in live:  # one that ends already has had its overlap
                end = now if row["expires_at"] else now + overlap
                await tx.run(_EXPIRE_SECRET, id=row["digest"], end=end)
            await self._add_secret(tx, client_id, secret)
            await self._note(tx, ROTATED, client_id)

        await self._ground.database.write(work)
        self.forget()
        return secret

    async def by_system(self, account: str) -> Client | None:
        """The client that has this account at the verifier."""
        index = self._ground.vault.index("system", account)
        row = await self._ground.database.one(_BY_SYSTEM, index=index)
        return await self.find(row["client_id"]) if row else None

    async def set_system(self, client_id: str, account: str, system: str) -> None:
        """Its own account at the verifier, as the JSON that `system` is; or "" and "" for none."""
        sealed = self._ground.vault.seal("system", system) if system else ""
        index = self._ground.vault.index("system", account) if account else None
        now = self._ground.clock.now()

        async def work(tx: Transaction) -> None:
            await tx.run(_SET_SYSTEM, id=client_id, sealed=sealed, index=index, now=now)
            await self._note(tx, CHANGED, client_id)

        await self._ground.database.write(work)
        self.forget()

    async def switch(self, client_id: str, *, enabled: bool) -> None:
        now = self._ground.clock.now()

        async def work(tx: Transaction) -> None:
            at = None if enabled else now
            if not await tx.run(_SWITCH, id=client_id, at=at, now=now):
                raise LookupError(client_id)
            await self._note(tx, ENABLED if enabled else DISABLED, client_id)

        await self._ground.database.write(work)
        self.forget()

    async def _add_secret(self, tx: Transaction, client_id: str, secret: str) -> None:
        await tx.run(
            _INSERT_SECRET,
            digest=self.digest(secret),
            client_id=client_id,
            hint=secret[-4:],
            created_at=self._ground.clock.now(),
            expires_at=None,
        )

    async def _note(self, tx: Transaction, event: str, client_id: str) -> None:
        await tx.run(BUMP, name=STAMP)
        await self._ground.trail.write(tx, audit.entry(event, client_id=client_id))

    async def _again(self, client_id: str) -> Client:
        self.forget()
        client = await self.find(client_id)
        if client is None:
            raise LookupError(client_id)
        return client


def new_secret() -> str:
    """twf_ + 256 random bits + checksum, URL-safe: a scanner can tell a real one from noise."""
    body = token(32)
    return f"{SECRET_PREFIX}{body}_{zlib.crc32(body.encode()):08x}"


def looks_like_secret(text: str) -> bool:
    """For secret scanners: prefix and checksum fit."""
    body, _, mark = text.removeprefix(SECRET_PREFIX).rpartition("_")
    return text.startswith(SECRET_PREFIX) and mark == f"{zlib.crc32(body.encode()):08x}"


def redirect_uri_matches(client: Client, uri: str) -> bool:
    """Exact, character by character; only a native client's loopback port may differ."""
    registered = client.metadata.redirect_uris
    if uri in registered:
        return True
    return client.metadata.native and any(_same_but_port(uri, known) for known in registered)


_LOOPBACK = re.compile(r"\Ahttp://(127\.0\.0\.1|\[::1\])(?::\d{1,5})?(/[^#]*)?\Z", re.ASCII)


def _same_but_port(uri: str, known: str) -> bool:
    """RFC 8252 §7.3; not for `localhost`, which a hosts file may move."""
    asked, kept = _LOOPBACK.match(uri), _LOOPBACK.match(known)
    return bool(asked and kept and asked.groups() == kept.groups())


def first_difference(sent: str, registered: Sequence[str]) -> tuple[str, int]:
    """(the registered URI most like the one sent, index of the first differing character)."""
    best = max(registered, key=lambda uri: _common(sent, uri), default="")
    return best, _common(sent, best)


def _common(a: str, b: str) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
