"""HTTP as we accept it: one Host, believable addresses, bounded bodies, forms read strictly.

`Edge` wraps the whole application; the functions below read what a handler asks for. Every input
is hostile: whatever does not parse is refused here with a clear error, or is "nothing there".
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import structlog
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idp.kernel.clock import reference, token
from idp.kernel.errors import ForgedRequest, InvalidRequest, TooLarge
from idp.kernel.settings import WebSettings
from idp.kernel.vault import digest
from idp.windows import source

MAX_FIELDS = 100
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # tab is left to the owner of the field
_OPAQUE = re.compile(r"\A[A-Za-z0-9_-]{22,86}\Z", re.ASCII)
HEALTH = ("/health/",)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


# ── forms and queries ───────────────────────────────────────────────────────────────────────────


class Params(dict[str, str]):
    """Each parameter once. `repeated` names those that came more than once (RFC 6749 §3.1)."""

    repeated: frozenset[str] = frozenset()

    def once(self) -> Params:
        """Raises InvalidRequest if anything was repeated."""
        if self.repeated:
            raise InvalidRequest("a parameter is repeated: " + ", ".join(sorted(self.repeated)))
        return self


def parse_urlencoded(raw: bytes, opaque: Collection[str] = ()) -> Params:
    """Raises InvalidRequest for bad escapes, bad UTF-8, too many fields, and control characters
    but in the `opaque` fields, whose owner has a grammar of its own."""
    if _BAD_ESCAPE.search(raw):
        raise InvalidRequest("bad percent-encoding")
    try:
        text = raw.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except (UnicodeDecodeError, ValueError) as broken:
        raise InvalidRequest("the parameters cannot be read", detail=str(broken)) from None
    if _CONTROL.search("".join(k if k in opaque else k + v for k, v in pairs)):
        raise InvalidRequest("control characters are not allowed")
    params = Params(reversed(pairs))  # the first of several stays
    names = [name for name, _ in pairs]
    params.repeated = frozenset(n for n in names if names.count(n) > 1)
    return params


def read_query(request: Request) -> Params:
    return parse_urlencoded(request.scope["query_string"])


async def read_form(request: Request, opaque: Collection[str] = ()) -> Params:
    """The urlencoded body. Raises InvalidRequest for any other content type."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidRequest("the body must be application/x-www-form-urlencoded")
    return parse_urlencoded(await request.body(), opaque)


# ── cookies, browsers, forms of our own ─────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Cookies:
    """Opaque random values; the store only knows their digests."""

    secure: bool

    def name(self, plain: str) -> str:
        # some clients never send Secure cookies to http loopback, so they are plain there
        return f"__Host-{plain}" if self.secure else plain

    def read(self, request: Request, plain: str) -> str | None:
        """None if absent, malformed, or there twice (somebody planted a second one)."""
        name, found = self.name(plain), []
        for header in request.headers.getlist("cookie"):
            for part in header.split(";"):
                key, _, value = part.strip().partition("=")
                if key == name:
                    found.append(value)
        return found[0] if len(found) == 1 and _OPAQUE.match(found[0]) else None

    def write(self, response: Response, plain: str, value: str, max_age: int | None = None) -> None:
        response.set_cookie(
            self.name(plain),
            value,
            max_age=max_age,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def erase(self, response: Response, plain: str) -> None:
        response.delete_cookie(
            self.name(plain), path="/", secure=self.secure, httponly=True, samesite="lax"
        )


def preference(request: Request, name: str) -> str:
    """What the browser keeps of a person's taste: never a secret, never trusted."""
    return request.cookies.get(_preference_name(request, name), "")


def prefer(
    request: Request, response: Response, name: str, value: str, max_age: int | None = None
) -> None:
    response.set_cookie(
        _preference_name(request, name),
        value,
        max_age=max_age,
        path="/",
        secure=request.state.https,
        httponly=True,
        samesite="lax",
    )


def forget(request: Request, response: Response, name: str) -> None:
    """Of a browser that somebody else will use next."""
    response.delete_cookie(
        _preference_name(request, name),
        path="/",
        secure=request.state.https,
        httponly=True,
        samesite="lax",
    )


def _preference_name(request: Request, name: str) -> str:
    return f"__Host-{name}" if request.state.https else name


BROWSER = "idp_browser"
FORM_LIFE = 4 * 3600  # seconds a page may lie open before its buttons are stale


class Forms:
    """Which browser is this, and did this form come from a page we gave it?"""

    def __init__(self, cookies: Cookies, issuer: str, secret: bytes) -> None:
        self.cookies = cookies
        parts = urlsplit(issuer)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._signer = URLSafeTimedSerializer(secret, salt="form")

    def browser(self, request: Request) -> str | None:
        """The digest of the browser's cookie: what transactions are bound to."""
        value = self.cookies.read(request, BROWSER)
        return digest(value) if value else None

    def greet(self, request: Request) -> tuple[str, str | None]:
        """(browser, cookie value to set or None if it has one)."""
        known = self.browser(request)
        if known:
            return known, None
        value = token()
        return digest(value), value

    def stamp(self, value: str) -> str:
        """A hidden field that only we can write; `csrf` of every form is the browser's."""
        return self._signer.dumps(value)

    def stamped(self, text: str) -> str:
        """What was stamped. Raises ForgedRequest: not by us, or too long ago."""
        try:
            return str(self._signer.loads(text, max_age=FORM_LIFE))
        except BadSignature:
            raise ForgedRequest from None

    def check(self, request: Request, form: Mapping[str, str]) -> str:
        """The browser that sent this form. Raises ForgedRequest: another site may not press our
        buttons, and a stale page may not either."""
        browser = self.browser(request)
        if browser is None or not self._from_here(request):
            raise ForgedRequest
        if self.stamped(form.get("csrf", "")) != browser:
            raise ForgedRequest
        return browser

    def _from_here(self, request: Request) -> bool:
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        if origin not in (None, "null", self._origin):
            return False
        return site in (None, "same-origin", "none")


# ── the edge ────────────────────────────────────────────────────────────────────────────────────

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


def page_policy(form_targets: Iterable[str] = ()) -> str:
    """The CSP of a page. Chromium holds every redirect after a form to form-action, also those
    that a relying party makes on its own sites afterwards: a page whose buttons lead to one names
    its origin, and https altogether where that is https."""
    beyond = ["https:"] if any(t.startswith("https://") for t in form_targets) else []
    targets = " ".join(["'self'", *form_targets, *beyond])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'; form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
    )


