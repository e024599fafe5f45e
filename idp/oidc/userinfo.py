"""UserInfo: what the access token's scopes release, as it is now."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp import dpop
from idp.kernel import errors
from idp.kernel.database import Database
from idp.kernel.errors import IdpError, InvalidRequest, InvalidToken, MissingToken
from idp.kernel.forms import Params, plain_names, read_form
from idp.kernel.web import no_store
from idp.oidc import store
from idp.oidc.audience import names
from idp.oidc.people import People
from idp.oidc.possession import Possession
from idp.oidc.preload import Grant
from idp.oidc.tokens import Tokens
from idp.registry.clients import Client, Clients

# RFC 6750 §2.1, RFC 9449 §7.1
_TOKEN = re.compile(r"\A(?i:(bearer|dpop)) +([A-Za-z0-9._~+/-]+=*)\Z", re.ASCII)
_BEARER = 'Bearer realm="userinfo"'
_DPOP = f'DPoP realm="userinfo", algs="{" ".join(dpop.ALGORITHMS)}"'
METADATA = "/.well-known/oauth-protected-resource"  # RFC 9728 §3


def challenge(request: Request, error: IdpError) -> str:
    """Of the scheme that was tried, or of both (RFC 6750 §3, RFC 9449 §7.1)."""
    by_key = request.headers.get("authorization", "").lower().startswith("dpop")
    described = f'resource_metadata="{request.scope["state"]["issuer"]}{METADATA}"'  # RFC 9728 §5.1
    if isinstance(error, MissingToken):
        return f"{_BEARER}, {_DPOP}, {described}"
    return (_DPOP if by_key else _BEARER) + f', {described}, error="{error.error}"'


async def presented(request: Request) -> tuple[str, str]:
    """(scheme, token): the one access token of a request (RFC 6750 §2). Raises MissingToken,
    InvalidRequest, InvalidToken."""
    if "access_token" in plain_names(request):
        raise InvalidRequest("an access token must not be in the URL")  # RFC 9700 §4.3.2
    headers = [value for value in request.headers.getlist("authorization") if value]
    form = Params()
    kind = request.headers.get("content-type", "").lower()
    if request.method == "POST" and kind.startswith("application/x-www-form-urlencoded"):
        form = (await read_form(request, known=("access_token",))).once().given()
    if len(headers) + ("access_token" in form) > 1:
        raise InvalidRequest("one access token, once")
    if "access_token" in form:
        return "bearer", form["access_token"]
    if not headers or not headers[0].lower().startswith(("bearer", "dpop")):
        raise MissingToken  # RFC 6750 §3.1: also to whoever knows only another scheme
    match = _TOKEN.match(headers[0])
    if match is None:
        raise InvalidToken(detail="not a token")
    return match[1].lower(), match[2]


class UserInfo:
    def __init__(
        self,
        database: Database,
        clients: Clients,
        tokens: Tokens,
        people: People,
        possession: Possession,
    ) -> None:
        self._database, self._clients, self._possession = database, clients, possession
        self._tokens, self._people = tokens, people

    async def answer(self, request: Request) -> Response:
        scheme, text = await presented(request)
        claims = self._tokens.read_access_token(text)
        await self._possession.confirm(request, claims, scheme, text)
        asked = str(claims.get("scope", "")).split()
        client = await self._clients.active(str(claims.get("client_id")))
        grant = await self._live(claims, client) if "openid" in asked else None
        granted = [scope for scope in asked if grant and scope in grant.scope]
        if grant is None or client is None or "openid" not in granted:
            raise errors.InsufficientScope
        if self._tokens.issuer not in names(claims.get("aud")):  # RFC 8707 §2: it is for an API
            raise InvalidToken(detail="for another resource")
        body: dict[str, Any] = await self._people.claims(
            grant.number_index, grant.number_sealed, granted, grant.claims.get("userinfo", ())
        )
        body["sub"] = claims["sub"]
        headers = self._possession.headers(request)
        if client.metadata.userinfo_signed_response_alg:
            signed = self._tokens.userinfo(client, body)
            return no_store(Response(signed, media_type="application/jwt", headers=headers))
        return no_store(JSONResponse(body, headers=headers))

    async def _live(self, claims: dict[str, Any], client: Client | None) -> Grant:
        """Checked again at every use: grant, person, client, this very token."""
        grant_id, jti = claims.get("gid"), claims.get("jti")
        if not isinstance(grant_id, str) or not isinstance(jti, str):
            raise InvalidToken(detail="a program's token names no person")
        grant = await store.grant_of_token(self._database, grant_id, jti)
        grant = grant.within(client) if grant and client else None
        if grant is None or not grant.alive:
            raise InvalidToken(detail="revoked, or person or client disabled")
        return grant
