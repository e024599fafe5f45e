"""The pages of docs/clients have one form, and say truly by which test they are tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
OTHERS = ("README.md", "one-machine.md")  # the index, and what programs are tried against
PAGES = sorted(p for p in (ROOT / "docs" / "clients").glob("*.md") if p.name not in OTHERS)
PARTS = ["Register", "Configure", "Log in", "Log out", "Refresh", "Roles and claims"]
PARTS += ["What goes wrong", "Tried with"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_has_the_same_parts(page: Path) -> None:
    """A reader who knows one page finds their way in every other."""
    found = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert found == PARTS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_names_its_test_or_says_why_there_is_none(page: Path) -> None:
    """“Tried with” names a test file that exists, or says that no test runs it, and why."""
    last = page.read_text(encoding="utf-8").split("## Tried with")[1]
    tests = re.findall(r"`(tests/[\w./-]+\.py)`", last)
    assert tests or "Not run by the tests" in last
    assert all((ROOT / test).is_file() for test in tests)


def test_the_index_lists_every_page() -> None:
    """docs/clients/README.md links to each page."""
    index = (ROOT / "docs" / "clients" / "README.md").read_text(encoding="utf-8")
    assert all(f"({page.name})" in index for page in PAGES)
