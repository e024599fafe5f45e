"""The middleware: rules, and who passes them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import httpx
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .answers import ANSWERS, INVALID, LACKING, NO_HEADER, Stopped, step_up, unauthorized
from .described import Described
from .limits import Limits, Meter
from .possession import Holders, origin_in
from .tokens import LEEWAY, Claims, Keys, Tokens

_PASSED = ANSWERS.labels("passed")
# RFC 9110 §11.1: the name of a scheme has no case
_TOKEN = re.compile(r"\A(?i:(bearer|dpop)) +([A-Za-z0-9._~+/-]+=*)\Z", re.ASCII)
# what some server drops, cuts off, decodes once more or takes for a slash: a Java container reads
# /open/..;/v1 as /v1, and \ufffd stands for bytes that are no UTF-8
_CROOKED = re.compile(r"//|[\\;\ufffd\x00-\x1f\x7f]|(^|/)\.{1,2}(/|$)|%2[ef]|%5c|%3b", re.I)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a path asks for. `path` is a prefix of whole segments: "/open" is "/open" and all below
    it, "/open/" only what is below. The longest one counts; without any, a valid token. `bound`:
    only one that is bound to a key (RFC 9449) or a certificate (RFC 8705), so that a stolen token
    opens nothing. `acr` and `max_age`: the login behind it must be of one of these levels, and at
    most so many seconds old (RFC 9470); a program's token has no login."""

    path: str
    scope: str = ""
    role: str = ""
    plan: str = ""
    public: bool = False
    bound: bool = False
    acr: tuple[str, ...] = ()
    max_age: int | None = None

    def covers(self, path: str) -> bool:
        below = self.path if self.path.endswith("/") else f"{self.path}/"
        return path == self.path or path.startswith(below)

    def is_met_by(self, claims: Claims, now: float) -> bool:
        """Whether the person was verified as strongly and as lately as it asks (RFC 9470 §3)."""
        at = claims.get("auth_time")
        lately = self.max_age is None or (isinstance(at, int) and now <= at + self.max_age + LEEWAY)
        return lately and (not self.acr or claims.get("acr") in self.acr)

    def folded(self) -> Rule:
        return replace(self, path=self.path.casefold())


def _nobody(_scope: Scope) -> str:
    return ""


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("unix", 0))[0])


_ANY = Rule("/")


