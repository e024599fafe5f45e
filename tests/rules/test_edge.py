"""Whose request it is: addresses as sockets and proxies write them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from idp.kernel.caller import caller_of
from idp.kernel.edge import Edge
from idp.kernel.settings import MtlsSettings, WebSettings
from idp.kernel.web import within

CLIENT, PROXY = "203.0.113.9", "127.0.0.1"
HIDDEN = ("", " ", "-", "unknown", "Unknown", "unknown:80", "_hidden", "_hidden:_port", "unix:")


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the address that every list and limit will see."""
    await PlainTextResponse(caller_of(Request(scope)).address)(scope, receive, send)


async def ask(
    peer: str, *forwarded: str, name: str = "x-forwarded-for", issuer: str = "http://127.0.0.1:8000"
) -> tuple[int, str]:
    """(status, body) for a request from this peer."""
    edge = Edge(told, issuer, WebSettings(trusted_proxies=("127.0.0.0/8",)), MtlsSettings())
    headers = [(b"host", b"127.0.0.1:8000")]
    headers += [(name.encode(), value.encode()) for value in forwarded]
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http",
        "headers": headers, "client": (peer, 1),
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    await edge(scope, receive, send)
    return sent[0]["status"], sent[1]["body"].decode()


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (CLIENT, CLIENT),
        (f"{CLIENT}:51008", CLIENT),
        (f" {CLIENT} ", CLIENT),
        (f'"{CLIENT}:443"', CLIENT),
        (f"::ffff:{CLIENT}", CLIENT),
        (f"[::ffff:{CLIENT}]:443", CLIENT),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:DB8::1]:51008", "2001:db8::1"),
        (f"198.51.100.1, {CLIENT}:80, 127.0.0.5", CLIENT),
        *((hidden, PROXY) for hidden in HIDDEN),
        *((f"{CLIENT}, {hidden}", PROXY) for hidden in HIDDEN),
        *((f"{hidden}, {CLIENT}", CLIENT) for hidden in HIDDEN),
        *((f"{CLIENT}, {hidden}, 127.0.0.5", "127.0.0.5") for hidden in HIDDEN),
    ],
)
async def test_what_proxies_write(forwarded: str, address: str) -> None:
    """A bare address, one with its port, IPv6 in brackets, quoted, or nothing at all (RFC 7239 §6):
    a trusted proxy is understood. Where it does not say who called it, nothing to the left is
    believed, since its caller may have written that."""
    assert await ask(PROXY, forwarded) == (200, address)


@pytest.mark.parametrize(
    "forwarded",
    ["a", "203.0.113.9:", "203.0.113.999", "203.0.113.9 x", "[::1", "::g", "1.2.3", "--", "un"],
)
async def test_nonsense_from_a_trusted_proxy(forwarded: str) -> None:
    """Whoever writes what is no address, perhaps to skip a rule, is refused."""
    assert (await ask(PROXY, forwarded))[0] == 400


@pytest.mark.parametrize("peer", [f"::ffff:{CLIENT}", f"::FFFF:{CLIENT}", CLIENT])
async def test_a_mapped_peer_is_its_ipv4_address(peer: str) -> None:
    """A socket that listens on :: shows IPv4 callers as ::ffff:…: in every list and limit they are
    who they are."""
    assert await ask(peer) == (200, CLIENT)
    assert within(peer, [f"{CLIENT}/32"])


async def test_a_mapped_proxy_is_trusted() -> None:
    """The list of proxies names it as IPv4."""
    assert await ask("::ffff:127.0.0.1", CLIENT) == (200, CLIENT)
    assert await ask("::ffff:198.51.100.1", CLIENT) == (200, "198.51.100.1")


@pytest.mark.parametrize("peer", [CLIENT, PROXY])
async def test_a_name_with_underscores_is_another_field(peer: str) -> None:
    """X_Forwarded_For, which some proxies let through, says nothing to anybody."""
    assert await ask(peer, "198.51.100.1", name="x_forwarded_for") == (200, peer)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        *((https, 200) for https in ("https", "HTTPS", " Https ", "http, https", "https,https")),
        *((plain, 400) for plain in ("http", "", "https, http", "https,", "httpsx", "on")),
    ],
)
async def test_the_scheme_that_a_proxy_tells(told: str, status: int) -> None:
    """HD-13: in any case of letters; of several the last, which the proxy itself wrote. From
    others than proxies it is not believed."""
    secure = {"name": "x-forwarded-proto", "issuer": "https://127.0.0.1:8000"}
    assert (await ask(PROXY, told, **secure))[0] == status
    assert (await ask(CLIENT, told, **secure))[0] == 400
