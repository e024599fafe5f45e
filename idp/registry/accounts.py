"""Relying parties' own accounts at the schemes' upstreams, so that phones show their names.

What a document means is the scheme's. Reading goes through a cache that is dropped with that of
the clients, when the stamp `clients` grows.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel import audit, stamps
from idp.kernel.audit import Trail
from idp.kernel.clock import Clock
from idp.kernel.database import Database, Transaction
from idp.kernel.tables import upstream_accounts
from idp.kernel.vault import Vault
from idp.registry.organisations import STAMP

ACCOUNT = audit.event("client.account_set", "a client got an own account at a scheme, or lost it")

REMEMBERED = 20_000  # answers in the cache of a process
PURPOSE = "system"  # the vault's; the name that documents were sealed with from the beginning

Document = Mapping[str, Any]

_A = upstream_accounts.c
_OF = select(_A.document_sealed).where(
    _A.client_id == bindparam("client"), _A.scheme == bindparam("scheme")
)
_NAMED = (
    select(_A.document_sealed)
    .where(_A.account_index == bindparam("index"), _A.scheme == bindparam("scheme"))
    .order_by(_A.created_at, _A.client_id)
    .limit(1)
)
_SCHEMES = select(_A.scheme).where(_A.client_id == bindparam("client")).order_by(_A.scheme)
_SET = upsert(upstream_accounts).values(
    client_id=bindparam("client"),
    scheme=bindparam("scheme"),
    account_index=bindparam("index"),
    document_sealed=bindparam("sealed"),
    created_at=bindparam("now"),
    updated_at=bindparam("now"),
)
_SET = _SET.on_conflict_do_update(
    index_elements=[_A.client_id, _A.scheme],
    set_={
        "account_index": _SET.excluded.account_index,
        "document_sealed": _SET.excluded.document_sealed,
        "updated_at": _SET.excluded.updated_at,
    },
)
_DROP = delete(upstream_accounts).where(
    _A.client_id == bindparam("client"), _A.scheme == bindparam("scheme")
)


class Accounts:
    def __init__(self, database: Database, vault: Vault, clock: Clock, trail: Trail) -> None:
        self._database, self._vault, self._clock, self._trail = database, vault, clock, trail
        self._cache: OrderedDict[tuple[str, ...], Document | None] = OrderedDict()

    async def of(self, scheme: str, relying_party: str) -> Document | None:
        key = ("of", scheme, relying_party)
        return await self._read(key, _OF, scheme=scheme, client=relying_party)

    async def named(self, scheme: str, account: str) -> Document | None:
        """By the account's own name at the upstream."""
        index = self._vault.index(PURPOSE, account)
        return await self._read(("named", scheme, index), _NAMED, scheme=scheme, index=index)

    async def _read(self, key: tuple[str, ...], statement: Any, **values: str) -> Document | None:
        cache = self._cache  # what is read now must not outlive a change that comes meanwhile
        if key in cache:
            return cache[key]
        row = await self._database.one(statement, **values)
        text = self._vault.open_text(PURPOSE, row["document_sealed"]) if row else "null"
        document: Document | None = json.loads(text)
        cache[key] = document
        if len(cache) > REMEMBERED:
            cache.popitem(last=False)
        return document

    def forget(self) -> None:
        """The stamp has grown: read anew."""
        self._cache = OrderedDict()

    async def schemes_of(self, client_id: str) -> list[str]:
        """Where a client has an account of its own."""
        return [row["scheme"] for row in await self._database.all(_SCHEMES, client=client_id)]

    async def set(
        self, client_id: str, scheme: str, account: str, document: Mapping[str, Any]
    ) -> None:
        """`account` is its name at the upstream. The client must exist."""
        text, now = json.dumps(document, ensure_ascii=False), self._clock.now()
        values = {
            "client": client_id,
            "scheme": scheme,
            "index": self._vault.index(PURPOSE, account),
            "sealed": self._vault.seal(PURPOSE, text),
            "now": now,
        }
        await self._change(client_id, scheme, "set", _SET, values)

    async def drop(self, client_id: str, scheme: str) -> None:
        """The house's account serves it again."""
        await self._change(
            client_id, scheme, "dropped", _DROP, {"client": client_id, "scheme": scheme}
        )

    async def _change(
        self, client_id: str, scheme: str, what: str, statement: Any, values: Mapping[str, Any]
    ) -> None:
        async def work(tx: Transaction) -> None:
            await tx.run(statement, **values)
            await stamps.bump(tx, STAMP)
            entry = audit.entry(ACCOUNT, client_id=client_id, scheme=scheme, account=what)
            await self._trail.write(tx, entry)

        await self._database.write(work)
        self.forget()
