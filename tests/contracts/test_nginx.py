"""The shipped nginx configuration refuses what must not reach the bridge."""

import contextlib
import json
import re
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.services.mirror import Mirror
from tests.services.nginx import SHIPPED, Edge
from tests.services.process import LOOPBACK

Answer = tuple[int, dict[str, Any]]


@pytest.fixture(scope="module")
def edge(start_edge: Callable[..., Edge]) -> Iterator[Edge]:
    """The edge as `id.example.test`, in front of an upstream that says what reached it."""
    with Mirror() as mirror:
        yield start_edge(mirror.upstream, host="id.example.test")


def tls(edge: Edge, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """A TLS connection to the edge under its own name."""
    plain = socket.create_connection((LOOPBACK, edge.https), timeout=15)
    return (context or edge.trust()).wrap_socket(plain, server_hostname=edge.host)


def exchange(wire: socket.socket, request: bytes) -> Answer:
    """Send bytes as they are; the status and, of a 200, what the upstream saw."""
    with wire:
        # It may be refused while we are still sending: then the answer is there to be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            wire.sendall(request)
        received = b""
        while chunk := receive(wire):
            received += chunk
            if b"\r\n\r\n" in received and b" 200 " not in received[:16]:
                break
    head, _, body = received.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    assert status is not None, received[:200]
    seen = json.loads(body) if status[1] == b"200" else {}
    return int(status[1]), seen


def receive(wire: socket.socket) -> bytes:
    """The next bytes; none when the edge has closed, in order or not."""
    try:
        return wire.recv(65536)
    except (ConnectionResetError, ssl.SSLError):
        return b""


def ask(edge: Edge, *lines: str, path: str = "/token", method: str = "GET") -> Answer:
    """One HTTP/1.1 request with exactly these header lines."""
    head = [f"{method} {path} HTTP/1.1", *lines, "Connection: close", "", ""]
    return exchange(tls(edge), "\r\n".join(head).encode())


def seen_headers(seen: dict[str, Any], name: str) -> list[str]:
    """Every value of a header as the upstream saw it."""
    return [value for key, value in seen["headers"] if key == name]


HOST = "Host: id.example.test"


def test_a_good_request_passes_unchanged(edge: Edge) -> None:
    """Path and query reach the bridge byte for byte, under the edge's own Host."""
    status, seen = ask(edge, HOST, path="//a/%2e%2E/b%2Fc;d?code=%41&code=b+c")
    assert status == 200
    assert seen["path"] == "//a/%2e%2E/b%2Fc;d"
    assert seen["query"] == "code=%41&code=b+c"
    assert seen_headers(seen, "host") == ["id.example.test"]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="absent"),
        pytest.param([HOST, HOST], id="twice"),
        pytest.param([HOST, "Host: evil.test"], id="two"),
        pytest.param(["Host: id.example.test@evil.test"], id="userinfo"),
        pytest.param(["Host: user:password@id.example.test"], id="userinfo-ours"),
        pytest.param(["Host: id.example.test/"], id="slash"),
        pytest.param(["Host: id.example.test evil.test"], id="space"),
        pytest.param(["Host:"], id="empty"),
    ],
)
def test_a_broken_host_is_refused(edge: Edge, lines: list[str]) -> None:
    """HD-05: no Host, two of them, or one with userinfo never reaches the bridge."""
    assert ask(edge, *lines)[0] == 400


def test_http_1_0_without_host_is_refused(edge: Edge) -> None:
    """HD-05: an older request without a Host is no way around the name."""
    assert exchange(tls(edge), b"GET /token HTTP/1.0\r\n\r\n")[0] == 400


@pytest.mark.parametrize("host", ["evil.test", "localhost", "127.0.0.1", "a.id.example.test"])
def test_any_other_host_is_misdirected(edge: Edge, host: str) -> None:
    """HD-05: an attacker who chooses the Host does not choose our links."""
    assert ask(edge, f"Host: {host}")[0] == 421


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["Content-Length: 3", "Content-Length: 5"], id="two"),
        pytest.param(["Content-Length: 3", "Content-Length: 3"], id="twice"),
        pytest.param(["Content-Length: -1"], id="negative"),
        pytest.param(["Content-Length: +3"], id="signed"),
        pytest.param(["Content-Length: 3, 3"], id="list"),
        pytest.param(["Content-Length: 0x3"], id="hex"),
        pytest.param(["Content-Length: 3", "Transfer-Encoding: chunked"], id="with-chunked"),
    ],
)
def test_an_ambiguous_length_is_refused(edge: Edge, lines: list[str]) -> None:
    """HD-07: nobody smuggles a second request behind a length that two readers read apart."""
    head = ["POST /token HTTP/1.1", HOST, *lines, "Connection: close", "", "a=b"]
    assert exchange(tls(edge), "\r\n".join(head).encode())[0] == 400


@pytest.mark.parametrize("coding", ["xchunked", "chunked, chunked", "identity, chunked", "gzip"])
def test_an_unknown_transfer_coding_is_refused(edge: Edge, coding: str) -> None:
    """HD-07: a Transfer-Encoding that the bridge might read otherwise is not passed on."""
    head = ["POST /token HTTP/1.1", HOST, f"Transfer-Encoding: {coding}", "", "0", "", ""]
    assert exchange(tls(edge), "\r\n".join(head).encode())[0] in {400, 501}


