"""Several workers on one socket: uvicorn's supervisor, corrected where it fails quietly."""

from __future__ import annotations

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
    supervisor = Workers(config, sockets=[config.bind_socket()])
    supervisor.run()
    return STARTUP_FAILURE if supervisor.failed else 0
