"""TW FidO's checksum: the ministry's known answer, and what a forger tries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from idp.verify.twfido.checksum import SAMPLE_KEYS, chksum, fault_in_key, is_sample, matches

VECTORS = json.loads((Path(__file__).parents[1] / "vectors.json").read_text(encoding="utf-8"))
SLIDES = VECTORS["twfido_key"]
OTHER_KEY = "00112233445566778899AABBCCDDEEFF"


@pytest.mark.parametrize("vector", VECTORS["twfido"], ids=lambda v: v["chksum"])
def test_known_answers(vector: dict[str, Any]) -> None:
    """The checksum of the ministry's slide and of the documented algorithm comes out."""
    text = vector.get("text") or "".join(vector["parts"])
    assert vector["chksum"] == chksum(SLIDES, text)


@pytest.mark.parametrize("given", ["C21331B4CF083315", "c21331b4cf083315"])
def test_letter_case_of_a_checksum_does_not_matter(given: str) -> None:
    """Checksums are accepted in either letter case."""
    assert matches([SLIDES], "A1234567890000", given)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "C21331B4CF08331",
        "C21331B4CF0833155",
        "C21331B4CF083315\n",
        "C2 1331B4CF083315",
        " C21331B4CF083315",
        "Ｃ21331B4CF083315",
        "C21331B4CF083316",
        "C21331B4CF08331٥",
    ],
)
def test_anything_but_sixteen_hex_digits_is_refused(given: str) -> None:
    """A checksum is exactly 16 ASCII hex digits; nothing else is decoded, and nothing raises."""
    assert not matches([SLIDES], "A1234567890000", given)


def test_two_keys_during_a_change() -> None:
    """While a key is changed, answers under the new and under the old key are accepted."""
    keys = [OTHER_KEY, SLIDES]
    assert all(matches(keys, "0000", chksum(key, "0000")) for key in keys)
    assert not matches([OTHER_KEY], "0000", chksum(SLIDES, "0000"))


@pytest.mark.parametrize(
    "key", ["", "00", OTHER_KEY + "00", OTHER_KEY[:-1] + "g", "00112233445566770011223344556677"]
)
def test_unusable_keys_are_explained_without_showing_them(key: str) -> None:
    """A key that cannot work is refused at start, and the fault does not print it."""
    fault = fault_in_key(key)
    assert fault is not None
    assert not key or key not in fault


def test_the_public_key_is_known_in_every_spelling() -> None:
    """The slides' key is recognised in lower case and with other parity bits: both sign alike."""
    parity = f"{int(SLIDES, 16) ^ 1:032X}"
    assert chksum(SLIDES, "0000") == chksum(parity, "0000")
    assert {SLIDES} == SAMPLE_KEYS
    assert all(is_sample(key) for key in (SLIDES, SLIDES.lower(), parity))
    assert not is_sample(OTHER_KEY)


def test_the_formula_alone_is_weak() -> None:
    """Why there is a grammar before the checksum: shifted and padded texts have the same one."""
    assert chksum(SLIDES, "A123456789" + "0000") == chksum(SLIDES, "A12345678" + "90000")
    assert chksum(SLIDES, "0000159") == chksum(SLIDES, "0000159\0")
    first = bytes.fromhex(chksum(SLIDES, "00001598"))
    assert len(first) == 8
