"""What clients keep at addresses of their own: keys, request objects, lists of addresses."""

from __future__ import annotations

import json
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import urldefrag

from idp.kernel.errors import InvalidClientMetadata, InvalidRequestUri
from idp.kernel.forms import Params
from idp.kernel.outward import Outward, OutwardError
from idp.kernel.strictjson import NotStrict, read_object
from idp.oidc import clientkeys
from idp.registry.clients import Client
from idp.registry.registration import Registration, strong_keys


class Fetched:
    def __init__(self, outward: Outward) -> None:
        self._outward = outward

    # ── keys ───────────────────────────────────────────────────────────────────────────────────

    async def with_keys(self, client: Client, signed: str = "") -> Client:
        """The client with the keys at its jwks_uri. Where the key of what was `signed` is not
        among them, they are asked for again, though not more often than Outward allows. What
        cannot be read holds no key."""
        uri = client.metadata.jwks_uri
        if not uri:
            return client
        keys, kid = await self._keys(uri), _kid(signed)
        if kid and kid not in [key.get("kid") for key in keys]:
            self._outward.forget(uri)
            keys = await self._keys(uri)
        metadata = client.metadata.model_copy(update={"jwks": {"keys": keys}})
        return replace(client, metadata=metadata)

    async def _keys(self, uri: str) -> list[dict[str, object]]:
        try:
            answer = await self._outward.get("jwks_uri", uri, "application/json")
            return strong_keys(read_object(answer.body))
        except (OutwardError, NotStrict):
            return []

    # ── request objects ────────────────────────────────────────────────────────────────────────

    async def with_object(self, client: Client, params: Params) -> Params:
        """With the request object at the client's own request_uri in its place (RFC 9101 §5.2).
        Only registered addresses are called (§10.4.1). Raises InvalidRequestUri."""
        uri = params.get("request_uri", "")
        registered = [urldefrag(known).url for known in client.metadata.request_uris]
        unclear = "request" in params or "request_uri" in params.repeated  # refused later
        if unclear or urldefrag(uri).url not in registered:
            return params
        try:
            answer = await self._outward.get("request_uri", urldefrag(uri).url)
            text = answer.body.decode("ascii").strip()
        except (OutwardError, UnicodeDecodeError) as fault:
            raise InvalidRequestUri(detail=f"request_uri: {fault}") from None
        found = Params({name: value for name, value in params.items() if name != "request_uri"})
        found["request"], found.repeated = text, params.repeated
        return found

    # ── at a registration ──────────────────────────────────────────────────────────────────────

    async def check(self, registration: Registration) -> None:
        """Addresses are ones that we would call, and the list of a sector holds every redirect
        address (OpenID Connect Registration §5). Raises InvalidClientMetadata."""
        sector = registration.sector_identifier_uri
        try:
            for uri in (registration.jwks_uri, *registration.request_uris):
                if uri:
                    await self._outward.check(urldefrag(uri).url)
            if sector and not set(registration.redirect_uris) <= await self._listed(sector):
                raise InvalidClientMetadata(
                    "sector_identifier_uri does not list every redirect_uri"
                )
        except OutwardError as fault:
            raise InvalidClientMetadata(str(fault)) from None

    async def _listed(self, uri: str) -> set[str]:
        """Read anew: a registration counts for ever, so it does not go by an older list."""
        accept = {"Accept": "application/json"}
        answer = await self._outward.call("sector_identifier_uri", "GET", uri, accept)
        try:
            found = json.loads(answer.body) if answer.status == HTTPStatus.OK else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list):
            raise InvalidClientMetadata("sector_identifier_uri is no JSON list")
        return {uri for uri in found if isinstance(uri, str)}


def _kid(signed: str) -> object:
    try:
        return clientkeys.unverified(signed).header.get("kid") if signed else None
    except clientkeys.NotSigned:
        return None
