"""MAY THIS CALL PASS? An ASGI middleware that an agency puts before its own API.

    from idp.guard import Guard, Rule
    app = Guard(app, issuer="https://id.example.gov.tw", audience="https://api.example.gov.tw",
                rules=[Rule("/v1/", scope="transport:read"), Rule("/open/", public=True)])

Tokens are verified offline against the issuer's JWKS (RFC 9068 §4); the answers are those that
TDX documents. It stands alone: nothing else of this package is needed to run it.

The issuer being away stops nobody: the last good key set is kept. The rate store being away
stops everybody (503), unless `fail_open` is chosen.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import httpx
import prometheus_client
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from limits import RateLimitItem, RateLimitItemPerSecond, parse_many
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALGORITHMS = ("ES256", "RS256")
MOST_BYTES = 8192  # of a token
REMEMBERED = 10_000  # tokens that have been verified and may come again
COOLDOWN = 10.0  # seconds between two refetches for an unknown kid
LEEWAY = 5  # seconds that clocks may differ
_BEARER = re.compile(r"\A[Bb]earer +([A-Za-z0-9._~+/-]+=*)\Z", re.ASCII)

ANSWERS = prometheus_client.Counter(
    "idp_guard_answers", "Calls that the guard let pass or stopped", ["answer"]
)

Claims = Mapping[str, Any]
# what joserfc and its parsers raise for tokens that are none
BROKEN = (JoseError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_CROOKED = re.compile(r"//|\\|(^|/)\.{1,2}(/|$)|%2[ef]|%5c|[\x00-\x1f]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a path asks for. The longest matching prefix counts; without any, a valid token."""

    path: str
    scope: str = ""
    role: str = ""
    plan: str = ""
    public: bool = False


