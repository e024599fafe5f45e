"""The load: wrk where it is, otherwise a keep-alive client of our own. Loopback only; bounded."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.process import LOOPBACK

SCRIPT = Path(__file__).with_name("requests.lua")
CONNECTIONS = 32
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sent:
    """What one run got: answers, of which `failed` were errors; latencies in milliseconds.
    `unseen` requests were still on their way at the end: the server worked for them too. `error`
    is the commonest error status, where it is known."""

    answers: int
    seconds: float
    failed: int
    p50: float
    p99: float
    unseen: int = 0
    error: int = 0


def raw(method: str, path: str, body: str = "", **headers: str) -> bytes:
    """A request as it travels; `user_agent` is the header user-agent."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    if method == "POST":
        told = {"content-type": "application/x-www-form-urlencoded", **told}
        told["content-length"] = str(len(body.encode()))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return ("\r\n".join([*lines, "", ""]) + body).encode()


def addressed(requests: Sequence[bytes], host: str) -> list[bytes]:
    """With their Host header, which the server insists on."""
    return [
        r.replace(b"HTTP/1.1\r\n", f"HTTP/1.1\r\nhost: {host}\r\n".encode(), 1) for r in requests
    ]


# ── wrk ─────────────────────────────────────────────────────────────────────────────────────────


def install_wrk() -> None:
    """From Debian's packages, where we may; without it our own client does."""
    if shutil.which("wrk") or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("update -q", "install -qy --no-install-recommends wrk"):
        install = ["apt-get", *command.split()]
        subprocess.run(install, env=environment, capture_output=True, check=False)


async def saturate(port: int, requests: Sequence[bytes], seconds: float) -> Sent:
    """As many as the server takes, over and over for so long."""
    if shutil.which("wrk") is None:
        return await by_ourselves(port, _forever(requests), time.monotonic() + seconds)
    with tempfile.NamedTemporaryFile(prefix="bench-") as file:
        file.write(b"\0".join(requests))
        file.flush()
        return await _wrk(port, file.name, seconds)


async def _wrk(port: int, file: str, seconds: float) -> Sent:
    whole = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{whole}s", "--timeout", "10s"]
    command += ["-s", str(SCRIPT), f"http://{LOOPBACK}:{port}/", "--", file]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        told, _ = await asyncio.wait_for(child.communicate(), whole + 30)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    found = json.loads(told.decode().strip().splitlines()[-1])
    return Sent(**found, unseen=CONNECTIONS)


# ── our own client ──────────────────────────────────────────────────────────────────────────────


def _forever(requests: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from requests


async def each_once(port: int, requests: Sequence[bytes], connections: int = 8) -> Sent:
    """Every request exactly once, for those that mean something only once."""
    return await by_ourselves(port, iter(requests), time.monotonic() + 60, connections)


async def by_ourselves(
    port: int, requests: Iterator[bytes], until: float, connections: int = CONNECTIONS
) -> Sent:
    """The next request as soon as the one before is answered."""
    taken: list[tuple[int, float]] = []

    async def work(ask: Ask) -> None:
        for request in requests:
            begun = time.monotonic()
            status = await ask(request)
            ended = time.monotonic()
            taken.append((status, ended - begun))
            if ended >= until:
                return

    return await _measured(port, connections, lambda _, ask: work(ask), taken)


async def paced(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, connections: int
) -> Sent:
    """`rate` requests a second whatever the server does; latency counts from the moment that a
    request was due, so that a server which stalls is not spared."""
    begin, taken = time.monotonic() + 0.5, list[tuple[int, float]]()

    async def work(number: int, ask: Ask) -> None:
        for turn in range(number, int(rate * seconds), connections):
            due = begin + turn / rate
            await asyncio.sleep(max(0, due - time.monotonic()))
            status = await ask(requests[turn % len(requests)])
            taken.append((status, time.monotonic() - due))

    return await _measured(port, connections, work, taken)


Ask = Callable[[bytes], Awaitable[int]]


async def _measured(
    port: int,
    connections: int,
    work: Callable[[int, Ask], Awaitable[None]],
    taken: list[tuple[int, float]],
) -> Sent:
    async def connected(number: int) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)

        async def ask(request: bytes) -> int:
            writer.write(request)
            return await answered(reader)

        try:
            await work(number, ask)
        finally:
            writer.close()

    begun = time.monotonic()
    await asyncio.gather(*(connected(number) for number in range(connections)))
    times = [1000 * seconds for _, seconds in taken]
    errors = [status for status, _ in taken if status >= 400]
    return Sent(
        answers=len(taken),
        seconds=time.monotonic() - begun,
        failed=len(errors),
        p50=statistics.median(times),
        p99=statistics.quantiles(times, n=100)[98],
        error=statistics.mode(errors) if errors else 0,
    )


async def answered(reader: asyncio.StreamReader) -> int:
    """The status of the next answer on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head[9:12])


def basic(client_id: str, secret: str) -> str:
    """The Authorization header of a client."""
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()
