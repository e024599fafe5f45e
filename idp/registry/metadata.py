"""What a client is: RFC 7591's words, checked when it is written, trusted when it is read."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeySet, RSAKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
NEVER = ("javascript", "data", "vbscript", "file", "blob", "about", "ftp", "ws", "wss")
_CLEAN_URI = re.compile(r"\A[!#-;=?-Z_a-z~%\[\]]{1,2000}\Z", re.ASCII)
_SCOPE = re.compile(r"\A[!#-\[\]-~]+\Z", re.ASCII)  # RFC 6749 §3.3
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that show nothing

GrantType = Literal["authorization_code", "refresh_token", "client_credentials"]
AuthMethod = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
Algorithm = Literal["RS256", "ES256"]
WITH_SECRET = ("client_secret_basic", "client_secret_post")
CLIENT_ID = re.compile(r"\A[A-Za-z0-9._~-]{1,100}\Z", re.ASCII)


def _a_label(text: str) -> str:
    """Shown to people: marks of direction and invisible characters make one name look like
    another."""
    if len(text) > 100 or any(_invisible(character) for character in text):
        raise ValueError("must be at most 100 visible characters")
    return text


def _invisible(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind.startswith("C") or kind in ("Zl", "Zp") or character in _BLANK


def _a_name(name: str) -> str:
    if not name.strip():
        raise ValueError("must not be empty")
    return name


def _a_uri(uri: str) -> str:
    """Compared as a string for ever, so only a clean one may be registered."""
    parts = urlsplit(uri)
    scheme, host = parts.scheme, parts.netloc
    if not _CLEAN_URI.match(uri) or not scheme or "#" in uri or scheme.lower() in NEVER:
        raise ValueError(f"{uri!r} is not an absolute URI without fragment")
    if parts.port == 0:  # reading it also raises ValueError for what is no port
        raise ValueError(f"{uri!r} has no usable port")
    # a comma or semicolon in the host would end its entry in a Content-Security-Policy
    if set("@,;'") & set(host) or "*" in uri or "\\" in uri or "/../" in uri + "/":
        raise ValueError(f"{uri!r} holds user information, a wildcard or a dot segment")
    return uri


def _a_page(uri: str) -> str:
    """A page that people are led to: https, or the developer's own machine."""
    parts = urlsplit(_a_uri(uri)) if uri else None
    if parts and not (parts.scheme == "https" and parts.hostname) and not _is_loopback(parts):
        raise ValueError(f"{uri!r} is no https page")
    return uri


def _is_loopback(parts: SplitResult) -> bool:
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")


def _a_scope(scope: str) -> str:
    if not _SCOPE.match(scope):
        raise ValueError(f"{scope!r} is not a scope")
    return scope


Label = Annotated[str, AfterValidator(_a_label)]
Name = Annotated[Label, AfterValidator(_a_name)]
Uri = Annotated[str, AfterValidator(_a_uri)]
Page = Annotated[str, AfterValidator(_a_page)]
Scope = Annotated[str, AfterValidator(_a_scope)]


class ClientMetadata(BaseModel):
    """Raises pydantic.ValidationError, which names every fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_name: Name
    client_name_en: Label = ""
    agency: Label = ""
    client_uri: Page = ""
    policy_uri: Page = ""
    purpose: Label = ""
    purpose_en: Label = ""
    kiosk: bool = False
    application_type: Literal["web", "native"] = "web"
    redirect_uris: tuple[Uri, ...] = ()
    post_logout_redirect_uris: tuple[Uri, ...] = ()
    grant_types: tuple[GrantType, ...] = ("authorization_code",)
    scopes: tuple[Scope, ...] = ()
    response_modes: tuple[Literal["query", "form_post"], ...] = ("query", "form_post")
    token_endpoint_auth_method: AuthMethod = "client_secret_basic"
    jwks: dict[str, Any] | None = None
    id_token_signed_response_alg: Algorithm = "RS256"
    access_token_alg: Algorithm = "ES256"
    access_token_typ: Literal["at+jwt", "JWT"] = "at+jwt"
    claims_in_id_token: bool = False
    access_token_seconds: int | None = Field(None, ge=60, le=86_400)
    sector: Label = ""
    minimum_acr: str | None = None
    methods: tuple[str, ...] = ()
    audience: tuple[Scope, ...] = ()
    roles: tuple[Label, ...] = ()
    require_pkce: bool = False
    trusted: bool = False
    sandbox: bool = False

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
        return {_web_origin(uri) for uri in self.redirect_uris} - {""}

    @model_validator(mode="after")
    def _consistent(self) -> ClientMetadata:
        faults = [text for broken, text in self._rules() if broken]
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _rules(self) -> list[tuple[bool, str]]:
        """(broken?, what to say)."""
        codes = "authorization_code" in self.grant_types
        hosts = {urlsplit(uri).netloc for uri in self.redirect_uris}
        back = (*self.redirect_uris, *self.post_logout_redirect_uris)
        unfit = [uri for uri in back if not self._fits(uri)]
        keyed = self.token_endpoint_auth_method == "private_key_jwt"
        return [
            (codes and not self.redirect_uris, "authorization_code needs a redirect_uri"),
            (codes and "openid" not in self.scopes, "authorization_code needs the scope openid"),
            (self.program and self.public, "a public client cannot use client_credentials"),
            (bool(unfit), f"https is required, or http to loopback: {', '.join(unfit)}"),
            (len(hosts) > 1 and not self.sector, "several hosts need a sector (OIDC Core §8.1)"),
            (keyed and not _public_keys(self.jwks), "private_key_jwt needs jwks of public keys"),
            (
                not keyed and self.jwks is not None,
                "jwks is only for private_key_jwt",
            ),
            (
                self.kiosk and "offline_access" in self.scopes,
                "a kiosk remembers nobody: it cannot have offline_access",
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

    def settled(self, client_id: str) -> ClientMetadata:
        """With its sector written down: subjects must not change when a redirect_uri does."""
        if self.sector:
            return self
        host = urlsplit(self.redirect_uris[0]).netloc if self.redirect_uris else ""
        return self.model_copy(update={"sector": host or client_id})


def _web_origin(uri: str) -> str:
    """As a browser writes it in `Origin` (RFC 6454 §6.2), or ""."""
    parts = urlsplit(uri.lower())
    usual = {"https": 443, "http": 80}
    if parts.scheme not in usual or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, usual[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _public_keys(jwks: dict[str, Any] | None) -> bool:
    """RSA from 2048 bits, or EC P-256; nothing private, nothing symmetric."""
    try:
        keys = KeySet.import_key_set(jwks or {"keys": []}).keys  # type: ignore[arg-type]
    except (JoseError, KeyError, TypeError, ValueError):
        return False
    return bool(keys) and all(_strong(key) for key in keys)


def _strong(key: Key) -> bool:
    if key.is_private:  # somebody sent more than they should; we would keep it in clear
        return False
    if isinstance(key, RSAKey):
        return key.public_key.key_size >= 2048
    return isinstance(key, ECKey) and key.curve_name == "P-256"