def test_a_chunked_body_arrives_with_a_length(edge: Edge) -> None:
    """HD-07: the bridge never sees a chunked request: the edge has counted it."""
    head = ["POST /token HTTP/1.1", HOST, "Transfer-Encoding: chunked", "Connection: close"]
    status, seen = exchange(tls(edge), "\r\n".join([*head, "", "3", "a=b", "0", "", ""]).encode())
    assert (status, seen["body"]) == (200, 3)
    assert seen_headers(seen, "content-length") == ["3"]
    assert seen_headers(seen, "transfer-encoding") == []


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["X-Long: " + "a" * 2**20], id="one-of-1-MiB"),
        pytest.param([f"X-{n}: a" for n in range(10_000)], id="10000"),
        pytest.param(["Cookie: " + "a" * 9_000], id="one-of-9-KB"),
    ],
)
def test_oversized_headers_are_refused(edge: Edge, lines: list[str]) -> None:
    """HD-08: headers beyond 32 KiB, or 8 KiB each, cost the bridge nothing."""
    assert ask(edge, HOST, *lines)[0] == 431


def test_a_long_url_is_refused(edge: Edge) -> None:
    """HD-11: a URL of 64 KiB is too long; one of 7 KiB passes."""
    assert ask(edge, HOST, path="/authorize?state=" + "a" * 2**16)[0] == 414
    assert ask(edge, HOST, path="/authorize?state=" + "a" * 7 * 2**10)[0] == 200


def test_a_large_body_is_refused(edge: Edge) -> None:
    """A body beyond 1 MiB is refused by its length alone."""
    lines = [HOST, f"Content-Length: {2**20 + 1}"]
    assert ask(edge, *lines, method="POST")[0] == 413


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_that_claims_tls_is_refused(edge: Edge, method: str) -> None:
    """HD-13: X-Forwarded-Proto from outside does not turn http into https."""
    for claim in ("X-Forwarded-Proto: https", "Forwarded: proto=https"):
        wire = socket.create_connection((LOOPBACK, edge.http), timeout=15)
        head = [f"{method} /token HTTP/1.1", HOST, claim, "Connection: close", "", ""]
        assert exchange(wire, "\r\n".join(head).encode())[0] == 400


async def test_plain_http_is_redirected_only_to_read(edge: Edge) -> None:
    """A reader is sent to https; a program that posts its secret in the clear is refused."""
    async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{edge.http}") as client:
        host = {"Host": "id.example.test"}
        read = await client.get("/authorize?a=%41", headers=host)
        assert read.status_code == 308
        assert read.headers["location"] == "https://id.example.test/authorize?a=%41"
        assert (await client.post("/token", headers=host)).status_code == 400
        assert (await client.get("/", headers={"Host": "evil.test"})).status_code == 400


def test_only_the_edge_says_who_the_peer_is(edge: Edge) -> None:
    """HD-13: what the bridge believes about its peer never comes from the peer."""
    forged = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "203.0.113.9",
        "X-Request-ID": "forged",
        "X-Original-URL": "/metrics",
        "X-Rewrite-URL": "/metrics",
        "Forwarded": "for=203.0.113.9;proto=http",
        "Proxy": "http://evil.test",
        "X_Forwarded_For": "203.0.113.9",
    }
    status, seen = ask(edge, HOST, *(f"{name}: {value}" for name, value in forged.items()))
    assert status == 200
    told = {name.lower(): seen_headers(seen, name.lower()) for name in forged}
    assert told.pop("x-forwarded-for") == [LOOPBACK]
    assert told.pop("x-forwarded-proto") == ["https"]
    assert re.fullmatch("[0-9a-f]{32}", told.pop("x-request-id")[0])
    assert {name: values for name, values in told.items() if values} == {}


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/%6Detrics", "/x/../metrics", "/metrics/", "/metrics?x", "/health/ready",
     "/health/%72eady", "/health/./ready"],
)  # fmt: skip
def test_the_operators_pages_are_not_public(edge: Edge, path: str) -> None:
    """Metrics and readiness are for the operator's network, however the path is written."""
    assert ask(edge, HOST, path=path)[0] == 404


def test_liveness_is_public(edge: Edge) -> None:
    """A monitor outside may ask whether the service lives."""
    assert ask(edge, HOST, path="/health/live")[0] == 200


@pytest.mark.parametrize("name", ["TLSv1", "TLSv1_1"])
def test_old_tls_fails(edge: Edge, name: str) -> None:
    """HD-14: TLS 1.0 and 1.1 end in the handshake, whatever Debian's nginx.conf allows."""
    context = edge.trust()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        version = ssl.TLSVersion[name]
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        tls(edge, context)


