"""What may be registered: the rules for a client that comes in by the command line, by a file, or
by registration (RFC 7591). What is stored already is not held to them."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, unquote_plus, urlsplit

from cryptography import x509
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey, import_key
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from idp import mtls
from idp.kernel.outward import AddressRefused, read_url
from idp.kernel.settings import Network
from idp.mtls import BadCertificate
from idp.registry import profiles
from idp.registry.metadata import (
    CERTIFICATE_NAMES,
    SELF_SIGNED,
    ClientMetadata,
    address_fault,
    web_origin,
)

NEVER = ("javascript", "data", "vbscript", "file", "blob", "about", "ftp", "ws", "wss")
LONGEST_NAME = 100
# what an answer adds to a redirect URI (RFC 6749 §4.1.2, RFC 9207, JARM, OIDC Session Management)
ANSWERS = ("code", "state", "iss", "error", "error_description", "error_uri", "response",
           "session_state", "id_token", "access_token", "token_type", "expires_in")  # fmt: skip
IN_FRAMES = ("iss", "sid")  # OpenID Connect Front-Channel Logout §3
TO_BEGIN = ("iss", "login_hint", "target_link_uri")  # OIDC Core §4
AFTER_LOGOUT = ("state",)  # OpenID Connect RP-Initiated Logout §3
_SCOPE = re.compile(r"\A[!#-\[\]-~]+\Z", re.ASCII)  # RFC 6749 §3.3
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that show nothing

# what a client has if nothing is said: a site with redirect URIs, or a program
SITE: dict[str, Any] = {
    "grant_types": ("authorization_code", "refresh_token"),
    "scopes": ("openid", "profile"),
}
PROGRAM: dict[str, Any] = {"grant_types": ("client_credentials",)}


def _a_label(text: str) -> str:
    """Shown to people: marks of direction and invisible characters make one name look like
    another."""
    if len(text) > LONGEST_NAME or any(_shows_nothing(character) for character in text):
        raise ValueError(f"must be at most {LONGEST_NAME} visible characters")
    return text


def _shows_nothing(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind.startswith("C") or kind in ("Zl", "Zp") or character in _BLANK


def _a_name(name: str) -> str:
    if not name.strip():
        raise ValueError("must not be empty")
    return name


def _a_uri(uri: str) -> str:
    """Compared as a string for ever, so only a clean one may be registered."""
    if fault := address_fault(uri):
        raise ValueError(f"{uri!r} {fault}")
    parts = urlsplit(uri)
    host = parts.netloc
    if "#" in uri or parts.scheme.lower() in NEVER:
        raise ValueError(f"{uri!r} is not an absolute URI without fragment")
    # a comma or semicolon in the host would end its entry in a Content-Security-Policy
    if set("@,;'") & set(host) or "*" in uri or "\\" in uri or "/../" in uri + "/":
        raise ValueError(f"{uri!r} holds user information, a wildcard or a dot segment")
    return uri


def _free_of(names: Sequence[str]) -> Callable[[str], str]:
    """A program that reads the first of two values must not read a registered one, however its
    framework reads names."""

    def check(uri: str) -> str:
        known = {_as_read(piece) for piece in re.split("[&;]", urlsplit(uri).query)}
        if twice := [name for name in names if name in known]:
            raise ValueError(f"{uri!r} holds {', '.join(twice)}, which the answer adds")
        return uri

    return check


def _as_read(piece: str) -> str:
    """The name of a parameter as some framework reads it: ASP.NET in any case; PHP without leading
    blanks, with `_` for blanks and dots, and up to a bracket or NUL; older ones also end a
    parameter at a semicolon."""
    name = unquote_plus(piece.partition("=")[0]).lower().strip()
    return re.split(r"[\[\0]", name)[0].strip().replace(".", "_").replace(" ", "_")


def _a_page(uri: str) -> str:
    """A page that people are led to: https, or the developer's own machine."""
    parts = urlsplit(_a_uri(uri)) if uri else None
    if parts and not (parts.scheme == "https" and parts.hostname) and not _is_loopback(parts):
        raise ValueError(f"{uri!r} is no https page")
    return uri


def _an_entrance(uri: str) -> str:
    """OIDC Registration §2: https, without exception."""
    if _a_page(uri) and not uri.startswith("https:"):
        raise ValueError(f"{uri!r} is no https page")
    return uri


def _a_call(uri: str) -> str:
    """An address that the bridge calls by itself; where it leads is looked at before each call."""
    try:
        if uri:
            read_url(_a_uri(uri), plain=_is_loopback(urlsplit(uri)))
    except AddressRefused as refused:
        raise ValueError(f"{uri!r}: {refused}") from None
    return uri


def _a_request_uri(uri: str) -> str:
    """A fragment is a digest of the object there (OIDC Core §6.2)."""
    _a_call(uri.partition("#")[0] or "#")
    return uri


def _is_loopback(parts: SplitResult) -> bool:
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")


def _a_scope(scope: str) -> str:
    if not _SCOPE.match(scope):
        raise ValueError(f"{scope!r} is not a scope")
    return scope


