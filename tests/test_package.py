"""What an agency installs is complete: types, templates and licence are in the wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built as the container image builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_is_complete(wheel: zipfile.ZipFile) -> None:
    """The wheel contains every module, every template, and the marker of PEP 561."""
    code = {str(f.relative_to(ROOT)) for f in (ROOT / "idp").rglob("*.py")}
    pages = {
        f"idp/_templates/{f.relative_to(ROOT / 'templates')}"
        for f in (ROOT / "templates").rglob("*.html")
    }
    assert len(pages) > 20
    assert {*code, *pages, "idp/py.typed"} - set(wheel.namelist()) == set()


def test_the_wheel_names_its_licence(wheel: zipfile.ZipFile) -> None:
    """The wheel's metadata name Apache-2.0, and the text is in the wheel."""
    metadata = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    assert "License-Expression: Apache-2.0" in wheel.read(metadata).decode().splitlines()
    texts = [n for n in wheel.namelist() if n.endswith("/licenses/LICENSE")]
    assert [wheel.read(n) for n in texts] == [(ROOT / "LICENSE").read_bytes()]
