"""What clients sign with their keys: assertions (RFC 7523), request objects (RFC 9101). Pure.

The keys are the registered ones. Authlib 1.9.9 cannot refuse an algorithm, and knows neither PS256
nor EdDSA in assertions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any, NamedTuple

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from idp.kernel.strictjson import read_object
from idp.registry.clients import Client
from idp.registry.profiles import algorithms

ALGORITHMS = ["ES256", "PS256", "RS256", "EdDSA"]
AHEAD = 30  # seconds a client's clock may be ahead of ours
# other unknown headers are ignored (RFC 7515 §4)
_READER = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
# an attacker would bring a key of their own, or a rule that we do not know
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "crit", "b64"})
_BROKEN = (JoseError, ValueError, KeyError, TypeError, RecursionError)


class NotSigned(ValueError):
    """Not signed by this client. The text is for the log, never for who sent it."""


class Jwt(NamedTuple):
    header: dict[str, Any]
    claims: dict[str, Any]


def unverified(text: str) -> Jwt:
    """What it says; nothing is believed yet. Raises NotSigned."""
    try:
        found = jws.extract_compact(text.encode("ascii"))
        header, claims = found.headers(), read_object(found.payload)
    except _BROKEN as broken:
        raise NotSigned(type(broken).__name__) from None
    if not isinstance(header, dict):
        raise NotSigned("not objects")
    return Jwt(header, claims)


def signed_claims(
    client: Client, text: str, types: Collection[str | None], registered_alg: str = ""
) -> dict[str, Any]:
    """Signed by the key that the header names or, if it names none, by any registered one, with
    the registered algorithm, if there is one. What was signed for another thing is of another
    type (RFC 8725 §3.11); `types` in lower case. Raises NotSigned."""
    header, claims = unverified(text)
    if _REFUSED_HEADERS & header.keys():
        raise NotSigned("header")
    if _type(header) not in types:
        raise NotSigned("typ")
    allowed = [registered_alg] if registered_alg else algorithms(client.metadata, ALGORITHMS)
    if header.get("alg") not in allowed:
        raise NotSigned("alg is not one of the client's")
    why = "no such key"
    for key in _registered_keys(client):
        if header.get("kid") not in (None, key.kid):
            continue
        try:
            jws.deserialize_compact(text, key, ALGORITHMS, _READER)
        except _BROKEN as broken:
            why = type(broken).__name__
        else:
            return claims
    raise NotSigned(why)


def _type(header: dict[str, Any]) -> str | None:
    """Media types have no case, and `application/` may be left out (RFC 7515 §4.1.9)."""
    typ = header.get("typ")
    return typ if typ is None else str(typ).lower().removeprefix("application/")


def _registered_keys(client: Client) -> list[Key]:
    """Those that this version can read: a newer one may have registered other kinds."""
    found: list[Key] = []
    for key in (client.metadata.jwks or {}).get("keys", []):
        with contextlib.suppress(*_BROKEN):
            found += KeySet.import_key_set({"keys": [key]}).keys
    return found


def is_date(value: object) -> bool:
    """A NumericDate, which may have a fraction (RFC 7519 §2)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def not_ahead(value: object, now: int) -> bool:
    """Absent, or a date that is not in our future."""
    return value is None or (is_date(value) and value <= now + AHEAD)  # type: ignore[operator]
