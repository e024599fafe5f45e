"""What every room is handed: the parts of the ground floor, made once by app.py."""

from __future__ import annotations

from dataclasses import dataclass

from idp.kernel.audit import Trail
from idp.kernel.clock import Clock
from idp.kernel.database import Database
from idp.kernel.keyring import KeyRing
from idp.kernel.settings import KernelSettings
from idp.kernel.templates import Templates
from idp.kernel.throttle import Throttle
from idp.kernel.vault import Vault
from idp.kernel.web import Forms


@dataclass(frozen=True, slots=True)
class Ground:
    settings: KernelSettings
    clock: Clock
    database: Database
    vault: Vault
    trail: Trail
    throttle: Throttle
    keyring: KeyRing
    forms: Forms
    templates: Templates
