"""The issuer's keys, and tokens that they have signed."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import httpx
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from .answers import INVALID, Stopped, unauthorized

log = logging.getLogger(__package__)
ALGORITHMS = ("ES256", "RS256")
TYPES = ("at+jwt", "application/at+jwt", "jwt")  # RFC 9068 §2.1; the last: see `_access`
MOST_BYTES = 8192  # of a token
REMEMBERED = 10_000  # tokens that have been verified and may come again
COOLDOWN = 10.0  # seconds between two refetches, whoever asks for what
RETRY = 2.0  # the same while there is no key set at all
LEEWAY = 5  # seconds that clocks may differ

Claims = Mapping[str, Any]
# what joserfc and its parsers raise for tokens that are none
BROKEN = (JoseError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Keys:
    """The issuer's published keys: kept while fresh, refetched when a kid is unknown, and never
    thrown away because the issuer is away."""

    def __init__(self, issuer: str, http: httpx.AsyncClient, clock: Callable[[], float]) -> None:
        self._issuer, self._http, self._clock = issuer, http, clock
        self._keys: dict[str, Key] = {}
        self._fresh_until = self._tried_at = float("-inf")
        self._turn = asyncio.Lock()
        self._said = ""

    def fresh(self, kid: str) -> bool:
        """Whether the key is known and the issuer need not be asked."""
        return kid in self._keys and self._clock() < self._fresh_until

    async def find(self, kid: str) -> Key | None:
        """Raises Stopped (503) if no key set was ever had."""
        if not self.fresh(kid):
            await self._refetch(kid)
        return self._keys.get(kid)

    async def _refetch(self, kid: str) -> None:
        async with self._turn:
            now, pause = self._clock(), COOLDOWN if self._keys else RETRY
            if self.fresh(kid):
                return
            if now >= self._tried_at + pause:
                self._tried_at = now
                await self._try()
            if not self._keys:
                raise Stopped(503, "keys unavailable", {"Retry-After": "5"})

    async def _try(self) -> None:
        try:
            await self._fetch()
        except (httpx.HTTPError, *BROKEN) as broken:
            self._tell(f"{type(broken).__name__}: {broken}")
        else:
            self._said = ""

    def _tell(self, fault: str) -> None:
        """Each fault once, until it changes: a call a second must not fill the log."""
        if fault != self._said:
            self._said = fault
            log.error("no keys from %s: %s", self._issuer, fault)

    async def _fetch(self) -> None:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        metadata = (await self._http.get(url)).raise_for_status().json()
        if metadata["issuer"] != self._issuer:  # OpenID Connect Discovery §4.3
            raise ValueError(
                f"the guard is set up for issuer {self._issuer!r}, which calls itself "
                f"{metadata['issuer']!r}: both must be the same text"
            )
        answer = (await self._http.get(metadata["jwks_uri"])).raise_for_status()
        published = KeySet.import_key_set(answer.json()).keys
        self._keys = {str(key.kid): key for key in published}
        self._fresh_until = self._clock() + _max_age(answer.headers.get("cache-control", ""))


def _max_age(header: str) -> int:
    match = re.search(r"max-age=(\d{1,7})", header)
    return int(match[1]) if match else 300


class Tokens:
    """Verification, and the memory of tokens that passed it."""

    def __init__(self, issuer: str, audience: str, keys: Keys, clock: Callable[[], float]) -> None:
        self._issuer, self._audience = issuer, audience
        self._keys, self._clock = keys, clock
        self._passed: OrderedDict[bytes, tuple[str, Claims]] = OrderedDict()

    async def verified(self, token: str) -> Claims:
        """Raises Stopped."""
        mark = sha256(token.encode()).digest()
        passed = self._passed.get(mark)
        if passed is None:
            passed = self._passed[mark] = await self._verify(token)
            if len(self._passed) > REMEMBERED:
                self._passed.popitem(last=False)
        kid, claims = passed
        # a key that the issuer took back vouches for nothing any more
        published = self._keys.fresh(kid) or await self._keys.find(kid) is not None
        if not published or claims["exp"] + LEEWAY <= self._clock():
            self._passed.pop(mark, None)
            raise unauthorized(INVALID, "invalid_token")
        return claims

    async def _verify(self, token: str) -> tuple[str, Claims]:
        """(kid, claims). RFC 9068 §4: type, signature by a published key, issuer, audience,
        times."""
        try:
            found = jws.extract_compact(token.encode()) if len(token) <= MOST_BYTES else None
            header = found.headers() if found else {}
            kid = str(header.get("kid", ""))
            key = await self._keys.find(kid)
            typ = str(header.get("typ")).lower()
            typed = typ in TYPES and header.get("alg") in ALGORITHMS
            signed = found and key and typed and jws.validate_compact(found, key, ALGORITHMS)
            claims = json.loads(found.payload or b"") if found and signed else {}
        except BROKEN:
            raise unauthorized(INVALID, "invalid_token") from None
        if not isinstance(claims, dict) or not self._meant_for_us(claims) or not _access(claims):
            raise unauthorized(INVALID, "invalid_token")
        return kid, claims

    def _meant_for_us(self, claims: Claims) -> bool:
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        times = all(isinstance(claims.get(name), int) for name in ("exp", "iat"))
        right = claims.get("iss") == self._issuer and self._audience in named
        if self._audience == self._issuer:
            # a person's token is for the issuer itself; RFC 9068 §2.2: a program is its own subject
            right = right and claims.get("sub") == claims.get("client_id")
        return right and times and claims["iat"] <= self._clock() + 60


def _access(claims: Claims) -> bool:
    """Whether these are an access token's claims (RFC 9068 §2.2): of one whose header says only
    JWT this is what tells it from an ID token."""
    return all(isinstance(claims.get(name), str) for name in ("client_id", "jti"))
