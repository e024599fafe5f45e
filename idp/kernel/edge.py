"""The outermost layer: one Host, believable addresses, bounded bodies, headers of every answer."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idp.kernel.caller import Caller
from idp.kernel.clock import reference
from idp.kernel.errors import TooLarge
from idp.kernel.forms import CONTROL
from idp.kernel.settings import MtlsSettings, WebSettings
from idp.kernel.vault import digest
from idp.kernel.web import BROWSER, Cookies
from idp.mtls import HEADER
from idp.rates import parse_address

HEALTH = ("/health/",)
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


# what proxies write: a bare address, one with a port, IPv6 in brackets, any of them quoted
_HOP = re.compile(
    r"""\A\s*"?(?:\[([0-9A-Fa-f:.]+)\](?::\d+)?|([\d.]+)(?::\d+)?|([0-9A-Fa-f:.]+))"?\s*\Z"""
)
# RFC 7239 §6, and nginx behind a Unix socket, "-" and nothing at all: the proxy does not say who
_HIDDEN = re.compile(r"\A\s*(?:(?:unknown|_[\w.-]+)(?::[\w.-]+)?|unix:|-|)\s*\Z", re.IGNORECASE)


class _Refused(Exception):
    """Not for us; the text is the whole answer."""


class Edge:
    """The outermost layer: Host, scheme, peer address, body size, headers, reference."""

    def __init__(
        self, app: ASGIApp, issuer: str, settings: WebSettings, mtls: MtlsSettings
    ) -> None:
        parts = urlsplit(issuer)
        self._app, self._issuer = app, issuer
        self._https = parts.scheme == "https"
        self._mutual = urlsplit(mtls.url).netloc.lower()
        hosts = (parts.netloc, *settings.extra_hosts, *filter(None, (self._mutual,)))
        self._hosts = {host.lower().encode("latin-1") for host in hosts}
        self._trusts = trust_in(settings.trusted_proxies)
        self._cookies = Cookies(self._https)
        self._limit = settings.max_body_bytes
        self._headers = [*SECURITY_HEADERS, *([STRICT_TRANSPORT] if self._https else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name, state = reference(), scope.setdefault("state", {})
        state["https"], state["issuer"] = self._https, self._issuer
        send = self._with_headers(send)
        try:
            address, (mutual, certificate) = self._address(scope), self._certificate(scope)
            browser = self._browser(scope)
            state["caller"] = Caller(address, name, browser, mutual, certificate)
        except _Refused as refused:
            answer = PlainTextResponse(f"{refused}\n", status_code=400)
            await answer(scope, receive, send)
            return
        structlog.contextvars.bind_contextvars(reference=name)
        try:
            await self._app(scope, _limited(receive, self._limit), send)
        finally:
            structlog.contextvars.unbind_contextvars("reference", "client")

    def _address(self, scope: Scope) -> str:
        """The client's address. Raises _Refused for what is not meant for us."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if CONTROL.search(scope["path"]):  # PostgreSQL's text takes no NUL
            raise _Refused("control characters are not allowed")
        health = scope["path"].startswith(HEALTH)
        hosts = [v for k, v in headers if k == b"host"]
        if not health and (len(hosts) != 1 or hosts[0].lower() not in self._hosts):
            raise _Refused("unknown host")
        peer = _peer(scope)
        trusted = self._trusts(peer)
        try:
            address = self._walk(headers, peer) if trusted else peer
        except ValueError:
            raise _Refused("the forwarded address cannot be read") from None
        scheme = scope["scheme"]
        if trusted:
            told = _text(_last(headers, b"x-forwarded-proto")).rpartition(",")[2]
            scheme = told.strip().lower() or scheme
        if self._https and scheme != "https" and not health:
            raise _Refused("https only")
        return address

    def _certificate(self, scope: Scope) -> tuple[bool, str]:
        """(whether it came by the name at which our own proxy asks for certificates, the one that
        it handed over). From anybody else, and under any other name, the header says nothing
        (RFC 9440 §4). Raises _Refused."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        host = _text(_last(headers, b"host")).lower()
        if not self._mutual or host != self._mutual or not self._trusts(_peer(scope)):
            return False, ""
        found = [v for k, v in headers if k == HEADER.encode()]
        if len(found) > 1:
            raise _Refused("one certificate, not several")
        return True, _text(found[0] if found else None)

    def _browser(self, scope: Scope) -> str:
        value = self._cookies.read(Request(scope), BROWSER)
        return digest(value) if value else ""

    def _walk(self, headers: list[tuple[bytes, bytes]], peer: str) -> str:
        """From the right: what our own proxies wrote is believed, the first address that is not
        one of ours is the client. Where one of ours does not say who called it, the walk ends at
        it: what stands to the left may be forged. Whoever writes nonsense to skip a rule is
        refused."""
        hops = [h for k, v in headers if k == b"x-forwarded-for" for h in _text(v).split(",")]
        for hop in reversed(hops):
            if _HIDDEN.match(hop):
                break
            match = _HOP.match(hop)
            peer = str(parse_address((match[1] or match[2] or match[3]) if match else hop.strip()))
            if not self._trusts(peer):
                break
        return peer

    def _with_headers(self, send: Send) -> Send:
        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                added = [header for header in self._headers if header[0] not in own]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        return sender


def trust_in(proxies: Collection[str]) -> Callable[[str], bool]:
    """Whether a peer is one of these proxies: networks (CIDR), or "unix"."""
    networks = [ipaddress.ip_network(proxy) for proxy in proxies if proxy != "unix"]

    def trusts(peer: str) -> bool:
        if peer == "unix" or not peer:
            return "unix" in proxies
        if not networks:
            return False
        try:
            address = parse_address(peer)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return trusts


def _peer(scope: Scope) -> str:
    """A mapped IPv4 address is that address in every list and limit; a socket has a name."""
    peer = str((scope.get("client") or ("unix", 0))[0])
    try:
        return str(parse_address(peer))
    except ValueError:
        return peer


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("latin-1")


def _last(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((v for k, v in reversed(headers) if k == name), None)


def _limited(receive: Receive, most: int) -> Receive:
    seen = 0

    async def receiver() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise TooLarge
        return message

    return receiver
