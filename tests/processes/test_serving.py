"""The server as it reads requests off the wire, without nginx before it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from idp import serving
from tests.services.bridge import Bridge
from tests.services.process import LOOPBACK, free_port, listening

BODY = b"grant_type=client_credentials&client_id=nobody&client_secret=x"
HEAD = (
    b"POST /token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: %d\r\n"
)
H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One worker on SQLite."""
    from idp.kernel import schema

    url = f"sqlite:///{tmp_path_factory.mktemp('serving')}/idp.sqlite3"
    schema.upgrade(url)
    with Bridge(url, workers=1) as found:
        yield found


def connected(bridge: Bridge) -> socket.socket:
    wire = socket.create_connection((LOOPBACK, bridge.port), timeout=5)
    wire.settimeout(20)
    return wire


def head(bridge: Bridge, more: bytes = b"") -> bytes:
    return HEAD % (f"{LOOPBACK}:{bridge.port}".encode(), len(BODY)) + more + b"\r\n"


@pytest.mark.parametrize("pieces", [1, 2, 7, 40])
@pytest.mark.parametrize("upgrade", [b"", H2C, H2C.upper()], ids=["plain", "h2c", "H2C"])
def test_a_wish_for_another_protocol_costs_no_body(
    bridge: Bridge, pieces: int, upgrade: bytes
) -> None:
    """The default Java HttpClient asks for h2c with its POST on plain http (RFC 9110 §7.8: a server
    may ignore it): the body arrives, however the request is cut, and the connection goes on."""
    whole = head(bridge, upgrade) + BODY
    size = -(-len(whole) // pieces)
    with connected(bridge) as wire:
        for _ in range(2):
            for start in range(0, len(whole), size):
                wire.sendall(whole[start : start + size])
                time.sleep(0.002)
            answer = b""
            while not answer.endswith(b"}"):
                answer += wire.recv(65536)
            assert b"401" in answer.split(b"\r\n")[0], answer
            assert b"invalid_client" in answer


def test_a_head_without_end_is_refused(bridge: Bridge) -> None:
    """More than 64 KiB of head is nobody's request."""
    with connected(bridge) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (serving.MOST_HEAD + 1))
        assert b"400 Bad Request" in wire.recv(65536)
        assert wire.recv(1) == b""


def test_who_never_ends_the_head_is_hung_up(bridge: Bridge) -> None:
    """Half-sent heads do not stay open: the connection is closed, whether or not bytes trickle."""
    begun = time.monotonic()
    with connected(bridge) as silent, connected(bridge) as trickling:
        trickling.sendall(b"GET /jwks HTTP/1.1\r\n")
        while time.monotonic() < begun + serving.HEAD_SECONDS + 5:
            time.sleep(0.5)
            try:
                trickling.sendall(b"X")
            except OSError:
                break
        assert silent.recv(1) == b""
        with pytest.raises(OSError):
            for _ in range(10):
                trickling.sendall(b"X")
                time.sleep(0.1)


def test_a_predecessor_that_drains_does_not_stop_its_successor() -> None:
    """The metrics port is still taken: the successor serves, and takes the port over."""
    port = free_port()
    script = (
        "import time; from idp.kernel import metrics; "
        f"metrics.listen('127.0.0.1', {port}); print('serving', flush=True); time.sleep(60)"
    )
    with socket.create_server((LOOPBACK, port)) as predecessor:
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            while "serving" not in child.stdout.readline():
                assert child.poll() is None
            predecessor.close()
            deadline = time.monotonic() + 10
            while not listening(port):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            text = httpx.get(f"http://{LOOPBACK}:{port}/metrics", trust_env=False).text
            assert "idp_alarms" in text
        finally:
            child.kill()
            child.wait()


def test_who_says_nothing_to_the_metrics_port_is_hung_up() -> None:
    """Neither silence nor a reset keeps a thread, or writes a trace."""
    port = free_port()
    script = (
        "import time; from idp.kernel import metrics; metrics.SILENCE = 1; "
        f"metrics.listen('127.0.0.1', {port}); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 10
        while not listening(port):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with socket.create_connection((LOOPBACK, port), timeout=5) as silent:
            silent.sendall(b"GET /me")
            assert silent.recv(1) == b""
        text = httpx.get(f"http://{LOOPBACK}:{port}/metrics", trust_env=False).text
        assert "idp_alarms" in text
    finally:
        child.kill()
        assert "Traceback" not in child.communicate()[1]
