"""Calls to addresses that clients chose: where they may go, and what an evil host can do."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.kernel import metrics, outward
from idp.kernel.outward import AddressRefused, Outward, OutwardError, may_be_called, read_url
from idp.kernel.settings import OutwardSettings
from idp.rates import parse_address
from tests import outside as world
from tests.house import StillClock
from tests.outside import ADDRESS, DOMAIN, NETWORK, Got, Outside


def way_out(clock: StillClock | None = None, resolve: Any = world.resolve, **more: Any) -> Outward:
    known = {"allowed_networks": (NETWORK,), "ca_file": world.authority().file}
    settings = OutwardSettings.model_validate(known | more)
    return Outward(settings, clock or StillClock(), resolve)


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with world.outside() as found:
        yield found


@pytest.fixture
async def out() -> AsyncIterator[Outward]:
    made = way_out()
    yield made
    await made.aclose()


# ── where ───────────────────────────────────────────────────────────────────────────────────────

INSIDE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",  # noqa: S104
    "172.16.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "::ffff:10.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::10.0.0.1", "100::1", "2001::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "fc00::1", "fd12:3456::1", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("text", INSIDE)
def test_inner_addresses_are_not_called(text: str) -> None:
    """RG-04: private, loopback, link-local, multicast and special addresses are refused, also where
    IPv6 carries them (mapped, compatible, NAT64, 6to4, Teredo, site-local)."""
    assert not may_be_called(parse_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "117.56.7.69", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_called(text: str) -> None:
    """Everything else would make the guard useless."""
    assert may_be_called(parse_address(text))


@given(st.ip_addresses())
def test_an_ipv6_address_is_no_way_around(address: ipaddress.IPv4Address) -> None:
    """Property: an IPv4 address is judged alike in every dress that leads to it."""
    number = int(ipaddress.ip_address(address)) & 0xFFFFFFFF
    plain = may_be_called(ipaddress.IPv4Address(number))
    dresses = (
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
    )
    for dressed in dresses:
        assert may_be_called(dressed) == plain


def test_the_operator_has_the_last_word() -> None:
    """allowed_networks opens an intranet, also to addresses that IPv6 carries; refused_networks
    closes public ones, and wins."""
    inner = [ipaddress.ip_network("10.0.0.0/8")]
    assert may_be_called(ipaddress.ip_address("10.0.0.1"), inner)
    assert may_be_called(ipaddress.ip_address("64:ff9b::10.0.0.1"), inner)
    assert not may_be_called(ipaddress.ip_address("192.168.0.1"), inner)
    assert not may_be_called(ipaddress.ip_address("10.0.0.1"), inner, inner)
    own = [ipaddress.ip_network("117.56.0.0/16")]
    assert not may_be_called(ipaddress.ip_address("117.56.7.69"), (), own)


BAD_URLS = [
    "", "https://", "https:///x", "ftp://rp.outside.test/", "file:///etc/passwd",
    "http://rp.outside.test/", "//rp.outside.test/", "https://u@rp.outside.test/",
    "https://u:p@rp.outside.test/", "https://rp.outside.test/#f", "https://rp.outside.test\\@evil/",
    "https://rp.outside.test:0/", "https://rp.outside.test:22/", "https://rp.outside.test:99999/",
    "https://rp.outside.test:443x/", "https://rp.outside.test/ x", "https://rp.outside.test/\r\nX:1",
    "https://rp.outside.test/\x00", "https://圖書館.test/", "https://rp.outside.test./",
    "https://[::1/", "https://::1/", "https://a..b/", "https://" + "a" * 64 + ".test/",
    "https://rp.outside.test/" + "a" * 2048, "https://rp_x.test/", "HTTPS://rp.outside.test/",
    "https://[fe80::1%25eth0]/", "https://rp.outside.test/\"<>",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_what_is_no_address(url: str) -> None:
    """https, a name as DNS knows it, no user, no fragment, no port of mail or terminals."""
    with pytest.raises(AddressRefused):
        read_url(url)


def test_an_address_is_taken_apart_once() -> None:
    """What is checked is what is called."""
    target = read_url("https://rp.outside.test:8443?a=b")
    assert (target.host, target.port, target.path) == ("rp.outside.test", 8443, "/?a=b")
    assert read_url("https://[2606:4700::1]/x").host == "2606:4700::1"
    assert read_url("http://rp.outside.test/", plain=True).port == 80


CANARY = [
    "https://127.0.0.1:{port}/", "https://127.1:{port}/", "https://0x7f.1:{port}/",
    "https://2130706433:{port}/", "https://0177.0.0.1:{port}/", "https://[::1]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/", "https://0:{port}/",
]  # fmt: skip


@pytest.mark.parametrize("url", CANARY)
async def test_however_loopback_is_written(url: str) -> None:
    """RG-04: the canary sees no connection, neither at a registration nor at a call."""
    seen: list[int] = []
    server = await asyncio.start_server(lambda *_: seen.append(1), "127.0.0.1", 0)
    out = way_out()
    where = url.format(port=server.sockets[0].getsockname()[1])
    with pytest.raises(AddressRefused):
        await out.check(where)
    with pytest.raises(AddressRefused):
        await out.call("test", "GET", where)
    await out.aclose()
    server.close()
    assert seen == []


async def test_a_name_of_this_machine() -> None:
    """The system's own resolver answers it, and it is refused; one that nobody knows is no crash,
    and is not said to be forbidden."""
    out = way_out(resolve=None)
    with pytest.raises(AddressRefused):
        await out.check("https://localhost/")
    with pytest.raises(OutwardError, match="name is unknown") as unknown:
        await out.check("https://nobody.invalid/")
    assert not isinstance(unknown.value, AddressRefused)
    await out.aclose()


async def test_a_name_that_changes_its_mind(outside: Outside) -> None:
    """DNS rebinding: the address that was checked is the one that is called, since the name is
    asked once for each call; and a name with one bad address among good ones is refused."""
    answers = iter([[ADDRESS], ["127.0.0.1"]])
    asked: list[str] = []

    async def fickle(host: str, _port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    outside.at["/"] = b"{}"
    out = way_out(resolve=fickle)
    assert (await out.call("test", "GET", outside.url())).body == b"{}"
    assert asked == [f"rp.{DOMAIN}"]
    with pytest.raises(AddressRefused):
        await out.call("test", "GET", outside.url())

    async def mixed(*_: Any) -> list[str]:
        return [ADDRESS, "10.0.0.1"]

    with pytest.raises(AddressRefused):
        await way_out(resolve=mixed).call("test", "GET", outside.url())


# ── with whom ───────────────────────────────────────────────────────────────────────────────────


async def test_the_name_is_what_tls_checks(outside: Outside, out: Outward) -> None:
    """SNI, Host and certificate are of the name, though the connection goes to an address."""
    outside.at["/jwks"] = {"keys": []}
    answer = await out.call("test", "GET", outside.url("/jwks?x=%20y"))
    assert answer.status == 200
    got = outside.got[0]
    assert (got.sni, got.headers["host"]) == (f"rp.{DOMAIN}", f"rp.{DOMAIN}:{outside.port}")
    assert got.path == "/jwks?x=%20y"
    assert "cookie" not in got.headers


async def test_a_certificate_for_another_name(out: Outward) -> None:
    """Whoever sits at the address without the name's certificate gets no request."""
    async with world.outside("other.test") as evil:
        with pytest.raises(OutwardError, match="the certificate is for another name"):
            await out.call("test", "POST", evil.url(), content=b"secret")
        assert evil.got == []


