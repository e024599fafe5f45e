"""Nothing is installed without a reason, a pin and a hash."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME: list[str] = PROJECT["project"]["dependencies"]
DEV: list[str] = PROJECT["dependency-groups"]["dev"]
SITE: list[str] = PROJECT["dependency-groups"]["docs"]
NODE: dict[str, Any] = json.loads((ROOT / "tests/node/package.json").read_text())
LOCKS = [
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-docs.lock",
    "tests/node/nodejs.lock",
    "tests/node/package-lock.json",
    "tests/clients/python/requirements.lock",
    "tests/clients/python/proxy/package-lock.json",
    "tests/clients/js/package-lock.json",
]


def name_of(requirement: str) -> str:
    """The bare name of a requirement, as `sqlalchemy` of `sqlalchemy[asyncio]>=2`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return match[0].lower()


def pinned(lock: str) -> set[str]:
    """The names that a Python lock file pins."""
    return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    "name", sorted({*map(name_of, RUNTIME + DEV + SITE), *NODE["dependencies"]})
)
def test_every_dependency_has_its_reason(name: str) -> None:
    """Every dependency is named in docs/dependencies.md with a reason."""
    reasons = (ROOT / "docs/dependencies.md").read_text()
    assert re.search(rf"^\| {re.escape(name)}( \(npm\))? \| \S.{{10,}} \|$", reasons, re.MULTILINE)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", RUNTIME),
        ("requirements-dev.lock", RUNTIME + DEV),
        ("requirements-docs.lock", SITE),
    ],
)
def test_every_dependency_is_locked(lock: str, wanted: list[str]) -> None:
    """A dependency added to pyproject.toml is in the lock file too."""
    assert set(map(name_of, wanted)) - pinned(lock) == set()


def test_both_locks_agree() -> None:
    """What the tests run on is what runs in production, version for version."""
    production, tested = (
        set(re.findall(r"^([a-z0-9._-]+==\S+)", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in LOCKS[:2]
    )
    assert production - tested == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_download_address(lock: str) -> None:
    """A lock file pins by hash and names no place to download from."""
    text = (ROOT / lock).read_text()
    assert re.findall(r'"resolved"|^--|@ (?:https?|file):', text, re.MULTILINE) == []
    assert "sha256:" in text or '"integrity": "sha512-' in text
