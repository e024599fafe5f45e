"""A client's own account at the verifier, so that phones show the client's name and not ours."""

from __future__ import annotations

import json

from idp.registry.clients import Clients
from idp.verify.twfido.settings import System


class Systems:
    """Reads what `Clients.set_system` stored."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def of(self, relying_party: str) -> System | None:
        client = await self._clients.find(relying_party) if relying_party else None
        return read(client.system) if client else None

    async def by_syscode(self, syscode: str) -> System | None:
        client = await self._clients.by_system(syscode)
        return read(client.system) if client else None


def read(document: str) -> System | None:
    if not document:
        return None
    found = json.loads(document)
    return System(found["syscode"], tuple(found["keys"]), found["name"])


def document(system: System) -> str:
    return json.dumps(
        {"syscode": system.syscode, "keys": list(system.keys), "name": system.name},
        ensure_ascii=False,
    )
