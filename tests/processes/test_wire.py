"""What strangers write on the wire, byte by byte, to a real server without nginx before it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from idp import serving
from idp.kernel import schema
from tests.processes.people import program
from tests.services.bridge import Bridge
from tests.services.process import LOOPBACK

BODY = b"grant_type=client_credentials&client_id=nobody&client_secret=x"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: HOST\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One worker on SQLite."""
    url = f"sqlite:///{tmp_path_factory.mktemp('wire')}/idp.sqlite3"
    schema.upgrade(url)
    with Bridge(url, workers=1) as found:
        yield found


def connected(port: int) -> socket.socket:
    wire = socket.create_connection((LOOPBACK, port), timeout=5)
    wire.settimeout(20)
    return wire


def post(body: bytes = BODY, more: bytes = b"") -> bytes:
    head = b"POST /token HTTP/1.1\r\nHost: HOST\r\n" + FORM + more
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, head: bytes = b"", trailer: bytes = b"") -> bytes:
    chunk = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    return (
        b"POST /token HTTP/1.1\r\nHost: HOST\r\n"
        + FORM
        + head
        + CHUNKED
        + b"\r\n"
        + (chunk + trailer + b"\r\n")
    )


CLOSED = -1  # the server hung up behind its last answer


def spoken(bridge: Bridge, *pieces: bytes) -> tuple[list[int], bytes]:
    """The status of every answer, and all the bytes."""
    said, deadline = b"", time.monotonic() + 20
    with connected(bridge.port) as wire:
        wire.settimeout(1)
        for piece in pieces:
            wire.sendall(piece.replace(b"HOST", bridge.url[7:].encode()))
            time.sleep(0.15)
        with contextlib.suppress(TimeoutError):
            while (more := wire.recv(65536)) and time.monotonic() < deadline:
                said += more
        closed = not more
    codes = [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+)", said)]
    return (codes + [CLOSED] * closed), said


READ_ONCE = {
    "two at once": ([post() + post()], [401, 401]),
    "head and half a body behind another": (
        [post() + post()[:-20], post()[-20:]],
        [401, 401],
    ),
    "head cut behind another": ([post() + post()[:40], post()[40:]], [401, 401]),
    "upgrade behind another": ([post() + post(more=UPGRADE)], [401, 401]),
    "upgrade behind empty lines": ([b"\r\n\r\n", post(more=UPGRADE)], [401]),
    "upgrade with chunks": ([chunked(BODY, UPGRADE)], [401]),
    "websocket": ([LIVE[:-2] + UPGRADE.replace(b"h2c", b"websocket") + b"\r\n"], [200]),
    "expect": ([post(more=b"Expect: 100-continue\r\n")[: -len(BODY)], BODY], [100, 401]),
    "chunks": ([chunked(BODY)], [401]),
    "empty lines": ([b"\r\n\r\n" + LIVE], [200]),
    "two lengths": ([post(more=b"Content-Length: 5\r\n")], [400, CLOSED]),
    "length and chunks": ([post(more=CHUNKED)], [400, CLOSED]),
    "chunks of a chunk": ([chunked(BODY).replace(b": chunked", b": chunked, x")], [400, CLOSED]),
    "bad chunk": ([chunked(BODY).replace(b"\r\n0\r\n", b"\r\nxyz\r\n")], [400, CLOSED]),
    "no HTTP behind a request": ([LIVE + b"nonsense\r\n\r\n"], [200, CLOSED]),
    "no HTTP": ([b"nonsense\r\n\r\n"], [400, CLOSED]),
    "another version": ([LIVE.replace(b"HTTP/1.1", b"HTTP/2.0")], [400, CLOSED]),
    "bare LF": ([LIVE.replace(b"\r\n", b"\n")], [400, CLOSED]),
    "folded line": ([LIVE[:-2] + b"X: 1\r\n Y: 2\r\n\r\n"], [400, CLOSED]),
    "NUL in a field": ([LIVE[:-2] + b"X: a\0b\r\n\r\n"], [400, CLOSED]),
    "many fields": ([LIVE[:-2] + b"X: 1\r\n" * 5000 + b"\r\n"], [400, CLOSED]),
    "long target": ([LIVE.replace(b"/live", b"/live?" + b"a" * 2**16)], [400, CLOSED]),
    "long trailer": ([chunked(BODY)[:-2] + b"X: ", b"a" * (2**16 + 1)], [400, CLOSED]),
    "long chunk extension": ([chunked(BODY)[:-4] + b";x=", b"a" * (2**16 + 1)], [400, CLOSED]),
    "NUL in the path": ([LIVE.replace(b"/live", b"/%00")], [400]),
    "no UTF-8 in the path": ([LIVE.replace(b"/live", b"/%ff%fe")], [404]),
    "CONNECT": ([b"CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n"], [400, CLOSED]),
    "TRACE": ([LIVE.replace(b"GET", b"TRACE")], [405]),
    "OPTIONS *": ([b"OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n"], [404]),
    "HEAD": ([b"HEAD /jwks HTTP/1.1\r\nHost: HOST\r\n\r\n"], [200]),
    "absolute": ([b"GET http://HOST/jwks HTTP/1.1\r\nHost: evil.test\r\n\r\n"], [200]),
    "absolute, not here": ([b"GET http://evil.test/jwks HTTP/1.1\r\nHost: HOST\r\n\r\n"], [400]),
    "absolute, two hosts": (
        [b"GET http://HOST/jwks HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n"],
        [400],
    ),
    "HTTP/1.0": (
        [b"GET /jwks HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\n\r\n"],
        [200, CLOSED],
    ),
}


