"""Pushed authorization requests (RFC 9126): the client itself tells us what it wants, and the
browser carries no more than a reference."""

from __future__ import annotations

from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.kernel import errors
from idp.kernel.clock import token
from idp.kernel.forms import Params
from idp.kernel.services import Services
from idp.kernel.throttle import PerMinute
from idp.kernel.vault import digest
from idp.kernel.web import no_store
from idp.oidc import request as reading
from idp.oidc.authenticate import Authenticator
from idp.oidc.commit import commit
from idp.oidc.fetched import Fetched
from idp.oidc.hints import Hints
from idp.oidc.possession import Possession, bound
from idp.oidc.preload import Effects, KeepRequest
from idp.oidc.request import AuthorizationRequest, Entrance, Rules
from idp.oidc.request_objects import unwrapped
from idp.oidc.settings import OidcSettings
from idp.oidc.token import read_body
from idp.registry.clients import Client

REFERENCE = "urn:ietf:params:oauth:request_uri:"  # RFC 9126 §2.2


class Admit(Protocol):
    async def __call__(self, request: Request, what: str, /) -> None: ...


class PushedRequests:
    """`admit` counts what leaves a row behind by where it comes from."""

    def __init__(
        self,
        services: Services,
        settings: OidcSettings,
        authenticator: Authenticator,
        possession: Possession,
        hints: Hints,
        rules: Rules,
        admit: Admit,
    ) -> None:
        self._services, self._authenticator, self._admit = services, authenticator, admit
        self._possession, self._hints, self._rules = possession, hints, rules
        self._fetched = Fetched(services.outward)
        self._seconds = settings.pushed_request_seconds
        self._calls = PerMinute(settings.pushed_requests_per_minute)

    async def post(self, request: Request) -> Response:
        form = await read_body(request, reading.PARAMETERS)
        proven = await self._authenticator.of(request, form)
        await self._limit(request, proven.client)
        held = self._possession.of(request)
        reference = REFERENCE + token(32)
        effects = Effects([*proven.effects, *held.effects])
        async with self._authenticator.counting(request):
            try:
                asked = bound(await self._checked(form, proven.client), held)
                until = self._services.clock.now() + self._seconds
                effects.add(KeepRequest(digest(reference), asked, until))
            finally:
                # an assertion or a proof is spent by a request that is refused, too
                await commit(self._services, effects)
        body = {"request_uri": reference, "expires_in": self._seconds}
        headers = self._possession.headers(request)
        return no_store(JSONResponse(body, status_code=201, headers=headers))

    async def _checked(self, form: Params, client: Client) -> AuthorizationRequest:
        """The same checks as at /authorize, all of them answered here (RFC 9126 §2.1)."""
        issuer, now = self._services.settings.issuer, self._services.clock.now()
        if "request" in form:
            client = await self._fetched.with_keys(client, form["request"])
        form, fault = unwrapped(form, client, issuer, now)
        if fault:
            raise fault
        uri = reading.check_redirect_uri(form, client)
        asked = reading.check(form, client, uri, self._rules, Entrance.PUSHED)
        return self._hints.noted(form, client, asked)

    async def _limit(self, request: Request, client: Client) -> None:
        """A public client is anybody; one that has proven itself pushes for all its people from
        one address. Raises TooManyRequests."""
        if client.metadata.public:
            await self._admit(request, "authorize")
        elif wait := await self._services.throttle.hit(self._calls, "pushed", client.client_id):
            raise errors.TooManyRequests(retry_after=wait)
