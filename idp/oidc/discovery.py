"""Metadata and JWKS: precomputed bytes with an ETag."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from authlib.oidc.discovery import OpenIDProviderMetadata
from starlette.requests import Request
from starlette.responses import Response

from idp import dpop
from idp.kernel.keyring import ALGORITHMS, KeyRing
from idp.kernel.settings import MtlsSettings
from idp.oidc import clientkeys, scopes
from idp.oidc.grants import GRANTS, PROVEN
from idp.oidc.request import SIGNED_MODES, Rules
from idp.oidc.settings import OidcSettings
from idp.registry.metadata import BY_CERTIFICATE

# what is also served where certificates are asked for (RFC 8705 §5)
ALIASED = (
    "token_endpoint",
    "userinfo_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "pushed_authorization_request_endpoint",
)


def metadata(
    issuer: str, rules: Rules, languages: tuple[str, ...], mtls: MtlsSettings
) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0 §3 and RFC 8414 §2; Authlib's validator must agree."""
    refused = set() if mtls.ca_file else {"tls_client_auth"}
    refused |= set() if mtls.url else set(BY_CERTIFICATE)
    proven = [method for method in PROVEN if method not in refused]
    document: dict[str, Any] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "end_session_endpoint": f"{issuer}/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
        "scopes_supported": [*scopes.CLAIMS, *rules.scopes],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post", "jwt", *SIGNED_MODES],
        "grant_types_supported": list(GRANTS),
        "acr_values_supported": list(rules.acr_values),
        "subject_types_supported": ["pairwise", "public"],
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_signing_alg_values_supported": list(ALGORITHMS),
        "userinfo_signing_alg_values_supported": list(ALGORITHMS),
        "token_endpoint_auth_methods_supported": [*proven, "none"],
        "token_endpoint_auth_signing_alg_values_supported": clientkeys.ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": proven,
        "introspection_endpoint_auth_signing_alg_values_supported": clientkeys.ALGORITHMS,
        "introspection_signing_alg_values_supported": list(ALGORITHMS),  # RFC 9701 §7
        "revocation_endpoint_auth_methods_supported": [*proven, "none"],
        "revocation_endpoint_auth_signing_alg_values_supported": clientkeys.ALGORITHMS,
        "pushed_authorization_request_endpoint": f"{issuer}/par",
        "require_pushed_authorization_requests": rules.require_pushed,
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
        "display_values_supported": ["page", "popup", "touch", "wap"],  # one page is good for all
        "claim_types_supported": ["normal"],
        "claims_supported": sorted(
            {c for names in scopes.CLAIMS.values() for c in names}
            | set(scopes.BESIDE.values())
            | {"iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid"}
        ),
        "claims_parameter_supported": True,
        "request_parameter_supported": True,
        "request_object_signing_alg_values_supported": clientkeys.ALGORITHMS,
        "request_uri_parameter_supported": True,
        "require_request_uri_registration": True,
        "ui_locales_supported": list(languages),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,  # RFC 9207 §3
    }
    if mtls.url:
        document["tls_client_certificate_bound_access_tokens"] = True  # RFC 8705 §3.3
        document["mtls_endpoint_aliases"] = {
            name: mtls.url + str(document[name]).removeprefix(issuer) for name in ALIASED
        }
    if rules.registration:
        document["registration_endpoint"] = f"{issuer}/register"
    OpenIDProviderMetadata(document).validate()
    return document


def resource_metadata(document: dict[str, Any]) -> dict[str, Any]:
    """UserInfo as a protected resource (RFC 9728 §2); its name is that in `aud` of its tokens."""
    same = ("jwks_uri", "dpop_signing_alg_values_supported")
    return {
        "resource": document["issuer"],
        "authorization_servers": [document["issuer"]],
        "scopes_supported": list(scopes.CLAIMS),
        "bearer_methods_supported": ["header", "body"],
        "resource_signing_alg_values_supported": list(ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": "mtls_endpoint_aliases" in document,
        **{name: document[name] for name in same},
    }


class Published:
    def __init__(self, document: dict[str, Any], keyring: KeyRing, settings: OidcSettings) -> None:
        self._document = _Bytes(json.dumps(document).encode())
        self._resource = _Bytes(json.dumps(resource_metadata(document)).encode())
        self._keyring = keyring
        self._kids: tuple[str, ...] = ()
        self._jwks = _Bytes(b'{"keys":[]}')
        self._cache = f"public, max-age={settings.jwks_seconds}"

    async def discovery(self, request: Request) -> Response:
        return self._document.answer(request, self._cache)

    async def resource(self, request: Request) -> Response:
        return self._resource.answer(request, self._cache)

    async def jwks(self, request: Request) -> Response:
        keys = self._keyring.published()
        kids = tuple(key.kid for key in keys)
        if kids != self._kids:
            public = {"keys": [key.public for key in keys]}
            self._jwks, self._kids = _Bytes(json.dumps(public).encode()), kids
        return self._jwks.answer(request, self._cache)


class _Bytes:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    def answer(self, request: Request, cache: str) -> Response:
        headers = {"ETag": self._etag, "Cache-Control": cache, "Access-Control-Allow-Origin": "*"}
        if self._known(request.headers.getlist("if-none-match")):
            return Response(status_code=304, headers=headers)
        return Response(self._body, media_type="application/json", headers=headers)

    def _known(self, headers: list[str]) -> bool:
        """Weak comparison with each of a list, or any at all (RFC 9110 §13.1.2)."""
        tags = [tag.strip().removeprefix("W/") for text in headers for tag in text.split(",")]
        return self._etag in tags or "*" in tags
