"""A member list: every faulty line is named, every good one is read exactly."""

from __future__ import annotations

import pytest

from idp.members.passwords import acceptable, hash_password
from idp.members.record import show_time
from idp.members.sheet import Rejected, SheetRefused, SheetRow, read
from idp.verify import numbers

HEADER = "card_number,name,gender,identity_type,organization"
GOOD = "007,王小明,男,職員,某某大學"


def one(line: str, columns: str = "") -> SheetRow | Rejected:
    header = HEADER + ("," + columns if columns else "")
    (found,) = read([header + "\n", line + "\n"], numbers.canonical)
    return found


def test_a_line_is_read_as_it_stands() -> None:
    """Leading zeros stay, dates are of Taiwan and the last day counts in full."""
    found = one(
        GOOD + ",A123456789,2026-01-01,2026-01-31,M@example.org",
        "national_id,valid_from,valid_until,email",
    )
    assert isinstance(found, SheetRow)
    assert (found.card_number, found.national_id) == ("007", "A123456789")
    assert found.valid_from == 1_767_196_800
    assert found.valid_until == 1_769_875_199
    assert found.record["email"] == "M@example.org"
    assert "A123456789" not in repr(found)


FAULTS = [
    (",王小明,男,職員,某某大學", "", "card_number: is empty"),
    ("007,,男,職員,某某大學", "", "name: is empty"),
    ("007,王小明,x,職員,某某大學", "", "gender: must be 男 or 女 (or M, F)"),
    ("007,王小明,男,職員", "", "has 4 cells, the header 5"),
    ("007,王小明,男,職員,某某大學,x", "", "has 6 cells, the header 5"),
    ("3.1E+09,王小明,男,職員,某某大學", "", "card_number: a spreadsheet made a number of it"),
    ("卡片,王小明,男,職員,某某大學", "", "card_number: at most 64 ASCII characters"),
    (GOOD + ",A123456788", "national_id", "national_id: is not a valid number"),
    (GOOD + ",http://x", "head_image", "head_image: must be an https URL"),
    (GOOD + ",6", "card_type", "card_type: must be a digit from 0 to 5"),
    (GOOD + ",TW", "country", "country: must be three capital letters"),
    (GOOD + ",nobody", "email", "email: is not an e-mail address"),
    (GOOD + ",http://x", "picture", "picture: must be an https URL"),
    (GOOD + ",javascript:x", "profile", "profile: must be an https URL"),
    (GOOD + ",javascript:x", "website", "website: must be an http or https URL"),
    (GOOD + ",臺北", "zoneinfo", "zoneinfo: must be a time zone"),
    (GOOD + ",中文", "locale", "locale: must be a language"),
    (GOOD + ",1990-02-30", "birthdate", "birthdate: must be YYYY-MM-DD"),
    (GOOD + ",2023-02-29", "birthdate", "birthdate: must be YYYY-MM-DD"),
    (GOOD + ",0000-13-01", "birthdate", "birthdate: must be YYYY-MM-DD"),
    (GOOD + ",79/01/01", "birthdate", "birthdate: must be YYYY-MM-DD"),
    (GOOD + ",0000", "birthdate", "birthdate: must be YYYY-MM-DD"),
    (GOOD + ",31/12/2026", "valid_until", "valid_until: must be YYYY-MM-DD"),
    (GOOD + ",2026-02-30", "valid_from", "valid_from: must be YYYY-MM-DD"),
    (GOOD + ",2026-02-01,2026-01-01", "valid_from,valid_until", "valid_until: before valid_from"),
    (GOOD + ",0001-01-01", "valid_from", "valid_from: the year must be 1900 to 9999"),
    (GOOD + ",0001-01-01 00:00:00", "valid_from", "valid_from: the year must be 1900 to 9999"),
    (GOOD + ",1899-12-30", "valid_from", "valid_from: the year must be 1900 to 9999"),
    (GOOD + ",1753-01-01", "valid_until", "valid_until: the year must be 1900 to 9999"),
    (GOOD + ",10000-01-01", "valid_until", "valid_until: must be YYYY-MM-DD"),
    (GOOD + ",x,a@b", ",email", "column 6: has no name"),
    (GOOD + "," + "x" * 501, "address", "address: too long"),
    (GOOD + ",secret", "password_hash", "password_hash: must be argon2id"),
    (GOOD + ",$2b$12$abcdefghijklmnopqrstuv", "password_hash", "password_hash: must be argon2id"),
]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("birthdate", day) for day in ("1990-02-28", "2024-02-29", "0000-02-29", "1990")),
        *(("zoneinfo", zone) for zone in ("Asia/Taipei", "America/Argentina/Ushuaia", "UTC")),
        *(("locale", language) for language in ("zh-TW", "zh-Hant-TW", "en_US", "en")),
        *(("website", address) for address in ("http://ming.example/", "https://ming.example/")),
    ],
)
def test_a_claim_is_kept_as_it_stands(column: str, value: str) -> None:
    """OpenID Connect Core §5.1: what is of the claim's form is not changed."""
    found = one(f"{GOOD},{value}", column)
    assert isinstance(found, SheetRow)
    assert found.record[column] == value


