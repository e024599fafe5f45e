"""How uvicorn serves our applications: options that every server of ours has, and a protocol that
bounds what a peer may send and how long it may take."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10  # in which the head of a request must have arrived
BODY_SECONDS = 60
READ_SECONDS = 60  # in which a peer must have taken what was written to it
MOST_HEAD = 64 * 1024  # bytes; as many may stand between two pieces of a body
FIELD = 32  # bytes that a field costs beside its text, as RFC 9113 §6.5.2 counts


class Protocol(HttpToolsProtocol):
    """Corrects uvicorn 0.54, by what the parser says and never by looking into the bytes:

    - A request with `Upgrade: h2c` loses its body there (uvicorn 2722), and every Java HttpClient
      sends one on plain http. No other protocol is offered here, so the wish is ignored
      (RFC 9110 §7.8).
    - Trailer fields become header fields there. Here they are dropped (RFC 9110 §6.5.1).
    - Heads, trailers and chunk extensions have no size there, and may take for ever, as may bodies
      and a peer that does not read its answers.
    """

    _in_head = True  # no request is begun, or its head is not complete
    _arrived = 0  # bytes since the parser last made something of them
    _head = 0  # bytes of the head that is being read, as parsed
    _deaf = False  # nothing more is read: what came last cannot be understood
    _due: asyncio.TimerHandle | None = None  # what is read must have arrived by then
    _taken: asyncio.TimerHandle | None = None  # what is written must have been taken by then

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._arrived += len(data)
        if self._due is None:
            self._expect(HEAD_SECONDS)
        try:
            self._feed(data)
            refused = self._arrived > MOST_HEAD
        except httptools.HttpParserError:
            refused = True
        if refused:
            self._refuse()

    def _refuse(self) -> None:
        """One answer to each request: those before are answered first, and no request twice."""
        self._deaf = True
        self._expect(None)
        large = max(self._arrived, self._head) > MOST_HEAD
        cycle = self.cycle
        if self._in_head and cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
        elif not self._in_head and cycle.response_started:
            self.transport.close()
        else:
            self.send_400_response("The request is too large." if large else "This is not HTTP.")

    def _feed(self, data: bytes) -> None:
        """The parser stops behind a head that wishes for another protocol, and takes what follows
        for that protocol. It is given the same head again, without the wish."""
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                data = self._plain_head() + data[stopped.args[0] :]
            else:
                data = b""

    def _plain_head(self) -> bytes:
        """The head as it was parsed, without Upgrade. Raises HttpParserError for CONNECT, which
        the parser takes for such a wish: an origin server needs no tunnels (RFC 9110 §9.3.6)."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise httptools.HttpParserError
        version = self.parser.get_http_version().encode()
        fields = [b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        return b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, b"".join(fields))

    # ── what the parser says ───────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)
            self._count(len(name) + len(value) + FIELD)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MOST_HEAD:
            raise httptools.HttpParserError

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        if self.parser.get_http_version() not in ("1.1", "1.0"):
            raise httptools.HttpParserError
        if self.url[:1] not in b"/*":
            self._take_host()
        super().on_headers_complete()
        self._in_head, self._arrived = False, 0
        self._expect(BODY_SECONDS)

    def _take_host(self) -> None:
        """The host of an absolute target counts, not the field's (RFC 9112 §3.2.2)."""
        host = (self.url.split(b"/", 3) + [b""] * 3)[2]
        self.headers[:] = [(k, host if k == b"host" else v) for k, v in self.headers]

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._arrived = 0

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._in_head, self._arrived = True, 0
        self._expect(None)

    # ── time ───────────────────────────────────────────────────────────────────────────────────

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taken = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taken is not None:
            self._taken.cancel()
            self._taken = None

    def _expect(self, seconds: float | None) -> None:
        """Hang up unless what is expected has arrived by then; None: nothing is expected."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if seconds is not None:
            self._due = self.loop.call_later(seconds, self._hang_up)

    def _hang_up(self) -> None:
        """Never while an answer to the request before is still to come."""
        if self._in_head and self.cycle is not None and not self.cycle.response_complete:
            self._expect(HEAD_SECONDS)
        else:
            self.transport.abort()


def server_options(drain: int) -> dict[str, Any]:
    """For uvicorn.Config; `drain` is how many seconds open requests may take to finish."""
    return {
        "http": Protocol,
        "ws": "none",
        "proxy_headers": False,  # the edge reads them itself, from trusted peers only
        "server_header": False,
        "access_log": False,
        "log_level": "warning",
        "timeout_graceful_shutdown": drain,
        "timeout_keep_alive": 10,
    }