def _a_subject(name: str) -> str:
    """RFC 4514; an attribute without a short name there is written by its number."""
    try:
        x509.Name.from_rfc4514_string(name)
    except ValueError:
        raise ValueError(f"{name!r} is not a subject (RFC 4514), e.g. CN=program,C=TW") from None
    return name


def _an_ip_address(address: str) -> str:
    return str(ipaddress.ip_address(address)) if address else ""


Exact = Annotated[str, Field(max_length=1000)]  # compared as it is
Label = Annotated[str, AfterValidator(_a_label)]
Name = Annotated[Label, AfterValidator(_a_name)]
Uri = Annotated[str, AfterValidator(_a_uri)]
RedirectUri = Annotated[Uri, AfterValidator(_free_of(ANSWERS))]
LogoutUri = Annotated[Uri, AfterValidator(_free_of(AFTER_LOGOUT))]
Page = Annotated[str, AfterValidator(_a_page)]
FrameUri = Annotated[Page, AfterValidator(_free_of(IN_FRAMES))]
LoginUri = Annotated[str, AfterValidator(_an_entrance), AfterValidator(_free_of(TO_BEGIN))]
CallUri = Annotated[str, AfterValidator(_a_call)]
RequestUri = Annotated[str, AfterValidator(_a_request_uri)]
Scope = Annotated[str, AfterValidator(_a_scope)]
Acr = Annotated[str, Field(pattern=r"\A[!-~]{1,255}\z")]  # one of a list with blanks
ResponseMode = Literal["query", "form_post", "query.jwt", "form_post.jwt"]
GrantType = Literal["authorization_code", "refresh_token", "client_credentials"]
AuthMethod = Literal[
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]
Algorithm = Literal["RS256", "PS256", "ES256", "EdDSA"]
ApiAlgorithm = Literal["RS256", "ES256"]  # APIs are set up once


def _member(name: str, **bounds: Any) -> Any:
    """The default and the description that `ClientMetadata` gives to it."""
    known = ClientMetadata.model_fields[name]
    return Field(known.default, description=known.description, **bounds)


