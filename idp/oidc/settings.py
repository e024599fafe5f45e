"""Settings of the protocol: lifetimes, realms, limits."""

from __future__ import annotations

from pydantic import Field

from idp.kernel.settings import Section


class OidcSettings(Section):
    code_seconds: int = Field(60, ge=10, le=600, description="life of an authorization code")
    id_token_seconds: int = Field(600, ge=60, description="life of an ID token")
    access_token_seconds: int = Field(
        600, ge=60, le=86_400, description="life of a person's access token"
    )
    machine_token_seconds: int = Field(
        86_400,
        ge=60,
        le=86_400,
        description="life of a program's access token; a client may have its own",
    )
    account_seconds: int = Field(
        600,
        ge=60,
        description="a person's own page opens for so long after a verification, then asks again",
    )
    refresh_idle_seconds: int = Field(
        604_800, ge=60, description="a refresh token unused so long is dead"
    )
    refresh_absolute_seconds: int = Field(
        2_592_000, ge=60, description="no refresh token lives longer than this"
    )
    rotation_grace_seconds: int = Field(
        120, ge=0, le=600, description="an old rotating refresh token answers its successor so long"
    )
    realms: tuple[str, ...] = Field((), description="TDX-style realm names")
    token_calls_per_minute: int = Field(
        20, ge=1, description="client_credentials calls per client and source address"
    )
    refresh_calls_per_minute: int = Field(
        30, ge=1, description="uses of the refresh tokens of one login by one client"
    )
    failed_auth_per_minute: int = Field(
        60, ge=1, description="failed client authentications per source address"
    )
    jwks_seconds: int = Field(
        300, ge=1, description="how long others may keep our JWKS and discovery document"
    )
    keep_keys_seconds: int = Field(
        172_800,
        ge=86_400 + 60,
        description="a retiring key stays published so long: longer than any token lives",
    )
    require_pkce: bool = Field(
        False,
        description="PKCE is required of every client; if not, a confidential client may send a"
        " nonce in its place",
    )
    registration: bool = Field(
        False, description="clients may register themselves by an initial access token (RFC 7591)"
    )
    registrations_per_minute: int = Field(
        60, ge=1, description="calls of the registration endpoints per source address"
    )
    require_pushed_authorization_requests: bool = Field(
        False, description="every client must push its authorization requests (RFC 9126)"
    )
    pushed_request_seconds: int = Field(
        60, ge=5, le=590, description="a pushed request must be followed by a browser so soon"
    )
    pushed_requests_per_minute: int = Field(
        6000, ge=1, description="authorization requests that one client may push"
    )
    dpop_nonces: bool = Field(
        False,
        description="every DPoP proof must hold a nonce of ours (RFC 9449 §8): a proof that was"
        " made in advance is worth nothing",
    )
    require_nonce: bool = Field(
        True,
        description="a confidential client without PKCE must send a nonce; OpenID Connect Core"
        " demands neither, and its certification tests a request without both",
    )
    token_endpoint_as_audience: bool = Field(
        False,
        description="assertions may name the token endpoint as aud, as OpenID Connect Core §9 has"
        " it; a server that lies about its endpoint could then use them here (CVE-2025-27370)."
        " Never of clients with a profile",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="origins whose browser programs may call token, userinfo and JWKS"
    )
    scopes: tuple[str, ...] = Field(
        (), description="scopes of agency APIs, known beside OpenID's own"
    )
    scope_labels: dict[str, str] = Field(
        {},
        description="what each of them lets a service do in a person's name, as the consent page"
        " says it; without a label the page shows the scope",
    )
    scope_labels_en: dict[str, str] = Field({}, description="the same in English")