class Stopped(Exception):
    """An answer instead of the API's."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


NO_HEADER = "no Authorization header found"
INVALID = "invalid token"
LACKING = "Access token does not have the required scope/role: Missing required realm role"
USED_UP = "API rate limit exceeded"


def _unauthorized(message: str, error: str = "", scope: str = "", status: int = 401) -> Stopped:
    """RFC 6750 §3."""
    parts = ['Bearer realm="api"']
    parts += [f'error="{error}"'] if error else []
    parts += [f'scope="{scope}"'] if scope else []
    return Stopped(status, message, {"WWW-Authenticate": ", ".join(parts)})


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


class Keys:
    """The issuer's published keys: kept while fresh, refetched when a kid is unknown, and never
    thrown away because the issuer is away."""

    def __init__(self, issuer: str, http: httpx.AsyncClient, clock: Callable[[], float]) -> None:
        self._issuer, self._http, self._clock = issuer, http, clock
        self._keys: dict[str, Key] = {}
        self._fresh_until = self._tried_at = float("-inf")
        self._turn = asyncio.Lock()

    async def find(self, kid: str) -> Key | None:
        """Raises Stopped (503) if no key set was ever had."""
        if kid not in self._keys or self._clock() >= self._fresh_until:
            await self._refetch(kid)
        return self._keys.get(kid)

    async def _refetch(self, kid: str) -> None:
        async with self._turn:
            known, now = kid in self._keys, self._clock()
            if (known and now < self._fresh_until) or now < self._tried_at + COOLDOWN:
                return
            self._tried_at = now
            try:
                await self._fetch()
            except (httpx.HTTPError, *BROKEN):
                if not self._keys:
                    self._tried_at = float("-inf")
                    raise Stopped(503, "keys unavailable", {"Retry-After": "5"}) from None

    async def _fetch(self) -> None:
        url = f"{self._issuer}/.well-known/openid-configuration"
        metadata = (await self._http.get(url)).raise_for_status().json()
        if metadata["issuer"] != self._issuer:  # OpenID Connect Discovery §4.3
            raise ValueError("the metadata are of another issuer")
        answer = (await self._http.get(metadata["jwks_uri"])).raise_for_status()
        published = KeySet.import_key_set(answer.json()).keys
        self._keys = {str(key.kid): key for key in published}
        self._fresh_until = self._clock() + _max_age(answer.headers.get("cache-control", ""))


def _max_age(header: str) -> int:
    match = re.search(r"max-age=(\d{1,7})", header)
    return int(match[1]) if match else 300


# ── tokens ──────────────────────────────────────────────────────────────────────────────────────


class Tokens:
    """Verification, and the memory of tokens that passed it."""

    def __init__(self, issuer: str, audience: str, keys: Keys, clock: Callable[[], float]) -> None:
        self._issuer, self._audience = issuer, audience
        self._keys, self._clock = keys, clock
        self._passed: OrderedDict[bytes, Claims] = OrderedDict()

    async def verified(self, token: str) -> Claims:
        """Raises Stopped."""
        mark = sha256(token.encode()).digest()
        claims = self._passed.get(mark)
        if claims is None:
            claims = await self._verify(token)
            self._passed[mark] = claims
            if len(self._passed) > REMEMBERED:
                self._passed.popitem(last=False)
        if claims["exp"] + LEEWAY <= self._clock():
            self._passed.pop(mark, None)
            raise _unauthorized(INVALID, "invalid_token")
        return claims

    async def _verify(self, token: str) -> Claims:
        """RFC 9068 §4: type, signature by a published key, issuer, audience, times."""
        try:
            header = jws.extract_compact(token.encode()).headers() if _short(token) else {}
            key = await self._keys.find(str(header.get("kid", "")))
            if key is None or header.get("alg") not in ALGORITHMS or header.get("typ") != "at+jwt":
                raise _unauthorized(INVALID, "invalid_token")
            claims = jwt.decode(token, key, [str(header["alg"])]).claims
        except BROKEN:
            raise _unauthorized(INVALID, "invalid_token") from None
        if not self._meant_for_us(claims):
            raise _unauthorized(INVALID, "invalid_token")
        return claims

    def _meant_for_us(self, claims: Claims) -> bool:
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        times = all(isinstance(claims.get(name), int) for name in ("exp", "iat"))
        right = claims.get("iss") == self._issuer and self._audience in named
        return right and times and claims["iat"] <= self._clock() + 60


def _short(token: str) -> bool:
    return len(token) <= MOST_BYTES


# ── limits ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Limits:
    """TDX's own numbers. `plans` are named texts of the limits library, e.g.
    {"basic": "5/second;20000/day"}; a rule names one, or a token's role does."""

    per_second: int = 50
    connections: int = 60
    plans: Mapping[str, str] = field(default_factory=dict)
    redis_url: str = ""
    fail_open: bool = False


class Meter:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        storage: Storage = MemoryStorage()
        if limits.redis_url:
            storage = RedisStorage(f"async+{limits.redis_url}", implementation="redispy")
        self._limiter = FixedWindowRateLimiter(storage)
        self._rate = RateLimitItemPerSecond(limits.per_second)
        self._plans = {name: parse_many(text) for name, text in limits.plans.items()}
        self._open: Counter[str] = Counter()

    @contextmanager
    def connection(self, address: str) -> Iterator[None]:
        """At most so many at once from one address, counted in each process."""
        if self._open[address] >= self._limits.connections:
            raise Stopped(416, "too many connections")
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    async def rate(self, address: str) -> None:
        if not await self._hit(self._rate, "address", address):
            raise Stopped(423, "too many requests in a second", {"Retry-After": "1"})

    async def quota(self, plan: str, key: str) -> dict[str, str]:
        """RateLimit headers for the tightest window of the plan; raises Stopped (429)."""
        windows: list[dict[str, str]] = []
        for item in self._plans.get(plan, ()):
            passed = await self._hit(item, "plan", plan, key)
            told = await self._told(item, plan, key)
            if not passed:
                raise Stopped(429, USED_UP, {**told, "Retry-After": told["RateLimit-Reset"]})
            windows.append(told)
        return min(windows, key=lambda told: int(told["RateLimit-Remaining"]), default={})

    async def _told(self, item: RateLimitItem, plan: str, key: str) -> dict[str, str]:
        stats = await self._limiter.get_window_stats(item, "plan", plan, key)
        return {
            "RateLimit-Limit": str(item.amount),
            "RateLimit-Remaining": str(max(0, stats.remaining)),
            "RateLimit-Reset": str(max(1, round(stats.reset_time - time.time()))),
        }

    async def _hit(self, item: RateLimitItem, *subject: str) -> bool:
        try:
            return await self._limiter.hit(item, *subject)
        except Exception:  # the redis client raises many kinds
            if self._limits.fail_open:
                return True
            raise Stopped(503, "limits unavailable", {"Retry-After": "5"}) from None

    def plan_of(self, rule: Rule, roles: Collection[str]) -> str:
        return rule.plan or next((role for role in roles if role in self._plans), "")


