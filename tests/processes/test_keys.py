"""Signing keys change under load, and nobody notices."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from jwcrypto.jwk import JWKSet
from jwcrypto.jws import JWS

from tests.processes.people import Service, code_for, program, web_client
from tests.services.bridge import Bridge

ROTATIONS = 3


@dataclass
class Verifier:
    """An agency's API that asks nobody: it keeps the JWKS for its max-age, and fetches it anew
    for a key that it does not know."""

    http: httpx.AsyncClient
    until: float = 0
    keys: JWKSet = field(default_factory=JWKSet)
    surprises: int = 0
    seen: dict[str, set[str]] = field(default_factory=dict)

    async def verified(self, token: str) -> dict[str, Any]:
        """The claims. Raises whatever jwcrypto does for a bad signature."""
        signed = JWS()
        signed.deserialize(token)
        kid = signed.jose_header["kid"]
        if time.monotonic() >= self.until:
            await self._fetch()
        if self.keys.get_key(kid) is None:
            self.surprises += 1
            await self._fetch()
        signed.verify(self.keys.get_key(kid))
        self.seen.setdefault(signed.jose_header["alg"], set()).add(kid)
        claims: dict[str, Any] = json.loads(signed.payload)
        return claims

    async def _fetch(self) -> None:
        answer = await self.http.get("/jwks")
        age = re.search(r"max-age=(\d+)", answer.headers["cache-control"])
        assert age is not None
        self.keys = JWKSet.from_json(answer.text)
        self.until = time.monotonic() + int(age[1])


async def test_rotation_loses_nothing(bridge: Bridge) -> None:
    """FT-32: three rotations under load lose no login and no verification, and every key was
    published before anybody met it."""
    agency, machine = await web_client(bridge), await program(bridge)
    verifier, done = Verifier(bridge.http()), asyncio.Event()
    work = [logging_in(bridge, agency, verifier)] * 2 + [getting_tokens(machine, verifier)] * 2
    load = [asyncio.create_task(repeated(each, done)) for each in work]
    try:
        for _ in range(ROTATIONS):
            await rotated(bridge)
    finally:
        done.set()
        counts = await asyncio.gather(*load)
    print(f"logins {counts[:2]}, programs {counts[2:]}, keys met {verifier.seen}")
    assert min(counts) > 0
    assert {alg: len(kids) for alg, kids in verifier.seen.items()} == {
        "RS256": ROTATIONS + 1,
        "ES256": ROTATIONS + 1,
    }
    assert verifier.surprises == 0


async def repeated(work: Callable[[], Awaitable[None]], done: asyncio.Event) -> int:
    """How often it was done; a failure is a failure of the test."""
    count = 0
    while not done.is_set():
        await work()
        count += 1
    return count


def logging_in(
    bridge: Bridge, agency: Service, verifier: Verifier
) -> Callable[[], Awaitable[None]]:
    """A person logs in, and the agency verifies both tokens offline."""

    async def work() -> None:
        answer = await agency.redeem(await code_for(bridge, agency))
        assert answer.status_code == 200, answer.text
        tokens = answer.json()
        for token in (tokens["id_token"], tokens["access_token"]):
            await verifier.verified(token)
        assert (await agency.userinfo(tokens["access_token"])).status_code == 200

    return work


def getting_tokens(machine: Service, verifier: Verifier) -> Callable[[], Awaitable[None]]:
    """A program gets a token, and the API verifies it and the first one that it ever saw."""
    first: list[str] = []

    async def work() -> None:
        answer = await machine.token(grant_type="client_credentials")
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        first.append(token)
        assert (await verifier.verified(token))["iss"] == machine.issuer
        await verifier.verified(first[0])
        await asyncio.sleep(0.02)

    return work


async def rotated(bridge: Bridge) -> None:
    """`idp keys rotate`, and some load with the new keys."""
    done = await asyncio.to_thread(bridge.cli, "keys", "rotate")
    assert done.returncode == 0, done.stderr
    wait = re.search(r"sign in (\d+) s", done.stdout)
    await asyncio.sleep((int(wait[1]) if wait else 0) + 1)
