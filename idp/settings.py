"""Every setting of every room, and what must not start."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from idp.kernel.settings import BadSettings, KernelSettings, load
from idp.login.settings import LoginSettings
from idp.members.settings import MembersSettings
from idp.oidc.settings import OidcSettings
from idp.verify.settings import UpstreamSettings
from idp.verify.spapi.settings import SpApiSettings
from idp.verify.twfido.settings import TwFidoSettings


class Settings(KernelSettings):
    """Every setting of every room. A scheme's section has the scheme's name and may be left out;
    their order is that of preference."""

    login: LoginSettings = LoginSettings()
    oidc: OidcSettings = OidcSettings()
    members: MembersSettings = MembersSettings()
    twfido: TwFidoSettings | None = None
    spapi: SpApiSettings | None = None

    @classmethod
    def schemes(cls) -> list[str]:
        """All that there are."""
        fields = cls.model_fields.items()
        return [name for name, field in fields if _is_upstream(field.annotation)]

    @property
    def upstreams(self) -> dict[str, UpstreamSettings]:
        """The sections of the schemes that are configured, the preferred first."""
        found = ((name, getattr(self, name)) for name in self.schemes())
        return {name: section for name, section in found if section is not None}


def _is_upstream(kind: object) -> bool:
    return any(isinstance(k, type) and issubclass(k, UpstreamSettings) for k in get_args(kind))


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
    elif parts.scheme != "https" and settings.environment != "development":
        faults.append(f"issuer: {settings.environment} needs https")
    faults += _mtls_faults(settings)
    faults += _scheme_faults(settings)
    faults += [f"mail.{fault}" for fault in settings.mail.faults(settings.environment)]
    if settings.environment != "development" and settings.outward.allow_http:
        faults.append(f"outward.allow_http: {settings.environment} calls https only")
    if settings.environment == "production":
        # a key that a machine makes for itself is lost with the machine, and so are the data
        if settings.keys.master_key is None:
            faults.append("keys.master_key: production needs it (openssl rand -hex 32), as a file")
        for scheme, section in settings.upstreams.items():
            faults += [f"{scheme}.{fault}" for fault in section.production_faults()]
        faults += [f"members.{fault}" for fault in settings.members.production_faults()]
    return faults


def _mtls_faults(settings: Settings) -> list[str]:
    """Certificates come by a name of their own, and by a proxy that is believed."""
    url = settings.mtls.url
    if not url:
        return ["mtls.ca_file: needs mtls.url"] if settings.mtls.ca_file else []
    parts, faults = urlsplit(url), []
    if parts.scheme != "https" or url != f"https://{parts.netloc}" or not parts.hostname:
        faults.append("mtls.url: must be https://host[:port] without path")
    if parts.netloc.lower() == urlsplit(settings.issuer).netloc.lower():
        faults.append("mtls.url: must have another host than the issuer, where nobody is asked")
    if not settings.web.trusted_proxies:
        faults.append("mtls.url: needs web.trusted_proxies: who hands certificates over")
    return faults


def _scheme_faults(settings: Settings) -> list[str]:
    there = list(settings.upstreams)
    if not there:
        names = " or ".join(settings.schemes())
        return [f"{names}: nobody can log in without a scheme, so one section is needed"]
    return [
        f"login.schemes: there is no section [{name}]{_did_you_mean(name, there)}"
        for name in settings.login.schemes
        if name not in there
    ]


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
