"""Authlib's server as a pure function: (request, Preloaded) → body, with effects appended.

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
from idp.kernel.forms import Params
from idp.oidc.authenticate import ProvenClient
from idp.oidc.preload import Effects, Preloaded
from idp.oidc.tokens import Tokens
from idp.registry.clients import Client

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


class AuthlibClient(ClientMixin):  # type: ignore[misc]
    """A client as Authlib wants to ask it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.client_id = client.client_id

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.client.metadata.grant_types


class TokenRequest(OAuth2Request):  # type: ignore[misc]
    """Authlib's request, without its look at the transport (the edge has seen to that)."""

    def __init__(
        self,
        form: Params,
        headers: Mapping[str, str],
        proven: ProvenClient,
        preloaded: Preloaded,
    ) -> None:
        self.method = "POST"
        self.headers = headers
        self.payload = BasicOAuth2Payload(form)
        self._form = form
        self.preloaded = preloaded
        self.effects = Effects([*proven.effects, *preloaded.held.effects])
        self.client = AuthlibClient(proven.client)
        self.auth_method = proven.method
        self.user: object = None
        self.authorization_code: object = None
        self.refresh_token: object = None

    @property
    def form(self) -> Params:
        return self._form


class Core(AuthorizationServer):  # type: ignore[misc]
    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.tokens = tokens

    def authenticate_client(
        self, request: TokenRequest, methods: Collection[str], endpoint: str = "token"
    ) -> AuthlibClient:
        """The Authenticator has proven it, for every grant alike: a grant cannot forget it or
        bring its own. What is left to the grant is which methods are enough."""
        del endpoint
        if request.auth_method not in methods:
            raise InvalidClient(detail="this grant needs another authentication method")
        return request.client

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
