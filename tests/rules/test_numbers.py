"""National and resident ID numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.verify.numbers import canonical, is_mask, mask, valid

VECTORS = json.loads((Path(__file__).parents[1] / "vectors.json").read_text(encoding="utf-8"))
WITHOUT_CHECK = st.from_regex(re.compile(r"\A[A-Z][1289A-D][0-9]{7}\Z", re.ASCII))


@pytest.mark.parametrize("number", VECTORS["ids_valid"])
def test_valid_numbers(number: str) -> None:
    """National numbers and both forms of resident numbers are accepted."""
    assert valid(number)
    assert number == canonical(number)


@pytest.mark.parametrize("number", VECTORS["ids_invalid"])
def test_invalid_numbers(number: str) -> None:
    """A wrong check digit or form is refused, however it is typed."""
    assert not valid(number)
    assert canonical(number) is None


@pytest.mark.parametrize(
    "typed",
    [
        "a123456789",
        " A123456789\n",
        "Ａ１２３４５６７８９",
        "ａ１２３　４５６　７８９",
        "A123 456 789",
        "\ufeffA123456789\u200b",
        "A\u00a0123456789",
    ],
)
def test_what_people_type(typed: str) -> None:
    """Full-width characters, blanks, zero-width marks and lower case are put right."""
    assert canonical(typed) == "A123456789"


@pytest.mark.parametrize(
    "typed",
    ["", "A123456789\0", "A12345678٩", "А123456789", "ı123456781", "A-123456789", "A" * 999],
)
def test_what_only_looks_like_a_number(typed: str) -> None:
    """Foreign digits and letters, control characters and novels are nobody's number."""
    assert canonical(typed) is None


@pytest.mark.parametrize("text", ["A123456789\n", "a123456789", "Ａ123456789", " A123456789"])
def test_the_strict_form(text: str) -> None:
    """What comes from a machine must be canonical already."""
    assert not valid(text)


@given(WITHOUT_CHECK)
def test_exactly_one_check_digit_fits(start: str) -> None:
    """For every nine characters exactly one of the ten check digits is right."""
    assert sum(valid(f"{start}{digit}") for digit in range(10)) == 1


@given(st.text(max_size=80))
def test_canonical_never_fails_and_is_idempotent(typed: str) -> None:
    """Any text is either nobody's number or normalises to one that stays as it is."""
    number = canonical(typed)
    assert number is None or (valid(number) and canonical(number) == number)


def test_mask() -> None:
    """A mask shows the first two and the last four characters, and is never taken for a number."""
    assert mask("A123456789") == "A1****6789"
    assert is_mask("A1****6789")
    assert not valid("A1****6789")
    assert not any(
        is_mask(text) for text in ("**********", "A1****6789\n", "A1***6789", "A12***6789")
    )
