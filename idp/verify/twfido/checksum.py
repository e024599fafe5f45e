"""E(x), the checksum of TW FidO. A leaf: it imports nothing of ours.

TW FidO slides: two-key 3DES (K1 K2 K1), CBC, IV eight zero bytes, UTF-8 text zero-padded on the
right (not when aligned already), the last 16 hex digits of the ciphertext, upper case.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

from Crypto.Cipher import DES3

# Printed in the ministry's slides: whoever reads them could sign with these. Never in production.
SAMPLE_KEYS = frozenset({"59C55AAD2AEADF8A87EC55317CA148E7"})

_KEY = re.compile(r"\A[0-9A-Fa-f]{32}\Z", re.ASCII)
_CHKSUM = re.compile(r"\A[0-9A-Fa-f]{16}\Z", re.ASCII)
_BLOCK = 8


def chksum(key: str, text: str) -> str:
    """E(text) under `key` (32 hex digits): 16 upper-case hex digits. ValueError for a bad key."""
    clear = text.encode("utf-8")
    clear += bytes(-len(clear) % _BLOCK)
    cipher = DES3.new(bytes.fromhex(key), DES3.MODE_CBC, bytes(_BLOCK))
    sealed: bytes = cipher.encrypt(clear)
    return sealed[-_BLOCK:].hex().upper()


def matches(keys: Sequence[str], text: str, given: str) -> bool:
    """Whether `given` is E(text) under one of `keys`, the newest first.

    Grammar first: bytes.fromhex skips blanks and `$` accepts a newline. Then bytes in constant
    time, every key, so that a forger learns neither how much fits nor which key is in use."""
    if not _CHKSUM.match(given):
        return False
    seen = given.upper().encode("ascii")
    fits = [hmac.compare_digest(chksum(key, text).encode("ascii"), seen) for key in keys]
    return any(fits)


def fault_in_key(key: str) -> str | None:
    """Why `key` cannot be used (the key itself is not in the text), or None."""
    if not _KEY.match(key):
        return "an API key is 32 hex digits"
    try:
        chksum(key, "")
    except ValueError:
        return "both halves of the API key are the same: that is single DES"
    return None


def is_sample(key: str) -> bool:
    """Whether everybody knows this key. DES ignores the lowest bit of every byte: so do we."""
    return any(_without_parity(key) == _without_parity(sample) for sample in SAMPLE_KEYS)


def _without_parity(key: str) -> bytes:
    return bytes(byte & 0xFE for byte in bytes.fromhex(key))
