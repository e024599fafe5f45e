"""What a worker does besides answering: follow changes, write batches, seal, sweep."""

from __future__ import annotations

import contextlib

from idp.house import House
from idp.kernel import counters, outbox, stamps
from idp.kernel.errors import Unavailable
from idp.kernel.housekeeping import Job, Retention, follow_database_clock, sweep
from idp.kernel.keyring import STAMP
from idp.login import history, session
from idp.login import store as login_store
from idp.members import codes
from idp.oidc import authorizations
from idp.oidc import store as oidc_store
from idp.registry import admissions
from idp.registry import organisations as registry

DAY = 86_400
RETENTION: tuple[Retention, ...] = (
    *counters.RETENTION,
    *outbox.RETENTION,
    *login_store.RETENTION,
    *authorizations.RETENTION,
    *oidc_store.RETENTION,
    *session.RETENTION,
    *codes.RETENTION,
    *admissions.RETENTION,
)


def jobs(house: House) -> list[Job]:
    services = house.services
    return [
        Job("stamps", 1, Follower(house).look),
        Job("audit-flush", 1, services.trail.flush),
        Job("credential-uses", 1, house.clients.uses.flush),
        Job("outbox", 2, services.outbox.look),  # what nobody called for
        Job("outbox-count", 15, services.outbox.count),
        Job("cases", 30, house.cases.look),
        Job("sessions", 20, house.login.sessions.run_out),
        Job("audit-seal", 10, services.trail.seal),
        Job("clock", 60, lambda: follow_database_clock(services.database, services.clock)),
        Job("sweep", 20, lambda: sweep_expired(house)),
    ]


async def flush(house: House) -> None:
    """Before the end. Raises Unavailable where audit entries would be lost."""
    await house.services.trail.flush()
    with contextlib.suppress(Unavailable):  # a last use that is not written down harms nobody
        await house.clients.uses.flush()


class Follower:
    """Notices what other processes changed: keys and clients."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._seen: dict[str, int] = {}

    async def look(self) -> None:
        now = await stamps.read(self._house.services.database)
        if now.get(STAMP) != self._seen.get(STAMP):
            await self._house.services.keyring.load()
        if now.get(registry.STAMP) != self._seen.get(registry.STAMP):
            self._house.clients.forget()
            self._house.accounts.forget()
        self._seen = now


async def sweep_expired(house: House) -> None:
    """Rows that are of no use any more. What a person may see of an attempt stays behind it."""
    services, now = house.services, house.services.clock.now()
    await history.sweep_attempts(services.database, now - 2 * DAY)
    seen = history.retention(house.settings.login.history_days)
    await sweep(services.database, (*RETENTION, seen), now)
