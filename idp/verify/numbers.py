"""National and resident ID numbers of Taiwan, for every scheme that verifies them. Pure.

Three forms: national [A-Z][12]+8 digits, resident [A-Z][89]+8 digits (since 2021), resident in
the old form [A-Z][A-D]+8 digits. The last digit is a check digit.
"""

from __future__ import annotations

import re

from idp.kernel.text import bare

LETTERS = dict(
    zip(
        "ABCDEFGHJKLMNPQRSTUVXYWZIO",
        range(10, 36),
        strict=True,
    )
)
_WEIGHTS = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
_NUMBER = re.compile(r"\A[A-Z][1289A-D][0-9]{8}\Z", re.ASCII)
_MASKED = re.compile(r"\A[A-Z][1289A-D]\*{4}[0-9]{4}\Z", re.ASCII)
_LONGEST_TYPED = 64  # a pasted novel is not normalised


def valid(number: str) -> bool:
    """Whether `number` is in canonical form with a right check digit."""
    return bool(_NUMBER.match(number)) and _weighted(number) % 10 == 0


def _weighted(number: str) -> int:
    first, second = LETTERS[number[0]], number[1]
    # the old resident form counts the units digit of its second letter
    gender = LETTERS[second] % 10 if second in LETTERS else int(second)
    digits = (first // 10, first % 10, gender, *(int(digit) for digit in number[2:]))
    return sum(digit * weight for digit, weight in zip(digits, _WEIGHTS, strict=True))


def canonical(typed: str) -> str | None:
    """What a person typed or pasted (full-width, blanks, zero-width marks, lower case) as TW FidO
    writes it, or None if it cannot be a number."""
    if len(typed) > _LONGEST_TYPED:
        return None
    found = bare(typed)
    # ASCII before upper(): "ı".upper() is "I", and nobody's number is written with it
    number = found.upper() if found.isascii() else ""
    return number if valid(number) else None


def mask(number: str) -> str:
    """First two, four stars, last four. About a thousand numbers share one: never a key."""
    return f"{number[:2]}****{number[-4:]}"


def is_mask(text: str) -> bool:
    """Whether `text` has the form that `mask` gives."""
    return bool(_MASKED.match(text))