@pytest.mark.parametrize("what", READ_ONCE)
def test_every_request_has_one_answer(bridge: Bridge, what: str) -> None:
    """HD-05, HD-07, HD-08: however requests are written, cut and joined, each is read once and
    answered in its turn; what two readers might read differently ends the connection. Nothing
    crashes, and no warning is written."""
    before = len(bridge.output())
    pieces, expected = READ_ONCE[what]
    codes, said = spoken(bridge, *pieces)
    assert codes == expected, said
    written = bridge.output()[before:]
    assert not re.search("Traceback|crash|WARNING|error  ", written), written


def test_a_body_is_never_rewritten(bridge: Bridge) -> None:
    """A line of a body that looks like a header field stays: without it the body would be shorter
    than its length, and the next request would be read as its end."""
    tail = b"\r\nupgrade: " + b"x" * 90 + b"\r\n\r\n"
    body = b"grant_type=x&a=1" + tail
    first, second = post(b"grant_type=y"), post(body)
    codes, said = spoken(bridge, first + second[: -len(tail)], tail, LIVE)
    assert codes == [400, 400, 200], said


async def test_trailers_are_no_header_fields(bridge: Bridge) -> None:
    """RFC 9110 §6.5.1: what comes behind a body proves nothing, while the same field before it
    does."""
    known = (await program(bridge)).registered
    pair = base64.b64encode(f"{known.id}:{known.secret}".encode())
    proof = b"Authorization: Basic " + pair + b"\r\n"
    body = b"grant_type=client_credentials"
    assert spoken(bridge, chunked(body, proof))[0] == [200]
    assert spoken(bridge, chunked(body, trailer=proof))[0] == [401]


@pytest.mark.parametrize("path", ["/token", "/authorize", "/login/x/check", "/logout"])
def test_who_hangs_up_within_a_body_is_no_crash(bridge: Bridge, path: str) -> None:
    """Phones lose their network: one quiet line at most, by goodbye and by reset."""
    before = len(bridge.output())
    head = post().replace(b"/token", path.encode()).replace(b"HOST", bridge.url[7:].encode())
    for reset in (False, True):
        with connected(bridge.port) as wire:
            wire.sendall(head[:-20])
            time.sleep(0.2)
            if reset:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert bridge.ask("/health/live").status_code == 200
    time.sleep(0.2)
    lines = [line for line in bridge.output()[before:].splitlines() if "audit.sealed" not in line]
    assert len(lines) <= 2, lines
    assert all("disconnected" in line for line in lines), lines