class Registration(ClientMetadata):
    """Raises pydantic.ValidationError, which names every fault."""

    model_config = ConfigDict(extra="forbid")

    client_name: Name = Field(
        default=..., description=ClientMetadata.model_fields["client_name"].description
    )
    client_name_en: Label = _member("client_name_en")
    agency: Label = _member("agency")
    client_uri: Page = _member("client_uri")
    initiate_login_uri: LoginUri = _member("initiate_login_uri")
    policy_uri: Page = _member("policy_uri")
    purpose: Label = _member("purpose")
    purpose_en: Label = _member("purpose_en")
    application_type: Literal["web", "native"] = _member("application_type")
    redirect_uris: tuple[RedirectUri, ...] = _member("redirect_uris")
    post_logout_redirect_uris: tuple[LogoutUri, ...] = _member("post_logout_redirect_uris")
    backchannel_logout_uri: CallUri = _member("backchannel_logout_uri")
    frontchannel_logout_uri: FrameUri = _member("frontchannel_logout_uri")
    grant_types: tuple[GrantType, ...] = _member("grant_types")
    scopes: tuple[Scope, ...] = _member("scopes")
    response_modes: tuple[ResponseMode, ...] = _member("response_modes")
    profile: Literal["", "fapi2", "fapi2-message-signing"] = _member("profile")
    token_endpoint_auth_method: AuthMethod = _member("token_endpoint_auth_method")
    token_endpoint_auth_signing_alg: Algorithm | Literal[""] = _member(
        "token_endpoint_auth_signing_alg"
    )
    request_object_signing_alg: Algorithm | Literal[""] = _member("request_object_signing_alg")
    jwks_uri: CallUri = _member("jwks_uri")
    request_uris: Annotated[tuple[RequestUri, ...], Field(max_length=20)] = _member("request_uris")
    sector_identifier_uri: CallUri = _member("sector_identifier_uri")
    subject_type: Literal["pairwise", "public"] = _member("subject_type")
    tls_client_auth_subject_dn: Annotated[Exact, AfterValidator(_a_subject)] = _member(
        "tls_client_auth_subject_dn"
    )
    tls_client_auth_san_dns: Exact = _member("tls_client_auth_san_dns")
    tls_client_auth_san_uri: Exact = _member("tls_client_auth_san_uri")
    tls_client_auth_san_ip: Annotated[str, AfterValidator(_an_ip_address)] = _member(
        "tls_client_auth_san_ip"
    )
    tls_client_auth_san_email: Exact = _member("tls_client_auth_san_email")
    id_token_signed_response_alg: Algorithm = _member("id_token_signed_response_alg")
    authorization_signed_response_alg: Algorithm = _member("authorization_signed_response_alg")
    userinfo_signed_response_alg: Algorithm | Literal[""] = _member("userinfo_signed_response_alg")
    access_token_alg: ApiAlgorithm = _member("access_token_alg")
    access_token_typ: Literal["at+jwt", "JWT"] = _member("access_token_typ")
    access_token_seconds: int | None = _member("access_token_seconds", ge=60, le=86_400)
    sector: Label = _member("sector")
    default_acr_values: Annotated[tuple[Acr, ...], Field(max_length=10)] = _member(
        "default_acr_values"
    )
    default_max_age: int | None = _member("default_max_age", ge=0, le=2**31, strict=True)
    audience: tuple[Scope, ...] = _member("audience")
    allowed_networks: Annotated[tuple[Network, ...], Field(max_length=50)] = _member(
        "allowed_networks"
    )
    roles: tuple[Label, ...] = _member("roles")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        """What is left out follows from whether browsers come back to the client, and from its
        profile."""
        if not isinstance(given, dict):
            return given
        return (SITE if given.get("redirect_uris") else PROGRAM) | profiles.completed(given)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [text for broken, text in self._rules() if broken]
        faults += profiles.faults(self)
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _rules(self) -> list[tuple[bool, str]]:
        """(broken?, what to say)."""
        codes = "authorization_code" in self.grant_types
        hosts = {uri.netloc for uri in map(urlsplit, self.redirect_uris) if uri.scheme == "https"}
        back = (*self.redirect_uris, *self.post_logout_redirect_uris)
        unfit = [uri for uri in back if not self._fits(uri)]
        signed = self.require_signed_request_object or bool(self.request_uris)
        keys = bool(self.jwks_uri) or _public_keys(self.jwks)
        method = self.token_endpoint_auth_method
        keyed = method in ("private_key_jwt", SELF_SIGNED)
        named = [name for name in CERTIFICATE_NAMES if getattr(self, name)]
        needed = 1 if method == "tls_client_auth" else 0
        return [
            (codes and not self.redirect_uris, "authorization_code needs a redirect_uri"),
            (
                codes and "openid" not in self.scopes and not self.audience,
                "authorization_code needs the scope openid, or the audience of an API",
            ),
            (self.program and self.public, "a public client cannot use client_credentials"),
            (bool(unfit), f"https is required, or http to loopback: {', '.join(unfit)}"),
            (
                len(hosts) > 1 and not (self.sector or self.sector_identifier_uri),
                "several hosts need a sector (OIDC Core §8.1)",
            ),
            (self.jwks is not None and bool(self.jwks_uri), "jwks or jwks_uri, not both"),
            (keyed and not keys, f"{method} needs jwks of public keys, or jwks_uri"),
            (
                not keys and (signed or self.jwks is not None) and not keyed,
                "request objects need jwks of public keys, or jwks_uri",
            ),
            (
                method == SELF_SIGNED and not self.jwks_uri and not _certified(self.jwks),
                f"{SELF_SIGNED} needs the certificate of each key (x5c)",
            ),
            (
                len(named) != needed,
                f"{method} needs {needed or 'none'} of {', '.join(CERTIFICATE_NAMES)}",
            ),
            (
                self.kiosk and "offline_access" in self.scopes,
                "a kiosk remembers nobody: it cannot have offline_access",
            ),
            (
                bool(self.frontchannel_logout_uri)
                and not {web_origin(self.frontchannel_logout_uri)} <= self.origins,
                "frontchannel_logout_uri must have the origin of a redirect_uri (its §2)",
            ),
            (
                self.kiosk and self.told_of_logout,
                "a kiosk's sessions end with the login: it cannot be told of a logout",
            ),
        ]

    def _fits(self, uri: str) -> bool:
        parts = urlsplit(uri)
        if parts.scheme == "https":
            return bool(parts.hostname)
        if parts.scheme == "http":
            return _is_loopback(parts)
        # RFC 8252 §7.1: an app's own scheme is a reversed domain name
        return self.native and "." in parts.scheme


def strong_keys(jwks: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a set that somebody else keeps, those that could be registered."""
    keys = jwks.get("keys")
    return [key for key in keys if _public_keys({"keys": [key]})] if isinstance(keys, list) else []


def _public_keys(jwks: dict[str, Any] | None) -> bool:
    """RSA from 2048 bits, EC P-256 or Ed25519; nothing private, nothing symmetric."""
    try:
        keys = KeySet.import_key_set(jwks or {"keys": []}).keys  # type: ignore[arg-type]
    except (JoseError, KeyError, TypeError, ValueError):
        return False
    return bool(keys) and all(_strong(key) for key in keys)


def _certified(jwks: dict[str, Any] | None) -> bool:
    """RFC 7517 §4.7: the first certificate of each key is that of the key."""
    keys = (jwks or {}).get("keys")
    try:
        return isinstance(keys, list) and all(
            mtls.registered(jwk).public_key() == import_key(jwk).public_key for jwk in keys
        )
    except (BadCertificate, JoseError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _strong(key: Key) -> bool:
    if key.is_private:  # somebody sent more than they should; we would keep it in clear
        return False
    if isinstance(key, RSAKey):
        return key.public_key.key_size >= 2048
    if isinstance(key, OKPKey):
        return key.curve_name == "Ed25519"
    return isinstance(key, ECKey) and key.curve_name == "P-256"
