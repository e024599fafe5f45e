"""Several workers on one socket: uvicorn's supervisor, corrected where it fails quietly."""

from __future__ import annotations

import contextlib
import socket
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


def run(app: str, workers: int, **options: Any) -> int:
    """Serve until told to end; the exit status."""
    if workers == 1:
        uvicorn.run(app, factory=True, **options)
        return 0
    config = uvicorn.Config(app, factory=True, workers=workers, **options)
    if config.uds:
        _clear(Path(config.uds))
    supervisor = Workers(config, sockets=[config.bind_socket()])
    supervisor.run()
    if config.uds:
        Path(config.uds).unlink(missing_ok=True)
    return STARTUP_FAILURE if supervisor.failed else 0


def _clear(path: Path) -> None:
    """A socket that nobody listens on was left by a crash."""
    with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
