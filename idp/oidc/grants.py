"""The three grants. Each corrects what Authlib leaves open, and appends effects.

Corrects Authlib 1.9.9: codes are not bound to their client, expiry and reuse are the host's;
PKCE `plain` is taken when the method is left out, and a missing verifier is invalid_request;
refresh has no rotation or reuse detection, answers no ID token by itself and lets a narrowed
scope stick.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError
from authlib.oauth2.rfc6749.grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
)
from authlib.oauth2.rfc7636 import CodeChallenge

from idp.kernel import audit
from idp.kernel.forms import Params
from idp.oidc import scopes
from idp.oidc.audience import of_person, of_program, own_of
from idp.oidc.core import Core, TokenRequest
from idp.oidc.loading import Loader
from idp.oidc.preload import (
    BindGrant,
    Code,
    Grant,
    Preloaded,
    Record,
    Refresh,
    RevokeGrant,
    SpendCode,
)
from idp.registry.metadata import BY_CERTIFICATE, WITH_SECRET

ISSUED = audit.event("token.issued", "tokens were issued for a person")
REFRESHED = audit.event("token.refreshed", "tokens were refreshed")
PROGRAM = audit.event("token.program", "a program got an access token")
REUSED = audit.event("token.code_reused", "a code came a second time; its family was revoked")
STOLEN = audit.event("token.code_of_another", "a code was presented by another client")
FOREIGN = audit.event("token.refresh_of_another", "a refresh token was presented by another client")
REPLAYED = audit.event(
    "token.refresh_reused", "an old refresh token came back; its family was revoked"
)

KEYLESS = audit.event(
    "token.without_key", "a code or refresh token came without the key that it is bound to"
)

# methods by which a client shows that it is itself
PROVEN = [*WITH_SECRET, "private_key_jwt", *BY_CERTIFICATE]
ANY_METHOD = [*PROVEN, "none"]


class AuthlibGrant:
    """A code or a family as Authlib wants to ask it."""

    code_challenge_method = "S256"

    def __init__(self, grant: Grant, code: Code | None = None) -> None:
        self.grant, self.code = grant, code
        self.code_challenge = code.code_challenge if code else ""

    def get_redirect_uri(self) -> str:
        return self.code.redirect_uri if self.code else ""

    def get_scope(self) -> str:
        return " ".join(self.grant.scope)

    def check_client(self, client: Any) -> bool:
        return bool(client.client_id == self.grant.client_id)


def record(
    request: TokenRequest,
    event: str,
    grant: Grant | None = None,
    *,
    repeatable: bool = False,
    **detail: str,
) -> None:
    """An audit entry among the effects."""
    known, person_id = request.preloaded, grant.person_id if grant else ""
    entry = known.caller.entry(
        event, client_id=known.client.client_id, person_id=person_id, **detail
    )
    request.effects.add(Record(entry, repeatable))


class CodeForTokens(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ANY_METHOD
    server: Core
    request: TokenRequest

    def query_authorization_code(self, _code: str, client: Any) -> AuthlibGrant | None:
        """From the moment a client presents it, a live code is spent whatever follows: one guess,
        not two (RFC 9700 §4.5)."""
        code, now = self.request.preloaded.code, self.request.preloaded.now
        if code is None:
            return None
        if code.spent:
            if code.grant.alive:  # RFC 6749 §4.1.2; a flood of repeats writes it once
                self.request.effects.add(RevokeGrant(code.grant.id))
                record(self.request, REUSED, code.grant)
            return None
        spend = SpendCode(code.digest, code.grant.id)
        if code.grant.client_id != client.client_id:
            self.request.effects.add(spend)
            record(self.request, STOLEN, code.grant)
            return None
        if code.expires_at <= now or not code.grant.alive or not code.grant.session_alive:
            return None
        self.request.effects.add(spend)
        if code.dpop_jkt not in ("", self.request.preloaded.held.jkt):  # RFC 9449 §10
            record(self.request, KEYLESS, code.grant)
            return None
        return AuthlibGrant(code.grant, code)

    def authenticate_user(self, authorization_code: AuthlibGrant) -> Grant:
        return authorization_code.grant

    def delete_authorization_code(self, _code: object) -> None:
        """SpendCode is wanted already."""

    def generate_token(
        self, user: Grant, scope: str, include_refresh_token: bool = True, **_more: object
    ) -> dict[str, Any]:
        known, audience = self.request.preloaded, _audience(self, user)
        record(self.request, ISSUED, user, scope=scope)
        if known.client.metadata.public and known.held.confirmation:
            # RFC 9449 §5, RFC 8705 §4: nothing else says who may use its refresh tokens
            self.request.effects.add(BindGrant(user.id, known.held.jkt or known.held.x5t))
        generation = 0 if include_refresh_token else None
        return _person_tokens(self, user, scope, audience, generation, user.nonce)


class S256(CodeChallenge):  # type: ignore[misc]
    """PKCE: S256 and nothing else; required wherever a challenge was sent."""

    DEFAULT_CODE_CHALLENGE_METHOD = None
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    CODE_CHALLENGE_METHODS = {"S256": CodeChallenge.CODE_CHALLENGE_METHODS["S256"]}  # noqa: RUF012

    def validate_code_verifier(self, grant: Any, result: Any) -> None:
        """No verifier matches no challenge (RFC 7636 §4.6): Authlib says invalid_request."""
        challenged = self.get_authorization_code_challenge(grant.request.authorization_code)
        if challenged and not grant.request.form.get("code_verifier"):
            raise InvalidGrantError(description="code_verifier is missing")
        super().validate_code_verifier(grant, result)


class Refreshing(RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ANY_METHOD
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: Core
    request: TokenRequest

    def authenticate_refresh_token(self, _token: str) -> AuthlibGrant | None:
        known = self.request.preloaded
        grant, now = known.refresh, known.now
        if grant is None:
            return None
        if grant.client_id != self.request.client.client_id:
            record(self.request, FOREIGN, grant, repeatable=True)
            return None
        settings = self.server.tokens.settings
        idle = grant.refreshed_at + settings.refresh_idle_seconds <= now
        if not grant.alive or grant.expires_at <= now or idle:
            return None
        if not known.held.opens(grant.bound_to):  # RFC 9449 §5, RFC 8705 §4
            record(self.request, KEYLESS, grant)
            return None
        if self._recent(grant, known) and known.generation < grant.generation - 1:
            return None  # one that was on its way while two others were: nobody need have stolen it
        if not self._current(grant, known):
            # RFC 9700 §4.14.2: somebody else holds the family too
            self.request.effects.add(RevokeGrant(grant.id))
            record(self.request, REPLAYED, grant)
            return None
        return AuthlibGrant(grant)

    def _current(self, grant: Grant, known: Preloaded) -> bool:
        if known.generation == grant.generation:
            return True
        return self._recent(grant, known) and known.generation == grant.generation - 1

    def _recent(self, grant: Grant, known: Preloaded) -> bool:
        """Whether the family has rotated so lately that an answer may have been lost."""
        grace = self.server.tokens.settings.rotation_grace_seconds
        return grant.rotated_at is not None and known.now <= grant.rotated_at + grace

    def authenticate_user(self, refresh_token: AuthlibGrant) -> Grant:
        return refresh_token.grant

    def issue_token(self, user: Grant, refresh_token: AuthlibGrant) -> dict[str, Any]:
        client = self.request.client.client
        asked = (self.request.payload.scope or "").split()
        scope = " ".join(s for s in user.scope if not asked or s in asked)
        audience = _audience(self, user)
        # RFC 9700 §4.14.2: one that is bound to a key is of no use to a thief
        rotate = client.metadata.public and not user.bound_to
        # a token one generation old, within the grace, is told the same successor again: nothing
        # is left to write
        fresh = self.request.preloaded.generation == user.generation
        next_generation = user.generation + 1 if rotate and fresh else user.generation
        if fresh:
            self.request.effects.add(Refresh(user.id, user.generation, rotate))
        record(self.request, REFRESHED, user, scope=scope)
        return _person_tokens(self, user, scope, audience, next_generation, "")

    def revoke_old_credential(self, _token: object) -> None:
        """The Refresh effect has replaced it."""


class Program(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = PROVEN
    server: Core
    request: TokenRequest

    def validate_requested_scope(self) -> None:
        client = self.request.client.client
        asked = (self.request.payload.scope or "").split()
        allowed = [s for s in client.metadata.scopes if s not in scopes.CLAIMS]
        ignored = set(scopes.CLAIMS)  # TDX programs ask for OpenID scopes out of habit
        scopes.check(asked, {*allowed, *ignored})
        wanted = [s for s in allowed if s in asked] if set(asked) - ignored else allowed
        self.granted = " ".join(wanted)

    def generate_token(self, **_more: object) -> dict[str, Any]:
        client = self.request.client.client
        own = own_of(client.metadata.audience, self.server.tokens.issuer)
        audience = of_program(_resources(self.request), own)
        held = self.request.preloaded.held
        token, life = self.server.tokens.for_program(
            client, self.granted, audience, held.confirmation
        )
        record(self.request, PROGRAM, scope=self.granted)
        return {
            "access_token": token,
            "token_type": held.token_type,
            "expires_in": life,
            "scope": self.granted,
        }


def _resources(request: TokenRequest) -> set[str]:
    """RFC 8707 §2; `audience` is an older name."""
    return {*request.form.all("resource"), *request.form.all("audience")}


def _audience(asked: CodeForTokens | Refreshing, grant: Grant) -> tuple[str, ...]:
    """Raises InvalidTarget."""
    own, issuer = asked.request.client.client.metadata.audience, asked.server.tokens.issuer
    resources = _resources(asked.request)
    if "openid" not in grant.scope:  # nothing for UserInfo
        own = own_of(own, issuer)
        return of_program(resources, tuple(n for n in own if n in grant.resources) or own)
    return of_person(resources, grant.resources, own, issuer)


def _person_tokens(
    asked: CodeForTokens | Refreshing,
    grant: Grant,
    scope: str,
    audience: tuple[str, ...],
    generation: int | None,
    nonce: str,
) -> dict[str, Any]:
    tokens, client = asked.server.tokens, asked.request.client.client
    held = asked.request.preloaded.held
    access_token, life = tokens.for_person(client, grant, scope, audience, held.confirmation)
    answer: dict[str, Any] = {
        "access_token": access_token,
        "token_type": held.token_type,
        "expires_in": life,
        "scope": scope,
    }
    if generation is not None:
        answer["refresh_token"] = tokens.refresh_token(grant.id, generation)
    if "openid" in scope.split():
        extra = asked.request.preloaded.signed_claims
        answer["id_token"] = tokens.id_token(client, grant, access_token, extra, nonce=nonce)
    return answer


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A grant type: the class that decides, what is read beforehand, and Authlib's extensions."""

    decides: type[AuthorizationCodeGrant | RefreshTokenGrant | ClientCredentialsGrant]
    load: Callable[[Loader, Preloaded, Params], Awaitable[Preloaded]]
    extensions: tuple[object, ...] = ()


# every grant there is: the core, discovery and the token endpoint read this list
GRANTS = {
    str(row.decides.GRANT_TYPE): row
    for row in (
        GrantRow(CodeForTokens, Loader.with_code, (S256(required=False),)),
        GrantRow(Refreshing, Loader.with_refresh_token),
        GrantRow(Program, Loader.as_it_is),
    )
}


def register(core: Core) -> Core:
    for row in GRANTS.values():
        core.register_grant(row.decides, list(row.extensions))
    return core
