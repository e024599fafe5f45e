"""The kernel's parts, made once and handed to the rooms.

A constructor that needs four of them or fewer names them; only one that needs more takes all.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from idp.kernel import metrics
from idp.kernel.audit import Entry, Trail
from idp.kernel.clock import Clock
from idp.kernel.connect import database_at
from idp.kernel.database import Database
from idp.kernel.forms import Forms
from idp.kernel.keyring import KeyRing, MakeKey, generate_key
from idp.kernel.mail import Mailer
from idp.kernel.outbox import Outbox
from idp.kernel.outward import Outward
from idp.kernel.root import load_root
from idp.kernel.settings import BadSettings, KernelSettings
from idp.kernel.templates import Templates
from idp.kernel.throttle import PerMinute, Throttle, windows_at
from idp.kernel.vault import Vault, master_key_from_directory, parse_master_key
from idp.kernel.web import Cookies
from idp.rates import source_of

SELDOM = 10  # audit entries in a minute of one kind, source and client


@dataclass(frozen=True, slots=True)
class Services:
    settings: KernelSettings
    clock: Clock
    database: Database
    vault: Vault
    trail: Trail
    throttle: Throttle
    keyring: KeyRing
    forms: Forms
    templates: Templates
    outward: Outward
    outbox: Outbox
    mailer: Mailer

    async def seldom(self, entry: Entry) -> bool:
        """Whether to write down what somebody can cause as often as they like: a few times a
        minute for each source and client. What is left out is counted."""
        subject = (entry.event, entry.client_id, source_of(entry.address))
        if await self.throttle.hit(PerMinute(SELDOM), "audit", *subject):
            metrics.AUDIT_LEFT_OUT.labels(entry.event).inc()
            return False
        return True

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Raises Unavailable, VaultBroken."""
        await self.database.open()
        try:
            await load_root(self.database, self.vault)
            yield
        finally:
            await self.outbox.aclose()
            await self.outward.aclose()
            await self.database.close()


def make_services(
    settings: KernelSettings,
    clock: Clock | None = None,
    make_key: MakeKey = generate_key,
) -> Services:
    """Nothing is opened or asked yet. Raises BadSettings."""
    clock = clock or Clock()
    vault = Vault(*master_keys(settings))
    database = database_at(settings.database.url, settings.database.pool_size)
    outbox = Outbox(database, vault, clock)
    return Services(
        settings=settings,
        clock=clock,
        database=database,
        vault=vault,
        trail=Trail(database, vault, clock),
        throttle=Throttle(windows_at(settings.web.redis_url)),
        keyring=KeyRing(database, vault, clock, make_key),
        forms=Forms(
            Cookies(secure=settings.issuer.startswith("https:")),
            settings.issuer,
            vault.secrets("forms"),
        ),
        templates=Templates(settings.shown_brand),
        outward=Outward(settings.outward, clock),
        outbox=outbox,
        mailer=Mailer(settings.mail, outbox, clock, settings.brand.name),
    )


@contextlib.asynccontextmanager
async def open_services(
    settings: KernelSettings, clock: Clock | None = None
) -> AsyncIterator[Services]:
    """For a command. Raises BadSettings, Unavailable."""
    services = make_services(settings, clock)
    async with services.opened():
        yield services


def master_keys(settings: KernelSettings) -> tuple[bytes, list[bytes]]:
    """(the one that seals, others that open). Raises BadSettings."""
    keys = settings.keys
    try:
        others = [parse_master_key(key.get_secret_value()) for key in keys.other_master_keys]
        if keys.master_key is not None:
            return parse_master_key(keys.master_key.get_secret_value()), others
        return master_key_from_directory(keys.directory), others
    except (OSError, ValueError) as broken:
        raise BadSettings(f"keys: {broken}") from None
