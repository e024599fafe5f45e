"""How uvicorn serves our applications: options that every server of ours has, and a protocol that
reads heads of requests as a whole."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10  # in which the head of a request must have arrived
BODY_SECONDS = 60
MOST_HEAD = 64 * 1024  # bytes
_END = b"\r\n\r\n"
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)


class Protocol(HttpToolsProtocol):
    """Corrects uvicorn 0.54. A request with `Upgrade: h2c` loses its body there (uvicorn 2722), and
    every Java HttpClient sends one on plain http; we offer no other protocol, so the wish is
    ignored (RFC 9110 §7.8). A head that never ends would stay open for ever, and have no size."""

    _head: bytes | None = b""  # what has arrived of it; None while a body arrives
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head is None:
            super().data_received(data)
            return
        if not self._head:
            self._unset_keepalive_if_required()
            self._wait(HEAD_SECONDS)
        self._head += data
        head, end, rest = self._head.partition(_END)
        if not end and len(head) <= MOST_HEAD:
            return
        if len(head) > MOST_HEAD:
            self.send_400_response("The head of the request is too large.")
            return
        self._head = None
        self._wait(BODY_SECONDS)
        super().data_received(_UPGRADE.sub(b"", head) + end + rest)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head = b""
        self._wait(None)

    def _wait(self, seconds: float | None) -> None:
        """Hang up unless what is expected has arrived by then; None: nothing is expected."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._hang_up)

    def _hang_up(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()


def server_options(drain: int) -> dict[str, Any]:
    """For uvicorn.Config; `drain` is how many seconds open requests may take to finish."""
    return {
        "http": Protocol,
        "proxy_headers": False,  # the edge reads them itself, from trusted peers only
        "server_header": False,
        "access_log": False,
        "log_level": "warning",
        "timeout_graceful_shutdown": drain,
        "timeout_keep_alive": 10,
    }
