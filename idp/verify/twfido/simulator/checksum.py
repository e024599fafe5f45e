"""E(x), the checksum of every TW FidO message."""

from __future__ import annotations

import hmac

from Crypto.Cipher import DES3

BLOCK = 8  # bytes


def encrypt(api_key: str, text: str) -> bytes:
    """Two-key 3DES, CBC, IV zero, zeros on the right up to a whole block and no further.
    `api_key` is 32 hex digits; a key whose halves are equal raises ValueError."""
    plain = text.encode()
    cipher = DES3.new(bytes.fromhex(api_key), DES3.MODE_CBC, iv=bytes(BLOCK))
    return bytes(cipher.encrypt(plain + bytes(-len(plain) % BLOCK)))


def checksum(api_key: str, *parts: str) -> str:
    """The last 16 hex digits, upper case, of the encrypted concatenation (never empty)."""
    return encrypt(api_key, "".join(parts))[-BLOCK:].hex().upper()


def same(ours: str, theirs: str) -> bool:
    """Letter case does not matter."""
    return hmac.compare_digest(ours.upper().encode(), theirs.upper().encode())
