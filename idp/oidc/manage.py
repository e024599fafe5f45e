"""What a client asks by itself: introspection (RFC 7662), revocation (RFC 7009), and what became of
its logout tokens."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.kernel import audit
from idp.kernel.caller import Caller, caller_of
from idp.kernel.database import Transaction
from idp.kernel.errors import InvalidClient, InvalidGrant, InvalidRequest, InvalidToken
from idp.kernel.forms import Params
from idp.kernel.services import Services
from idp.kernel.web import no_store
from idp.oidc import store
from idp.oidc.audience import names, own_of
from idp.oidc.authenticate import Authenticator
from idp.oidc.backchannel import sent_to
from idp.oidc.commit import commit
from idp.oidc.possession import JKT
from idp.oidc.preload import Effects
from idp.oidc.token import read_body
from idp.oidc.tokens import INTROSPECTION, Tokens
from idp.registry.clients import Client, Clients

REVOKED = audit.event("token.revoked", "a client revoked a token")

Claims = dict[str, Any]


def _accepted(request: Request) -> set[str]:
    """Subtypes of application/ that the caller names; weights and wildcards choose nothing."""
    kinds = ",".join(request.headers.getlist("accept")).lower().split(",")
    names = (kind.partition(";")[0].strip() for kind in kinds)
    return {name.removeprefix("application/") for name in names}


class Manage:
    def __init__(
        self, services: Services, clients: Clients, tokens: Tokens, authenticator: Authenticator
    ) -> None:
        self._services, self._clients = services, clients
        self._tokens, self._authenticator = tokens, authenticator

    async def _asked(
        self, request: Request, *, confidential: bool = False
    ) -> tuple[Client, Params]:
        """(the client that asks, its form with a token). Raises InvalidClient, InvalidRequest."""
        client, form = await self._client(request, confidential=confidential)
        if not form.get("token"):
            raise InvalidRequest("token is missing")
        return client, form

    async def _client(
        self, request: Request, *, confidential: bool = False
    ) -> tuple[Client, Params]:
        """Raises InvalidClient."""
        form = await read_body(request) if request.method == "POST" else Params()
        proven = await self._authenticator.of(request, form)
        async with self._authenticator.counting(request):
            await commit(self._services, Effects([*proven.effects]))
            if confidential and proven.client.metadata.public:
                raise InvalidClient(detail="a public client may not ask this")
        return proven.client, form

    # ── introspection ──────────────────────────────────────────────────────────────────────────

    async def introspect(self, request: Request) -> Response:
        client, form = await self._asked(request, confidential=True)  # RFC 7662 §2.1
        claims = await self._active(form["token"], client)
        # RFC 7662 §2.2: whatever is wrong, nothing but that it is not active
        found: Claims = {"active": False}
        if claims is not None:
            kind = "DPoP" if JKT in claims.get("cnf", {}) else "Bearer"  # RFC 9449 §6.2
            found = {"active": True, "token_type": kind, **claims}
        if INTROSPECTION not in _accepted(request):
            return no_store(JSONResponse(found))
        signed = self._tokens.introspection(client, found)
        return no_store(Response(signed, media_type=f"application/{INTROSPECTION}"))

    async def _active(self, token: str, client: Client) -> Claims | None:
        try:
            claims = self._tokens.read_access_token(token)
        except InvalidToken:
            return None
        owner = await self._clients.active(str(claims.get("client_id")))
        if owner is None or not self._entitled(claims, client):
            return None
        if not await self._still_good(claims, owner):
            return None
        # an operator may have taken a scope from the client since
        may = owner.metadata.scopes
        scope = " ".join(name for name in str(claims.get("scope", "")).split() if name in may)
        return {k: v for k, v in claims.items() if k != "gid"} | {"scope": scope}

    def _entitled(self, claims: Claims, client: Client) -> bool:
        """Its own tokens, and those made for a resource that is its own (RFC 7662 §4)."""
        mine = {client.client_id, *own_of(client.metadata.audience, self._tokens.issuer)}
        meant = bool(mine & set(names(claims.get("aud"))))
        return meant or claims.get("client_id") == client.client_id

    async def _still_good(self, claims: Claims, owner: Client) -> bool:
        database, jti = self._services.database, str(claims.get("jti"))
        if "gid" in claims:
            grant = await store.grant_of_token(database, str(claims["gid"]), jti)
            return grant is not None and grant.within(owner).alive
        return not await store.is_revoked(database, jti)

    # ── revocation ─────────────────────────────────────────────────────────────────────────────

    async def revoke(self, request: Request) -> Response:
        """200 for whatever is not active any more, whoever it was (RFC 7009 §2.2). The hint is
        not needed: our tokens tell what they are."""
        client, form = await self._asked(request)
        token, caller = form["token"], caller_of(request)
        family = self._tokens.read_refresh_token(token)
        if family:
            await self._revoke_family(caller, client, family[0])
        else:
            await self._revoke_token(caller, client, token)
        return no_store(Response(status_code=200))

    async def _revoke_family(self, caller: Caller, client: Client, grant_id: str) -> None:
        grant = await store.grant_by_id(self._services.database, grant_id)
        if grant is None:
            return
        if grant.client_id != client.client_id:
            raise InvalidGrant("the token was issued to another client")
        now = self._services.clock.now()

        async def work(tx: Transaction) -> None:
            if await store.revoke_grant(tx, grant_id, now):
                await self._record(tx, caller, client)

        await self._services.database.write(work)

    async def _revoke_token(self, caller: Caller, client: Client, token: str) -> None:
        try:
            claims = self._tokens.read_access_token(token)
        except InvalidToken:
            return
        if claims.get("client_id") != client.client_id:
            raise InvalidGrant("the token was issued to another client")

        async def work(tx: Transaction) -> None:
            if await store.revoke_token(tx, claims["jti"], claims["exp"]):
                await self._record(tx, caller, client)

        await self._services.database.write(work)

    # ── logout ─────────────────────────────────────────────────────────────────────────────────

    async def deliveries(self, request: Request) -> Response:
        """What became of the logout tokens that the client was sent."""
        client, _ = await self._client(request, confidential=True)
        sent = await sent_to(self._services, self._tokens, client.client_id)
        return no_store(JSONResponse({"deliveries": sent}))

    async def _record(self, tx: Transaction, caller: Caller, client: Client) -> None:
        await self._services.trail.write(tx, caller.entry(REVOKED, client_id=client.client_id))
