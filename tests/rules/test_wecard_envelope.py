"""The envelope of WeCard: what opens, and what a stranger may write into it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.members.envelope import CardAttempt, Unreadable, decrypt, encrypt, read_attempt

VECTORS = json.loads(Path("tests/vectors.json").read_text(encoding="utf-8"))["wecard"]
KEY, IV = b"0123456789ABCDEF", b"FEDCBA9876543210"


def _names(vector: dict[str, Any]) -> str:
    return str(vector.get("note") or vector.get("source") or vector["plain"][:12])


@pytest.mark.parametrize("vector", VECTORS, ids=_names)
def test_the_vectors_open(vector: dict[str, Any]) -> None:
    """Every known ciphertext opens to its text, in either case and as base64."""
    key, iv, plain = vector["key"].encode(), vector["iv"].encode(), vector["plain"].encode()
    assert decrypt(vector["hex"], key, iv) == (plain, "hex")
    assert decrypt(vector["hex"].upper(), key, iv) == (plain, "hex")
    if "base64" in vector:
        assert decrypt(vector["base64"], key, iv) == (plain, "base64")


@pytest.mark.parametrize("vector", VECTORS[:4], ids=_names)
def test_the_vectors_are_what_we_write(vector: dict[str, Any]) -> None:
    """What we encrypt is byte for byte what public clients encrypt."""
    key, iv = vector["key"].encode(), vector["iv"].encode()
    assert encrypt(vector["plain"], key, iv) == vector["hex"]


@given(st.text(max_size=300).filter(lambda text: not text.endswith("\0")), st.booleans())
def test_what_goes_in_comes_out(text: str, as_hex: bool) -> None:
    """Any text without trailing zeros survives the way there and back, in the form it took."""
    form = "hex" if as_hex else "base64"
    if text:
        raw_data = encrypt(text, KEY, IV, "hex" if as_hex else "base64")
        assert decrypt(raw_data, KEY, IV) == (text.encode(), form)


@pytest.mark.parametrize(
    "raw_data",
    ["", "zz", "abc", "ab" * 15, "ab" * 17, "AibF+h8MuUO5", "A===", "é" * 32, "ab" * 8 + "\n",
     " " + "ab" * 16, "AibF-h8MuUO50C4DEGB7BQ=="],
)  # fmt: skip
def test_what_is_no_ciphertext_is_unreadable(raw_data: str) -> None:
    """Neither hex nor base64, an odd length, half a block, nothing: one kind of error."""
    with pytest.raises(Unreadable):
        decrypt(raw_data, KEY, IV)


def test_a_large_plaintext_is_unreadable() -> None:
    """More than 4 KiB inside is refused before it is parsed."""
    with pytest.raises(Unreadable):
        decrypt(encrypt("x" * 4097, KEY, IV), KEY, IV)


def test_more_keys_than_ours_are_accepted() -> None:
    """Senders that add nonce_str, timestamp and sign are understood."""
    plain = b'{"card_number":"01","password":"p","nonce_str":"n","timestamp":1,"sign":null}'
    assert read_attempt(plain) == CardAttempt("01", "p")


STRANGE = {
    "not JSON": b"card_number=1",
    "nothing": b"",
    "an array": b"[]",
    "a number for the card": b'{"card_number":1,"password":"p"}',
    "a number for the password": b'{"card_number":"1","password":2}',
    "an object for the password": b'{"card_number":"1","password":{"$ne":""}}',
    "null": b'{"card_number":"1","password":null}',
    "no password": b'{"card_number":"1","name":"x"}',
    "an empty card": b'{"card_number":"","password":"p"}',
    "an empty password": b'{"card_number":"1","password":""}',
    "a key twice": b'{"card_number":"1","card_number":"2","password":"p"}',
    "a foreign key twice": b'{"card_number":"1","password":"p","x":1,"x":2}',
    "the same key by escape": b'{"card_number":"1","card_\\u006eumber":"2","password":"p"}',
    "NaN": b'{"card_number":"1","password":"p","x":NaN}',
    "a huge integer": b'{"card_number":"1","password":"p","x":' + b"9" * 3000 + b"}",
    "a lone surrogate": b'{"card_number":"1","password":"\\ud800"}',
    "depth": b'{"card_number":"1","password":"p","x":' + b"[" * 9 + b"]" * 9 + b"}",
    "much depth": b"[" * 4000,
    "NUL inside": b'{"card_number":"1\0","password":"p"}',
    "escaped NUL": b'{"card_number":"1\\u0000","password":"p"}',
    "escaped control": b'{"card_number":"1","password":"p\\u0085"}',
    "something behind the padding": b'{"card_number":"1","password":"p"}\0\0x',
    "something behind the object": b'{"card_number":"1","password":"p"}{}',
    "bad UTF-8": b'{"card_number":"1","password":"\xff"}',
}


@pytest.mark.parametrize("plain", STRANGE.values(), ids=STRANGE)
def test_a_strange_plaintext_is_unreadable(plain: bytes) -> None:
    """What is not exactly two texts in one strict JSON object is nobody's attempt."""
    with pytest.raises(Unreadable) as refusal:
        read_attempt(plain)
    assert "card_number=" not in str(refusal.value)


@given(st.binary(max_size=200))
def test_no_plaintext_is_a_crash(plain: bytes) -> None:
    """Whatever decryption yields is an attempt or unreadable, never another exception."""
    with contextlib.suppress(Unreadable):
        read_attempt(plain)


def test_a_password_is_not_shown() -> None:
    """An attempt in a log line or a traceback does not carry its password."""
    assert "secret" not in repr(CardAttempt("1", "secret"))
