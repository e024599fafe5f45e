"""What was said during one login, and each check of it done once more, to be looked at.

Authlib has checked everything before; what stands here repeats it step by step, so that a person
can see what a relying party has to check, and what went wrong where a login fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx
from authlib.oidc.core.util import create_half_hash
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

LEEWAY = 60  # seconds that two clocks may differ
SECRET = {
    *("authorization", "client_secret", "code", "code_verifier"),
    *("access_token", "refresh_token", "id_token"),
}
ENDPOINTS = (
    *("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"),
    "end_session_endpoint",
)
Parts = list[tuple[str, str]]  # name, value


@dataclass(frozen=True, slots=True)
class Check:
    """`told`: what was compared."""

    name: str
    passed: bool
    told: str


@dataclass(frozen=True, slots=True)
class Step:
    """One message and its answer; `name` and the names of parts and checks are explained in
    words.py."""

    name: str
    call: str
    sent: Parts = field(default_factory=list)
    got: Parts = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


class Trace:
    """One login, from the request to the claims."""

    def __init__(self, issuer: str, client_id: str, metadata: Mapping[str, Any]) -> None:
        self._client_id, self._metadata = client_id, metadata
        call = f"GET {issuer}/.well-known/openid-configuration"
        got = [(name, str(metadata[name])) for name in ENDPOINTS if name in metadata]
        checks = [_same("issuer", metadata.get("issuer"), issuer)]
        self.steps = [Step("discovery", call, [], got, checks)]
        self._asked: dict[str, str] = {}
        self._answers: dict[str, dict[str, Any]] = {}

    @property
    def failed(self) -> bool:
        return not all(check.passed for step in self.steps for check in step.checks)

    def began(self, url: str) -> None:
        """The browser was sent to the authorization endpoint."""
        address, _, query = url.partition("?")
        self._asked = dict(parse_qsl(query))
        self.steps.append(Step("authorize", f"GET {address}", _parts(self._asked)))

    def returned(self, url: str, answer: Mapping[str, str]) -> None:
        """The browser came back."""
        issuer = self._metadata.get("issuer")
        checks = [
            _same("state", answer.get("state"), self._asked.get("state")),
            _same("iss_parameter", answer.get("iss"), issuer),
        ]
        self.steps.append(Step("callback", f"GET {url}", [], _parts(answer), checks))

    def heard(self, response: httpx.Response) -> None:
        """An endpoint answered this service itself."""
        url, request = str(response.request.url), response.request
        name = next((n for n, told in self._metadata.items() if told == url), "other")
        told = response.json() if "json" in response.headers.get("content-type", "") else {}
        self._answers[name] = told
        sent = dict(parse_qsl(request.content.decode())) if request.method == "POST" else {}
        if "authorization" in request.headers:
            sent["authorization"] = request.headers["authorization"]
        got = [("keys", _key_names(told))] if name == "jwks_uri" else _parts(told)
        call = f"{request.method} {url} → HTTP {response.status_code}"
        checks = self._userinfo_checks(told) if name == "userinfo_endpoint" else []
        self.steps.append(Step(name, call, _parts(sent), got, checks))

    def read_id_token(self) -> None:
        """What the ID token says, and the checks of OIDC Core §3.1.3.7."""
        token = self._answers.get("token_endpoint", {}).get("id_token")
        if not isinstance(token, str):
            return
        try:
            header = jws.extract_compact(token.encode()).headers()
            claims = self._signed_claims(token)
        except (JoseError, ValueError) as fault:
            failed = [Check("signature", False, str(fault) or type(fault).__name__)]
            self.steps.append(Step("id_token", "", [], [("id_token", _short(token))], failed))
            return
        signed = Check("signature", True, f"{header.get('alg')}, kid {header.get('kid')}")
        checks = [signed, *self._claim_checks(claims, header)]
        self.steps.append(Step("id_token", "", _parts(header), _parts(claims), checks))

    def _signed_claims(self, token: str) -> dict[str, Any]:
        keys: Any = self._answers.get("jwks_uri") or self._metadata.get("jwks") or {"keys": []}
        algorithms = self._metadata.get("id_token_signing_alg_values_supported", ["RS256"])
        registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
        return jwt.decode(token, KeySet.import_key_set(keys), registry=registry).claims

    def _claim_checks(self, claims: dict[str, Any], header: dict[str, Any]) -> list[Check]:
        now, audience = time.time(), claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        checks = [
            _same("iss", claims.get("iss"), self._metadata.get("issuer")),
            Check("aud", self._client_id in audiences, f"{audience} ∋ {self._client_id}"),
            _within("exp", claims.get("exp"), lambda at: now < at + LEEWAY),
            _within("iat", claims.get("iat"), lambda at: at < now + LEEWAY),
            _same("nonce", claims.get("nonce"), self._asked.get("nonce")),
        ]
        if "at_hash" in claims:
            access_token = self._answers["token_endpoint"].get("access_token", "")
            computed = create_half_hash(access_token, header.get("alg"))
            checks.append(_same("at_hash", claims["at_hash"], computed and computed.decode()))
        if "acr_values" in self._asked:
            wanted = self._asked["acr_values"].split()
            told = f"{claims.get('acr')} ∈ {' '.join(wanted)}"
            checks.append(Check("acr", claims.get("acr") in wanted, told))
        if "max_age" in self._asked:
            oldest = now - float(self._asked["max_age"]) - LEEWAY
            checks.append(_within("auth_time", claims.get("auth_time"), lambda at: at > oldest))
        return checks

    def _userinfo_checks(self, told: Mapping[str, Any]) -> list[Check]:
        known = next((dict(s.got) for s in self.steps if s.name == "id_token"), {})
        return [_same("sub", told.get("sub"), known.get("sub"))]


# ── of the request that is being answered ───────────────────────────────────────────────────────

_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def follow(trace: Trace | None) -> None:
    """What this task hears from now on belongs to this login."""
    _current.set(trace)


async def listen(response: httpx.Response) -> None:
    """A hook for httpx: hands each answer to the login that is being followed."""
    trace = _current.get()
    if trace is not None:
        await response.aread()
        trace.heard(response)


# ── parts ───────────────────────────────────────────────────────────────────────────────────────


def _same(name: str, found: object, wanted: object) -> Check:
    return Check(name, found is not None and found == wanted, f"{found} = {wanted}")


def _within(name: str, at: object, holds: Callable[[float], bool]) -> Check:
    if not isinstance(at, int | float):
        return Check(name, False, str(at))
    return Check(name, holds(at), _moment(at))


def _parts(values: Mapping[str, Any]) -> Parts:
    return [(name, _text(name, value)) for name, value in values.items()]


def _text(name: str, value: object) -> str:
    if name in SECRET:
        return _short(str(value))
    if name in ("exp", "iat", "auth_time") and isinstance(value, int | float):
        return f"{value} ({_moment(value)})"
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return " ".join(map(str, value))
    return str(value)


def _short(value: str) -> str:
    """Enough to recognize it, too little to use it."""
    return f"{value[:12]}… ({len(value)})"


def _key_names(keys: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.get('alg')} {key.get('kid')}" for key in keys.get("keys", []))


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
