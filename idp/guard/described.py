"""What an API says of itself (RFC 9728): who issues tokens for it, and which it takes."""

from __future__ import annotations

import json
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from .. import dpop
from .answers import Stopped

WELL_KNOWN = "/.well-known/oauth-protected-resource"


class Described:
    """`audience` names the API; only one that is an address has a place for its metadata, else
    `path` is "". `scopes` are those that its rules ask for; `certificates`: it is told of them."""

    def __init__(
        self, issuer: str, audience: str, scopes: Collection[str], *, certificates: bool
    ) -> None:
        parts = urlsplit(audience)
        there = parts.scheme in ("http", "https") and not parts.query
        self.path = WELL_KNOWN + parts.path.rstrip("/") if there else ""  # §3.1
        self._url = f"{parts.scheme}://{parts.netloc}{self.path}" if there else ""
        self._body = json.dumps(
            {
                "resource": audience,
                "authorization_servers": [issuer],
                "scopes_supported": sorted(scopes),
                "bearer_methods_supported": ["header"],
                "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
                "tls_client_certificate_bound_access_tokens": certificates,
            }
        )

    async def answer(self, _request: Request) -> Response:
        """Public: whoever is refused looks here (§5)."""
        headers = {"Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*"}
        return Response(self._body, media_type="application/json", headers=headers)

    def pointed_at(self, stopped: Stopped) -> Stopped:
        """A refusal whose challenge tells the place (§5.1)."""
        challenge = stopped.headers.get("WWW-Authenticate")
        if not challenge or not self.path:
            return stopped
        told = {"WWW-Authenticate": f'{challenge}, resource_metadata="{self._url}"'}
        return Stopped(stopped.status, stopped.message, {**stopped.headers, **told})