# RFC 5246 §A.5, RFC 4492 §6, RFC 5289 §3.2
SUITES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "RC4-SHA": 0x0005,
    "DES-CBC3-SHA": 0x000A,
    "ECDHE-ECDSA-RC4-SHA": 0xC007,
    "ECDHE-ECDSA-DES-CBC3-SHA": 0xC008,
    "ECDHE-ECDSA-NULL-SHA": 0xC006,
    "ECDH-anon-AES128-SHA": 0xC018,
    "AES128-GCM-SHA256": 0x009C,
    "ECDHE-ECDSA-AES128-SHA": 0xC009,
}
HANDSHAKE, ALERT = 22, 21
HANDSHAKE_FAILURE = 40


def client_hello(suite: int) -> bytes:
    """A TLS 1.2 ClientHello that offers one suite; OpenSSL can no longer offer the old ones."""

    def sized(width: int, content: bytes) -> bytes:
        return len(content).to_bytes(width, "big") + content

    def extension(number: int, content: bytes) -> bytes:
        return number.to_bytes(2, "big") + sized(2, content)

    extensions = (
        extension(0, sized(2, b"\0" + sized(2, b"id.example.test")))  # server_name
        + extension(10, sized(2, b"\x00\x17"))  # supported_groups: secp256r1
        + extension(11, sized(1, b"\0"))  # ec_point_formats: uncompressed
        + extension(13, sized(2, b"\x04\x03\x08\x04"))  # ecdsa_secp256r1_sha256, rsa_pss
    )
    hello = (
        b"\x03\x03" + bytes(range(32)) + sized(1, b"")
        + sized(2, suite.to_bytes(2, "big")) + sized(1, b"\0") + sized(2, extensions)
    )  # fmt: skip
    return b"\x16\x03\x01" + sized(2, b"\x01" + sized(3, hello))


@pytest.mark.parametrize("suite", SUITES)
def test_only_sound_suites_shake_hands(edge: Edge, suite: str) -> None:
    """HD-14: RC4, 3DES, CBC, no encryption, no name, no forward secrecy end in the handshake."""
    with socket.create_connection((LOOPBACK, edge.https), timeout=15) as wire:
        wire.sendall(client_hello(SUITES[suite]))
        kind, *_, last = wire.recv(7)
    if suite == "ECDHE-ECDSA-AES128-GCM-SHA256":
        assert kind == HANDSHAKE
    else:
        assert (kind, last) == (ALERT, HANDSHAKE_FAILURE)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_tls_works(edge: Edge, version: ssl.TLSVersion) -> None:
    """HD-14: TLS 1.2 and 1.3 work, with forward secrecy."""
    context = edge.trust()
    context.minimum_version = context.maximum_version = version
    with tls(edge, context) as wire:
        cipher = wire.cipher()
    assert cipher is not None
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


def test_an_expired_certificate_fails(start_edge: Callable[..., Edge]) -> None:
    """HD-14: a client refuses an edge whose certificate has expired."""
    expired = start_edge("127.0.0.1:9", days=-1)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        tls(expired)


def test_a_slow_header_is_cut_off(edge: Edge) -> None:
    """A sender of one header line a second is dropped after 10 s."""
    started = time.monotonic()
    with tls(edge) as wire:
        wire.sendall(b"GET /token HTTP/1.1\r\n" + HOST.encode() + b"\r\n")
        wire.settimeout(1)
        while time.monotonic() - started < 14:
            try:
                if wire.recv(4096) == b"":
                    break
                continue
            except TimeoutError:
                pass
            except OSError:
                break
            try:
                wire.sendall(b"X-Slow: 1\r\n")
            except OSError:
                break
    assert 8 < time.monotonic() - started < 13


def test_the_log_holds_no_query(edge: Edge) -> None:
    """A code in a URL, a Referer or an upstream fault is in no log of the edge."""
    ask(edge, HOST, "Referer: https://rp.test/?code=SECRET", path="/twfido/return?code=SECRET")
    assert "GET /twfido/return HTTP/1.1" in edge.access_log
    assert "SECRET" not in edge.access_log + edge.output()


def test_an_absent_bridge_is_a_bad_gateway(start_edge: Callable[..., Edge]) -> None:
    """While the bridge is away the edge answers 502, and quotes no request in its error log."""
    lonely = start_edge("127.0.0.1:9")
    assert ask(lonely, "Host: localhost", path="/authorize?code=SECRET")[0] == 502
    logs = "".join(file.read_text() for file in lonely.folder.glob("*.log"))
    assert "SECRET" not in logs + lonely.output()


def test_the_bridge_may_listen_on_a_socket(start_edge: Callable[..., Edge]) -> None:
    """The upstream may be a Unix socket."""
    with Mirror(socket=True) as mirror:
        edge = start_edge(mirror.upstream)
        assert ask(edge, "Host: localhost", path="/health/live")[0] == 200


def test_nothing_is_left_to_fill_in(edge: Edge) -> None:
    """Every value that the template asks for is one that its own header explains."""
    header, _, body = SHIPPED.read_text().partition("upstream idp")
    assert set(re.findall(r"\$\{(EDGE_\w+)\}", body)) == set(re.findall(r"(EDGE_\w+)=", header))
    assert "${EDGE_" not in (edge.folder / "shipped.conf").read_text().partition("upstream idp")[2]
