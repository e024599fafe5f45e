"""A Redis server of our own, in memory only."""

from __future__ import annotations

import socket
from typing import Self

from tests.services.process import LOOPBACK, Service, free_port, program


class Redis(Service):
    """`with Redis() as server: server.url`; `flush()` empties it between tests."""

    def __init__(self) -> None:
        self.program = program("redis-server", "redis-server")
        super().__init__("redis")
        self.port = 0

    def __enter__(self) -> Self:
        self.port = free_port()
        self.serve()
        return self

    def serve(self) -> None:
        """Start the server; also again, empty, after `stop` or `kill`."""
        self.start([self.program, "--bind", LOOPBACK, "--port", str(self.port), "--save", "",
                    "--appendonly", "no", "--dir", str(self.folder)])  # fmt: skip
        self.wait_until(self._answers)

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def flush(self) -> None:
        """Forget every key."""
        answer = self._say(b"FLUSHALL\r\n")
        if not answer.startswith(b"+OK"):
            raise RuntimeError(f"redis would not flush: {answer!r}")

    def _answers(self) -> bool:
        try:
            return self._say(b"PING\r\n").startswith(b"+PONG")
        except OSError:
            return False

    def _say(self, command: bytes) -> bytes:
        with socket.create_connection((LOOPBACK, self.port), timeout=2) as wire:
            wire.sendall(command)
            return wire.recv(1024)
