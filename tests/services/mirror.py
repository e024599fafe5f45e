"""A tiny upstream that answers with what reached it: `uvicorn tests.services.mirror:app`."""

from __future__ import annotations

import sys
from typing import Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.services.process import LOOPBACK, Service, free_port, listening


async def reflect(request: Request) -> JSONResponse:
    """The request as the application saw it."""
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode()] for name, value in request.headers.raw],
            "body": len(await request.body()),
        }
    )


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
app = Starlette(routes=[Route("/{path:path}", reflect, methods=METHODS)])


class Mirror(Service):
    """The upstream above in a process of its own; `port` on loopback, or the socket `path`."""

    def __init__(self, *, socket: bool = False) -> None:
        super().__init__("mirror")
        self.socket = socket
        self.port = 0

    @property
    def upstream(self) -> str:
        """The address as nginx writes it."""
        return f"unix:{self.folder / 'sock'}" if self.socket else f"{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self.port = 0 if self.socket else free_port()
        where = (
            ["--uds", str(self.folder / "sock")]
            if self.socket
            else ["--host", LOOPBACK, "--port", str(self.port)]
        )
        app_dir = __file__.removesuffix("/tests/services/mirror.py")
        self.start([sys.executable, "-m", "uvicorn", "--app-dir", app_dir, "--no-access-log",
                    "--log-level", "warning", "--no-proxy-headers", *where,
                    "tests.services.mirror:app"])  # fmt: skip
        self.wait_until(self._answers)
        return self

    def _answers(self) -> bool:
        return (self.folder / "sock").exists() if self.socket else listening(self.port)