# ── the middleware ──────────────────────────────────────────────────────────────────────────────


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("unix", 0))[0])


class Guard:
    """`lacking` is the status for a missing scope or role: TDX answers 401, RFC 6750 says 403.
    `address` tells who calls; behind a proxy, give a function that believes yours."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        issuer: str,
        audience: str = "",
        rules: Sequence[Rule] = (),
        limits: Limits | None = None,
        lacking: int = 401,
        address: Callable[[Scope], str] = _peer,
        http: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app, self._lacking, self._address = app, lacking, address
        self._rules = sorted(rules, key=lambda rule: len(rule.path), reverse=True)
        keys = Keys(issuer, http or httpx.AsyncClient(timeout=5), clock)
        self._tokens = Tokens(issuer, audience or issuer, keys, clock)
        self._meter = Meter(limits or Limits())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        address = self._address(scope)
        try:
            with self._meter.connection(address):
                told = await self._admit(scope, address)
                ANSWERS.labels("passed").inc()
                await self._app(scope, receive, _telling(send, told) if told else send)
        except Stopped as stopped:
            ANSWERS.labels(str(stopped.status)).inc()
            await _refuse(scope, receive, send, stopped)

    async def _admit(self, scope: Scope, address: str) -> dict[str, str]:
        """Who may pass leaves the claims in request.state.token. Raises Stopped."""
        await self._meter.rate(address)
        rule = self._rule(_path(scope))
        if rule.public:
            return {}
        claims = await self._tokens.verified(_bearer(scope))
        granted = str(claims.get("scope", "")).split()
        roles = _roles(claims)
        if (rule.scope and rule.scope not in granted) or (rule.role and rule.role not in roles):
            raise _unauthorized(LACKING, "insufficient_scope", rule.scope, self._lacking)
        scope.setdefault("state", {})["token"] = claims
        key = str(claims.get("client_id", claims.get("sub")))
        return await self._meter.quota(self._meter.plan_of(rule, roles), key)

    def _rule(self, path: str) -> Rule:
        return next((rule for rule in self._rules if path.startswith(rule.path)), Rule("/"))


def _path(scope: Scope) -> str:
    """As the rules see it: relative to where the guard is mounted. Whoever stands behind may
    read a crooked path as another one, so a rule must not be asked about it."""
    path: str = scope["path"]
    if _CROOKED.search(path):
        raise Stopped(400, "malformed path")
    return path.removeprefix(scope.get("root_path", "")) or "/"


def _roles(claims: Claims) -> list[str]:
    access = claims.get("realm_access")
    roles = access.get("roles") if isinstance(access, dict) else None
    return [str(role) for role in roles] if isinstance(roles, list) else []


def _bearer(scope: Scope) -> str:
    found = Headers(scope=scope).getlist("authorization")
    if not found:
        raise _unauthorized(NO_HEADER)
    match = _BEARER.match(found[0]) if len(found) == 1 else None
    if match is None:
        raise _unauthorized(INVALID, "invalid_token")
    return match[1]


def _telling(send: Send, headers: Mapping[str, str]) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return sender


async def _refuse(scope: Scope, receive: Receive, send: Send, stopped: Stopped) -> None:
    if scope["type"] == "websocket":
        await receive()
        reason = json.dumps(stopped.message)[1:-1]
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    headers = {"Cache-Control": "no-store", **stopped.headers}
    answer = JSONResponse({"message": stopped.message}, stopped.status, headers)
    await answer(scope, receive, send)
