"""The checksum of the SP-API: the known answer, and everything that must not pass for it."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idp.verify.spapi import checksum
from idp.verify.spapi.simulator import checksum as theirs

SAMPLE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
KEY = base64.b64encode(hashlib.sha256(b"a key of the tests").digest()).decode()
OLD_KEY = base64.b64encode(hashlib.sha256(b"the key before").digest()).decode()
PAYLOAD = "TXN-1SP-1A123456789ATHI-SCANhint"
KNOWN = (
    "0000000000000000000000003e8c8ce9d014b0883a9b9c57201da9fde67266314ae2511ab8ab80b7a7cc3f61283982"
    "8a4894da6256a541c2f3fc0b28993720df1a10709c62845a447a017eddad21e66c2be4ed9d594876f87891bfe8"
)


def still(count: int) -> bytes:
    return bytes(count)


def test_the_known_answer() -> None:
    """The published answer is reproduced with its zero IV, and opened."""
    assert checksum.seal(SAMPLE, PAYLOAD, still) == KNOWN
    assert checksum.matches([SAMPLE], PAYLOAD, KNOWN)


def test_every_checksum_has_an_iv_of_its_own() -> None:
    """One payload gives a different checksum each time, always of 184 lower-case hex digits."""
    made = {checksum.seal(KEY, PAYLOAD) for _ in range(50)}
    assert len({text[:24] for text in made}) == 50
    assert all(len(text) == 184 and text == text.lower() for text in made)
    assert all(checksum.matches([KEY], PAYLOAD, text) for text in made)


def test_the_simulator_agrees() -> None:
    """Two implementations by two libraries open what the other has sealed."""
    assert theirs.fits(KEY, checksum.seal(KEY, PAYLOAD), PAYLOAD)
    assert checksum.matches([KEY], PAYLOAD, theirs.checksum(KEY, PAYLOAD))


def test_two_keys_in_a_change() -> None:
    """During a change of keys an answer under either is good; one under neither is not."""
    sealed = checksum.seal(OLD_KEY, PAYLOAD)
    assert checksum.matches([KEY, OLD_KEY], PAYLOAD, sealed)
    assert not checksum.matches([KEY], PAYLOAD, sealed)
    assert not checksum.matches([], PAYLOAD, sealed)


GOOD = checksum.seal(KEY, PAYLOAD)
LIES = {
    "another payload": checksum.seal(KEY, PAYLOAD + "x"),
    "swapped fields": checksum.seal(KEY, "SP-1TXN-1A123456789ATHI-SCANhint"),
    "one digit": GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"),
    "another iv": ("1" if GOOD[0] == "0" else "0") + GOOD[1:],
    "short": GOOD[:-2],
    "long": GOOD + "00",
    "a newline": GOOD + "\n",
    "blanks": GOOD[:182] + "  ",
    "full width": GOOD[:183] + "０",
    "empty": "",
    "no hex": "g" * 184,
    "zeros": "0" * 184,
    "the digest itself": hashlib.sha256(PAYLOAD.encode()).hexdigest(),
}


@pytest.mark.parametrize("given", LIES.values(), ids=LIES)
def test_what_is_no_checksum(given: str) -> None:
    """Whatever does not open to the very digest is refused, and nothing crashes."""
    assert not checksum.matches([KEY, OLD_KEY], PAYLOAD, given)


def test_what_was_sealed_must_be_the_digest() -> None:
    """Something else under the right key is refused: the raw digest, an upper-case one, nothing."""
    digest = hashlib.sha256(PAYLOAD.encode())
    for plain in (digest.digest(), digest.hexdigest().upper().encode(), b""):
        iv = bytes(12)
        sealed = (iv + AESGCM(checksum.key_bytes(KEY)).encrypt(iv, plain, None)).hex()
        assert not checksum.matches([KEY], PAYLOAD, sealed)


def test_letter_case_does_not_matter() -> None:
    """Hex digits are read in either case: the answer is opened, not compared."""
    assert checksum.matches([KEY], PAYLOAD, GOOD.upper())


RAW = bytes(range(200, 232))


@pytest.mark.parametrize(
    "key",
    [
        base64.b64encode(RAW).decode(),
        base64.urlsafe_b64encode(RAW).decode(),
        base64.urlsafe_b64encode(RAW).decode().rstrip("="),
    ],
)
def test_keys_in_base64_and_base64url(key: str) -> None:
    """A key is given in either alphabet, with or without padding."""
    assert checksum.key_bytes(key) == RAW
    assert checksum.fault_in_key(key) is None


@pytest.mark.parametrize(
    "key",
    [
        "",
        "AAAA",
        base64.b64encode(bytes(31)).decode(),
        base64.b64encode(bytes(33)).decode(),
        base64.b64encode(bytes(32)).decode(),
        KEY + "\n",
        " " + KEY,
        "!" * 43,
        "00112233445566778899AABBCCDDEEFF",
    ],
)
def test_what_is_no_key(key: str) -> None:
    """A key of another length, another alphabet, or of nothing but zeros is refused, unquoted."""
    fault = checksum.fault_in_key(key)
    assert fault
    assert not key or key not in fault


def test_the_public_key_is_known_in_every_spelling() -> None:
    """The key of the known answer is recognised however it is written."""
    assert checksum.is_sample(SAMPLE)
    assert checksum.is_sample(SAMPLE.rstrip("="))
    assert not checksum.is_sample(KEY)


def test_a_mark_recognises_and_tells_nothing() -> None:
    """A mark depends on key and every part, and parts cannot be shifted."""
    made = checksum.mark(KEY, "a", "bc")
    assert made == checksum.mark(KEY, "a", "bc")
    assert made not in (
        checksum.mark(KEY, "ab", "c"),
        checksum.mark(OLD_KEY, "a", "bc"),
        checksum.mark(KEY, "a", "bd"),
    )
