"""Data at rest: encryption, keyed look-up, keyed marks.

Two kinds of keys. *Master keys* encrypt what is stored; one seals, others may still open, and every
sealed value names its key, so that a master key can be changed while the bridge serves. The *root*
is a random secret of the database, kept there sealed (kernel.root); what is found again by its mark
(a person by the number, a secret, a subject) hangs on it and must never change
(docs/decisions/0043-sealed-values-name-their-key.md).
Every purpose has a key of its own (HKDF), so that a value sealed for one use opens for no other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE = 12
ROOT = "root"  # names the root as the key of a sealed value


class VaultBroken(Exception):
    """The value was not sealed here, or was changed since, or its key is not known any more."""


class Vault:
    """Seals under `master_key`; `others` only open. Without `use_root` the root is the master key
    itself, as it was before there was one."""

    def __init__(self, master_key: bytes, others: Sequence[bytes] = ()) -> None:
        keys = (master_key, *others)
        if any(len(key) != 32 for key in keys):
            raise ValueError("the master key must be 32 bytes")
        self._keys = {key_name(key): key for key in keys} | {ROOT: master_key}
        self.current = key_name(master_key)
        self._derived = cache(lambda name, purpose: _derive(self._keys[name], purpose))
        self._cipher = cache(lambda name, purpose: AESGCM(self._derived(name, "seal:" + purpose)))

    def use_root(self, root: bytes) -> None:
        self._keys[ROOT] = root
        self._derived.cache_clear()
        self._cipher.cache_clear()

    @property
    def master_key(self) -> bytes:
        return self._keys[self.current]

    # ── encryption ─────────────────────────────────────────────────────────────────────────────

    def seal(self, purpose: str, value: bytes | str) -> str:
        """AES-256-GCM under the master key that is in use; URL-safe text out: KEY.VALUE."""
        return self._seal(self.current, purpose, value)

    def seal_for_good(self, purpose: str, value: bytes | str) -> str:
        """Under the root, for rows that can never be written again (the audit trail)."""
        return self._seal(ROOT, purpose, value)

    def _seal(self, name: str, purpose: str, value: bytes | str) -> str:
        data = value.encode() if isinstance(value, str) else value
        nonce = secrets.token_bytes(NONCE)
        sealed = self._cipher(name, purpose).encrypt(nonce, data, None)
        return f"{name}.{base64.urlsafe_b64encode(nonce + sealed).decode().rstrip('=')}"

    def open(self, purpose: str, sealed: str) -> bytes:
        """Raises VaultBroken."""
        name, dot, text = sealed.partition(".")
        if not dot:  # from before values named their key: the root was the only one
            name, text = ROOT, sealed
        if name not in self._keys:
            raise VaultBroken(f"{purpose}: sealed under an unknown master key")
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return self._cipher(name, purpose).decrypt(data[:NONCE], data[NONCE:], None)
        except (ValueError, InvalidTag) as broken:
            raise VaultBroken(purpose) from broken

    def open_text(self, purpose: str, sealed: str) -> str:
        return self.open(purpose, sealed).decode()

    # ── marks ──────────────────────────────────────────────────────────────────────────────────

    def index(self, purpose: str, value: str) -> str:
        """A keyed mark: finds an equal value again without telling what it is."""
        return self._mac("index:" + purpose, value).hex()

    def mac(self, purpose: str, value: str) -> str:
        """A keyed mark that leaves the bridge (refresh tokens, pairwise subjects)."""
        mark = self._mac("mac:" + purpose, value)
        return base64.urlsafe_b64encode(mark).decode().rstrip("=")

    def _mac(self, purpose: str, value: str) -> bytes:
        return hmac.digest(self._derived(ROOT, purpose), value.encode(), hashlib.sha256)

    def secrets(self, purpose: str) -> list[bytes]:
        """32 bytes of each master key, the one in use last: for a library that signs what lives
        some hours."""
        names = [name for name in self._keys if name not in (ROOT, self.current)]
        return [self._derived(name, "secret:" + purpose) for name in (*names, self.current)]


def key_name(key: bytes) -> str:
    """Six characters that tell one master key from another and nothing of it."""
    return base64.urlsafe_b64encode(_derive(key, "name"))[:6].decode()


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=b"twfido-idp", info=purpose.encode()).derive(key)


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
