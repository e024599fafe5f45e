"""The one way out to addresses that a client chose (jwks_uri, request_uri, logout addresses …).

Whoever registers an address must not be able to make us call what only we can reach (server-side
request forgery). So a name is resolved here, every address behind it is checked, and the connection
goes to one that was: a name that answers differently the next time (DNS rebinding) gains nothing.
The certificate is checked against the name. Redirects, cookies, compression and proxies are not
used; addresses, sizes, time and calls at once have limits.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
import socket
import ssl
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import structlog

from idp.kernel import metrics
from idp.kernel.clock import Clock
from idp.kernel.reasons import reason_of
from idp.kernel.settings import OutwardSettings
from idp.rates import Address, parse_address

MOST_BYTES = 64 * 1024  # of an answer; httpcore ends its headers at 100 KiB
SECONDS = 5.0  # for a call in all, name and waiting included
CONNECT_SECONDS = 2.0  # for one of several addresses
AT_ONCE, AT_ONCE_PER_HOST = 20, 4  # calls; more of one host fail, others wait within their time
RESOLVERS = 8  # threads of our own, since a name server that never answers holds one for long
ADDRESSES = 4  # tried for one call
KEPT = 256  # answers, so 16 MiB at most
FAULT_SECONDS = 30  # an address that failed is not tried again so soon
LEAST_SECONDS, USUAL_SECONDS, MOST_SECONDS = 60, 300, 3600  # Cache-Control is heard within these

log = structlog.get_logger("idp.outward")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[Iterable[str]]]


class OutwardError(Exception):
    """There was no answer that could be used. The text names the host and the reason, for the
    operator and the client's owner; nothing of what the host said."""