class Guard:
    """`origin` is the API's own address as its callers know it, scheme://host[:port], for proofs of
    possession (RFC 9449); left out: that of `audience`. With a `nonce_secret`, the same in every
    process, each proof must hold a nonce of the guard. `lacking` is the status for a missing scope
    or role: TDX answers 401, RFC 6750 says 403. `address` tells who calls, `certificate` the
    certificate that was shown in TLS (RFC 8705), as nginx writes it in $ssl_client_escaped_cert;
    behind a proxy, give functions that believe yours."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        issuer: str,
        audience: str = "",
        rules: Sequence[Rule] = (),
        limits: Limits | None = None,
        lacking: int = 401,
        origin: str = "",
        nonce_secret: bytes = b"",
        address: Callable[[Scope], str] = _peer,
        certificate: Callable[[Scope], str] = _nobody,
        http: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app, self._lacking, self._address = app, lacking, address
        self._rules = sorted(rules, key=lambda rule: len(rule.path), reverse=True)
        self._folded = [rule.folded() for rule in self._rules]
        keys = Keys(issuer, http or httpx.AsyncClient(timeout=2), clock)
        self._tokens = Tokens(issuer, audience or issuer, keys, clock)
        self._meter = Meter(limits or Limits())
        origin = origin or origin_in(audience)
        self._holders = Holders(origin, nonce_secret, self._meter, clock, certificate)
        self._clock = clock
        scopes = {rule.scope for rule in rules if rule.scope}
        self.described = Described(
            issuer, audience, scopes, certificates=certificate is not _nobody
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if self.described.path and scope["path"] == self.described.path:
            await Route(self.described.path, self.described.answer).handle(scope, receive, send)
            return
        address = self._address(scope)
        try:
            with self._meter.connection(address):
                told = await self.admit(scope, address)
                _PASSED.inc()
                await self._app(scope, receive, _telling(send, told) if told else send)
        except Stopped as stopped:
            ANSWERS.labels(str(stopped.status)).inc()
            await _refuse(scope, receive, send, stopped)

    async def admit(self, scope: Scope, address: str) -> dict[str, str]:
        """Headers for the answer; the claims are left in request.state.token. Raises Stopped."""
        try:
            return await self._admitted(scope, address)
        except Stopped as stopped:
            raise self.described.pointed_at(stopped) from None

    async def _admitted(self, scope: Scope, address: str) -> dict[str, str]:
        await self._meter.rate(address)
        rule = self._rule(_path(scope))
        if rule.public or preflight(scope):
            return {}
        scheme, token = _presented(scope)
        claims = await self._tokens.verified(token)
        await self._holders.confirm(scope, scheme, token, claims)
        if rule.bound and "cnf" not in claims:
            raise unauthorized(INVALID, "invalid_token", scheme="dpop")
        granted = str(claims.get("scope", "")).split()
        roles = _roles(claims)
        if (rule.scope and rule.scope not in granted) or (rule.role and rule.role not in roles):
            raise unauthorized(LACKING, "insufficient_scope", rule.scope, self._lacking, scheme)
        if not rule.is_met_by(claims, self._clock()):
            raise step_up(scheme, rule.acr, rule.max_age)
        scope.setdefault("state", {})["token"] = claims
        key = str(claims.get("client_id", claims.get("sub")))
        told = await self._meter.quota(rule.plan or self._meter.plan_among(roles), key)
        return {**told, **self._holders.told(scheme)}

    def _rule(self, path: str) -> Rule:
        """Raises Stopped (400) for a path that differs from a rule's in capitals alone: whether
        that is the same to the API, the API alone knows."""
        found = next((rule for rule in self._rules if rule.covers(path)), _ANY)
        folded = path.casefold()
        alike = next((rule for rule in self._folded if rule.covers(folded)), _ANY)
        if alike.path != found.path.casefold():
            raise _malformed()
        return found


def preflight(scope: Scope) -> bool:
    """A question of a browser before the call itself (Fetch §3.2.2). It never carries credentials,
    so it is the API's to answer."""
    names = {name for name, _ in scope["headers"]}
    asks = {b"origin", b"access-control-request-method"} <= names
    return scope.get("method") == "OPTIONS" and asks and b"authorization" not in names


def _path(scope: Scope) -> str:
    """As the rules see it: relative to where the guard is mounted."""
    path = straight(scope["path"])
    inside = path.removeprefix(scope.get("root_path", "")) or "/"
    return inside if inside.startswith("/") else path  # /apis is not inside /api


def straight(path: str) -> str:
    """Whoever stands behind may read a crooked path as another one, so a rule must not be asked
    about it. Raises Stopped (400)."""
    if _CROOKED.search(path):
        raise _malformed()
    return path


def _malformed() -> Stopped:
    return Stopped(400, "malformed path")


def _roles(claims: Claims) -> list[str]:
    access = claims.get("realm_access")
    roles = access.get("roles") if isinstance(access, dict) else None
    return [str(role) for role in roles] if isinstance(roles, list) else []


def _presented(scope: Scope) -> tuple[str, str]:
    """(scheme, token). Raises Stopped."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if not found:
        raise unauthorized(NO_HEADER)
    match = _TOKEN.match(found[0].decode("latin-1")) if len(found) == 1 else None
    if match is None:
        raise unauthorized(INVALID, "invalid_token")
    return match[1].lower(), match[2]


def _telling(send: Send, headers: Mapping[str, str]) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            found = MutableHeaders(scope=message)
            found.update(headers)
            if "access-control-allow-origin" in found:
                exposed = [found.get("access-control-expose-headers"), *headers]
                found["Access-Control-Expose-Headers"] = ", ".join(filter(None, exposed))
        await send(message)

    return sender


def _readable(scope: Scope, stopped: Stopped) -> dict[str, str]:
    """A program in a browser may read why it was refused: a refusal holds nothing secret."""
    if not any(name == b"origin" for name, _ in scope["headers"]):
        return {}
    exposed = {"Access-Control-Expose-Headers": ", ".join(stopped.headers)}
    return {"Access-Control-Allow-Origin": "*", **(exposed if stopped.headers else {})}


async def _refuse(scope: Scope, receive: Receive, send: Send, stopped: Stopped) -> None:
    headers = {"Cache-Control": "no-store", **stopped.headers, **_readable(scope, stopped)}
    answer = JSONResponse({"message": stopped.message}, stopped.status, headers)
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get(
        "extensions", {}
    ):
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": stopped.message})
        return
    await answer(scope, receive, send)
