"""Tokens: what is in them, how they are signed, and reading our own again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from idp.kernel.clock import Clock, token
from idp.kernel.errors import InvalidToken
from idp.kernel.keyring import KeyRing
from idp.kernel.vault import Vault
from idp.oidc.preload import Grant
from idp.oidc.settings import OidcSettings
from idp.registry.clients import Client

MOST_BYTES = 8192
_SUBJECT_BYTES = 16  # of the HMAC: 128 bits, so that no two people meet by chance
# what the library raises for bad input: its own, and Python's for JSON of another shape
_BROKEN = (JoseError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
NOTHING: Mapping[str, str] = MappingProxyType({})
ACCESS, PLAIN = "at+jwt", "JWT"  # the header typ: RFC 9068 §2.1, RFC 7519 §5.1
LOGOUT = "logout+jwt"
LOGOUT_SECONDS = 120  # made anew for each try, so that it may be short
INTROSPECTION = "token-introspection+jwt"  # RFC 9701 §5
_REFRESH = re.compile(
    r"\Atwr_([A-Za-z0-9_-]{22})\.(0|[1-9]\d{0,8})\.([A-Za-z0-9_-]{43})\Z", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Tokens:
    issuer: str
    settings: OidcSettings
    keyring: KeyRing
    vault: Vault
    clock: Clock

    # ── subjects ───────────────────────────────────────────────────────────────────────────────

    def subject(self, client: Client, number_index: str) -> str:
        """Pairwise (OIDC Core §8.1): two sectors cannot compare notes about a person, but all
        public clients can. Of a form that every program takes for a user name (decision 0045)."""
        public = client.metadata.subject_type == "public"
        sector = "" if public else client.metadata.sector  # a sector is never empty
        mac = self.vault.mac("sub", f"{sector}\n{number_index}")
        short = base64.urlsafe_b64decode(mac + "=")[:_SUBJECT_BYTES]
        return "u" + base64.b32encode(short).decode().rstrip("=").lower()

    # ── access tokens ──────────────────────────────────────────────────────────────────────────

    def for_person(
        self,
        client: Client,
        grant: Grant,
        scope: str,
        audience: tuple[str, ...] = (),
        confirmation: Mapping[str, str] = NOTHING,
    ) -> tuple[str, int]:
        """(at+jwt per RFC 9068, its life in seconds)."""
        life = client.metadata.access_token_seconds or self.settings.access_token_seconds
        claims = {
            **self._common(client, self.subject(client, grant.number_index), scope, life),
            **_for(audience),
            "gid": grant.id,
            "auth_time": grant.auth_time,
            "acr": grant.acr,
            "amr": list(grant.amr),
            **_bound(confirmation),
        }
        return self._sign(client.metadata.access_token_alg, ACCESS, claims), life

    def for_program(
        self,
        client: Client,
        scope: str,
        audience: tuple[str, ...],
        confirmation: Mapping[str, str] = NOTHING,
    ) -> tuple[str, int]:
        life = client.metadata.access_token_seconds or self.settings.machine_token_seconds
        claims = self._common(client, client.client_id, scope, life)
        claims.update(_bound(confirmation))
        claims["realm_access"] = {"roles": list(client.metadata.roles)}
        claims.update(_for(audience))
        typ = client.metadata.access_token_typ
        return self._sign(client.metadata.access_token_alg, typ, claims), life

    def _common(self, client: Client, subject: str, scope: str, life: int) -> dict[str, Any]:
        now = self.clock.now()
        return {
            "iss": self.issuer,
            "sub": subject,
            "aud": self.issuer,
            "client_id": client.client_id,
            "azp": client.client_id,
            "iat": now,
            "exp": now + life,
            "jti": token(16),
            "scope": scope,
        }

    def read_access_token(self, text: str) -> dict[str, Any]:
        """The claims of an access token of ours that has not expired. Raises InvalidToken."""
        claims, typ = self._read(text, ACCESS, PLAIN)
        client_id = claims.get("client_id")
        if not isinstance(client_id, str):
            raise InvalidToken(detail="an ID token")
        # only a program's token may say JWT; it is its own subject (RFC 9068 §2.2)
        if typ == PLAIN and claims["sub"] != client_id:
            raise InvalidToken(detail="another type")
        if not isinstance(claims.get("cnf", {}), dict):
            raise InvalidToken(detail="cnf")
        if claims["exp"] <= self.clock.now():
            raise InvalidToken(detail="expired")
        return claims

    # ── ID tokens ──────────────────────────────────────────────────────────────────────────────

    def id_token(
        self,
        client: Client,
        grant: Grant,
        access_token: str,
        extra: Mapping[str, object],
        *,
        nonce: str = "",
    ) -> str:
        """OIDC Core §2. auth_time, acr and amr are those of the verification, also at refresh."""
        now, alg = self.clock.now(), client.metadata.id_token_signed_response_alg
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": self.subject(client, grant.number_index),
            "aud": client.client_id,
            "iat": now,
            "exp": now + self.settings.id_token_seconds,
            "auth_time": grant.auth_time,
            "acr": grant.acr,
            "amr": list(grant.amr),
            "at_hash": _half_hash(access_token, alg),
        }
        if nonce:
            claims["nonce"] = nonce
        if client.metadata.told_of_logout:
            claims["sid"] = self.sid(client.client_id, grant.session_id)
        return self._sign(alg, PLAIN, {**extra, **claims})

    def read_id_token(self, text: str) -> dict[str, Any]:
        """Of ours, however old: a hint, never a proof. Raises InvalidToken."""
        claims, _ = self._read(text, PLAIN)
        if "client_id" in claims:  # a program's access token may say JWT too
            raise InvalidToken(detail="an access token")
        return claims

    # ── logout tokens ──────────────────────────────────────────────────────────────────────────

    def sid(self, client_id: str, session_id: str) -> str:
        """What one client calls a session: as with subjects, two cannot compare notes."""
        return self.vault.mac("sid", f"{client_id}\n{session_id}")

    def logout_token(self, client: Client, number_index: str, session_id: str, jti: str) -> str:
        """OIDC Back-Channel Logout §2.4."""
        now = self.clock.now()
        claims = {
            "iss": self.issuer,
            "sub": self.subject(client, number_index),
            "aud": client.client_id,
            "iat": now,
            "exp": now + LOGOUT_SECONDS,
            "jti": jti,
            "sid": self.sid(client.client_id, session_id),
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }
        return self._sign(client.metadata.id_token_signed_response_alg, LOGOUT, claims)

    # ── UserInfo ───────────────────────────────────────────────────────────────────────────────

    def userinfo(self, client: Client, claims: Mapping[str, object]) -> str:
        """UserInfo as a JWT (OIDC Core §5.3.2). Without `exp` it is never taken for a hint."""
        alg = client.metadata.userinfo_signed_response_alg
        return self._sign(alg, PLAIN, {**claims, "iss": self.issuer, "aud": client.client_id})

    # ── introspection ──────────────────────────────────────────────────────────────────────────

    def introspection(self, client: Client, found: Mapping[str, object]) -> str:
        """What an API was told of a token, as evidence for it alone (RFC 9701 §5): signed like its
        ID tokens, of a type of its own, and without `sub` and `exp`, so that it is never taken for
        a token."""
        claims = {"iss": self.issuer, "aud": client.client_id, "iat": self.clock.now()}
        alg = client.metadata.id_token_signed_response_alg
        return self._sign(alg, INTROSPECTION, {**claims, "token_introspection": dict(found)})

    # ── refresh tokens ─────────────────────────────────────────────────────────────────────────

    def refresh_token(self, grant_id: str, generation: int) -> str:
        """Family and generation under a keyed MAC: the store keeps one row per family, and the
        successor of a token can be told again."""
        return f"twr_{grant_id}.{generation}.{self._mac(grant_id, generation)}"

    def read_refresh_token(self, text: str) -> tuple[str, int] | None:
        """(grant id, generation), or None if we never issued it."""
        match = _REFRESH.match(text)
        if match is None:
            return None
        grant_id, generation = match[1], int(match[2])
        good = hmac.compare_digest(match[3], self._mac(grant_id, generation))
        return (grant_id, generation) if good else None

    def _mac(self, grant_id: str, generation: int) -> str:
        return self.vault.mac("refresh", f"{grant_id}.{generation}")

    # ── JOSE ───────────────────────────────────────────────────────────────────────────────────

    def _sign(self, alg: str, typ: str, claims: dict[str, Any]) -> str:
        return self.keyring.signer(alg).sign(typ, claims)

    def _read(self, text: str, *types: str) -> tuple[dict[str, Any], str]:
        """(claims, type) of what a published key of ours signed, for our issuer. Raises
        InvalidToken."""
        if len(text) > MOST_BYTES or not text.isascii():
            raise InvalidToken(detail="oversized or not ASCII")
        try:
            found = jws.extract_compact(text.encode())
            header, claims = found.headers(), json.loads(found.payload or b"")
            key = self.keyring.find(str(header.get("kid", "")))
            if key is None or header.get("alg") != key.alg:
                raise InvalidToken(detail="unknown key or algorithm")
            if not jws.validate_compact(found, key.key, [key.alg]):
                raise InvalidToken(detail="signature")
        except _BROKEN as broken:
            raise InvalidToken(detail=type(broken).__name__) from None
        if not isinstance(claims, dict) or header.get("typ") not in types:
            raise InvalidToken(detail="another type")
        if claims.get("iss") != self.issuer:
            raise InvalidToken(detail="another issuer")
        if not isinstance(claims.get("exp"), int) or not isinstance(claims.get("sub"), str):
            raise InvalidToken(detail="incomplete")
        return claims, str(header["typ"])


def _for(audience: tuple[str, ...]) -> dict[str, Any]:
    """`aud`; without one it is us."""
    if not audience:
        return {}
    return {"aud": audience[0] if len(audience) == 1 else list(audience)}


def _bound(confirmation: Mapping[str, str]) -> dict[str, Any]:
    """RFC 7800 §3.1: the token is for who holds this."""
    return {"cnf": dict(confirmation)} if confirmation else {}


def _half_hash(text: str, alg: str) -> str:
    """at_hash (OIDC Core §3.1.3.6) by the hash of the signature: Ed25519 has SHA-512 inside (RFC
    8032 §5.1), the others end in 256."""
    whole = (hashlib.sha512 if alg == "EdDSA" else hashlib.sha256)(text.encode()).digest()
    return base64.urlsafe_b64encode(whole[: len(whole) // 2]).decode().rstrip("=")
