"""Proofs of possession (RFC 9449), as they are read: for the bridge and for the guard. Pure.

Whoever sends an access token shows with every request that it holds a key: a JWT for this very
method and address, signed with it, good for a minute and taken once.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

# FAPI 2.0 §5.4.1, and EdDSA also under the name of RFC 9864; never `none`, never symmetric
ALGORITHMS = ("ES256", "PS256", "EdDSA", "Ed25519")
AGE, AHEAD = 60, 30  # seconds that `iat` may lie in our past and in our future
NONCE_SECONDS = 300  # a nonce of ours is good for so long
MOST_BYTES = 8192  # of a proof
MOST_JTI = 512  # characters
_KINDS: Mapping[str, tuple[type[Key], str]] = {
    "ES256": (ECKey, "P-256"),
    "PS256": (RSAKey, ""),
    "EdDSA": (OKPKey, "Ed25519"),
    "Ed25519": (OKPKey, "Ed25519"),
}
_RSA_BITS = range(2048, 4097)
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_BROKEN = (JoseError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
# RFC 7515 §4: headers that nobody knows are ignored, unless they are critical. Corrects
# joserfc 1.8, whose cap of 512 bytes refuses an RSA key in the header.
_REGISTRY = jws.JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
_REGISTRY.max_header_length = 4096
# the name that clients use, whatever RFC 9864 says
warnings.filterwarnings("ignore", message="EdDSA is deprecated")


class BadProof(Exception):
    """Why a proof is none; a text that the sender may read."""


class NonceWanted(Exception):
    """The proof must hold a nonce of ours (RFC 9449 §8)."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`jkt`: the thumbprint of the key (RFC 7638). `mark` names this proof among all others, and
    has to be remembered `until` then (UTC seconds)."""

    jkt: str
    mark: str
    until: int


@dataclass(frozen=True, slots=True)
class Nonces:
    """Nonces that nobody has to remember: a minute and a keyed mark of it. `demanded` of every
    proof; if not, only one that is sent is checked."""

    mark: Callable[[str], str]
    demanded: bool = False

    def fresh(self, now: float) -> str:
        return self._of(int(now) // 60)

    def holds(self, nonce: object, now: float) -> bool:
        minute = int(now) // 60
        good = (self._of(minute - back) for back in range(-1, NONCE_SECONDS // 60))
        return isinstance(nonce, str) and nonce.isascii() and any(_same(nonce, one) for one in good)

    def _of(self, minute: int) -> str:
        return f"{minute:x}.{self.mark(f'{minute:x}')}"


@dataclass(frozen=True, slots=True)
class Call:
    """The request that a proof must be for: `uris` are the addresses under which it may have been
    sent; `token` is the access token that came with it, if one did."""

    method: str
    uris: Collection[str]
    now: float
    token: str = ""


def verified(headers: Collection[str], call: Call, nonces: Nonces) -> Proof:
    """RFC 9449 §4.3, in its order. Raises BadProof, NonceWanted."""
    if len(headers) != 1:
        raise BadProof("one DPoP header, not several")
    claims, jkt = _signed(next(iter(headers)))
    jti, iat, nonce = claims.get("jti"), claims.get("iat"), claims.get("nonce")
    if not isinstance(jti, str) or not 0 < len(jti) <= MOST_JTI:
        raise BadProof("jti")
    if not isinstance(iat, int | float) or isinstance(iat, bool):
        raise BadProof("iat")
    if claims.get("htm") != call.method:
        raise BadProof("htm")
    if not is_for(claims.get("htu"), call.uris):
        raise BadProof("htu")
    if call.token and not _same(str(claims.get("ath")), hash_of(call.token)):
        raise BadProof("ath")
    until = _timely(iat, nonce, call.now, nonces)
    mark = sha256(f"{jkt}\n{jti}".encode("utf-8", "replace")).hexdigest()
    return Proof(jkt, mark, until)


def _timely(iat: float, nonce: object, now: float, nonces: Nonces) -> int:
    """Until when this proof would be taken (§4.3, 11: our own nonce tells its age better than the
    sender's clock does)."""
    if nonce is not None or nonces.demanded:
        if not nonces.holds(nonce, now):
            raise NonceWanted
        return int(now) + NONCE_SECONDS
    if not now - AGE <= iat <= now + AHEAD:
        raise BadProof("iat")
    return int(iat) + AGE + 1


def _signed(text: str) -> tuple[dict[str, Any], str]:
    """(claims, thumbprint of the key in the header)."""
    if len(text) > MOST_BYTES or not text.isascii():
        raise BadProof("oversized or not ASCII")
    try:
        found = jws.extract_compact(text.encode(), registry=_REGISTRY)
        header = found.headers()
        if header.get("typ") != "dpop+jwt":
            raise BadProof("typ")
        key = _key(str(header.get("alg")), header.get("jwk"))
        if not jws.validate_compact(found, key, registry=_REGISTRY):
            raise BadProof("signature")
        claims = json.loads(found.payload or b"")
        jkt = key.thumbprint()
    except _BROKEN:
        raise BadProof("not a signed JWT") from None
    if not isinstance(claims, dict):
        raise BadProof("claims")
    return claims, jkt


def _key(alg: str, jwk: object) -> Key:
    if alg not in _KINDS:
        raise BadProof(f"alg must be one of {', '.join(ALGORITHMS)}")
    if not isinstance(jwk, dict) or _PRIVATE & jwk.keys():
        raise BadProof("jwk must be a public key")
    kind, curve = _KINDS[alg]
    if jwk.get("kty") != kind.key_type or (curve and jwk.get("crv") != curve):
        raise BadProof("jwk is of another kind than alg")
    key: Key = kind.import_key({name: jwk[name] for name in ("kty", *_MEMBERS[kind])})
    if isinstance(key, RSAKey) and key.public_key.key_size not in _RSA_BITS:
        raise BadProof("jwk: RSA from 2048 to 4096 bits")
    return key


# what a key is made of; what else its owner wrote beside it (use, kid) decides nothing
_MEMBERS: Mapping[type[Key], tuple[str, ...]] = {
    ECKey: ("crv", "x", "y"),
    RSAKey: ("n", "e"),
    OKPKey: ("crv", "x"),
}


def hash_of(token: str) -> str:
    """`ath` (RFC 9449 §4.2)."""
    return base64.urlsafe_b64encode(sha256(token.encode()).digest()).decode().rstrip("=")


def _same(one: str, other: str) -> bool:
    return one.isascii() and hmac.compare_digest(one, other)


# ── addresses ───────────────────────────────────────────────────────────────────────────────────

_PORTS = {"http": 80, "https": 443}
_URI = re.compile(r"\A[!-~]{1,4096}\Z", re.ASCII)
_ESCAPE = re.compile(r"%(..?)?", re.DOTALL)
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]", re.ASCII)


