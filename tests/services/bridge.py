"""The bridge as an operator runs it: `idp serve` with its workers, and `idp simulate` beside it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
from sqlalchemy.sql import Executable

from idp.house import registrar_of
from idp.kernel.database import Row
from idp.kernel.services import Services, open_services
from idp.registry.registration import Registration
from idp.settings import read_settings
from tests.house import Registered
from tests.services.process import (
    LOOPBACK,
    Service,
    descendants,
    free_port,
    listening,
    signal_if_there,
    wait_until_gone,
)

IDP = Path(sys.executable).parent / "idp"
PLENTY = 1_000_000
SYSCODE, API_KEY = "20200820100951269230", "0123456789ABCDEF0011223344556677"
SYSTEM_NAME = "國家圖書館 館藏服務"
APPLICATION = {
    "path": "Nk3cVq0dJx7pTtS1zBwR8g",
    "app_key": "0123456789ABCDEF",
    "app_secret": "FEDCBA9876543210-and-more",
    "allowed_sources": ["127.0.0.0/8"],
    "requests_per_minute": PLENTY,
    "identity_types": {"用户": "用户"},
}


def configuration(issuer: str, database_url: str, simulator: int) -> dict[str, Any]:
    """Everything a bridge needs, with limits that one busy address does not reach."""
    return {
        "environment": "development",
        "issuer": issuer,
        "database": {"url": database_url},
        "keys": {"master_key": secrets.token_hex(32)},
        "oidc": {
            "realms": ["TDXConnect"],
            "scopes": ["api:read", "api:write"],
            "jwks_seconds": 2,
            "token_calls_per_minute": PLENTY,
            "refresh_calls_per_minute": PLENTY,
            "failed_auth_per_minute": PLENTY,
        },
        "login": {
            "ask_seconds": 1,
            "asks_per_second": PLENTY,
            "starts_per_minute": PLENTY,
            "failed_starts": PLENTY,
            "numbered_starts": PLENTY,
            "unfinished_starts": PLENTY,
            "numbers": PLENTY,
            "push": {
                "per_ten_minutes": PLENTY,
                "per_day": PLENTY,
                "pause_after_denial": 0,
                "per_address": PLENTY,
            },
        },
        "twfido": {
            "base_url": f"http://{LOOPBACK}:{simulator}",
            "browser_base_url": f"http://localhost:{simulator}",
            "syscode": SYSCODE,
            "api_keys": [API_KEY],
            "system_name": SYSTEM_NAME,
            "callback_peers": ["127.0.0.0/8"],
        },
        "members": {"wecard": {"library": APPLICATION}},
    }


def toml(document: Mapping[str, Any], path: str = "") -> str:
    """A nested mapping as TOML: JSON writes texts, numbers and lists the same way."""
    tables = {k: v for k, v in document.items() if isinstance(v, Mapping)}
    plain = {k: v for k, v in document.items() if k not in tables and v is not None}
    head = f"\n[{path}]\n" if path else ""
    lines = (f"{_key(k)} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in plain.items())
    below = (toml(v, f"{path}.{_key(k)}" if path else _key(k)) for k, v in tables.items())
    return head + "".join(lines) + "".join(below)


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def merged(into: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings, the second one winning at every depth."""
    both = {**into, **more}
    for key in into.keys() & more.keys():
        if isinstance(into[key], Mapping) and isinstance(more[key], Mapping):
            both[key] = merged(into[key], more[key])
    return both


def environment(**more: str) -> dict[str, str]:
    """Ours without settings of the bridge that somebody may have exported."""
    return {k: v for k, v in os.environ.items() if not k.startswith("IDP_")} | more


