"""What a client program is tried against: `idp dev` on this machine, and clients made by its
command line as docs/clients tells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.browser.dev import Dev
from tests.clients.person import Person
from tests.services.bridge import IDP, environment
from tests.services.process import Missing

HERE = Path(__file__).parent


class Installation:
    """A running bridge, and what an operator can do beside it."""

    def __init__(self, issuer: str, state: Path) -> None:
        self.issuer, self.config = issuer, state / "idp.toml"

    def idp(self, *arguments: str) -> str:
        """One command beside the running bridge; what it printed."""
        done = subprocess.run(
            [IDP, "-c", self.config, *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def client(self, *options: str) -> tuple[str, str]:
        """`idp client create …`: (client_id, client_secret or "")."""
        made = json.loads(self.idp("client", "create", "--json", *options))
        return made["client_id"], made.get("client_secret") or ""

    def person(self, **who: str) -> Person:
        return Person(self.issuer, **who)


class Lab(Installation):
    """`idp dev`, with its simulator and its demo application."""

    def __init__(self, dev: Dev) -> None:
        super().__init__(dev.bridge, dev.state)
        self.dev = dev


def installed(family: str, *marks: str) -> Path:
    """The folder tests/clients/FAMILY, its programs installed by its own install.sh (which does
    nothing where they are already). Raises Missing with what it said."""
    folder = HERE / family
    done = subprocess.run(
        ["sh", folder / "install.sh"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
        env=os.environ,
    )
    lacking = [mark for mark in marks if not (folder / mark).exists()]
    if done.returncode or lacking:
        said = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise Missing(f"{family}: {' '.join(said)} {' '.join(lacking)}".strip())
    return folder


def runtime(name: str) -> str:
    """The path of a program. Raises Missing."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed")
    return found


def run(argv: Sequence[str | Path], folder: Path, seconds: int = 120, /, **variables: str) -> str:
    """One program to its end, which must be a good one; what it printed."""
    done = subprocess.run(
        [str(a) for a in argv],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
