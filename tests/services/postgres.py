"""A PostgreSQL server of our own, with databases copied from a template in milliseconds."""

from __future__ import annotations

import itertools
import os
import pwd
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.services.process import LOOPBACK, Missing, Service, free_port

ACCOUNT = "postgres"
# A test database may lose its data with the power; one that must not says durable=True.
FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB"]


def binaries() -> Path:
    """The folder of the newest PostgreSQL server that Debian's packages brought."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda initdb: int(initdb.parent.parent.name),
    )
    if not found:
        raise Missing("PostgreSQL is not installed (Debian package: postgresql)")
    return found[-1].parent


class Postgres(Service):
    """`with Postgres() as server: url = server.create_database()`.

    Listens on a loopback port and on a Unix socket in `folder`; the only account is
    `postgres`, without a password. `durable=True` keeps fsync on, for tests that kill it.
    """

    stop_signal = signal.SIGINT  # PostgreSQL's "fast" shutdown: does not wait for clients

    def __init__(self, *, durable: bool = False, options: dict[str, str] | None = None) -> None:
        self.bin = binaries()
        if os.geteuid() == 0:
            try:
                pwd.getpwnam(ACCOUNT)
            except KeyError:
                raise Missing(f"PostgreSQL refuses root and there is no {ACCOUNT} user") from None
        super().__init__("postgres", user=ACCOUNT)
        self.durable = durable
        self.options = options or {}
        self.port = 0
        self._numbers = itertools.count(1)
        self._templates: set[str] = set()

    def __enter__(self) -> Self:
        self._run("initdb", "-D", str(self.data), "-U", ACCOUNT, "--auth=trust", "--no-sync",
                  "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions")  # fmt: skip
        self.port = free_port()
        self.serve()
        return self

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def serve(self) -> None:
        """Start the server on its data and port; also again after `stop` or `kill`."""
        settings = [
            f"port={self.port}",
            f"listen_addresses={LOOPBACK}",
            f"unix_socket_directories={self.folder}",
            "timezone=UTC",
            "max_connections=100",
            *([] if self.durable else FAST),
            *(f"{key}={value}" for key, value in self.options.items()),
        ]
        flags = [part for setting in settings for part in ("-c", setting)]
        self.start([str(self.bin / "postgres"), "-D", str(self.data), *flags])
        self.wait_until(self._accepts)

    def create_database(self, name: str | None = None, template: str = "template0") -> str:
        """Create a database (a copy of `template`) and return its URL."""
        name = name or f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def template(self, name: str, fill: Callable[[str], None]) -> str:
        """Fill a database once with `fill(url)`; its name serves as a template from then on.

        `fill` must close its connections: PostgreSQL copies only a database in rest.
        """
        if name not in self._templates:
            fill(self.create_database(name))
            self._templates.add(name)
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database although somebody is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def url(self, name: str, driver: str = "postgresql") -> str:
        """The URL of a database over TCP."""
        return f"{driver}://{ACCOUNT}@{LOOPBACK}:{self.port}/{name}"

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Run SQL through psql and return the bare rows, one a line."""
        where = ["-h", str(self.folder), "-p", str(self.port), "-U", ACCOUNT, "-d", database]
        return self._run("psql", "-XqtA", "-v", "ON_ERROR_STOP=1", *where, "-c", sql)

    def _accepts(self) -> bool:
        asked = [str(self.bin / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.bin / name), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed:\n{done.stderr}")
        return done.stdout.strip()
