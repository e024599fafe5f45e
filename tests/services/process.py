"""One real process of the tests: started, waited for, frozen, killed, ended by its id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"


class Missing(Exception):
    """A part is not on this machine; the text is the reason a person reads."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str, package: str, *places: str) -> str:
    """The path of a program, or Missing with the Debian package that brings it."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin", *places])
    found = shutil.which(name, path=search)
    if found is None:
        raise Missing(f"{name} is not installed (Debian package: {package})")
    return found


def listening(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=0.5):
            return True
    except OSError:
        return False


class Service:
    """A child process with a folder of its own; a context manager that ends it.

    `user` is the account to run as when we are root (PostgreSQL refuses root). The end of
    the test process ends the child too, so that an aborted run leaves nothing behind.
    """

    stop_signal = signal.SIGTERM

    def __init__(self, name: str, user: str | None = None) -> None:
        self.name = name
        self.user = user if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        self._child: subprocess.Popen[bytes] | None = None

    def start(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """Start the process; its output goes to `log`."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*self._tied_to_us(), *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd or self.folder,
                env=None if env is None else dict(env),
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                start_new_session=True,  # a Ctrl-C of the run must not reach it before we do
            )

    def _tied_to_us(self) -> list[str]:
        """A prefix that lets the kernel end the child when the thread that started it ends."""
        setpriv = shutil.which("setpriv")
        # Only the main thread lives as long as the run.
        if setpriv is None or threading.current_thread() is not threading.main_thread():
            return []
        return [setpriv, "--pdeathsig", self.stop_signal.name.removeprefix("SIG")]

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def output(self) -> str:
        """What the process has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def pid(self) -> int:
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for `ready()`; RuntimeError with the output when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive or time.monotonic() > deadline:
                end = "took too long" if self.alive else "ended"
                raise RuntimeError(f"{self.name} {end} before it was ready:\n{self.output()}")
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop the process and its children in their tracks: a host that hangs."""
        self._signal_all(signal.SIGSTOP)
        everything = [self.pid, *descendants(self.pid)]
        self.wait_until(lambda: all(state(pid) in "TZX" for pid in everything))

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a goodbye, children included: a power cut."""
        self._signal_all(signal.SIGKILL)
        if self._child is not None:
            self._child.wait(10)

    def stop(self, seconds: float = 10) -> None:
        """End it in order; after `seconds` by force."""
        if self._child is None or not self.alive:
            return
        self.thaw()
        below = descendants(self.pid)
        self._child.send_signal(self.stop_signal)
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        wait_until_gone(below)

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, what: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def _signal_all(self, number: signal.Signals) -> None:
        if not self.alive:
            return
        for pid in [self.pid, *descendants(self.pid)]:
            signal_if_there(pid, number)


def descendants(pid: int) -> list[int]:
    """The process ids below `pid`, parents first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in below:
            found += [child, *descendants(child)]
    return found


def signal_if_there(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def state(pid: int) -> str:
    """The kernel's letter for the state of a process: R, S or D at work, T stopped, Z a zombie
    that its parent has yet to bury, X gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def gone(pid: int) -> bool:
    """Whether the process has ended."""
    return state(pid) in "ZX"


def wait_until_gone(pids: Sequence[int], seconds: float = 5) -> None:
    """Wait for processes that are about to end; after `seconds` end them by force."""
    deadline = time.monotonic() + seconds
    while not all(gone(pid) for pid in pids):
        if time.monotonic() > deadline:
            for pid in pids:
                signal_if_there(pid, signal.SIGKILL)
        time.sleep(0.01)
