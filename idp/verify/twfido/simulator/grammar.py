"""What a well-formed value looks like. Strict, because the checksum is taken over a plain
concatenation: without fixed lengths an attacker moves bytes from one field to the next."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta, timezone

from idp.verify.simulated.numbers import valid_pid

TAIPEI = timezone(timedelta(hours=8))

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PATTERNS = {
    "syscode": re.compile(r"[0-9]{20}"),
    "tranSeq": re.compile(r"[0-9]{1,20}"),
    "qrid": UUID,
    "chksum": re.compile(r"[0-9A-Fa-f]{16}"),
    "api_key": re.compile(r"[0-9A-Fa-f]{32}"),
}


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
