"""When and from where each credential was last used.

Noted in memory on the way through, written aside: a token request waits for none of it. At most
once a minute for each credential, whatever the number of workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel.database import Database, Row, Transaction
from idp.kernel.tables import credential_uses
from idp.kernel.vault import Vault

EVERY = 60  # seconds between two writes for one credential
BATCH = 500  # uses written in one transaction
MOST = 20_000  # credentials remembered; beyond that all are written again

_U = credential_uses.c
_NOTE = upsert(credential_uses)
_NOTE = _NOTE.on_conflict_do_update(
    index_elements=[_U.client_id, _U.credential],
    set_={"used_at": _NOTE.excluded.used_at, "address_sealed": _NOTE.excluded.address_sealed},
    where=_U.used_at <= _NOTE.excluded.used_at - EVERY,
)

Credential = tuple[str, str]  # client id, and the digest of its secret or ""


@dataclass(frozen=True, slots=True)
class LastUse:
    """UTC seconds, and the address of the caller."""

    at: int
    address: str


class Uses:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault
        self._noted: dict[Credential, int] = {}
        self._waiting: dict[Credential, LastUse] = {}

    def note(self, credential: Credential, now: int, address: str) -> None:
        """Costs one look into a dictionary while the last write is fresh."""
        if now - self._noted.get(credential, -EVERY) < EVERY:
            return
        if len(self._noted) >= MOST:
            self._noted.clear()
        self._noted[credential] = now
        self._waiting[credential] = LastUse(now, address)

    async def flush(self) -> None:
        """Raises Unavailable; what was not written then is written the next time."""
        # in one order everywhere, or two workers could wait for each other
        waiting = sorted(self._waiting.items(), key=lambda item: item[0])
        for start in range(0, len(waiting), BATCH):
            await self._write(waiting[start : start + BATCH])
            await asyncio.sleep(0)  # between two batches others are answered

    async def _write(self, uses: Sequence[tuple[Credential, LastUse]]) -> None:
        rows = [
            {
                "client_id": client_id,
                "credential": digest,
                "used_at": use.at,
                "address_sealed": self._vault.seal("address", use.address),
            }
            for (client_id, digest), use in uses
        ]

        async def work(tx: Transaction) -> None:
            await tx.run_many(_NOTE, rows)

        await self._database.write(work)
        for credential, use in uses:
            if self._waiting.get(credential) is use:
                del self._waiting[credential]


def last_use_in(vault: Vault, row: Row) -> LastUse:
    """The use in a row, its address opened for the operator."""
    return LastUse(row["used_at"], vault.open_text("address", row["address_sealed"]))
