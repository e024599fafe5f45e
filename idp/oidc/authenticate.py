"""Client authentication as one part, which every endpoint that asks for it is given."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request

from idp.kernel import audit, errors, metrics
from idp.kernel.caller import caller_of
from idp.kernel.errors import IdpError, InvalidClient, InvalidRequest
from idp.kernel.forms import Params
from idp.kernel.services import Services
from idp.kernel.throttle import PerMinute
from idp.kernel.web import within
from idp.oidc import clientauth, tlsauth
from idp.oidc.fetched import Fetched
from idp.oidc.preload import Effect
from idp.oidc.settings import OidcSettings
from idp.oidc.tlsauth import Authorities
from idp.registry.clients import Client, Clients
from idp.registry.metadata import BY_CERTIFICATE, WITH_KEYS, WITH_SECRET

AUTH_FAILED = audit.event("client.auth_failed", "somebody failed to authenticate as a client")

# RFC 6749 §5.2: whoever tried the Authorization header is told the scheme; we tell everybody
_BASIC = 'Basic realm="token", charset="UTF-8"'


def challenge(_request: Request, _error: IdpError) -> str:
    return _BASIC


@dataclass(frozen=True, slots=True)
class ProvenClient:
    """A client that has shown that it is itself, or a public one that has said who it is.
    `credential` is the digest of the secret that it used. `effects` are what the proof costs
    (the `jti` of an assertion): the endpoint commits them with its own."""

    client: Client
    method: str
    credential: str = ""
    effects: tuple[Effect, ...] = ()


class Authenticator:
    def __init__(self, services: Services, clients: Clients, settings: OidcSettings) -> None:
        self._services, self._clients, self._settings = services, clients, settings
        self._failures = PerMinute(settings.failed_auth_per_minute)
        self._fetched = Fetched(services.outward)
        self._authorities = Authorities(services.settings.mtls.ca_file)

    async def of(self, request: Request, form: Params) -> ProvenClient:
        """Counts failures, and notes the use of a credential.
        Raises InvalidClient, InvalidRequest, TooManyRequests."""
        async with self.counting(request):
            if len(request.headers.getlist("authorization")) > 1:  # RFC 6749 §2.3
                raise InvalidRequest("one Authorization header, not several")
            presented = clientauth.presented(request.headers, form)
            client = await self._clients.find(presented.client_id)
            if client and client.metadata.token_endpoint_auth_method in WITH_KEYS:
                client = await self._fetched.with_keys(client, form.get("client_assertion", ""))
            proven = self._proven(client, presented, form, caller_of(request).certificate)
            _from_its_place(proven.client, caller_of(request).address)
        if not proven.client.metadata.public:
            used = (proven.client.client_id, proven.credential)
            self._clients.uses.note(used, self._services.clock.now(), caller_of(request).address)
        return proven

    @contextlib.asynccontextmanager
    async def counting(self, request: Request) -> AsyncIterator[None]:
        """Counts failed client authentication per source, also one that only the commit shows (a
        replayed assertion). Above the limit it is answered 429 and no longer written down: a
        flood must not fill the audit trail."""
        try:
            yield
        except InvalidClient as refusal:
            caller = caller_of(request)
            metrics.ALARMS.labels("client-auth").inc()
            wait = await self._services.throttle.hit(self._failures, "client-auth", caller.source)
            if wait:
                raise errors.TooManyRequests(retry_after=wait) from None
            self._services.trail.gather(caller.entry(AUTH_FAILED, why=refusal.detail))
            raise

    def _proven(
        self,
        client: Client | None,
        presented: clientauth.Presented,
        form: Params,
        certificate: str,
    ) -> ProvenClient:
        """Raises InvalidClient, the same for unknown client and wrong secret (no enumeration)."""
        # the same hash is computed for an unknown client
        digest = self._clients.digest(presented.secret)
        if client is None or client.disabled:
            raise InvalidClient(detail="unknown or disabled client")
        if not _registered(client, presented.method):
            raise InvalidClient(detail="another authentication method is registered")
        now = self._services.clock.now()
        if presented.method in WITH_SECRET:
            if not client.knows(digest, now):
                raise InvalidClient(detail="wrong secret")
            return ProvenClient(client, presented.method, digest)
        if presented.method == "private_key_jwt":
            assertion, issuer = form.get("client_assertion", ""), self._services.settings.issuer
            older = self._settings.token_endpoint_as_audience and not client.metadata.profile
            endpoint = f"{issuer}/token" if older else ""
            spent = clientauth.verify_assertion(client, assertion, issuer, now, endpoint)
            return ProvenClient(client, presented.method, effects=(spent,))
        registered = client.metadata.token_endpoint_auth_method
        if registered in BY_CERTIFICATE:
            tlsauth.verify(client, certificate, self._authorities, now)
        return ProvenClient(client, registered)


def _from_its_place(client: Client, address: str) -> None:
    """Told only to the client itself, who must know which address its proxy shows.
    Raises InvalidClient."""
    networks = client.metadata.allowed_networks
    if networks and not within(address, networks):
        raise InvalidClient(f"this client may not call from {address}")


def _registered(client: Client, method: str) -> bool:
    """A client with a secret may send it either way, as the TDX programs do. One that shows a
    certificate sends nothing but its client_id (RFC 8705 §2)."""
    known, registered = client.metadata, client.metadata.token_endpoint_auth_method
    return (
        method == registered
        or (method in WITH_SECRET and known.with_secret)
        or (method == "none" and registered in BY_CERTIFICATE)
    )
