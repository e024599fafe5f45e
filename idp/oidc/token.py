"""The token endpoint: read strictly, preload, decide, commit once, answer."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.kernel import errors, metrics
from idp.kernel.caller import caller_of
from idp.kernel.errors import InvalidGrant, InvalidRequest, ProtocolError
from idp.kernel.forms import Params, plain_names, read_form
from idp.kernel.services import Services
from idp.kernel.throttle import PerMinute
from idp.kernel.web import no_store
from idp.oidc.authenticate import Authenticator, ProvenClient
from idp.oidc.commit import Overtaken, commit
from idp.oidc.core import Core, TokenRequest
from idp.oidc.grants import GRANTS
from idp.oidc.loading import Loader
from idp.oidc.possession import Possession
from idp.oidc.preload import Held, Preloaded
from idp.registry.clients import Client

_OPAQUE = ("code", "refresh_token", "token")  # whatever is in them, it is simply not one of ours
SECRET = frozenset({
    *_OPAQUE, "client_secret", "client_assertion", "code_verifier", "password", "access_token",
})  # fmt: skip
# what the endpoints for programs know; anything else is ignored (RFC 6749 §3.2)
PARAMETERS = frozenset({
    *_OPAQUE, "grant_type", "redirect_uri", "code_verifier", "scope", "resource", "audience",
    "client_id", "client_secret", "client_assertion", "client_assertion_type", "token_type_hint",
})  # fmt: skip


async def read_body(request: Request, more: Collection[str] = ()) -> Params:
    """The form of a request by a client. A secret in the address is refused: it stands in the
    logs of every machine on the way (RFC 6749 §2.3.1). `more` parameters are known.
    Raises InvalidRequest."""
    if in_query := SECRET & plain_names(request):
        raise InvalidRequest(f"in the body, not in the query: {', '.join(sorted(in_query))}")
    form = await read_form(request, _OPAQUE, PARAMETERS.union(more))
    return form.once("resource").given()  # RFC 8707 §2


class TokenEndpoint:
    def __init__(
        self,
        services: Services,
        core: Core,
        authenticator: Authenticator,
        loader: Loader,
        possession: Possession,
    ) -> None:
        self._services, self._core, self._possession = services, core, possession
        self._authenticator, self._loader = authenticator, loader
        self._tokens, settings = core.tokens, core.tokens.settings
        self._calls = PerMinute(settings.token_calls_per_minute)
        self._refreshes = PerMinute(settings.refresh_calls_per_minute)

    async def post(self, request: Request) -> Response:
        body = await self._answer(request)
        return no_store(JSONResponse(body, headers=self._possession.headers(request)))

    async def realm(self, request: Request) -> Response:
        """The same, under a TDX-style path, with the members that Keycloak's clients expect."""
        body = await self._answer(request)
        body.update({"refresh_expires_in": 0, "not-before-policy": 0})
        return no_store(JSONResponse(body, headers=self._possession.headers(request)))

    async def _answer(self, request: Request) -> dict[str, Any]:
        grant = "invalid"
        try:
            form = await read_body(request)
            grant = _grant_type(form)
            body = await self._redeem(request, form, grant)
        except ProtocolError as error:
            metrics.TOKENS.labels(grant, error.error).inc()
            raise
        metrics.TOKENS.labels(grant, "ok").inc()
        return body

    async def _redeem(self, request: Request, form: Params, grant: str) -> dict[str, Any]:
        proven = await self._authenticator.of(request, form)
        await self._limit(request, form, grant, proven.client)
        held = self._possession.of_client(request, proven.client)
        async with self._authenticator.counting(request):
            for _ in range(2):
                # two tabs refresh at once: the second looks again, and gets the same successor
                with contextlib.suppress(Overtaken):
                    return await self._decided(request, form, grant, proven, held)
        raise InvalidGrant(detail="overtaken twice")

    async def _decided(
        self, request: Request, form: Params, grant: str, proven: ProvenClient, held: Held
    ) -> dict[str, Any]:
        """Decides on what is in the store now, and commits what follows from that."""
        now = self._services.clock.now()
        known = Preloaded(now, caller_of(request), proven.client, held)
        known = await GRANTS[grant].load(self._loader, known, form)
        asked = TokenRequest(form, request.headers, proven, known)
        try:
            body = self._core.answer(asked)
        except ProtocolError:
            # what a refused request costs (a burnt code, a revoked family) is committed too
            await commit(self._services, asked.effects)
            raise
        await commit(self._services, asked.effects)
        return body

    async def _limit(self, request: Request, form: Params, grant: str, client: Client) -> None:
        """What can be repeated for ever is counted: a program's calls by where it calls from, a
        refresh by its family, since one address refreshes for all people of a web site. A code is
        good once. Raises TooManyRequests."""
        hit, wait = self._services.throttle.hit, 0
        if grant == "client_credentials":
            source = caller_of(request).source
            wait = await hit(self._calls, "client-credentials", client.client_id, source)
        elif family := self._tokens.read_refresh_token(form.get("refresh_token", "")):
            wait = await hit(self._refreshes, "refresh", client.client_id, family[0])
        if wait:
            raise errors.TooManyRequests(retry_after=wait)


def _grant_type(form: Mapping[str, str]) -> str:
    """Before Authlib sees it: its error text would choke on other characters."""
    grant = form.get("grant_type")
    if not grant:
        raise InvalidRequest("grant_type is missing")
    if grant not in GRANTS:
        raise errors.UnsupportedGrantType
    return grant
