"""A provider to send requests to, ours or another."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from tests.house import CALLBACK
from tests.keys import BEARER, Holder, Signer, sign

VERIFIER = secrets.token_urlsafe(48)
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
RESOURCE = "https://api.test"
Pair = tuple[str, str]
Change = str | None


@dataclass(frozen=True)
class Known:
    """A client as the provider registered it."""

    id: str
    secret: str | None = None

    @property
    def basic(self) -> dict[str, str]:
        both = base64.b64encode(f"{self.id}:{self.secret}".encode()).decode()
        return {"authorization": f"Basic {both}"}


@dataclass(frozen=True)
class Provider:
    """One that has the same clients as the other. `code` logs somebody in for a request."""

    http: httpx.AsyncClient
    issuer: str
    now: Callable[[], float]
    signer: Signer
    code: Callable[[dict[str, str]], Awaitable[str]]
    web: Known
    other: Known
    app: Known  # public
    program: Known

    def request(self, **changes: Change) -> dict[str, str]:
        """What /authorize would accept, with changes; None leaves a parameter out."""
        known: dict[str, Change] = {
            "response_type": "code",
            "client_id": self.web.id,
            "redirect_uri": CALLBACK,
            "scope": "openid profile",
            "state": "a-state",
            "nonce": "a-nonce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return {k: v for k, v in (known | changes).items() if v is not None}

    async def authorize(self, *more: Pair, **changes: Change) -> str:
        query = urlencode([*self.request(**changes).items(), *more])
        return told(await self.http.get(f"{self.issuer}/authorize?{query}"))

    async def push(self, *more: Pair, by: Known | None = None, **changes: Change) -> str:
        """A pushed request (RFC 9126), by `web` if nobody else is named."""
        fields = [*self.request(**changes).items(), *more]
        known = (by or self.web).basic
        return await self.post("par", urlencode(fields).encode(), **known)

    async def pushed(self, **changes: Change) -> str:
        """The reference of a good one."""
        fields = self.request(**changes)
        url, known = f"{self.issuer}/par", self.web.basic
        answer = await self.http.post(url, data=fields, headers=known)
        return str(answer.json()["request_uri"])

    async def token(
        self,
        *more: Pair,
        client: Known | None = None,
        headers: dict[str, str] | None = None,
        fields: dict[str, Change] | None = None,
        **others: Change,
    ) -> str:
        """`client` shows its secret by Basic, or its name alone."""
        by = client or Known("")
        named = (fields or {}) | others
        sent = [*((k, v) for k, v in named.items() if v is not None), *more]
        if client and not client.secret:
            sent.append(("client_id", client.id))
        known = by.basic if by.secret else {}
        return await self.post("token", urlencode(sent).encode(), **(known | (headers or {})))

    async def post(self, where: str, body: bytes, **headers: str) -> str:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        url = f"{self.issuer}/{where}"
        return told(await self.http.post(url, content=body, headers=kind | headers))

    async def redeem(self, *more: Pair, client: Known | None = None, **changes: Change) -> str:
        """A good code with a bad request."""
        fields: dict[str, Change] = {
            "grant_type": "authorization_code",
            "code": await self.code(self.request()),
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
        }
        return await self.token(*more, client=client or self.web, fields=fields | changes)

    async def credentials(self, proof: str = "", **changes: Change) -> str:
        """Client credentials of the program, with a DPoP proof."""
        headers = {"dpop": proof} if proof else {}
        fields: dict[str, Change] = {"grant_type": "client_credentials", "scope": "api:read"}
        return await self.token(client=self.program, headers=headers, fields=fields | changes)

    async def signed(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Client credentials with an assertion (RFC 7523)."""
        now = int(self.now())
        known = {"aud": self.issuer, "iat": now, "exp": now + 60, "iss": self.signer.client_id}
        named = known | {"sub": self.signer.client_id, "jti": secrets.token_urlsafe(9)} | claims
        text = json.dumps({k: v for k, v in named.items() if v is not None})
        head = {"alg": "ES256", "kid": self.signer.kid} | (header or {})
        assertion = sign(head, text, self.signer.key)
        return await self.token(
            grant_type="client_credentials",
            scope="api:read",
            client_assertion_type=BEARER,
            client_assertion=assertion,
        )

    def proof(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        now = claims.pop("now", self.now())
        uri = claims.pop("uri", f"{self.issuer}/token")
        return Holder().proof(now, uri, header, **claims)


def told(answer: httpx.Response) -> str:
    """In a few words: a page, an error sent back, the way to a login, or an error in JSON."""
    location = answer.headers.get("location", "")
    if answer.status_code in (302, 303):
        if not location.startswith(CALLBACK):
            return "login"
        parts = urlsplit(location)
        found = parse_qs(parts.query or parts.fragment)
        return f"sent back: {found.get('error', ['no error'])[0]}"
    if answer.headers.get("content-type", "").startswith("text/html"):
        return f"page {answer.status_code}"
    try:
        error = answer.json().get("error", "")
    except ValueError:
        error = ""
    return f"{answer.status_code} {error}".strip()