class AddressRefused(OutwardError):
    """This address is never called, so nothing was sent, and trying again is of no use."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` by their names in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """An address, taken apart once: what is checked is what is called."""

    scheme: str
    host: str
    port: int
    authority: str  # as in Host
    path: str  # with the query


@dataclass(slots=True)
class _Kept:
    what: Answer | OutwardError
    asked_at: float  # by the monotonic clock, in seconds
    until: float


class Outward:
    """`resolve` is handed in for tests. `aclose` ends what is under way."""

    def __init__(
        self, settings: OutwardSettings, clock: Clock, resolve: Resolve | None = None
    ) -> None:
        self._clock, self._plain = clock, settings.allow_http
        self._allowed = [ipaddress.ip_network(n) for n in settings.allowed_networks]
        self._refused = [ipaddress.ip_network(n) for n in settings.refused_networks]
        self._ca_file = settings.ca_file
        self._threads = ThreadPoolExecutor(RESOLVERS, "outward")
        self._resolve = resolve or self._look_up
        self._places, self._busy = asyncio.Semaphore(AT_ONCE), Counter[str]()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._under_way: dict[str, asyncio.Task[Answer]] = {}

    async def aclose(self) -> None:
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    @functools.cached_property
    def _trusted(self) -> ssl.SSLContext:
        """Read at the first call: most bridges make none."""
        return ssl.create_default_context(cafile=self._ca_file)

    # ── documents ──────────────────────────────────────────────────────────────────────────────

    async def get(self, purpose: str, url: str, accept: str = "*/*") -> Answer:
        """The document there, from memory while it is fresh; of many who ask at once, one goes
        out. Raises OutwardError for anything but 200, and again for a while without a call."""
        kept = self._kept.get(url)
        if kept is not None and self._clock.monotonic() < kept.until:
            self._kept.move_to_end(url)
            if isinstance(kept.what, OutwardError):
                raise type(kept.what)(str(kept.what))  # one that was raised holds its frames
            return kept.what
        task = self._under_way.get(url)
        if task is None:
            task = self._under_way[url] = asyncio.create_task(self._fetch(purpose, url, accept))
            task.add_done_callback(lambda ended: self._ended(url, ended))
        return await asyncio.shield(task)  # one who gives up does not spoil it for the others

    def forget(self, url: str) -> None:
        """Ask again, though not sooner than after a fault: a key that is unknown may be new, and
        whoever makes up unknown keys must not make us call each time."""
        kept = self._kept.get(url)
        if kept is not None:
            kept.until = min(kept.until, kept.asked_at + FAULT_SECONDS)

    def _ended(self, url: str, task: asyncio.Task[Answer]) -> None:
        del self._under_way[url]
        if not task.cancelled():
            task.exception()  # seen, also when nobody waits for it any more

    async def _fetch(self, purpose: str, url: str, accept: str) -> Answer:
        try:
            answer = await self.call(purpose, "GET", url, {"Accept": accept})
            if answer.status != httpx.codes.OK:
                raise OutwardError(f"{urlsplit(url).netloc}: HTTP status {answer.status}")
        except OutwardError as fault:
            self._keep(url, type(fault)(str(fault)))
            raise
        self._keep(url, answer)
        return answer

    def _keep(self, url: str, what: Answer | OutwardError) -> None:
        now = self._clock.monotonic()
        self._kept[url] = _Kept(what, now, now + _freshness(what))
        self._kept.move_to_end(url)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    # ── calls ──────────────────────────────────────────────────────────────────────────────────

    async def check(self, url: str) -> None:
        """For a registration: nothing is called. Raises AddressRefused; a name that nobody knows
        today raises OutwardError."""
        target = read_url(url, plain=self._plain)
        try:
            async with asyncio.timeout(SECONDS):
                await self._addresses(target)
        except (TimeoutError, OSError, UnicodeError) as fault:
            raise OutwardError(f"{target.authority}: {reason_of(fault)}") from None

    async def call(
        self,
        purpose: str,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> Answer:
        """One call, whatever its answer. Raises OutwardError."""
        try:
            answer = await self._call(method, url, headers or {}, content)
        except OutwardError as fault:
            result = "refused" if isinstance(fault, AddressRefused) else "no_answer"
            metrics.OUTWARD.labels(purpose, result).inc()
            log.info("outward.failed", purpose=purpose, why=str(fault), result=result)
            raise
        metrics.OUTWARD.labels(purpose, "answered").inc()
        return answer

    async def _call(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes
    ) -> Answer:
        target = read_url(url, plain=self._plain)
        try:
            with self._share_of(target.host):
                async with asyncio.timeout(SECONDS), self._places:
                    addresses = await self._addresses(target)
                    return await self._exchange(target, addresses, method, headers, content)
        except TimeoutError:
            raise OutwardError(f"{target.authority}: timed out") from None
        except (OSError, UnicodeError, httpx.TransportError) as fault:
            raise OutwardError(f"{target.authority}: {reason_of(fault)}") from None

    @contextmanager
    def _share_of(self, host: str) -> Iterator[None]:
        """A slow host holds up nobody but itself."""
        if self._busy[host] >= AT_ONCE_PER_HOST:
            raise OutwardError(f"{host}: too many calls at once")
        self._busy[host] += 1
        try:
            yield
        finally:
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host]

    async def _addresses(self, target: Target) -> list[Address]:
        """All of them are good, or none is used: a name that also leads inside is no accident."""
        found = await self._resolve(target.host, target.port)
        addresses = list(dict.fromkeys(parse_address(text) for text in found))
        if not addresses or not all(
            may_be_called(address, self._allowed, self._refused) for address in addresses
        ):
            raise AddressRefused(f"{target.host} leads to an address that must not be called")
        return addresses[:ADDRESSES]

    async def _look_up(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(entry[4][0]) for entry in found]

    async def _exchange(
        self,
        target: Target,
        addresses: Sequence[Address],
        method: str,
        headers: Mapping[str, str],
        content: bytes,
    ) -> Answer:
        """With the first address that can be connected to, while nothing was sent yet."""
        for address in addresses[:-1]:
            try:
                return await self._ask(target, address, method, headers, content)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._ask(target, addresses[-1], method, headers, content)

    async def _ask(
        self,
        target: Target,
        address: Address,
        method: str,
        headers: Mapping[str, str],
        content: bytes,
    ) -> Answer:
        """The line is of this call alone: one that was made for a name is not used for another at
        the same address."""
        url = httpx.URL(scheme=target.scheme, host=str(address), port=target.port, path="/")
        request = httpx.Request(
            method,
            url,
            headers={
                "Host": target.authority,
                "Accept-Encoding": "identity",
                "User-Agent": "idp",
                "Connection": "close",
                **headers,
            },
            content=content or None,
            extensions={
                "timeout": httpx.Timeout(SECONDS, connect=CONNECT_SECONDS).as_dict(),
                "sni_hostname": target.host,  # and the name that the certificate must have
                "target": target.path.encode(),
            },
        )
        async with httpx.AsyncHTTPTransport(verify=self._trusted, trust_env=False) as line:
            response = await line.handle_async_request(request)
            try:
                return await _read(response, target)
            finally:
                await response.aclose()


async def _read(response: httpx.Response, target: Target) -> Answer:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise OutwardError(f"{target.authority}: a compressed answer")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MOST_BYTES:
            raise OutwardError(f"{target.authority}: an answer over 64 KiB")
    return Answer(response.status_code, bytes(body), dict(response.headers))


# ── which addresses ─────────────────────────────────────────────────────────────────────────────

_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that IANA gives out; the rest is special
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1
# special ones that Python calls global
_SPECIAL = [ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24")]


def may_be_called(
    address: Address, allowed: Iterable[Network] = (), refused: Iterable[Network] = ()
) -> bool:
    """Public addresses but those that the operator refuses, and others that the operator allows.
    An IPv6 address that carries an IPv4 address counts as what it leads to."""
    address = _destination(address)
    if any(address in network for network in refused):
        return False
    return _is_public(address) or any(address in network for network in allowed)


def _destination(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    special = address.is_multicast or any(address in network for network in _SPECIAL)
    return address.is_global and not special


# what a URL may be written with (RFC 3986 §2), no user, no fragment; a name in Unicode is written
# as DNS knows it (xn--…)
_URL = re.compile(
    r"\A(https?)://"
    r"((?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{0,62}[A-Za-z0-9]|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::([1-9]\d{0,4}))?"
    r"((?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?)\Z",
    re.ASCII,
)
_PORTS = {"https": 443, "http": 80}


def read_url(url: str, *, plain: bool = False) -> Target:
    """Raises AddressRefused. `plain` allows http. Of the ports below 1024 only the scheme's own:
    mail and terminals are no documents."""
    found = _URL.match(url) if len(url) <= 2048 else None
    if found is None or (found[1] == "http" and not plain):
        raise AddressRefused("the address must be https://HOST/… without user or fragment")
    scheme, host, port, path = found.groups()
    usual = _PORTS[scheme]
    number = int(port or usual)
    if (number < 1024 and number != usual) or number > 65535:
        raise AddressRefused(f"port {number} is not called")
    authority = host if number == usual else f"{host}:{number}"
    return Target(scheme, host.strip("[]"), number, authority, f"/{path.removeprefix('/')}")


def _freshness(what: Answer | OutwardError) -> float:
    """Seconds for which it is kept (RFC 9111 §5.2.2.1), whatever else Cache-Control says."""
    if isinstance(what, OutwardError):
        return FAULT_SECONDS
    told = re.search(r"\bmax-age=(\d{1,9})\b", what.headers.get("cache-control", ""), re.ASCII)
    wanted = int(told[1]) if told else USUAL_SECONDS
    return min(MOST_SECONDS, max(LEAST_SECONDS, wanted))
