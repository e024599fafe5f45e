"""What a client is, in the words of RFC 7591 where it has them: as it is read from the store.

Whatever a newer version wrote is readable: unknown members are ignored, missing ones have their
default, and an enumeration is a plain text, so that a value of tomorrow matches nothing. What may
be registered is decided in registration.py.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

WITH_KEYS = ("private_key_jwt", "self_signed_tls_client_auth")
WITH_SECRET = ("client_secret_basic", "client_secret_post")
SELF_SIGNED = "self_signed_tls_client_auth"
BY_CERTIFICATE = ("tls_client_auth", SELF_SIGNED)  # RFC 8705 §2
# what a certificate is recognised by: one of these (RFC 8705 §2.1.2)
CERTIFICATE_NAMES = (
    "tls_client_auth_subject_dn",
    "tls_client_auth_san_dns",
    "tls_client_auth_san_uri",
    "tls_client_auth_san_ip",
    "tls_client_auth_san_email",
)
CLIENT_ID = re.compile(r"\A[A-Za-z0-9._~-]{1,100}\Z", re.ASCII)
_CLEAN_URI = re.compile(r"\A[!#-;=?-Z_a-z~%\[\]]{1,2000}\Z", re.ASCII)


class ClientMetadata(BaseModel):
    """Every member has a default, and its type never changes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    client_name: str = Field("", description="the service, as people see it")
    client_name_en: str = Field("", description="the same in English")
    agency: str = Field("", description="whose service it is")
    client_uri: str = Field("", description="its home page")
    initiate_login_uri: str = Field(
        "",
        description="begins a login for somebody who comes from the bridge (OpenID Connect Core"
        " §4): the button of a login that is over leads there",
    )
    policy_uri: str = Field("", description="its privacy policy, linked on the consent page")
    purpose: str = Field("", description="what it needs the data for, shown on the consent page")
    purpose_en: str = Field("", description="the same in English")
    kiosk: bool = Field(
        False, description="it runs on shared screens: nobody is remembered after a login"
    )
    application_type: str = Field(
        "web", description="a `native` app may use any loopback port and a scheme of its own"
    )
    redirect_uris: tuple[str, ...] = Field(
        (), description="where a browser is sent back to; compared character by character"
    )
    post_logout_redirect_uris: tuple[str, ...] = Field(
        (), description="where a browser may be sent after a logout"
    )
    backchannel_logout_uri: str = Field(
        "", description="called when a person's session ends (OpenID Connect Back-Channel Logout)"
    )
    backchannel_logout_session_required: bool = Field(
        False, description="it needs `sid` to know which session; it is always sent"
    )
    frontchannel_logout_uri: str = Field(
        "",
        description="opened in a frame of the logout page (OpenID Connect Front-Channel Logout)",
    )
    frontchannel_logout_session_required: bool = Field(
        False, description="it needs `iss` and `sid` there; they are always sent"
    )
    grant_types: tuple[str, ...] = Field(
        ("authorization_code",),
        description="how it gets tokens; left out: `authorization_code` and `refresh_token` with"
        " a redirect URI, else `client_credentials`",
    )
    scopes: tuple[str, ...] = Field(
        (),
        description="all that it may ask for; left out: `openid` and `profile` with a redirect"
        " URI, else none",
    )
    response_modes: tuple[str, ...] = Field(
        ("query", "form_post"),
        description="how the answer of a login may come back; with `.jwt` it is signed",
    )
    profile: str = Field(
        "",
        description="a profile that it is held to, which fills in and demands what it needs:"
        " `fapi2` is FAPI 2.0, `fapi2-message-signing` also has requests and answers signed",
    )
    token_endpoint_auth_method: str = Field(
        "client_secret_basic",
        description="how it proves itself; one with a secret may use either secret method",
    )
    token_endpoint_auth_signing_alg: str = Field(
        "", description="what signs its assertions; left out: any that we verify"
    )
    jwks: dict[str, Any] | None = Field(
        None,
        description="its public keys, for `private_key_jwt` and request objects: RSA from 2048"
        " bits, EC P-256 or Ed25519; for `self_signed_tls_client_auth` each with its certificate"
        " (`x5c`)",
    )
    jwks_uri: str = Field(
        "", description="where its public keys are, in place of `jwks`; read again for a new key"
    )
    request_uris: tuple[str, ...] = Field(
        (), description="where its request objects may be fetched from (RFC 9101 §5.2)"
    )
    tls_client_auth_subject_dn: str = Field(
        "",
        description="the subject of its certificate (RFC 4514), for `tls_client_auth`, which needs"
        " one of these five",
    )
    tls_client_auth_san_dns: str = Field("", description="or a DNS name in its certificate")
    tls_client_auth_san_uri: str = Field("", description="or a URI in its certificate")
    tls_client_auth_san_ip: str = Field("", description="or an IP address in its certificate")
    tls_client_auth_san_email: str = Field("", description="or an e-mail address in it")
    id_token_signed_response_alg: str = Field("RS256", description="what signs its ID tokens")
    authorization_signed_response_alg: str = Field(
        "RS256", description="what signs the answer of a login in a mode with `.jwt`"
    )
    userinfo_signed_response_alg: str = Field(
        "", description="what signs its UserInfo, which is a JWT then; left out: plain JSON"
    )
    access_token_alg: str = Field("ES256", description="what signs its access tokens")
    access_token_typ: str = Field(
        "at+jwt",
        description="`typ` in the header of a program's tokens; `JWT` for an API that accepts"
        " nothing else",
    )
    claims_in_id_token: bool = Field(
        False, description="the claims of the granted scopes are also in the ID token"
    )
    access_token_seconds: int | None = Field(
        None, description="life of its access tokens, if not that of the settings"
    )
    sector: str = Field(
        "",
        description="clients of one sector see one `sub` for a person (OpenID Connect Core §8.1);"
        " left out: the host of the first https redirect URI, or the client itself",
    )
    sector_identifier_uri: str = Field(
        "",
        description="an address whose host is the sector, and which lists the redirect addresses"
        " of all its clients (OpenID Connect Core §8.1)",
    )
    subject_type: str = Field(
        "pairwise",
        description="`public` clients see the same `sub` as all other public ones, and can compare"
        " notes about a person; only where that is wanted",
    )
    minimum_acr: str | None = Field(None, description="the weakest level of a login it accepts")
    default_acr_values: tuple[str, ...] = Field(
        (), description="the levels it would like where a request names none"
    )
    default_max_age: int | None = Field(
        None, description="seconds that a login may be old where a request does not say"
    )
    schemes: tuple[str, ...] = Field(
        (),
        description="the schemes that its logins use, the preferred first; none named: those that"
        " `login.schemes` offers",
    )
    methods: tuple[str, ...] = Field(
        (), description="the ways to verify that it allows; none named: all"
    )
    audience: tuple[str, ...] = Field(
        (), description="the resources that its tokens may be for (RFC 8707)"
    )
    roles: tuple[str, ...] = Field((), description="`realm_access.roles` in a program's tokens")
    require_pkce: bool = Field(
        False,
        description="it must send a code challenge (PKCE), as every public client must; if not, a"
        " nonce is enough",
    )
    request_object_signing_alg: str = Field(
        "", description="what signs its request objects; left out: any that we verify"
    )
    require_signed_request_object: bool = Field(
        False, description="its authorization requests must be signed (RFC 9101 §10.5)"
    )
    require_pushed_authorization_requests: bool = Field(
        False, description="it must push its authorization requests (RFC 9126 §6)"
    )
    dpop_bound_access_tokens: bool = Field(
        False,
        description="its tokens are bound to a key: a token request without a DPoP proof is"
        " refused (RFC 9449 §5.2); if not, they are bound when it sends one",
    )
    tls_client_certificate_bound_access_tokens: bool = Field(
        False,
        description="its tokens are bound to the certificate that it shows in TLS: a token request"
        " without one is refused (RFC 8705 §3.4)",
    )
    allowed_networks: tuple[str, ...] = Field(
        (), description="networks that it may call from with its credentials (CIDR); none: any"
    )
    trusted: bool = Field(False, description="its logins ask nobody for consent")
    sandbox: bool = Field(
        False, description="error pages show its developer what was wrong with a redirect URI"
    )

    @property
    def told_of_logout(self) -> bool:
        """Whether it wants to know when a session ends."""
        return bool(self.backchannel_logout_uri or self.frontchannel_logout_uri)

    def home(self, issuer: str) -> str:
        """Where somebody goes to begin again, or ""."""
        if not self.initiate_login_uri:
            return self.client_uri
        mark = "&" if urlsplit(self.initiate_login_uri).query else "?"
        return f"{self.initiate_login_uri}{mark}iss={quote(issuer, safe='')}"

    @property
    def public(self) -> bool:
        return self.token_endpoint_auth_method == "none"

    @property
    def with_secret(self) -> bool:
        return self.token_endpoint_auth_method in WITH_SECRET

    @property
    def program(self) -> bool:
        return "client_credentials" in self.grant_types

    @property
    def native(self) -> bool:
        return self.application_type == "native"

    @property
    def origins(self) -> set[str]:
        """Of its redirect addresses, as browsers write them; an app's own scheme has none."""
        return {web_origin(uri) for uri in self.redirect_uris} - {""}

    def with_sector(self, client_id: str, before: str = "") -> ClientMetadata:
        """As it is stored, its sector written down: subjects must not change when a redirect URI
        does, so the one from `before` stays unless another is named."""
        hosts = [uri.netloc for uri in map(urlsplit, self.redirect_uris) if uri.scheme == "https"]
        # every app has http://127.0.0.1: that host would make all of them one sector. A host holds
        # no slash, so that no client can be called like the sector of somebody's host
        named = self.sector or urlsplit(self.sector_identifier_uri).netloc
        sector = named or before or (hosts[0] if hosts else f"client/{client_id}")
        return ClientMetadata.model_validate(self.model_dump() | {"sector": sector})


def address_fault(uri: str) -> str:
    """Why nothing can be done with a text that stands for an address, or ""."""
    if not _CLEAN_URI.match(uri):
        return "is not an address of at most 2,000 ASCII characters without blanks"
    try:
        parts = urlsplit(uri)
        usable = parts.port != 0
    except ValueError as broken:  # a bracket without its other, a port that is none
        return f"is no address: {broken}"
    return "" if usable and parts.scheme else "has no scheme, or a port that cannot be used"


def web_origin(uri: str) -> str:
    """As a browser writes it in `Origin` (RFC 6454 §6.2), or ""."""
    parts = urlsplit(uri.lower())
    usual = {"https": 443, "http": 80}
    if parts.scheme not in usual or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, usual[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"