def test_empty_lines_before_a_head_count(bridge: Bridge) -> None:
    """RFC 9112 §2.2 lets a server ignore them; the head behind them is as bounded as any."""
    begun = time.monotonic()
    with connected(bridge.port) as large, connected(bridge.port) as slow:
        for wire in (large, slow):
            wire.sendall(b"\r\n\r\n")
            time.sleep(0.1)
            wire.sendall(b"GET / HTTP/1.1\r\nX: ")
        large.sendall(b"a" * (serving.MOST_HEAD + 1))
        assert b"400 Bad Request" in large.recv(65536)
        with pytest.raises(OSError):
            while time.monotonic() < begun + serving.HEAD_SECONDS + 5:
                time.sleep(0.3)
                slow.sendall(b"a")
    assert time.monotonic() - begun < serving.HEAD_SECONDS + 3


# ── time, with a server whose patience is short ─────────────────────────────────────────────────


async def echo(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())}")


async def huge(_request: Request) -> Response:
    return PlainTextResponse(b"a" * 2**25)


async def late(_request: Request) -> Response:
    await asyncio.sleep(1.5)
    return PlainTextResponse("late")


@asynccontextmanager
async def impatient(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> AsyncIterator[Callable[[], socket.socket]]:
    """Half a second for everything, on a Unix socket."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(serving, name, 0.5)
    each = {"/echo": echo, "/huge": huge, "/late": late}
    app = Starlette(routes=[Route(p, e, methods=["GET", "POST"]) for p, e in each.items()])
    options = serving.server_options(1)
    server = uvicorn.Server(uvicorn.Config(app, uds=f"{folder}/s", lifespan="off", **options))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.02)

    def connect() -> socket.socket:
        wire = socket.socket(socket.AF_UNIX)
        wire.connect(f"{folder}/s")
        wire.setblocking(False)
        return wire

    try:
        yield connect
    finally:
        server.should_exit = True
        await task


async def dripped(wire: socket.socket, head: bytes, seconds: float) -> bytes:
    """All that is said to somebody who sends one byte now and then."""
    loop, said = asyncio.get_running_loop(), b""
    until = loop.time() + seconds
    await loop.sock_sendall(wire, head)
    while loop.time() < until:
        try:
            await loop.sock_sendall(wire, b"a")
            said += await asyncio.wait_for(loop.sock_recv(wire, 65536), 0.1)
        except TimeoutError:
            continue
        except OSError:
            return said
    raise AssertionError("still open")


@pytest.mark.parametrize("path", [b"/echo", b"/nowhere"])
async def test_a_body_that_drips_is_hung_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: bytes
) -> None:
    """Whether or not somebody waits for it: nobody keeps a connection by sending slowly."""
    async with impatient(monkeypatch, tmp_path) as connect:
        with connect() as wire:
            head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" % path
            said = await dripped(wire, head, 3)
    assert (b" 404 " in said) == (path == b"/nowhere")


async def test_an_answer_that_is_not_read_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody keeps a connection, and the answer in memory, by not reading."""
    async with impatient(monkeypatch, tmp_path) as connect:
        with connect() as wire:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(wire, b"GET /huge HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(1.5)
            read = 0
            while more := await asyncio.wait_for(loop.sock_recv(wire, 2**20), 5):
                read += len(more)
    assert read < 2**25


async def test_who_is_still_to_be_answered_is_not_hung_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """RFC 9112 §2.2: old programs send an empty line behind a body; a slow answer reaches them."""
    async with impatient(monkeypatch, tmp_path) as connect:
        with connect() as wire:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(wire, b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.1)
            await loop.sock_sendall(wire, b"\r\n")
            assert b"late" in await asyncio.wait_for(loop.sock_recv(wire, 65536), 5)