def origin_of(uri: str) -> str:
    """scheme://host[:port], or the bare scheme for an app's own one."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


class Edge:
    """The outermost layer: Host, scheme, peer address, body size, headers, reference."""

    def __init__(self, app: ASGIApp, issuer: str, settings: WebSettings) -> None:
        parts = urlsplit(issuer)
        self._app = app
        self._https = parts.scheme == "https"
        hosts = (parts.netloc, *settings.extra_hosts)
        self._hosts = {host.lower().encode("latin-1") for host in hosts}
        self._trusts = functools.lru_cache(maxsize=10_000)(trust_in(settings.trusted_proxies))
        self._limit = settings.max_body_bytes
        self._headers = [*SECURITY_HEADERS, *([STRICT_TRANSPORT] if self._https else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["reference"], state["https"] = reference(), self._https
        send = self._with_headers(send)
        refusal = self._refusal(scope, state)
        if refusal:
            answer = PlainTextResponse(refusal + "\n", status_code=400)
            await answer(scope, receive, send)
            return
        structlog.contextvars.bind_contextvars(reference=state["reference"])
        try:
            await self._app(scope, _limited(receive, self._limit), send)
        finally:
            structlog.contextvars.unbind_contextvars("reference")

    def _refusal(self, scope: Scope, state: dict[str, Any]) -> str | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if _CONTROL.search(scope["path"]):  # PostgreSQL's text takes no NUL
            return "control characters are not allowed"
        health = scope["path"].startswith(HEALTH)
        hosts = [v for k, v in headers if k == b"host"]
        if not health and (len(hosts) != 1 or hosts[0].lower() not in self._hosts):
            return "unknown host"
        peer = (scope.get("client") or ("unix", 0))[0]
        trusted = self._trusts(peer)
        try:
            address = self._walk(headers, peer) if trusted else peer
        except ValueError:
            return "the forwarded address cannot be read"
        scheme = scope["scheme"]
        if trusted:
            scheme = _text(_last(headers, b"x-forwarded-proto")) or scheme
        if self._https and scheme != "https" and not health:
            return "https only"
        state["address"] = address
        return None

    def _walk(self, headers: list[tuple[bytes, bytes]], peer: str) -> str:
        """From the right: what our own proxies wrote is believed, the first address that is not
        one of ours is the client. Whoever writes nonsense to skip a rule is refused."""
        hops = [h for k, v in headers if k == b"x-forwarded-for" for h in _text(v).split(",")]
        for hop in reversed(hops):
            peer = str(ipaddress.ip_address(hop.strip()))
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
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return trusts


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


def source_of(request: Request) -> str:
    """What request limits count by."""
    return source(address_of(request))


def address_of(request: Request) -> str:
    address: str = request.scope["state"]["address"]
    return address


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address is in one of the networks (CIDR)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network) for network in networks)


def no_store(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return response
