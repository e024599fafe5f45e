"""tests/rows.tsv: the refusals and promises that tests and documents cite by number.

AZ authorization endpoint, TK token endpoint, UI UserInfo, IN introspection, RV revocation, LO
logout, DI discovery, RG registration, WC WeCard, FD TW FidO, SS sessions, PO pages of operators,
HD headers and the edge, FT faults, R requirements (docs/security.md). Numbers without a row are
not tested. LF numbers are services of SP-API, no rows.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CITED = re.compile(r"(?<![\w-])(?!LF)([A-Z]{1,2})-(\d{2})(?!\d|\.\.)")
NAMED = re.compile(r"\bdef test_([a-z]{2})_(\d{2})_")
FOLDERS = ("tests", "docs", "idp", "bench")
LINES = [line.split("\t") for line in (ROOT / "tests/rows.tsv").read_text("utf-8").splitlines()]
ROWS = [line[0] for line in LINES[1:]]


def files() -> Iterator[Path]:
    """Whatever may cite a row: the project's own files, new ones too, and none that is installed
    beside them."""
    kinds = [f"{folder}/*.{kind}" for folder in FOLDERS for kind in ("py", "md", "mjs", "sh")]
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    told = subprocess.run(
        [*asked, *kinds, ":(glob)*.md"], cwd=ROOT, capture_output=True, check=True
    )
    found = {ROOT / name for name in told.stdout.decode().split("\0") if name}
    yield from sorted(file for file in found if file.is_file() and file != Path(__file__))


def citations() -> dict[str, str]:
    """(row, one of the files that cite it)."""
    found: dict[str, str] = {}
    for file in files():
        text = file.read_text(encoding="utf-8")
        for pattern in (CITED, NAMED):
            for kind, number in pattern.findall(text):
                found.setdefault(f"{kind.upper()}-{number}", str(file.relative_to(ROOT)))
    return found


def test_the_table_is_well_formed() -> None:
    """Every row has an id, an input and an answer; ids are unique, and in order in their group."""
    assert LINES[0] == ["id", "input", "answer"]
    assert [line for line in LINES if len(line) != 3 or not all(map(str.strip, line))] == []
    assert len(set(ROWS)) == len(ROWS)
    for kind in {row.partition("-")[0] for row in ROWS}:
        group = [row for row in ROWS if row.startswith(f"{kind}-")]
        assert group == sorted(group)


def test_every_row_that_is_cited_exists() -> None:
    """A number in a docstring, a test's id or a page leads to a row of the table."""
    missing = {row: file for row, file in citations().items() if row not in ROWS}
    assert missing == {}


def test_every_row_is_cited() -> None:
    """The table has no row that no test or page cites."""
    assert set(ROWS) - set(citations()) == set()


def test_every_requirement_is_promised_or_not() -> None:
    """docs/security.md has each requirement once: as a promise, in order, or as not promised."""
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    promises, _, rest = page.partition("## Promises")[2].partition("Not promised yet")
    promised = re.findall(r"^\| (R-\d\d) \|", promises, re.M)
    postponed = re.findall(r"R-\d\d", rest)
    assert promised == sorted(promised)
    assert sorted(promised + postponed) == [row for row in ROWS if row.startswith("R-")]
