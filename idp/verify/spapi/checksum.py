"""The checksum of the SP-API. A leaf: it imports nothing of ours.

SP-API: hex of IV (12 bytes) ‖ AES-256-GCM ciphertext ‖ tag (16 bytes); the plaintext is the 64
characters of the lower-case hex SHA-256 of the UTF-8 payload, so it has always 184 hex digits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# Printed where everybody can read them: whoever does could sign with these. Never in production.
SAMPLE_KEYS = frozenset({bytes(range(32))})

_CHECKSUM = re.compile(r"\A[0-9A-Fa-f]{184}\Z", re.ASCII)
_KEY = re.compile(r"\A[A-Za-z0-9+/_-]{43}=?\Z", re.ASCII)
_IV = 12  # bytes


def _digest(payload: str) -> bytes:
    return hashlib.sha256(payload.encode("utf-8")).hexdigest().encode("ascii")


def key_bytes(key: str) -> bytes:
    """32 bytes of base64 or base64url, with or without padding. ValueError; the text has no key."""
    if not _KEY.match(key):
        raise ValueError("a key is 32 bytes in base64")
    plain = key.rstrip("=").translate(str.maketrans("-_", "+/")) + "="
    try:
        return base64.b64decode(plain, validate=True)
    except binascii.Error:
        raise ValueError("a key is 32 bytes in base64") from None


def seal(key: str, payload: str, chance: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """The checksum of `payload`. The IV is random whatever a sample says: two messages under one
    key and one IV give the key stream away, and with it the means to sign anything."""
    iv = chance(_IV)
    return (iv + AESGCM(key_bytes(key)).encrypt(iv, _digest(payload), None)).hex()


def matches(keys: Sequence[str], payload: str, given: str) -> bool:
    """Whether `given` is a checksum of `payload` under one of `keys`, the newest first.

    It is opened and never compared as a string, for its IV differs each time. Every key is tried,
    so that a forger does not learn which is in use. Hex digits count in either letter case."""
    if not _CHECKSUM.match(given):
        return False
    sealed, expected = bytes.fromhex(given), _digest(payload)
    fits = [hmac.compare_digest(_opened(key, sealed), expected) for key in keys]
    return any(fits)


def _opened(key: str, sealed: bytes) -> bytes:
    try:
        return AESGCM(key_bytes(key)).decrypt(sealed[:_IV], sealed[_IV:], None)
    except InvalidTag:
        return b""


def mark(key: str, *parts: str) -> str:
    """A short keyed digest, for what must be compared later and may not be stored."""
    text = "\0".join(parts).encode("utf-8")
    return hmac.new(key_bytes(key), b"mark\0" + text, "sha256").hexdigest()[:32]


def fault_in_key(key: str) -> str | None:
    """Why `key` cannot be used (the key itself is not in the text), or None."""
    try:
        found = key_bytes(key)
    except ValueError as fault:
        return str(fault)
    return "a key of equal bytes is no key" if len(set(found)) == 1 else None


def is_sample(key: str) -> bool:
    """Whether everybody knows this key."""
    return key_bytes(key) in SAMPLE_KEYS
