"""Dynamic client registration (RFC 7591) and its management (RFC 7592), if an operator allows it.

Who registers has an initial access token, which an operator issued for an organisation: the client
is that organisation's, and falls under its limits.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from idp.kernel import audit, errors
from idp.kernel.caller import caller_of
from idp.kernel.clock import token
from idp.kernel.database import Transaction
from idp.kernel.errors import (
    InvalidClientMetadata,
    InvalidRedirectUri,
    InvalidSoftwareStatement,
    InvalidToken,
)
from idp.kernel.services import Services
from idp.kernel.strictjson import NotStrict, read_object
from idp.kernel.throttle import PerMinute
from idp.kernel.web import no_store
from idp.oidc import scopes, userinfo
from idp.oidc.fetched import Fetched
from idp.registry import wire
from idp.registry.admissions import Admissions, NotAdmitted
from idp.registry.changes import Registrar
from idp.registry.clients import Client, Clients
from idp.registry.metadata import ClientMetadata
from idp.registry.organisations import Refused
from idp.registry.registration import Registration

REGISTERED = audit.event("client.registered", "a client registered itself by an initial token")
UPDATED = audit.event("client.updated", "a client that had registered itself changed itself")

PREFIX = "twm_"
MOST_BYTES = 32 * 1024
# what somebody may have whom no operator has looked at
SCOPES = tuple(scope for scope in scopes.CLAIMS if scope != "twid")
_ERRORS = {
    kind.error: kind
    for kind in (InvalidClientMetadata, InvalidRedirectUri, InvalidSoftwareStatement)
}
_OURS = {  # RFC 7592 §2.2: an update must not hold what only we say
    *("registration_access_token", "registration_client_uri"),
    *("client_secret_expires_at", "client_id_issued_at"),
}


class Registrations:
    def __init__(
        self,
        services: Services,
        clients: Clients,
        registrar: Registrar,
        admissions: Admissions,
        calls_per_minute: int,
    ) -> None:
        self._services, self._clients = services, clients
        self._registrar, self._admissions = registrar, admissions
        self._fetched = Fetched(services.outward)
        self._calls = PerMinute(calls_per_minute)

    async def post(self, request: Request) -> Response:
        """RFC 7591 §3. One use of the initial access token, in the transaction of the client."""
        await self._limit(request)
        text = await _bearer(request)
        try:
            organisation, name = await self._admissions.owner(text)
            registration = _new_sector(await _body(request), {"agency": name})
            await self._fetched.check(registration)
            access_token = PREFIX + token(32)

            async def spend(tx: Transaction) -> None:
                _, hint = await self._admissions.spend(tx, text)
                entry = caller_of(request).entry(REGISTERED, organisation=organisation, hint=hint)
                await self._services.trail.write(tx, entry)

            client, secret = await self._registrar.create(
                registration,
                organisation=organisation,
                registration_digest=self._digest(access_token),
                first=spend,
            )
        except NotAdmitted:
            raise InvalidToken(detail="initial access token") from None
        except Refused as refused:
            raise InvalidClientMetadata(str(refused)) from None
        told = self._described(client, access_token)
        told["client_id_issued_at"] = self._services.clock.now()
        if secret:
            told |= {"client_secret": secret, "client_secret_expires_at": 0}
        return no_store(JSONResponse(told, status_code=201))

    async def get(self, request: Request) -> Response:
        """RFC 7592 §2.1. Secrets are kept as digests, so none is told."""
        client, access_token = await self._own(request)
        return no_store(JSONResponse(self._described(client, access_token)))

    async def put(self, request: Request) -> Response:
        """RFC 7592 §2.2: what is left out has its default again. The tokens stay: who misses the
        answer must not be locked out."""
        client, access_token = await self._own(request)
        told = await _body(request)
        self._check_update(client, told)
        registration = _moved(client, told)
        await self._fetched.check(registration)
        gets_secret = registration.with_secret and not client.metadata.with_secret
        if gets_secret:
            raise InvalidClientMetadata("token_endpoint_auth_method: register anew for a secret")
        try:
            client = await self._registrar.update(client.client_id, registration)
        except Refused as refused:
            raise InvalidClientMetadata(str(refused)) from None
        self._services.trail.gather(caller_of(request).entry(UPDATED, client_id=client.client_id))
        return no_store(JSONResponse(self._described(client, access_token)))

    async def delete(self, request: Request) -> Response:
        """RFC 7592 §2.3."""
        client, _ = await self._own(request)
        await self._registrar.withdraw(client.client_id)
        return no_store(Response(status_code=204))

    # ── who asks ───────────────────────────────────────────────────────────────────────────────

    async def _own(self, request: Request) -> tuple[Client, str]:
        """The client of this path and its token. Raises InvalidToken, whatever is wrong: nobody
        learns which clients there are."""
        await self._limit(request)
        text = await _bearer(request)
        client = await self._clients.active(request.path_params["client_id"])
        known = client.registration_digest if client else ""
        if not hmac.compare_digest(known, self._digest(text)) or client is None:
            raise InvalidToken(detail="registration access token")
        return client, text

    async def _limit(self, request: Request) -> None:
        hit = self._services.throttle.hit
        if wait := await hit(self._calls, "register", caller_of(request).source):
            raise errors.TooManyRequests(retry_after=wait)

    def _digest(self, access_token: str) -> str:
        return self._services.vault.index("registration-access-token", access_token)

    # ── what is told ───────────────────────────────────────────────────────────────────────────

    def _described(self, client: Client, access_token: str) -> dict[str, Any]:
        """RFC 7591 §3.2.1, RFC 7592 §3."""
        issuer = self._services.settings.issuer
        return {
            "client_id": client.client_id,
            **wire.shown(client.metadata),
            "registration_access_token": access_token,
            "registration_client_uri": f"{issuer}/register/{client.client_id}",
        }

    def _check_update(self, client: Client, told: dict[str, Any]) -> None:
        if told.get("client_id") != client.client_id:
            raise InvalidClientMetadata("client_id must be that of the client")
        if held := _OURS & told.keys():
            raise InvalidClientMetadata(f"must not be sent: {', '.join(sorted(held))}")
        secret = told.get("client_secret", "")
        now = self._services.clock.now()
        digest = self._clients.digest(secret if isinstance(secret, str) else "")
        if "client_secret" in told and not client.knows(digest, now):
            raise InvalidClientMetadata("client_secret is not that of the client")


async def _bearer(request: Request) -> str:
    """RFC 6750 §2.1. Raises MissingToken, InvalidToken, InvalidRequest."""
    scheme, text = await userinfo.presented(request)
    if scheme != "bearer":
        raise InvalidToken(detail="another scheme")
    return text


async def _body(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidClientMetadata("the body must be application/json")
    try:
        return read_object(await request.body(), MOST_BYTES)
    except NotStrict as fault:
        raise InvalidClientMetadata(f"the body is {fault}") from None


def _moved(client: Client, told: dict[str, Any]) -> Registration:
    """What an operator decided stays, the sector too, but for a client that moves to another
    place: or whoever registers could take a sector from others, and compare notes with them."""
    before = client.metadata
    registration = _read(told, before.model_dump())
    same_list = registration.sector_identifier_uri == before.sector_identifier_uri
    if same_list and _places(registration) <= _places(before):
        return registration
    fresh = _new_sector(told, before.model_dump())
    return fresh.model_copy(update={"sector": fresh.with_sector(client.client_id).sector})


def _new_sector(told: dict[str, Any], decided: Mapping[str, Any]) -> Registration:
    """The sector is a host that every redirect address is at, or that lists them all (OIDC Core
    §8.1). At several places without a list, the client has one of its own: nobody else sees the
    same subjects."""
    found = _read(told, {**decided, "sector": f"client/{token(16)}"})
    if len(_places(found)) > 1 and not found.sector_identifier_uri:
        return found
    return found.model_copy(update={"sector": ""})


def _places(metadata: ClientMetadata) -> set[str]:
    """Of its redirect addresses: the host, or the scheme of an app."""
    return {uri.hostname or uri.scheme for uri in map(urlsplit, metadata.redirect_uris)}


def _read(told: dict[str, Any], decided: Mapping[str, Any]) -> Registration:
    try:
        return wire.read(told, SCOPES, decided)
    except wire.Unfit as unfit:
        raise _ERRORS[unfit.error](str(unfit)) from None
