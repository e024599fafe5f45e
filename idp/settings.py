"""Every setting of every room, and what must not start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from idp.kernel.settings import BadSettings, KernelSettings, load
from idp.login.settings import LoginSettings
from idp.members.settings import MembersSettings
from idp.oidc.settings import OidcSettings
from idp.verify.twfido.settings import TwFidoSettings


class Settings(KernelSettings):
    """Every setting of every room; a scheme's section has the scheme's name."""

    login: LoginSettings = LoginSettings()
    oidc: OidcSettings = OidcSettings()
    members: MembersSettings = MembersSettings()
    twfido: TwFidoSettings


def read_settings(files: Sequence[Path] = ()) -> Settings:
    """Raises BadSettings with every fault, also those that only count in production."""
    settings = load(Settings, files)
    faults = unsafe(settings)
    if faults:
        raise BadSettings("\n".join(faults))
    return settings


def unsafe(settings: Settings) -> list[str]:
    """What must not go into production, and an issuer that could never work."""
    parts = urlsplit(settings.issuer)
    faults = []
    if settings.issuer.endswith("/") or parts.query or parts.fragment or not parts.netloc:
        faults.append("issuer: must be scheme://host[:port] without trailing slash")
    if parts.path:
        faults.append("issuer: must not have a path")
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        faults.append("issuer: must be https, or http on loopback for development")
    elif parts.scheme != "https" and settings.environment == "production":
        faults.append("issuer: production needs https")
    if settings.environment == "production":
        # a key that a machine makes for itself is lost with the machine, and so are the data
        if settings.keys.master_key is None:
            faults.append("keys.master_key: production needs it (openssl rand -hex 32), as a file")
        faults += [f"twfido.{fault}" for fault in settings.twfido.production_faults()]
        faults += [f"members.{fault}" for fault in settings.members.production_faults()]
    return faults