@pytest.mark.parametrize(("line", "columns", "why"), FAULTS)
def test_a_faulty_line_is_rejected_with_its_reason(line: str, columns: str, why: str) -> None:
    """The report names line, column and rule, and never repeats the value."""
    found = one(line, columns)
    assert isinstance(found, Rejected)
    assert found.line == 2
    assert found.why.startswith(why)
    assert "secret" not in found.why


def test_the_same_card_twice_is_rejected() -> None:
    """Two spellings of one card in a list are one card too many."""
    lines = [HEADER, "ab7,甲,男,a,b", "ＡＢ 7,乙,女,a,b", "ab8,丙,女,a,b"]
    found = list(read([line + "\n" for line in lines], numbers.canonical))
    assert [type(x) for x in found] == [SheetRow, Rejected, SheetRow]
    assert found[1] == Rejected(3, "card_number: same card as in line 2")


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("card_number,name", "missing column gender"),
        (HEADER + ",pasword_hash", "did you mean password_hash?"),
        (HEADER + ",name", "column name twice"),
        ("", "missing column card_number"),
    ],
)
def test_a_wrong_header_refuses_the_whole_list(header: str, why: str) -> None:
    """Unknown, missing and repeated columns are told before any line is read."""
    with pytest.raises(SheetRefused, match=r".") as refusal:
        list(read([header + "\n"], numbers.canonical))
    assert why in str(refusal.value)


def test_a_spreadsheet_s_own_marks_do_no_harm() -> None:
    """A byte order mark and quoted cells with line ends are read, a broken quote refuses."""
    assert list(read(["\ufeff" + HEADER + "\n"], numbers.canonical)) == []
    with pytest.raises(SheetRefused):
        list(read([HEADER + "\n", '"007,王小明\n'], numbers.canonical))


PADDED = {
    "rows of commas": [GOOD + "\n", ",,,,\n", ",,,,\n"],
    "a row of commas in between": [",,,,\n", GOOD + "\n"],
    "fewer commas": [GOOD + "\n", ",,\n"],
    "blanks": [GOOD + "\n", "  , ,\u3000,,\n", "   \n"],
    "quoted nothing": [GOOD + "\n", '"","","","",""\n'],
    "empty lines": ["\n", GOOD + "\n", "\r\n", "\n"],
    "a column more": [GOOD + ",\n"],
    "columns more": [GOOD + ",,,\n"],
    "Ctrl-Z": [GOOD + "\n", "\x1a"],
    "Ctrl-Z and a line end": [GOOD + "\r\n", "\x1a\r\n"],
    "Ctrl-Z behind the last cell": [GOOD + "\x1a"],
    "Ctrl-Z behind commas": [GOOD + "\n", ",,,,\x1a"],
}


@pytest.mark.parametrize("lines", PADDED.values(), ids=PADDED)
def test_what_programs_pad_a_list_with(lines: list[str]) -> None:
    """Empty rows, empty cells at the end of a row and the end mark of DOS are no members."""
    found = list(read([HEADER + "\n", *lines], numbers.canonical))
    assert [type(row) for row in found] == [SheetRow]
    assert isinstance(found[0], SheetRow)
    assert found[0].record["organization"] == "某某大學"


@pytest.mark.parametrize("more", [",", ",,,", ", ,email,"])
def test_a_column_without_a_name(more: str) -> None:
    """A spreadsheet saves empty columns too, also between others; they must stay empty."""
    row = GOOD + "," * more.count(",")
    (found,) = read([f"{HEADER}{more}\n", row + "\n"], numbers.canonical)
    assert isinstance(found, SheetRow)


def test_every_year_that_is_taken_can_be_shown() -> None:
    """The first and the last day that an import accepts are read back as they were written."""
    for day in ("1900-01-01", "9999-12-31"):
        found = one(f"{GOOD},{day}", "valid_from")
        assert isinstance(found, SheetRow)
        assert found.valid_from is not None
        assert show_time(found.valid_from) == f"{day} 00:00:00"


def test_only_bearable_argon2id_is_taken() -> None:
    """An imported hash may neither be weak in kind nor cost the server gigabytes."""
    good = hash_password("x")
    assert acceptable(good)
    assert not acceptable(good.replace("argon2id", "argon2i"))
    assert not acceptable(good.replace("m=65536", "m=4194304"))
    assert not acceptable(good.replace("t=3", "t=4000"))
    assert not acceptable("")
