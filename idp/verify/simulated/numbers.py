"""National and resident ID numbers, as people type them and as a service writes them."""

from __future__ import annotations

import ipaddress
import re
import unicodedata

_LETTERS = {letter: 10 + rank for rank, letter in enumerate("ABCDEFGHJKLMNPQRSTUVXYWZIO")}
_PID = re.compile(r"[A-Z][1289A-D][0-9]{8}")
_WEIGHTS = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)


def valid_pid(text: str) -> bool:
    """A national or resident ID number (new or old form) with the right check digit."""
    if not _PID.fullmatch(text):
        return False
    # The old resident form has a letter second: the units digit of its value counts.
    second = text[1] if text[1].isdigit() else str(_LETTERS[text[1]] % 10)
    digits = f"{_LETTERS[text[0]]}{second}{text[2:]}"
    return sum(int(d) * w for d, w in zip(digits, _WEIGHTS, strict=True)) % 10 == 0


def typed_pid(text: str) -> str:
    """What a person typed: full-width characters, spaces and lower case are forgiven."""
    return "".join(unicodedata.normalize("NFKC", text).split()).upper()


def masked(pid: str) -> str:
    return f"{pid[:2]}****{pid[-4:]}" if pid else ""


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
