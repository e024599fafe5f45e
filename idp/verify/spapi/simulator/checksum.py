"""sp_checksum and idp_checksum, by another library than the client's."""

from __future__ import annotations

import base64
import hashlib
import os

from Crypto.Cipher import AES

IV, TAG = 12, 16  # bytes
LENGTH = 2 * (IV + 64 + TAG)  # hex digits


def secret(aes_key: str) -> bytes:
    """32 bytes. ValueError."""
    found = base64.urlsafe_b64decode(aes_key.replace("+", "-").replace("/", "_") + "==")
    if len(found) != 32:
        raise ValueError("aes_key: 32 bytes in base64")
    return found


def digest(*parts: str) -> bytes:
    """Hex SHA-256 of the concatenation; JSON may bring halves of characters."""
    whole = "".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(whole).hexdigest().encode()


def checksum(aes_key: str, *parts: str) -> str:
    """Hex of IV, ciphertext and tag over the hex SHA-256 of the concatenation."""
    iv = os.urandom(IV)
    cipher = AES.new(secret(aes_key), AES.MODE_GCM, nonce=iv, mac_len=TAG)
    text, tag = cipher.encrypt_and_digest(digest(*parts))
    return str((iv + text + tag).hex())


def fits(aes_key: str, given: str, *parts: str) -> bool:
    """Does `given` open to the digest of the parts?"""
    sealed = bytes.fromhex(given)
    cipher = AES.new(secret(aes_key), AES.MODE_GCM, nonce=sealed[:IV], mac_len=TAG)
    try:
        opened = cipher.decrypt_and_verify(sealed[IV:-TAG], sealed[-TAG:])
    except ValueError:
        return False
    return bytes(opened) == digest(*parts)
