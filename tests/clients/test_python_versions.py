"""The pages of programs in Python name the versions that the tests run."""

from __future__ import annotations

import json
import re

import pytest

from tests.clients.blocks import CLIENTS, Recipe
from tests.clients.lab import HERE


def installed() -> set[tuple[str, str]]:
    """Name and version of everything that the lock files of tests/clients/python pin."""
    lock = (HERE / "python" / "requirements.lock").read_text()
    proxy = json.loads((HERE / "python" / "proxy" / "package-lock.json").read_text())
    packages = {name.rpartition("/")[2]: p.get("version") for name, p in proxy["packages"].items()}
    return {*re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lock, re.M), *packages.items()}


def in_python(page: Recipe) -> bool:
    """Whether the test that the page names runs it as a Site."""
    tests = re.findall(r"`tests/clients/(\w+\.py)`", page.text)
    runs = re.compile(
        r"^from tests\.clients\.(site import .*\b(Site|Django)\b|guarded|logs_in)", re.M
    )
    return any(runs.search((HERE / name).read_text(encoding="utf-8")) for name in tests)


PAGES = [
    page.stem
    for page in sorted(CLIENTS.glob("*.md"))
    if "## Tried with" in page.read_text(encoding="utf-8") and in_python(Recipe(page.stem))
]


@pytest.mark.parametrize("name", PAGES)
def test_the_page_names_the_versions_that_are_tried(name: str) -> None:
    """Whoever resolves the dependencies anew finds what to write on the page."""
    told = re.findall(r"([\w-]+) (\d+(?:\.\d+)+)", Recipe(name).section("Tried with"))
    assert told
    assert {(product.lower(), version) for product, version in told} - installed() == set()
