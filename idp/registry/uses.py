"""When and from where each credential was last used.

Noted in memory on the way through, written aside: a token request waits for none of it. At most
once a minute for each credential, whatever the number of workers.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel.database import Row, Transaction
from idp.kernel.ground import Ground
from idp.kernel.tables import credential_uses

EVERY = 60  # seconds between two writes for one credential
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
class Use:
    """UTC seconds, and the address of the caller."""

    at: int
    address: str


class Uses:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._noted: dict[Credential, int] = {}
        self._waiting: dict[Credential, Use] = {}

    def note(self, credential: Credential, now: int, address: str) -> None:
        """Costs one look into a dictionary while the last write is fresh."""
        if now - self._noted.get(credential, -EVERY) < EVERY:
            return
        if len(self._noted) >= MOST:
            self._noted.clear()
        self._noted[credential] = now
        self._waiting[credential] = Use(now, address)

    async def flush(self) -> None:
        """Raises Unavailable; what was not written then is written the next time."""
        waiting = dict(self._waiting)
        if not waiting:
            return
        rows = [
            {
                "client_id": client_id,
                "credential": digest,
                "used_at": use.at,
                "address_sealed": self._ground.vault.seal("address", use.address),
            }
            # in one order everywhere, or two workers could wait for each other
            for (client_id, digest), use in sorted(waiting.items(), key=lambda item: item[0])
        ]

        async def work(tx: Transaction) -> None:
            for row in rows:
                await tx.run(_NOTE, **row)

        await self._ground.database.write(work)
        for credential, use in waiting.items():
            if self._waiting.get(credential) is use:
                del self._waiting[credential]


def use_in(ground: Ground, row: Row) -> Use:
    """The use in a row, its address opened for the operator."""
    return Use(row["used_at"], ground.vault.open_text("address", row["address_sealed"]))
