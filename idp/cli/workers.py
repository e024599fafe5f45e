"""Several workers on one socket: uvicorn's supervisor, corrected where it fails quietly."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess


class Workers(Multiprocess):
    """Corrects uvicorn 0.54: its parent keeps the socket open while the workers drain, so that
    whoever comes then waits in a queue that nobody serves; and a start that failed ends as 0,
    which systemd takes for a stop that was wanted."""

    def terminate_all(self) -> None:
        for sock in self.sockets:
            sock.close()
        super().terminate_all()

    @property
    def failed(self) -> bool:
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)


class Worker(uvicorn.Server):
    """The only one, in this very process."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()


def run(app: str, workers: int, started: Callable[[], None], **options: Any) -> int:
    """Serve until told to end; the exit status. `started` is called once the address is ours."""
    config = uvicorn.Config(app, factory=True, workers=workers, **options)
    if config.uds:
        _clear(Path(config.uds))
    failed = _alone(config, started) if workers == 1 else _several(config, started)
    if config.uds:
        Path(config.uds).unlink(missing_ok=True)
    return STARTUP_FAILURE if failed else 0


def _alone(config: uvicorn.Config, started: Callable[[], None]) -> bool:
    server = Worker(config, started)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return not server.started


def _several(config: uvicorn.Config, started: Callable[[], None]) -> bool:
    supervisor = Workers(config, sockets=[config.bind_socket()])
    started()
    supervisor.run()
    return supervisor.failed


def _clear(path: Path) -> None:
    """A socket that nobody listens on was left by a crash."""
    with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
