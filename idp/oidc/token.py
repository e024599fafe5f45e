"""The token endpoint: read strictly, preload, decide, commit once, answer."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.kernel import audit, errors, metrics
from idp.kernel.caller import caller_of
from idp.kernel.errors import InvalidClient, InvalidGrant, InvalidRequest, ProtocolError
from idp.kernel.forms import Params, read_form
from idp.kernel.services import Services
from idp.kernel.throttle import PerMinute
from idp.kernel.vault import digest
from idp.kernel.web import no_store
from idp.oidc import clientauth, store
from idp.oidc.core import Core, TokenRequest
from idp.oidc.grants import GRANT_TYPES, VERIFIER
from idp.oidc.people import People
from idp.oidc.tokens import Tokens
from idp.oidc.world import World
from idp.registry.clients import Client, Clients

AUTH_FAILED = audit.event("client.auth_failed", "somebody failed to authenticate as a client")

_CODE = re.compile(r"\Atwc_[A-Za-z0-9_-]{43}\Z", re.ASCII)
OPAQUE = ("code", "refresh_token", "token")  # whatever is in them, it is simply not one of ours
# RFC 6749 §5.2: whoever tried the Authorization header is told the scheme; we tell everybody
CHALLENGE = 'Basic realm="token", charset="UTF-8"'


class Token:
    def __init__(
        self, services: Services, core: Core, clients: Clients, tokens: Tokens, people: People
    ) -> None:
        self._services, self._core, self._clients = services, core, clients
        self._tokens, self._people = tokens, people

    async def post(self, request: Request) -> Response:
        return no_store(JSONResponse(await self._answer(request)))

    async def realm(self, request: Request) -> Response:
        """The same, under a TDX-style path, with the members that Keycloak's clients expect."""
        body = await self._answer(request)
        body.update({"refresh_expires_in": 0, "not-before-policy": 0})
        return no_store(JSONResponse(body))

    async def _answer(self, request: Request) -> dict[str, Any]:
        grant = "invalid"
        try:
            form = (await read_form(request, OPAQUE)).once()
            grant = _grant_type(form)
            async with self.counting(request):
                body = await self._decide(request, form, grant)
        except ProtocolError as error:
            metrics.TOKENS.labels(grant, error.error).inc()
            raise
        metrics.TOKENS.labels(grant, "ok").inc()
        return body

    async def _decide(self, request: Request, form: Params, grant: str) -> dict[str, Any]:
        asked = await self.authenticated(request, form)
        if grant == "client_credentials" and asked.world.client:
            await self._limit(request, asked.world.client)
        for _ in range(2):
            # two tabs refresh at once: the second looks again and is told the same successor
            with contextlib.suppress(store.Overtaken):
                return await self._settle(asked, form, grant)
        raise InvalidGrant(detail="overtaken twice")

    async def _settle(self, asked: TokenRequest, form: Params, grant: str) -> dict[str, Any]:
        asked = asked.within(await self._preload(asked.world, form, grant))
        try:
            body = self._core.answer(asked)
        except ProtocolError:
            # what a refused request costs (a burnt code, a revoked family) is committed too
            await store.commit(self._services, asked.effects)
            raise
        await store.commit(self._services, asked.effects)
        return body

    # ── the client ─────────────────────────────────────────────────────────────────────────────

    async def authenticated(self, request: Request, form: Params) -> TokenRequest:
        """The request with its client proven; `world.client` is that client.
        Raises InvalidClient, InvalidRequest."""
        if len(request.headers.getlist("authorization")) > 1:
            raise InvalidRequest("one Authorization header, not several")  # RFC 6749 §2.3
        credentials = clientauth.presented(request.headers, form)
        world = World(
            now=self._services.clock.now(),
            address=caller_of(request).address,
            reference=caller_of(request).reference,
            client=await self._clients.find(credentials.client_id),
        )
        asked = TokenRequest(form, request.headers, world, self._tokens)
        client = self._core.authenticated(asked, credentials)
        if not client.metadata.public:
            used = (client.client_id, asked.credential)
            self._clients.uses.note(used, world.now, world.address)
        return asked

    @contextlib.asynccontextmanager
    async def counting(self, request: Request) -> AsyncIterator[None]:
        """Counts failed client authentication per address. Above the limit it is answered 429 and
        no longer written down one by one: a flood must not fill the audit trail."""
        try:
            yield
        except InvalidClient as refusal:
            address = caller_of(request).source
            metrics.ALARMS.labels("client-auth").inc()
            rate = PerMinute(self._tokens.settings.failed_auth_per_minute)
            wait = await self._services.throttle.hit(rate, "client-auth", address)
            if wait:
                raise errors.TooManyRequests(retry_after=wait) from None
            reference = caller_of(request).reference
            self._services.trail.gather(
                audit.entry(AUTH_FAILED, reference=reference, address=address, why=refusal.detail)
            )
            raise

    async def _limit(self, request: Request, client: Client) -> None:
        rate = PerMinute(self._tokens.settings.token_calls_per_minute)
        subject = (client.client_id, caller_of(request).source)
        wait = await self._services.throttle.hit(rate, "client-credentials", *subject)
        if wait:
            raise errors.TooManyRequests(retry_after=wait)

    # ── the world ──────────────────────────────────────────────────────────────────────────────

    async def _preload(self, world: World, form: Params, grant: str) -> World:
        if grant == "authorization_code":
            return await self._with_code(world, form)
        if grant == "refresh_token":
            return await self._with_refresh(world, form)
        return world

    async def _with_code(self, world: World, form: Params) -> World:
        verifier = form.get("code_verifier")
        if verifier is not None and not VERIFIER.match(verifier):
            raise InvalidRequest("code_verifier must be 43 to 128 unreserved characters")
        code = form.get("code", "")
        if not _CODE.match(code):
            return world
        key = digest(code)
        row = await self._services.database.one(store.CODE, digest=key)
        if row is None:
            return world
        found = store.read_code(key, row)
        return replace(world, code=found, signed_claims=await self._people.signed(found.grant))

    async def _with_refresh(self, world: World, form: Params) -> World:
        presented = self._tokens.read_refresh_token(form.get("refresh_token", ""))
        if presented is None:
            return world
        grant_id, generation = presented
        grant = await store.grant_by_id(self._services.database, grant_id)
        if grant is None:
            return world
        signed = await self._people.signed(grant)
        return replace(world, refresh=grant, generation=generation, signed_claims=signed)


def _grant_type(form: Mapping[str, str]) -> str:
    """Before Authlib sees it: its error text would choke on other characters."""
    grant = form.get("grant_type")
    if not grant:
        raise InvalidRequest("grant_type is missing")
    if grant not in GRANT_TYPES:
        raise errors.UnsupportedGrantType
    return grant
