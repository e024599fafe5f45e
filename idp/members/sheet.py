"""A member list as CSV: read line by line, every fault named. Pure.

Columns: card_number, name, gender, identity_type and organization must be there; the optional
fields of WeCard's answer, the claims of OpenID Connect Core §5.1, valid_from, valid_until,
national_id and password_hash may.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from idp.kernel.clock import TAIPEI
from idp.members.passwords import acceptable
from idp.members.record import CARD, RECORD, REQUIRED, TIME_FORMAT, canonical_card

BESIDE = ("valid_from", "valid_until", "national_id", "password_hash")
COLUMNS = (*RECORD, *BESIDE)
LONGEST = 500  # characters of a field
YEARS = range(1900, 10_000)  # of a validity; a year 1 is what programs write for “always”
_GENDERS = {"男": "男", "女": "女", "M": "男", "F": "女", "MALE": "男", "FEMALE": "女"}
_LOST_DIGITS = re.compile(r"\A[0-9](?:\.[0-9]+)?[Ee]\+[0-9]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BIRTHDATE = re.compile(r"\A[0-9]{4}(?:-[0-9]{2}-[0-9]{2})?\Z")
_HTTPS = re.compile(r"\Ahttps://[^\s]+\Z")
_FORMS = {  # what a field must look like, if it is there
    "head_image": (_HTTPS, "must be an https URL"),
    "card_type": (re.compile(r"\A[0-5]\Z"), "must be a digit from 0 to 5"),
    "country": (re.compile(r"\A[A-Z]{3}\Z"), "must be three capital letters (ISO 3166 alpha-3)"),
    "email": (re.compile(r"\A[^@\s]+@[^@\s]+\Z"), "is not an e-mail address"),
    "picture": (_HTTPS, "must be an https URL"),
    "profile": (_HTTPS, "must be an https URL"),
    "website": (re.compile(r"\Ahttps?://[^\s]+\Z"), "must be an http or https URL"),
    "zoneinfo": (
        re.compile(r"\A[A-Za-z]+(?:/[A-Za-z0-9_+-]+)*\Z"),
        "must be a time zone such as Asia/Taipei",
    ),
    "locale": (
        re.compile(r"\A[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*\Z"),
        "must be a language such as zh-TW (BCP 47)",
    ),
}

Canonical = Callable[[str], str | None]  # a typed national ID → as it is stored, or None


class SheetRefused(ValueError):
    """The file as a whole cannot be read: wrong encoding, unknown or missing columns."""


class LineRefused(ValueError):
    """One line cannot be taken. The text names column and rule, never the value."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """`card_number` is the canonical one; the record keeps it as the organisation writes it."""

    card_number: str
    record: dict[str, str] = field(repr=False)
    national_id: str | None = field(repr=False)
    password_hash: str | None = field(repr=False)
    valid_from: int | None
    valid_until: int | None


@dataclass(frozen=True, slots=True)
class Rejected:
    line: int
    why: str


def read(lines: Iterable[str], canonical: Canonical) -> Iterator[SheetRow | Rejected]:
    """Raises SheetRefused."""
    rows = csv.reader(map(_without_end_mark, lines), strict=True)
    first: dict[str, int] = {}
    try:
        header = _header(next(rows, []))
        for cells in rows:
            if not any(map(str.strip, cells)):  # a spreadsheet pads the end with commas
                continue
            found = _line(header, cells, rows.line_num, canonical)
            if isinstance(found, SheetRow):
                before = first.setdefault(found.card_number, rows.line_num)
                if before != rows.line_num:
                    found = Rejected(rows.line_num, f"card_number: same card as in line {before}")
            yield found
    except UnicodeDecodeError:
        raise SheetRefused("the file must be UTF-8 (in Excel: CSV UTF-8)") from None
    except csv.Error as broken:
        raise SheetRefused(f"line {rows.line_num}: {broken}") from None


def _without_end_mark(line: str) -> str:
    """Ctrl-Z ends a text file of DOS, and of what still writes like it."""
    bare = line.rstrip("\r\n")
    return bare.rstrip("\x1a") + "\n" if bare.endswith("\x1a") else line


def _header(cells: list[str]) -> list[str]:
    """The names of the columns; "" for one without a name, which must stay empty."""
    names = [cell.strip().removeprefix("\ufeff") for cell in cells]
    named = list(filter(None, names))
    faults = [f"unknown column {name!r}{_near(name)}" for name in named if name not in COLUMNS]
    faults += [f"missing column {name}" for name in REQUIRED if name not in named]
    faults += [f"column {name} twice" for name in sorted(set(named)) if named.count(name) > 1]
    if faults:
        raise SheetRefused("; ".join(faults))
    return names


def _near(name: str) -> str:
    close = difflib.get_close_matches(name, COLUMNS, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _line(
    header: list[str], cells: list[str], number: int, canonical: Canonical
) -> SheetRow | Rejected:
    try:
        return _taken(_named(header, [cell.strip() for cell in cells]), canonical)
    except LineRefused as broken:
        return Rejected(number, str(broken))


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    """What stands under no name must be empty: it would be lost."""
    if any(cells[len(header) :]) or len(cells) < len(header):
        raise LineRefused(f"has {len(cells)} cells, the header {len(header)}")
    named = list(zip(header, cells, strict=False))
    if lost := [n for n, (name, cell) in enumerate(named, 1) if cell and not name]:
        raise LineRefused(f"column {lost[0]}: has no name")
    return {name: cell for name, cell in named if name}


def _taken(cells: dict[str, str], canonical: Canonical) -> SheetRow:
    for name, value in cells.items():
        if len(value) > LONGEST or _CONTROL.search(value):
            raise LineRefused(f"{name}: too long, or with control characters")
    record = _record({name: cells[name] for name in RECORD if cells.get(name)})
    hashed = cells.get("password_hash") or None
    if hashed and not acceptable(hashed):
        raise LineRefused("password_hash: must be argon2id (idp member hash-password)")
    since = _moment("valid_from", cells.get("valid_from", ""))
    until = _moment("valid_until", cells.get("valid_until", ""), end_of_day=True)
    if since is not None and until is not None and since >= until:
        raise LineRefused("valid_until: before valid_from")
    card = canonical_card(record["card_number"])
    return SheetRow(card, record, _national_id(cells, canonical), hashed, since, until)


def _record(record: dict[str, str]) -> dict[str, str]:
    for name in REQUIRED:
        if name not in record:
            raise LineRefused(f"{name}: is empty")
    card = record["card_number"]
    if _LOST_DIGITS.match(card):
        raise LineRefused("card_number: a spreadsheet made a number of it; format it as text")
    if not CARD.match(canonical_card(card)):
        raise LineRefused("card_number: at most 64 ASCII characters without blanks")
    gender = _GENDERS.get(record["gender"].upper())
    if gender is None:
        raise LineRefused("gender: must be 男 or 女 (or M, F)")
    for name, (form, rule) in _FORMS.items():
        if name in record and not form.match(record[name]):
            raise LineRefused(f"{name}: {rule}")
    if "birthdate" in record and not _is_birthdate(record["birthdate"]):
        raise LineRefused("birthdate: must be YYYY-MM-DD, 0000-MM-DD or YYYY")
    return {**record, "gender": gender}


def _is_birthdate(text: str) -> bool:
    """OpenID Connect Core §5.1: a day, without its year as 0000, or the year alone."""
    if not _BIRTHDATE.match(text):
        return False
    year, _, day = text.partition("-")
    if not day:
        return year != "0000"
    try:  # without a year it may be 29 February
        return bool(date.fromisoformat(f"{'2000' if year == '0000' else year}-{day}"))
    except ValueError:
        return False


def _national_id(cells: dict[str, str], canonical: Canonical) -> str | None:
    typed = cells.get("national_id", "")
    number = canonical(typed) if typed else None
    if typed and number is None:
        raise LineRefused("national_id: is not a valid number")
    return number


def _moment(name: str, text: str, *, end_of_day: bool = False) -> int | None:
    """A day or a second in Taiwan → UTC seconds; a last day counts in full."""
    if not text:
        return None
    try:
        is_day = len(text) <= len("2026-01-01")
        found = datetime.strptime(text, "%Y-%m-%d" if is_day else TIME_FORMAT)
    except ValueError:
        raise LineRefused(f"{name}: must be YYYY-MM-DD or YYYY-MM-DD HH:MM:SS") from None
    if found.year not in YEARS:
        raise LineRefused(f"{name}: the year must be {YEARS[0]} to {YEARS[-1]}; empty: no limit")
    if is_day and end_of_day:
        found = found.replace(hour=23, minute=59, second=59)
    return int(found.replace(tzinfo=TAIPEI).timestamp())
