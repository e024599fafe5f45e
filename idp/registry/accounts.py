"""A client's own account at a scheme's upstream, so that phones show the client's name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from idp.registry.clients import Client, Clients

FIRST = "twfido"  # documents without a scheme are of the first that there was


class Accounts:
    """Reads what `Clients.set_system` stored."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def of(self, scheme: str, relying_party: str) -> Mapping[str, Any] | None:
        return _at(scheme, await self._clients.find(relying_party) if relying_party else None)

    async def named(self, scheme: str, account: str) -> Mapping[str, Any] | None:
        return _at(scheme, await self._clients.by_system(account))


def _at(scheme: str, client: Client | None) -> Mapping[str, Any] | None:
    found: dict[str, Any] = json.loads(client.system) if client and client.system else {}
    return found if found and found.get("scheme", FIRST) == scheme else None
