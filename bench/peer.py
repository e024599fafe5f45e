"""Another OpenID Provider with the same work on the same core: npm's oidc-provider. It keeps all
in memory and writes no audit trail, which ours does; the figures are to be read with that in mind.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from bench.load import raw
from bench.rows import Row, saturating
from bench.servers import SERVER, pinned
from tests.services.node import node
from tests.services.process import LOOPBACK, Missing, Service, free_port

FOLDER = Path(__file__).with_name("peer")
NAMES = ("token-es256", "discovery", "jwks", "introspection", "userinfo")
CLIENT, SECRET = "bench", "a-secret-that-is-long-enough-for-the-bench"


class Peer(Service):
    """`with Peer() as peer`; raises Missing where there is no Node or no package."""

    def __init__(self) -> None:
        self._program = node()
        _install(self._program)
        super().__init__("peer")
        self.port = free_port()
        self.host = f"{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        with pinned(SERVER):
            command = [self._program, str(FOLDER / "server.mjs"), str(self.port), CLIENT, SECRET]
            self.start(command, env={**os.environ, "NODE_ENV": "production"})
        self.wait_until(lambda: '"ready"' in self.output())
        return self

    @property
    def tokens(self) -> dict[str, str]:
        """What it printed when it was ready: tokens of a person and of a program."""
        ready = next(line for line in self.output().splitlines() if '"ready"' in line)
        told: dict[str, str] = json.loads(ready)
        return told


def _install(program: str) -> None:
    """The packages of the lock file, if they are not there yet."""
    stamp = FOLDER / "node_modules" / ".lock-sha256"
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    beside = Path(program).parent / "npm"
    npm = str(beside) if beside.exists() else shutil.which("npm")
    if npm is None:
        raise Missing("there is no npm beside Node")
    path = f"{Path(program).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [npm, "ci"], cwd=FOLDER, env={**os.environ, "PATH": path}, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise Missing("npm ci failed")
    stamp.write_text(wanted)


def rows(peer: Peer) -> Iterable[Row]:
    """The same endpoints as ours, by the same names."""
    ourselves = {"client_id": CLIENT, "client_secret": SECRET}
    token = {"grant_type": "client_credentials", **ourselves}
    requests: dict[str, Callable[[], bytes]] = {
        "token-es256": lambda: raw("POST", "/token", urlencode(token)),
        "discovery": lambda: raw("GET", "/.well-known/openid-configuration"),
        "jwks": lambda: raw("GET", "/jwks"),
        "introspection": lambda: raw(
            "POST",
            "/token/introspection",
            urlencode({"token": peer.tokens["program"], **ourselves}),
        ),
        "userinfo": lambda: raw("GET", "/me", authorization=f"Bearer {peer.tokens['person']}"),
    }

    def row(name: str, request: Callable[[], bytes]) -> Row:
        async def make() -> list[bytes]:
            return [request()]

        return Row(name, "peer", peer.pid, saturating(peer.port, peer.host, make))

    return (row(name, request) for name, request in requests.items())
