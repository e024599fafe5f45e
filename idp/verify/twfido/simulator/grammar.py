"""What a well-formed value looks like. Strict, because the checksum is taken over a plain
concatenation: without fixed lengths an attacker moves bytes from one field to the next."""

from __future__ import annotations

import calendar
import ipaddress
import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

TAIPEI = timezone(timedelta(hours=8))

_LETTERS = {letter: 10 + rank for rank, letter in enumerate("ABCDEFGHJKLMNPQRSTUVXYWZIO")}
_PID = re.compile(r"[A-Z][1289A-D][0-9]{8}")
_WEIGHTS = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PATTERNS = {
    "syscode": re.compile(r"[0-9]{20}"),
    "tranSeq": re.compile(r"[0-9]{1,20}"),
    "qrid": UUID,
    "chksum": re.compile(r"[0-9A-Fa-f]{16}"),
    "api_key": re.compile(r"[0-9A-Fa-f]{32}"),
}


def valid_pid(text: str) -> bool:
    """A national or resident ID number (new or old form) with the right check digit."""
    if not _PID.fullmatch(text):
        return False
    # The old resident form has a letter second: the units digit of its value counts.
    second = text[1] if text[1].isdigit() else str(_LETTERS[text[1]] % 10)
    digits = f"{_LETTERS[text[0]]}{second}{text[2:]}"
    return sum(int(d) * w for d, w in zip(digits, _WEIGHTS, strict=True)) % 10 == 0


def parse_day(text: str) -> datetime | None:
    """`yyyyMMdd`, midnight in Taipei."""
    if not re.fullmatch(r"[0-9]{8}", text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=TAIPEI)
    except ValueError:
        return None


def well_formed(name: str, text: str) -> bool:
    """Does `text` fit the field called `name`?"""
    if name == "pid":
        return valid_pid(text)
    if name in ("startdate", "enddate"):
        return parse_day(text) is not None
    return _PATTERNS[name].fullmatch(text) is not None


def months_later(day: datetime, months: int) -> datetime:
    """The same day `months` later, or the last day of that month."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    last = calendar.monthrange(year, month + 1)[1]
    return day.replace(year=year, month=month + 1, day=min(day.day, last))


def local_time(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC).astimezone(TAIPEI)


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