async def test_an_authority_that_nobody_knows(outside: Outside) -> None:
    """Without ca_file the system's authorities are asked, and they do not know this host."""
    with pytest.raises(OutwardError, match="unknown authority"):
        await way_out(ca_file=None).call("test", "GET", outside.url())


async def test_a_line_is_not_used_for_another_name(outside: Outside, out: Outward) -> None:
    """Two names at one address: the second has its own handshake, with its own name."""
    outside.at["/"] = b"{}"
    for name in ("one", "two"):
        await out.call("test", "GET", outside.url("/", f"{name}.{DOMAIN}"))
    assert [got.sni for got in outside.got] == [f"one.{DOMAIN}", f"two.{DOMAIN}"]
    assert outside.connections == 2


async def test_the_next_address_is_tried(outside: Outside) -> None:
    """A host with several addresses is reached while one of them answers; asked once only."""

    async def two(*_: Any) -> list[str]:
        return ["127.77.0.9", ADDRESS]

    outside.at["/"] = b"{}"
    answer = await way_out(resolve=two).call("test", "POST", outside.url(), content=b"x")
    assert answer.status == 200
    assert len(outside.got) == 1


async def test_the_environments_proxy_is_not_used(
    outside: Outside, out: Outward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would resolve the name anew, behind the guard."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.77.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.77.0.1:1")
    outside.at["/"] = b"{}"
    assert (await out.call("test", "GET", outside.url())).status == 200


