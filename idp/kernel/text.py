"""Texts that people type, or read out to each other."""

from __future__ import annotations

import secrets
import unicodedata

LEGIBLE = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # no 0/O, 1/I/L


def bare(typed: str) -> str:
    """What was typed or pasted, without blanks, zero-width marks and full-width forms: one
    spelling of a number."""
    return "".join(c for c in unicodedata.normalize("NFKC", typed) if not _invisible(c))


def _invisible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) == "Cf"


def legible(places: int) -> str:
    """Random characters of LEGIBLE, almost 5 bits each: a person can read them out."""
    number, text = secrets.randbelow(len(LEGIBLE) ** places), ""
    for _ in range(places):
        number, place = divmod(number, len(LEGIBLE))
        text += LEGIBLE[place]
    return text