def idp(
    *arguments: str | Path, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [IDP, *arguments],
        env=environment(**variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


class Simulator(Service):
    """`idp simulate`: the pretend TW FidO on a port of its own."""

    def __init__(self) -> None:
        super().__init__("simulator")
        self.port = free_port()

    @property
    def url(self) -> str:
        """Where browsers meet it: another site than the bridge."""
        return f"http://localhost:{self.port}"

    def serve(self, config: Path) -> None:
        """Start it for the system of this configuration."""
        where = ["--host", LOOPBACK, "--port", str(self.port)]
        self.start([str(IDP), "-c", str(config), "simulate", *where], env=environment())
        self.wait_until(lambda: listening(self.port), seconds=60)

    async def control(self, path: str = "/control", **wanted: Any) -> Any:
        """Pull one of its strings."""
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{self.port}") as wire:
            answer = await wire.post(path, json=wanted)
        assert answer.is_success, answer.text
        return answer.json()


class Bridge(Service):
    """`with Bridge(database_url) as bridge:` — the URL is of a database with our schema.

    `issuer` is its own address unless an edge stands in front; `changes` are settings.
    """

    def __init__(
        self, database_url: str, *, workers: int = 2, issuer: str = "", **changes: Any
    ) -> None:
        super().__init__("bridge")
        self.port = free_port()
        self.database_url, self.workers = database_url, workers
        self.simulator = Simulator()
        self.issuer = issuer or self.url
        document = configuration(self.issuer, database_url, self.simulator.port)
        self.settings = merged(document, changes)
        self.config = self.folder / "idp.toml"
        self.config.write_text(toml(self.settings), encoding="utf-8")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        try:
            self.simulator.serve(self.config)
            self.serve()
        except BaseException:
            self.close()
            raise
        return self

    def serve(self) -> None:
        """Start it; also again after `stop` or `kill`."""
        self.start(
            [str(IDP), "-c", str(self.config), "serve", "--host", LOOPBACK,
             "--port", str(self.port), "--workers", str(self.workers)],
            env=environment(),
        )  # fmt: skip
        self.wait_until(self.ready, seconds=180)

    def ready(self) -> bool:
        """Whether all its workers accept connections and the database answers them."""
        workers = self.worker_pids()
        if len(workers) < self.workers or not all(accepts(pid, self.port) for pid in workers):
            return False
        with contextlib.suppress(httpx.HTTPError):
            return self.ask("/health/ready").status_code == 200
        return False

    def wait_for_end(self, seconds: float) -> int:
        """Wait until it has ended by itself; its exit status."""
        assert self._child is not None
        return self._child.wait(seconds)

    def ask(self, path: str) -> httpx.Response:
        """One plain GET."""
        return httpx.get(self.url + path, timeout=10, trust_env=False)

    def close(self) -> None:
        self.simulator.close()
        self.stop(35)
        super().close()

    def cli(self, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command with the bridge's own configuration."""
        return idp("-c", self.config, *arguments, cwd=None, **variables)

    def create_client(self, *arguments: str | Path) -> dict[str, str]:
        """`idp client create`: its client_id and client_secret."""
        made = self.cli("client", "create", "--json", *arguments)
        assert made.returncode == 0, made.stderr
        found: dict[str, str] = json.loads(made.stdout)
        return found

    def http(self, **options: Any) -> httpx.AsyncClient:
        """A bare client that leaves no connection behind."""
        limits = httpx.Limits(max_keepalive_connections=0)
        known: dict[str, Any] = {
            "base_url": self.issuer,
            "limits": limits,
            "trust_env": False,
            "timeout": 20,
        }
        return httpx.AsyncClient(**(known | options))

    @asynccontextmanager
    async def services(self) -> AsyncIterator[Services]:
        """Its database and keys, seen from another process."""
        async with open_services(read_settings([self.config])) as found:
            yield found

    async def register(self, **fields: Any) -> Registered:
        """A client, as tests.house registers them, written beside the running bridge."""
        async with self.services() as services:
            registration = Registration.model_validate(fields)
            client, secret = await registrar_of(services).create(registration)
        return Registered(client, secret)

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        """Look into its database."""
        async with self.services() as services:
            return await services.database.all(statement, **params)

    def worker_pids(self) -> list[int]:
        """The processes that answer requests, the oldest first."""
        if self.workers == 1:
            return [self.pid]
        return [pid for pid in descendants(self.pid) if b"spawn_main" in _command(pid)]

    def kill_worker(self) -> int:
        """End one worker without a goodbye; its former id."""
        victim = self.worker_pids()[0]
        signal_if_there(victim, signal.SIGKILL)
        wait_until_gone([victim])
        return victim


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def accepts(pid: int, port: int) -> bool:
    """Whether this process, and not only one beside it, waits for connections on the port."""
    local = f"0100007F:{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = [int(row[9]) for row in rows if row[1] == local and row[3] == "0A"]
    with contextlib.suppress(OSError):
        watched = "".join(f.read_text() for f in Path(f"/proc/{pid}/fdinfo").iterdir())
        return any(f"ino:{inode:x} " in watched for inode in inodes)
    return False
