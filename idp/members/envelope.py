"""The envelope of WeCard: AES-128-CBC, zero padding, hex or base64. Pure.

It hides nothing from whoever sees one message (the key travels beside it) and proves nothing
(no MAC): every plaintext is read as if a stranger had written it.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from Crypto.Cipher import AES

from idp.kernel.strictjson import NotStrict, read_object

BLOCK = 16
MOST_BYTES = 4096  # of plaintext
_HEX = re.compile(r"\A(?:[0-9A-Fa-f]{2})+\Z", re.ASCII)

Form = Literal["hex", "base64"]


class Unreadable(ValueError):
    """Whatever is wrong with a message. The text names the rule, never the content."""


@dataclass(frozen=True, slots=True)
class CardAttempt:
    """Who somebody says to be, and their proof."""

    card_number: str
    password: str = field(repr=False)


def encrypt(text: str, key: bytes, iv: bytes, form: Form = "hex") -> str:
    """Pads with zero bytes; a text that already fills its blocks gets none, as in the vectors."""
    data = text.encode()
    padded = data + b"\0" * (-len(data) % BLOCK)
    sealed = AES.new(key, AES.MODE_CBC, iv=iv).encrypt(padded)
    return sealed.hex() if form == "hex" else base64.b64encode(sealed).decode()


def decrypt(raw_data: str, key: bytes, iv: bytes) -> tuple[bytes, Form]:
    """The plaintext without its trailing zeros, and the form it came in. Raises Unreadable."""
    sealed, form = _bytes(raw_data)
    if not sealed or len(sealed) % BLOCK:
        raise Unreadable("not whole blocks")
    # some senders add a whole block of zeros to text that needs none
    plain = AES.new(key, AES.MODE_CBC, iv=iv).decrypt(sealed).rstrip(b"\0")
    if len(plain) > MOST_BYTES:
        raise Unreadable("over 4 KiB")
    return plain, form


def _bytes(raw_data: str) -> tuple[bytes, Form]:
    if _HEX.match(raw_data):
        return bytes.fromhex(raw_data), "hex"
    try:
        return base64.b64decode(raw_data, validate=True), "base64"
    except (binascii.Error, ValueError):
        raise Unreadable("neither hex nor base64") from None


def read_attempt(plain: bytes) -> CardAttempt:
    """Exact types, no key twice, no NaN, at most 8 deep; more keys than ours are accepted.
    Raises Unreadable."""
    try:
        found = read_object(plain)
    except NotStrict as broken:
        raise Unreadable(str(broken)) from None
    card, password = found.get("card_number"), found.get("password")
    if not isinstance(card, str) or not isinstance(password, str) or not card or not password:
        raise Unreadable("card_number and password must be texts")
    if any(unicodedata.category(c) == "Cc" for c in card + password):
        raise Unreadable("control characters")
    return CardAttempt(card, password)
