"""Each decision has the form that docs/decisions/README.md describes."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs/decisions"
FILES = sorted(FOLDER.glob("[0-9]*.md"))
HEAD = ["Status", "Date", "Supersedes", "Superseded by", "Tests"]
one_each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name[:4])


def text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def head(file: Path) -> dict[str, str]:
    """The lines between title and situation."""
    return dict(re.findall(r"^- ([\w ]+): (.+)$", text(file), re.M))


def numbers(line: str) -> list[str]:
    return re.findall(r"\b\d{4}\b", line)


def test_decisions_are_numbered_without_a_gap() -> None:
    """0001, 0002 and so on, and nothing else in the folder but the index."""
    assert [f.name[:4] for f in FILES] == [f"{n:04}" for n in range(1, len(FILES) + 1)]
    assert {f.name for f in FOLDER.iterdir()} == {"README.md", *(f.name for f in FILES)}


@one_each
def test_the_file_is_named_after_the_title(file: Path) -> None:
    """Who knows the title finds the file."""
    title = text(file).partition("\n")[0].removeprefix("# ")
    words = re.sub(r"[^a-z0-9 -]", "", title.lower().replace("_", "-"))
    assert file.stem == words.replace(" ", "-")


def gone(file: Path) -> bool:
    return head(file)["Status"] == "withdrawn"


@one_each
def test_the_head_says_status_and_date(file: Path) -> None:
    """Status and date come first; the other lines follow in one order."""
    found = head(file)
    assert list(found) == [name for name in HEAD if name in found]
    assert {"Status", "Date"} <= set(found)
    assert found["Status"] in ("accepted", "superseded", "withdrawn")
    assert date(2026, 11, 1) <= date.fromisoformat(found["Date"])


@one_each
def test_the_body_says_situation_choice_and_cost(file: Path) -> None:
    """Three parts, none of them empty, on one screen; one that was withdrawn says why."""
    parts = re.split(r"^\*\*(.+?)\.\*\* ", text(file), flags=re.M)
    expected = ["Situation", "Choice", "What it costs"]
    assert parts[1::2] == expected + (["Withdrawn"] if gone(file) else [])
    assert all(len(part) > 40 for part in parts[2::2])
    assert len(text(file).splitlines()) <= 45


@one_each
def test_what_supersedes_and_is_superseded_agree(file: Path) -> None:
    """Both records name each other, and the older one says that it is superseded."""
    heads = {f.name[:4]: head(f) for f in FILES}
    own = heads[file.name[:4]]
    assert (own["Status"] == "superseded") == ("Superseded by" in own)
    for older in numbers(own.get("Supersedes", "")):
        assert file.name[:4] in numbers(heads[older].get("Superseded by", "part"))
    for newer in numbers(own.get("Superseded by", "")):
        assert file.name[:4] in numbers(heads[newer].get("Supersedes", ""))


@one_each
def test_a_shortcut_names_its_test(file: Path) -> None:
    """A record of what we do ourselves names the test that fails without it."""
    own = "0026" in head(file).get("Supersedes", "") or re.match(r"# \d+ Own ", text(file))
    assert not own or gone(file) or "tests/" in head(file)["Tests"]
