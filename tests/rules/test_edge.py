"""Whose request it is: addresses as sockets and proxies write them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from idp.kernel.caller import caller_of
from idp.kernel.edge import Edge
from idp.kernel.settings import WebSettings
from idp.kernel.web import within

CLIENT, PROXY = "203.0.113.9", "127.0.0.1"


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the address that every list and limit will see."""
    await PlainTextResponse(caller_of(Request(scope)).address)(scope, receive, send)


async def ask(
    peer: str, *forwarded: str, proxies: tuple[str, ...] = ("127.0.0.0/8",)
) -> tuple[int, str]:
    """(status, body) for a request from this peer."""
    edge = Edge(told, "http://127.0.0.1:8000", WebSettings(trusted_proxies=proxies))
    headers = [(b"host", b"127.0.0.1:8000")]
    headers += [(b"x-forwarded-for", value.encode()) for value in forwarded]
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
        ("unknown", PROXY),
        ("_hidden", PROXY),
    ],
)
async def test_what_proxies_write(forwarded: str, address: str) -> None:
    """A bare address, one with its port, IPv6 in brackets, quoted, or nothing at all (RFC 7239 §6):
    a trusted proxy is understood."""
    assert await ask(PROXY, forwarded) == (200, address)


@pytest.mark.parametrize(
    "forwarded",
    ["a", "203.0.113.9:", "203.0.113.999", "203.0.113.9 x", "[::1", "::g", "1.2.3", ""],
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
