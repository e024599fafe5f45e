"""An OpenID Connect client from another ecosystem, axe, and an HTML checker, through Node.

`python -m tests.services.node` sets up what is missing, as `make test` does.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.services.process import Missing

FOLDER = Path(__file__).parents[1] / "node"
OLDEST = 20


@cache
def node() -> str:
    """The first Node of 20 or newer: $NODE, on the path, or in our virtual environment."""
    found: list[str] = []
    for candidate in (os.environ.get("NODE"), shutil.which("node"), f"{sys.prefix}/bin/node"):
        if candidate is None or not Path(candidate).exists():
            continue
        asked = subprocess.run(
            [candidate, "--version"], capture_output=True, text=True, check=False
        )
        version = asked.stdout.strip().removeprefix("v")
        major = version.partition(".")[0]
        if major.isdigit() and int(major) >= OLDEST:
            return candidate
        found.append(f"{candidate} is {version or 'broken'}")
    raise Missing(f"no Node.js {OLDEST} or newer ({'; '.join(found) or 'none found'})")


def packages() -> Path:
    """The folder of the installed npm packages; installs them when the lock file changed."""
    program = node()
    modules = FOLDER / "node_modules"
    stamp = modules / ".lock-sha256"
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    with (FOLDER / ".installing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of one run come at the same time
        if not stamp.exists() or stamp.read_text() != wanted:
            _install(program)
            stamp.write_text(wanted)
    return modules


def _install(program: str) -> None:
    beside = Path(program).parent / "npm"
    npm = str(beside) if beside.exists() else shutil.which("npm")
    if npm is None:
        raise Missing(f"{program} has no npm beside it")
    path = f"{Path(program).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    for last in (False, True):
        done = subprocess.run(
            [npm, "ci"],
            cwd=FOLDER,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
        if last:
            raise Missing(f"npm ci failed: {done.stderr.strip().splitlines()[-1:]}")


def axe() -> str:
    """The source of axe-core, to be added to a page."""
    return (packages() / "axe-core" / "axe.min.js").read_text()


def html_faults(page: str) -> list[str]:
    """What is wrong with an HTML page, one line a fault; empty when it is valid."""
    return html_faults_of({"": page})[""]


def html_faults_of(pages: Mapping[str, str]) -> dict[str, list[str]]:
    """The same for many named pages in one go: Node takes longer to start than to read one."""
    packages()
    done = subprocess.run(
        [node(), str(FOLDER / "validate.mjs")],
        input="\0".join(pages.values()),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = {name: [] for name in pages}
    for f in json.loads(done.stdout):
        line = f"{f['line']}:{f['column']} {f['rule']}: {f['message']}"
        found[list(pages)[f["page"]]].append(line)
    return found


class Refused(Exception):
    """The relying party gave up; `event` is its error line."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self.event = dict(event)
        super().__init__(json.dumps(self.event, ensure_ascii=False))


@dataclass
class RelyingParty:
    """A running rp.mjs: ask for `authorization_url()`, then `finish(callback_url)`.

    Every answer is kept in `events` by its name; what the library refuses raises Refused.
    """

    child: asyncio.subprocess.Process
    events: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def authorization_url(self) -> str:
        """Where the browser shall go."""
        return str((await self._until("authorize"))["url"])

    async def finish(self, callback_url: str | None = None) -> dict[str, dict[str, Any]]:
        """Hand over the URL the browser was sent back to; the events of the whole login."""
        if callback_url is not None:
            await self.tell({"callback": callback_url})
        await self._until("done")
        return self.events

    async def tell(self, line: Mapping[str, Any]) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(line).encode() + b"\n")
        await self.child.stdin.drain()

    async def _until(self, name: str) -> dict[str, Any]:
        assert self.child.stdout is not None
        while name not in self.events:
            line = await asyncio.wait_for(self.child.stdout.readline(), 60)
            if not line:
                raise RuntimeError(f"the relying party ended before {name!r}")
            event = json.loads(line)
            if event["event"] == "error":
                raise Refused(event)
            self.events[event["event"]] = event
        return self.events[name]


@asynccontextmanager
async def relying_party(
    ca: Path | None = None, script: str = "rp.mjs", **wanted: Any
) -> AsyncIterator[RelyingParty]:
    """Start rp.mjs, or another, with its JSON line (see there); `ca` trusts a self-signed edge."""
    packages()
    child = await asyncio.create_subprocess_exec(
        node(),
        str(FOLDER / script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **({} if ca is None else {"NODE_EXTRA_CA_CERTS": str(ca)})},
        limit=2**20,
    )
    party = RelyingParty(child)
    try:
        await party.tell(wanted)
        yield party
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


if __name__ == "__main__":
    try:
        packages()
    except Missing as reason:
        sys.exit(f"{reason}")
