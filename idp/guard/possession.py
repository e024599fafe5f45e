"""Tokens that are bound to a key or to a certificate: whoever brings one shows to hold it (RFC
9449 §7, RFC 8705 §3)."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import quote, urlsplit

from starlette.types import Scope

from .. import dpop, mtls
from ..dpop import BadProof, Call, Nonces, NonceWanted
from ..mtls import X5T, BadCertificate
from .answers import INVALID, Stopped, unauthorized
from .limits import Meter
from .tokens import Claims

log = logging.getLogger(__package__)
JKT = "jkt"  # RFC 9449 §6.1


class Holders:
    """`origin` is the API's own address as its callers know it, scheme://host[:port]: a Host header
    says only what the caller wants (§4.3, 9). With a `secret`, which every process of the API
    knows, each proof must hold a nonce of ours. `certificate` tells the one that the caller of a
    request showed in TLS."""

    def __init__(
        self,
        origin: str,
        secret: bytes,
        meter: Meter,
        clock: Callable[[], float],
        certificate: Callable[[Scope], str],
    ) -> None:
        self._origin, self._meter, self._clock = origin.rstrip("/"), meter, clock
        self._certificate = certificate
        self._said = False
        self._nonces = Nonces(
            lambda text: hmac.digest(secret, text.encode(), sha256).hex(), bool(secret)
        )

    async def confirm(self, scope: Scope, scheme: str, token: str, claims: Claims) -> None:
        """A bound token only under its own scheme and with what it is bound to, and nothing else
        under it. Raises Stopped."""
        confirmation = claims.get("cnf", {})
        known = isinstance(confirmation, dict) and confirmation.keys() <= {JKT, X5T}
        if not known or (scheme == "dpop") != (JKT in confirmation):
            raise unauthorized(INVALID, "invalid_token", scheme=scheme)
        if X5T in confirmation and not self._shown(scope, confirmation[X5T]):
            raise unauthorized(INVALID, "invalid_token", scheme=scheme)
        if JKT in confirmation:
            await self._prove(scope, token, str(confirmation[JKT]))

    def _shown(self, scope: Scope, thumbprint: object) -> bool:
        try:
            shown = mtls.shown(self._certificate(scope))
        except BadCertificate:
            return False
        return shown is not None and shown.thumbprint == thumbprint

    async def _prove(self, scope: Scope, token: str, jkt: str) -> None:
        now = self._clock()
        call = Call(scope.get("method", "GET"), (self._address(scope),), now, token)
        headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"dpop"]
        try:
            proof = dpop.verified(headers, call, self._nonces)
        except BadProof:
            raise unauthorized(INVALID, "invalid_dpop_proof", scheme="dpop") from None
        except NonceWanted:
            asked = unauthorized(INVALID, "use_dpop_nonce", scheme="dpop")
            nonce = {"DPoP-Nonce": self._nonces.fresh(now)}
            raise Stopped(asked.status, asked.message, {**asked.headers, **nonce}) from None
        seconds = max(1, round(proof.until - now))
        if proof.jkt != jkt or not await self._meter.first(proof.mark, seconds):
            raise unauthorized(INVALID, "invalid_dpop_proof", scheme="dpop")

    def _address(self, scope: Scope) -> str:
        if not self._origin and not self._said:
            self._said = True
            log.error("a DPoP proof cannot be checked: tell the guard its `origin`")
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        return self._origin + raw.partition(b"?")[0].decode("latin-1")

    def told(self, scheme: str) -> dict[str, str]:
        """For the API's answer: the nonce of the next proof (RFC 9449 §8.2)."""
        if scheme != "dpop" or not self._nonces.demanded:
            return {}
        return {"DPoP-Nonce": self._nonces.fresh(self._clock())}


def origin_in(audience: str) -> str:
    """The origin of an audience that is an address, or ""."""
    parts = urlsplit(audience)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else ""
