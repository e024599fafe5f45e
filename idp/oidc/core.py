"""Authlib's server as a pure function: (request, World) → (status, body), with effects appended.

No I/O happens here. Single use and rotation are effects that the store commits in one
transaction after the decision; what Authlib would write itself is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749.models import ClientMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload

from idp.kernel import errors
from idp.kernel.errors import IdpError, InvalidClient, ProtocolError
from idp.oidc import clientauth
from idp.oidc.clientauth import Credentials
from idp.oidc.tokens import Tokens
from idp.oidc.world import Effects, World
from idp.registry.clients import Client, Clients
from idp.registry.metadata import WITH_SECRET

BY_NAME: dict[str, type[ProtocolError]] = {
    cls.error: cls
    for cls in (
        errors.InvalidRequest,
        errors.InvalidClient,
        errors.InvalidGrant,
        errors.InvalidScope,
        errors.UnauthorizedClient,
        errors.UnsupportedGrantType,
        errors.AccessDenied,
    )
}


class Asking(ClientMixin):  # type: ignore[misc]
    """A client as Authlib wants to ask it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.client_id = client.client_id

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.client.metadata.grant_types


class TokenRequest(OAuth2Request):  # type: ignore[misc]
    """Authlib's request, without its look at the transport (the edge has seen to that)."""

    def __init__(
        self, form: Mapping[str, str], headers: Mapping[str, str], world: World, tokens: Tokens
    ) -> None:
        self.method = "POST"
        self.headers = headers
        self.payload = BasicOAuth2Payload(form)
        self._form = form
        self.world, self.tokens = world, tokens
        self.effects = Effects()
        self.client: Asking | None = None
        self.auth_method: str | None = None
        self.credential = ""  # the digest of the secret that proved the client
        self.user: object = None
        self.authorization_code: object = None
        self.refresh_token: object = None

    @property
    def form(self) -> Mapping[str, str]:
        return self._form

    def within(self, world: World) -> TokenRequest:
        """The same request, its client proven, asked of what was preloaded since."""
        again = TokenRequest(self._form, self.headers, world, self.tokens)
        again.client, again.auth_method = self.client, self.auth_method
        again.effects.wanted.extend(self.effects.wanted)
        return again


class Core(AuthorizationServer):  # type: ignore[misc]
    def __init__(self, tokens: Tokens, clients: Clients) -> None:
        super().__init__()
        self.tokens, self._clients = tokens, clients

    def authenticate_client(
        self, request: TokenRequest, methods: Collection[str], endpoint: str = "token"
    ) -> Asking:
        """The edge has had it proven, for every grant alike: a grant cannot forget it or bring
        its own. What is left to the grant is which methods are enough."""
        del endpoint
        if request.client is None or request.auth_method not in methods:
            raise InvalidClient(detail="this grant needs another authentication method")
        return request.client

    def authenticated(self, request: TokenRequest, credentials: Credentials) -> Client:
        """Raises InvalidClient, the same for unknown client and wrong secret (no enumeration)."""
        method, client_id, secret = credentials
        client = request.world.client
        # the same hash is computed for an unknown client
        digest = self._clients.digest(secret)
        known = client is not None and client.client_id == client_id and not client.disabled
        if client is None or not known:
            raise InvalidClient(detail="unknown or disabled client")
        if client.metadata.token_endpoint_auth_method != method and not self._both(client, method):
            raise InvalidClient(detail="another authentication method is registered")
        self._prove(client, method, digest, request)
        request.client, request.auth_method = Asking(client), method
        return client

    @staticmethod
    def _both(client: Client, method: str) -> bool:
        """A client with a secret may send it either way, as the TDX programs do."""
        return method in WITH_SECRET and client.metadata.with_secret

    def _prove(self, client: Client, method: str, digest: str, request: TokenRequest) -> None:
        if method in WITH_SECRET:
            if not client.knows(digest, request.world.now):
                raise InvalidClient(detail="wrong secret")
            request.credential = digest
        elif method == "private_key_jwt":
            assertion = request.form.get("client_assertion", "")
            issuer, now = self.tokens.issuer, request.world.now
            request.effects.add(clientauth.verify_assertion(client, assertion, issuer, now))

    # ── what Authlib asks of its host ──────────────────────────────────────────────────────────

    def create_oauth2_request(self, request: TokenRequest) -> TokenRequest:
        return request

    def handle_response(
        self, status: int, body: dict[str, Any], _headers: object
    ) -> dict[str, Any]:
        del status
        return body

    def handle_error_response(self, _request: object, error: OAuth2Error) -> dict[str, Any]:
        raise translated(error)

    def send_signal(self, *_args: object, **_kwargs: object) -> None:
        """No framework listens."""

    def save_token(self, _token: object, _request: object) -> None:
        """Access tokens are self-contained; all else is an effect."""

    def answer(self, request: TokenRequest) -> dict[str, Any]:
        """The token response. Raises ProtocolError; effects may be wanted all the same."""
        try:
            body: dict[str, Any] = self.create_token_response(request)
        except IdpError:
            raise
        except (ValueError, TypeError, KeyError, UnicodeError) as broken:
            # Authlib raises these for input that it did not expect (authlib 1.9.9: error texts
            # outside RFC 6749's characters, Basic that is not UTF-8, …)
            raise errors.InvalidRequest(detail=f"{type(broken).__name__} in the core") from broken
        return body


def translated(error: OAuth2Error) -> ProtocolError:
    """Authlib's error as one of ours; its description stays where it helps the integrator."""
    cls = BY_NAME.get(error.error, errors.InvalidRequest)
    if cls is InvalidClient:
        return InvalidClient(detail=error.description or "")
    return cls(error.description or None)
