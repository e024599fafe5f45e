"""The pretend service of each scheme, as its settings describe the account: for development,
tests and integrators."""

from __future__ import annotations

import secrets

import httpx
from starlette.types import ASGIApp

from idp.verify.settings import UpstreamSettings
from idp.verify.spapi import simulator as spapi
from idp.verify.spapi.settings import SpApiSettings
from idp.verify.twfido import simulator as twfido
from idp.verify.twfido.settings import RETURN_PATH, TwFidoSettings

_NAME = "simulated system"  # what phones show where the settings have no name


def simulator_of(
    section: UpstreamSettings,
    issuer: str,
    public_url: str,
    authority: spapi.Authority | None = None,
    callbacks: httpx.AsyncBaseTransport | None = None,
    *,
    sandbox: bool = False,
) -> ASGIApp:
    """`issuer` is the bridge that it serves; `authority` signs for the people of the SP-API;
    `callbacks` carries what a service sends by itself. ValueError beside a production issuer."""
    if isinstance(section, SpApiSettings):
        service = spapi.SimulatedService(
            sp_service_id=section.sp_service_id,
            aes_key=section.own_service.keys[0],
            name=section.system_name or _NAME,
            return_url=issuer + section.return_path,
        )
        return spapi.create_simulator(
            [service],
            public_url=public_url,
            authority=authority,
            beside_issuer=issuer,
            sandbox=sandbox,
        )
    if not isinstance(section, TwFidoSettings):
        raise ValueError("there is no simulator of this scheme")
    own = section.own_system
    system = twfido.SimulatedSystem(
        syscode=own.syscode,
        api_key=own.keys[0],
        name=own.name or _NAME,
        success_url=issuer + RETURN_PATH,
        callback_url=issuer + section.callback_path,
    )
    return twfido.create_simulator(
        [system],
        public_url=public_url,
        transport=callbacks,
        beside_issuer=issuer,
        sandbox=sandbox,
    )


def section_for(scheme: str, server_url: str, browser_url: str, name: str, issuers: str) -> str:
    """A section of a configuration (TOML) for a simulator, with keys of its own; `issuers` is the
    file that its certificate authority is written to."""
    if scheme == "spapi":
        return f"""\
[spapi]
api_url = "{server_url}"
web_url = "{browser_url}"
sp_service_id = "DEV-{secrets.token_hex(4)}"
keys = ["{secrets.token_urlsafe(32)}"]
system_name = "{name}"
issuing_certificates = "{issuers}"
"""
    return f"""\
[twfido]
base_url = "{server_url}"
browser_base_url = "{browser_url}"
syscode = "2020082010095126{secrets.randbelow(10000):04d}"
api_keys = ["{secrets.token_hex(16).upper()}"]
system_name = "{name}"
callback_peers = ["127.0.0.0/8", "::1/128"]
"""
