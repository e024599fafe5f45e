"""oidc-provider (npm) beside the bridge: what another implementation answers to a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.services.node import FOLDER, node, packages
from tests.services.process import LOOPBACK, free_port


@asynccontextmanager
async def oidc_provider(**wanted: Any) -> AsyncIterator[str]:
    """Start op.mjs with its JSON line (see there); gives its issuer."""
    packages()
    port = free_port()
    child = await asyncio.create_subprocess_exec(
        node(),
        str(FOLDER / "op.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # it warns of what suits tests only
    )
    try:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(json.dumps({"port": port, **wanted}).encode() + b"\n")
        await child.stdin.drain()
        line = await asyncio.wait_for(child.stdout.readline(), 60)
        assert json.loads(line)["event"] == "listening"
        yield f"http://{LOOPBACK}:{port}"
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
