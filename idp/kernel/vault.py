"""Data at rest: encryption, keyed look-up, keyed marks; all from one master key.

Every purpose has a key of its own (HKDF), so that a value sealed for one use opens for no other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE = 12


class VaultBroken(Exception):
    """The value was not sealed here, or was changed since."""


class Vault:
    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != 32:
            raise ValueError("the master key must be 32 bytes")
        self._key = cache(lambda purpose: _derive(master_key, purpose))
        self._cipher = cache(lambda purpose: AESGCM(self._key("seal:" + purpose)))

    def seal(self, purpose: str, value: bytes | str) -> str:
        """AES-256-GCM under the key of `purpose`; URL-safe text out."""
        data = value.encode() if isinstance(value, str) else value
        nonce = secrets.token_bytes(NONCE)
        sealed = self._cipher(purpose).encrypt(nonce, data, None)
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, purpose: str, sealed: str) -> bytes:
        """Raises VaultBroken."""
        try:
            data = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
            return self._cipher(purpose).decrypt(data[:NONCE], data[NONCE:], None)
        except (ValueError, InvalidTag) as broken:
            raise VaultBroken(purpose) from broken

    def open_text(self, purpose: str, sealed: str) -> str:
        return self.open(purpose, sealed).decode()

    def index(self, purpose: str, value: str) -> str:
        """A keyed mark: finds an equal value again without telling what it is."""
        return self._mac("index:" + purpose, value).hex()

    def mac(self, purpose: str, value: str) -> str:
        """A keyed mark that leaves the house (refresh tokens, pairwise subjects)."""
        mark = self._mac("mac:" + purpose, value)
        return base64.urlsafe_b64encode(mark).decode().rstrip("=")

    def _mac(self, purpose: str, value: str) -> bytes:
        return hmac.digest(self._key(purpose), value.encode(), hashlib.sha256)

    def secret(self, purpose: str) -> bytes:
        """32 bytes for a library that wants a key of its own."""
        return self._key("secret:" + purpose)


def _derive(master_key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=b"twfido-idp", info=purpose.encode()).derive(master_key)


def digest(value: str) -> str:
    """For values that are random already (session ids, codes): no key needed to hide them."""
    return hashlib.sha256(value.encode()).hexdigest()


def master_key_from_directory(directory: Path) -> bytes:
    """The embedded default: made on first start, mode 0600. Safe when two processes start at
    once: the file appears under its name complete or not at all, and the first one wins."""
    file = directory / "master.key"
    if not file.exists():
        directory.mkdir(parents=True, exist_ok=True)
        draft = directory / f".master.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_hex(32) + "\n")
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            pass  # another process was first: its key counts
        finally:
            draft.unlink()
    if file.stat().st_mode & 0o077:
        raise PermissionError(f"{file} can be read by others; run: chmod 600 {file}")
    return parse_master_key(file.read_text(encoding="ascii"))


def parse_master_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError("the master key must be 64 hex digits (openssl rand -hex 32)")
    return key