def is_for(htu: object, uris: Collection[str]) -> bool:
    """§4.3, 9: the same address, without query and fragment, after the normalisation of RFC 3986
    §6.2.2 and §6.2.3."""
    try:
        sent = normal(htu) if isinstance(htu, str) else ""
        return sent != "" and sent in {normal(uri) for uri in uris}
    except ValueError:
        return False


def normal(uri: str) -> str:
    """Raises ValueError for what is no http address."""
    if not _URI.match(uri):
        raise ValueError("not an address")
    parts = urlsplit(uri.partition("#")[0].partition("?")[0])
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in _PORTS or not host or "@" in parts.netloc or "%" in host:
        raise ValueError("not an http address")
    if ":" in host:
        host = f"[{host}]"
    port = "" if parts.port in (None, _PORTS[scheme]) else f":{parts.port}"
    return f"{scheme}://{host}{port}{_without_dots(_ESCAPE.sub(_escape, parts.path))}"


def _escape(match: re.Match[str]) -> str:
    """RFC 3986 §6.2.2.1, §6.2.2.2."""
    pair = match[1] or ""
    if not re.fullmatch(r"[0-9A-Fa-f]{2}", pair):
        raise ValueError("bad percent-encoding")
    character = chr(int(pair, 16))
    return character if _UNRESERVED.match(character) else f"%{pair.upper()}"


def _without_dots(path: str) -> str:
    """RFC 3986 §5.2.4."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
