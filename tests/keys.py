"""Keys that are not ours: of clients that sign, and of attackers; in two libraries."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from tests.house import ISSUER, TestHouse

BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 §2.2
ANY = jws.JWSRegistry(
    algorithms=["ES256", "RS256", "PS256", "EdDSA", "Ed25519", "HS256", "none"],
    strict_check_header=False,
)
ANY.max_header_length = 4096


@dataclass
class Signer:
    """A client that signs instead of sending a secret."""

    client_id: str = "signer"
    alg: str = "ES256"
    kid: str | None = "k1"
    key: Any = field(default=None)

    def __post_init__(self) -> None:
        self.key = self.key or self._made()

    def _made(self) -> Any:
        if self.alg == "ES256":
            return ECKey.generate_key("P-256", auto_kid=False)
        if self.alg == "EdDSA":
            return OKPKey.generate_key("Ed25519", auto_kid=False)
        return rsa("client")

    def public(self) -> dict[str, Any]:
        named = {"kid": self.kid} if self.kid else {}
        return {**self.key.as_dict(private=False), **named}

    def claims(self, house: TestHouse, **changes: Any) -> dict[str, Any]:
        """RFC 7523 §3; a change to None leaves the claim out."""
        now = house.clock.now()
        known: dict[str, Any] = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": ISSUER,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + 60,
        }
        return {k: v for k, v in (known | changes).items() if v is not None}

    def assertion(
        self, house: TestHouse, header: dict[str, Any] | None = None, /, **claims: Any
    ) -> str:
        known = {"alg": self.alg, **({"kid": self.kid} if self.kid else {})}
        text = json.dumps(self.claims(house, **claims))
        return sign({**known, **(header or {})}, text, self.key)


def _hash(token: str) -> str:
    return _encoded(hashlib.sha256(token.encode()).digest())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@functools.cache
def rsa(_owner: str) -> RSAKey:
    """One RSA key for each owner; they take long to make."""
    return RSAKey.generate_key(2048, auto_kid=False)


def sign(header: dict[str, Any], payload: str | bytes, key: Any) -> str:
    """Any header, any payload."""
    return jws.serialize_compact(header, payload, key, registry=ANY)


def form(assertion: str, **fields: str) -> dict[str, str]:
    """A client_credentials request with an assertion."""
    known = {
        "grant_type": "client_credentials",
        "client_assertion_type": BEARER,
        "client_assertion": assertion,
    }
    return known | fields


def verified_elsewhere(token: str, jwks: httpx.Response) -> tuple[dict[str, Any], dict[str, Any]]:
    """(header, claims) of a token of ours, verified by a library that we do not use."""
    found = jwcrypto_jws.JWS()
    found.deserialize(token)
    found.verify(jwcrypto_jwk.JWKSet.from_json(jwks.text))
    return dict(found.jose_header), json.loads(found.payload)


@dataclass
class Holder:
    """A client that holds a key and shows it (RFC 9449)."""

    alg: str = "ES256"
    key: Any = field(default=None)

    def __post_init__(self) -> None:
        self.key = self.key or self._made()

    def _made(self) -> Any:
        if self.alg == "ES256":
            return ECKey.generate_key("P-256", auto_kid=False)
        if self.alg == "PS256":
            return rsa("holder")
        return OKPKey.generate_key("Ed25519", auto_kid=False)

    @property
    def jkt(self) -> str:
        return str(self.key.thumbprint())

    def proof(
        self,
        now: float,
        uri: str = f"{ISSUER}/token",
        header: dict[str, Any] | None = None,
        /,
        *,
        method: str = "POST",
        token: str = "",
        **claims: Any,
    ) -> str:
        """For one request; a change to None leaves a claim or a header out."""
        heads: dict[str, Any] = {
            "typ": "dpop+jwt",
            "alg": self.alg,
            "jwk": self.key.as_dict(private=False),
            **(header or {}),
        }
        known: dict[str, Any] = {
            "jti": secrets.token_urlsafe(12),
            "htm": method,
            "htu": uri,
            "iat": int(now),
            "ath": _hash(token) if token else None,
            **claims,
        }
        parts = ({k: v for k, v in both.items() if v is not None} for both in (heads, known))
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        # by hand: no library would write some of these headers
        return f"{signed}.{_encoded(ANY.get_alg(self.alg).sign(signed.encode(), self.key))}"
