"""The servers under load: each a process of its own on the server's core, its CPU time and memory
read from /proc."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.services.bridge import IDP, Bridge, environment, merged
from tests.services.process import Service, descendants, free_port, listening

CORES = sorted(os.sched_getaffinity(0))
SERVER, LOAD = {CORES[0]}, {CORES[-1]}
ROOT = Path(__file__).parents[1]
_TICK = 1_000_000 / os.sysconf("SC_CLK_TCK")  # microseconds
# as shipped, where the tests' bridge asks more often
SETTINGS: Mapping[str, Any] = {
    "keys": {"master_key": "be" * 32},  # one bridge after another uses the same database
    "oidc": {"jwks_seconds": 300},
    "login": {"ask_seconds": 3, "asks_per_second": 50},
}


@contextlib.contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """We, and whatever we start meanwhile, run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu(pid: int) -> float:
    """Microseconds that the process and its children have used."""
    return sum(_used(one) for one in [pid, *descendants(pid)])


def _used(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(ticks) for ticks in fields[11:15]) * _TICK  # utime stime cutime cstime
    return 0


def memory(pid: int) -> float:
    """Resident MiB of the process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def signature() -> float:
    """Microseconds of one RSA signature, the least that RS256 can cost."""
    key, times = rsa.generate_private_key(65537, 2048), 400
    with pinned(SERVER):
        begun = time.process_time()
        for _ in range(times):
            key.sign(b"header.claims", padding.PKCS1v15(), SHA256())
        return (time.process_time() - begun) / times * 1_000_000


class Bare(Service):
    """The bare handler, and the same API with and without guard."""

    def __init__(self, issuer: str = "") -> None:
        super().__init__("bare")
        self.port, self._issuer = free_port(), issuer

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "uvicorn", "--factory", "bench.apps:create"]
        command += ["--port", str(self.port), "--no-access-log", "--log-level", "warning"]
        with pinned(SERVER):
            self.start(command, env=environment(BENCH_ISSUER=self._issuer), cwd=ROOT)
        self.wait_until(lambda: listening(self.port))
        return self


class Served(Bridge):
    """One worker of `idp serve` with everything on; the simulator keeps to the load's core.
    `took` is how long it started, in seconds."""

    took = 0.0

    def __init__(
        self, database_url: str, *, workers: int = 1, pin: bool = True, **changes: Any
    ) -> None:
        super().__init__(database_url, workers=workers, **merged(SETTINGS, changes))
        self._cores = SERVER if pin else set(CORES)

    def serve(self) -> None:
        begun = time.monotonic()
        with pinned(self._cores):
            super().serve()
        self.took = time.monotonic() - begun


class Dev(Service):
    """`idp dev` in an empty folder."""

    def __init__(self) -> None:
        super().__init__("dev")
        self.took = 0.0

    def __enter__(self) -> Self:
        ports = {name: free_port() for name in ("port", "simulator-port", "demo-port")}
        flags = [part for name, port in ports.items() for part in (f"--{name}", str(port))]
        begun = time.monotonic()
        with pinned(SERVER):
            self.start([str(IDP), "dev", "--state", str(self.folder / "state"), *flags],
                       env=environment(PYTHONUNBUFFERED="1"))  # fmt: skip
        self.wait_until(lambda: "Ctrl-C" in self.output())
        self.took = time.monotonic() - begun
        return self