# ── what an evil host can do ────────────────────────────────────────────────────────────────────


async def redirect(_got: Got, writer: Any) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n")


async def endless_body(_got: Got, writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def endless_headers(_got: Got, writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Header: " + b"x" * 8000 + b"\r\n")
        await writer.drain()


async def endless_promises(_got: Got, writer: Any) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def drip(_got: Got, writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silence(_got: Got, _writer: Any) -> None:
    await asyncio.sleep(60)


async def compressed(_got: Got, writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx")


async def nonsense(_got: Got, writer: Any) -> None:
    writer.write(b"\x00\xff" * 100 + b"\r\n\r\n")


async def cut(_got: Got, writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")


async def hung_up(_got: Got, _writer: Any) -> None:
    pass


EVIL = {
    redirect: "HTTP status 302",
    endless_body: "an answer over 64 KiB",
    endless_headers: "RemoteProtocolError",
    endless_promises: "timed out",
    drip: "timed out",
    silence: "timed out",
    compressed: "a compressed answer",
    nonsense: "RemoteProtocolError",
    cut: "RemoteProtocolError",
    hung_up: "RemoteProtocolError",
}


@pytest.mark.parametrize("deed", EVIL, ids=lambda deed: deed.__name__)
async def test_an_evil_host(
    deed: Any, outside: Outside, out: Outward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets one call, costs bounded time and memory, and is answered for by OutwardError; its
    words are in no message."""
    monkeypatch.setattr(outward, "SECONDS", 0.5)
    outside.at["/"] = deed
    started = time.monotonic()
    with pytest.raises(OutwardError, match=EVIL[deed]) as refused:
        await out.get("test", outside.url())
    assert time.monotonic() - started < 2
    assert outside.connections == 1
    assert "169.254" not in str(refused.value)
    assert "xxx" not in str(refused.value)


async def test_a_name_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name counts into the time of the call."""
    monkeypatch.setattr(outward, "SECONDS", 0.2)

    async def never(*_: Any) -> list[str]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(OutwardError, match="timed out"):
        await way_out(resolve=never).call("test", "GET", f"https://rp.{DOMAIN}/")


async def test_a_slow_host_holds_up_itself_only(
    outside: Outside, out: Outward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four calls of one host may hang; the fifth fails at once, and other hosts are called."""
    monkeypatch.setattr(outward, "SECONDS", 1.0)
    all_there = asyncio.Event()

    async def hang(_got: Got, _writer: Any) -> None:
        if len(outside.got) == outward.AT_ONCE_PER_HOST:
            all_there.set()
        await asyncio.sleep(60)

    outside.at |= {"/slow": hang, "/": b"{}"}
    slow = [
        asyncio.create_task(out.call("test", "GET", outside.url(f"/slow?{n}"))) for n in range(4)
    ]
    await asyncio.wait_for(all_there.wait(), 5)
    with pytest.raises(OutwardError, match="too many calls at once"):
        await out.call("test", "GET", outside.url())
    assert (await out.call("test", "GET", outside.url("/", f"other.{DOMAIN}"))).status == 200
    ended = await asyncio.gather(*slow, return_exceptions=True)
    assert all(isinstance(one, OutwardError) for one in ended)
    assert (await out.call("test", "GET", outside.url())).status == 200


# ── what is kept ────────────────────────────────────────────────────────────────────────────────


async def test_a_document_is_kept(outside: Outside) -> None:
    """One call for many who ask at once, and none while the answer is fresh; Cache-Control is heard
    between a minute and an hour."""
    clock = StillClock()
    out = way_out(clock)
    outside.at["/"] = b"{}"
    outside.headers["Cache-Control"] = "public, max-age=600"
    await asyncio.gather(*(out.get("test", outside.url()) for _ in range(50)))
    clock.pass_(599)
    await out.get("test", outside.url())
    assert outside.connections == 1
    outside.headers["Cache-Control"] = "no-store"
    clock.pass_(2)
    await out.get("test", outside.url())
    clock.pass_(59)
    await out.get("test", outside.url())
    assert outside.connections == 2


async def test_a_fault_is_kept_too(outside: Outside) -> None:
    """A host that is away is not called for every visitor, and is found again when it is back."""
    clock = StillClock()
    out = way_out(clock)
    for _ in range(3):
        with pytest.raises(OutwardError, match="HTTP status 404"):
            await out.get("test", outside.url())
    assert outside.connections == 1
    outside.at["/"] = b"{}"
    clock.pass_(31)
    assert (await out.get("test", outside.url())).body == b"{}"


async def test_what_is_forgotten_is_asked_again_soon(outside: Outside) -> None:
    """After an unknown key the document is fetched anew, at most every 30 seconds however often
    somebody makes one up."""
    clock = StillClock()
    out = way_out(clock)
    outside.at["/"] = b"{}"
    for _ in range(20):
        await out.get("test", outside.url())
        out.forget(outside.url())
    assert outside.connections == 1
    clock.pass_(31)
    await out.get("test", outside.url())
    assert outside.connections == 2


async def test_memory_has_an_end(
    outside: Outside, out: Outward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was asked for longest ago goes first."""
    monkeypatch.setattr(outward, "KEPT", 2)
    outside.at["/"] = b"{}"
    for n in ("a", "b", "a", "c", "a"):
        await out.get("test", outside.url(f"/?{n}"))
    assert [got.path for got in outside.got] == ["/?a", "/?b", "/?c"]


async def test_one_who_gives_up(outside: Outside, out: Outward) -> None:
    """Others who wait for the same document still get it."""
    outside.at["/"] = b"{}"
    hasty = asyncio.create_task(out.get("test", outside.url()))
    patient = asyncio.create_task(out.get("test", outside.url()))
    await asyncio.sleep(0)
    hasty.cancel()
    assert (await patient).body == b"{}"
    assert outside.connections == 1


async def test_closing_ends_what_is_under_way(outside: Outside) -> None:
    """A worker that stops does not wait for a host that is silent."""
    outside.at["/"] = silence
    out = way_out()
    waiting = asyncio.create_task(out.get("test", outside.url()))
    while not outside.got:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await asyncio.wait_for(out.aclose(), 1)
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_is_counted(outside: Outside, out: Outward) -> None:
    """Operators see for each purpose how many calls were answered, not answered and refused."""

    def count(result: str) -> float:
        labels = {"purpose": "counted", "result": result}
        return metrics.registry.get_sample_value("idp_outward_requests_total", labels) or 0.0

    outside.at |= {"/": b"{}", "/cut": hung_up}
    await out.call("counted", "GET", outside.url())
    for url in (outside.url("/cut"), "https://10.0.0.1/"):
        with pytest.raises(OutwardError):
            await out.call("counted", "GET", url)
    assert [count(r) for r in ("answered", "no_answer", "refused")] == [1, 1, 1]
