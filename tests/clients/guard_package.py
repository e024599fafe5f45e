"""twfido-guard as an agency gets it: the wheel that `make wheels` builds."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from tests.services.process import Missing

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "packages/guard"
UV = Path(sys.executable).with_name("uv")


def project() -> dict[str, Any]:
    """What pyproject.toml says of the package."""
    said: dict[str, Any] = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    return said


@functools.cache
def wheel() -> Path:
    """Built once for each process of the tests."""
    folder = Path(tempfile.mkdtemp(prefix="guard-wheel-"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


@functools.cache
def unpacked() -> str:
    """A folder for PYTHONPATH, beside packages that are installed already."""
    folder = wheel().parent / "unpacked"
    zipfile.ZipFile(wheel()).extractall(folder)
    return str(folder)


def fresh_environment(folder: Path, resolution: str, *beside: str) -> Path:
    """The `bin` of a new virtual environment with the wheel and what it asks for, at the lowest or
    the highest versions that it allows. Raises Missing where no package index is reached."""
    wanted = [f"{wheel()}[redis]", *project()["dependencies"], *beside]
    python = folder / "bin/python"
    install = ["pip", "install", "--python", python, "--resolution", resolution, *wanted]
    for words in (["venv", "--python", sys.executable, folder], install):
        done = subprocess.run(
            [str(word) for word in (UV, *words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=os.environ | {"VIRTUAL_ENV": ""},
        )
        if done.returncode:
            raise Missing(done.stderr.strip()[-300:])
    return python.parent
