"""The authorization request, read strictly. Pure.

Nothing is redirected before client and redirect_uri are known to be good (RFC 9700 §4.11), so
the checks come in two rows: those that answer with a page, then those that answer by redirect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AliasChoices, ConfigDict, Field

from idp.kernel import errors
from idp.kernel.errors import InvalidRequest
from idp.kernel.forms import Params
from idp.kernel.strictjson import NotStrict, read_object
from idp.oidc import audience, scopes
from idp.registry.clients import Client
from idp.registry.redirects import first_difference, redirect_uri_matches

MOST_ECHO = 2048  # characters of state and nonce
_MOST_VALUES, _MOST_LONG = 10, 255  # acr values, and characters of one or of a subject
_LONGEST_AGE = 2**31  # seconds; nothing is older
# what we know; anything else is ignored (RFC 6749 §3.1)
PARAMETERS = frozenset({
    "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
    "code_challenge", "code_challenge_method", "prompt", "max_age", "ui_locales", "acr_values",
    "claims", "id_token_hint", "login_hint", "request", "request_uri", "registration", "display",
    "claims_locales", "resource", "dpop_jkt",
})  # fmt: skip
SIGNED_MODES = ("query.jwt", "form_post.jwt")  # JARM §2.3
PROMPTS = {"none", "login", "consent", "select_account"}
CHALLENGE = re.compile(r"\A[A-Za-z0-9_-]{43}\Z", re.ASCII)  # S256 is always 43 characters
_NUMBER = re.compile(r"\A\d{1,100}\Z", re.ASCII)
_LOCALES = re.compile(r"\A[A-Za-z0-9 -]{0,200}\Z", re.ASCII)


def _stored_as(name: str, now: str) -> Any:
    """A member that the release before this one stores, and reads, under another name; this one
    reads both. The old names can go with the next release: these rows live an hour."""
    return Field(validation_alias=AliasChoices(now, name), serialization_alias=name)


# a member that the release before does not know is stored only where it is used
_UNLESS_EMPTY: Any = Field(exclude_if=lambda value: not value)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One that was checked. `acr_values`: what the client would like, `essential_acr`: must be
    met. `requested_claims`: asked for one by one, as {"userinfo": […], "id_token": […]}.
    `expected_subjects` were named beforehand (sub, id_token_hint), `accepted_subjects` are several
    of whom any will do. `login_hint` is sealed, since it is kept. Every member has a default,
    since a stored document is read leniently."""

    __pydantic_config__ = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    client_id: str = ""
    redirect_uri: str = ""
    scope: tuple[str, ...] = ()
    state: str | None = None
    response_mode: str = "query"
    nonce: str = ""
    code_challenge: str = ""
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    acr_values: Annotated[tuple[str, ...], _stored_as("levels", "acr_values")] = ()
    essential_acr: tuple[str, ...] = ()
    expected_subjects: Annotated[tuple[str, ...], _stored_as("expected", "expected_subjects")] = ()
    accepted_subjects: Annotated[tuple[str, ...], _UNLESS_EMPTY] = ()
    login_hint: str = ""
    ui_locales: str = ""
    requested_claims: Annotated[dict[str, list[str]], _stored_as("singly", "requested_claims")] = (
        field(default_factory=dict)
    )
    # thumbprint of the key that the redemption must show to hold
    dpop_jkt: Annotated[str, _UNLESS_EMPTY] = ""
    resources: Annotated[tuple[str, ...], _UNLESS_EMPTY] = ()  # that its tokens are for (RFC 8707)
    seen_session: str = ""  # the session that was there when the request came

    def within(self, client: Client) -> AuthorizationRequest:
        """What the client may have now: an operator may have taken a scope from it since."""
        may = client.metadata.scopes
        return replace(
            self,
            scope=tuple(scope for scope in self.scope if scope in may),
            requested_claims=scopes.within(self.requested_claims, may),
        )

    @property
    def consent_scope(self) -> tuple[str, ...]:
        """What has to be consented to: scopes, and claims asked for one by one."""
        asked = {claim for claims in self.requested_claims.values() for claim in claims}
        return (*self.scope, *sorted(f"claim:{claim}" for claim in asked))


# ── answered with a page ────────────────────────────────────────────────────────────────────────


def identify(params: Params) -> str:
    """The client_id. Raises InvalidRequest, which must not redirect."""
    if params.repeated.keys() & {"client_id", "redirect_uri"}:
        raise InvalidRequest("client_id or redirect_uri is repeated")
    if not params.get("client_id"):
        raise InvalidRequest("client_id is missing")
    return params["client_id"]


def check_redirect_uri(params: Params, client: Client) -> str:
    """Exact match, always required (OIDC Core §3.1.2.1). Raises RedirectUriMismatch."""
    uri = params.get("redirect_uri", "")
    if not uri:
        raise InvalidRequest("redirect_uri is missing")
    if not redirect_uri_matches(client, uri):
        shown = client.metadata.redirect_uris if client.metadata.sandbox else ()
        raise errors.RedirectUriMismatch(
            uri if shown else "", shown, first_difference(uri, shown)[1]
        )
    for name in ("state", "nonce"):
        if len(params.get(name, "")) > MOST_ECHO:
            raise InvalidRequest(f"{name} is too long")
    return uri


def _mode(params: Params) -> str:
    """`jwt` is the usual one of a code, signed (JARM §2.3.4)."""
    mode = params.get("response_mode", "query")
    return "query.jwt" if mode == "jwt" else mode


def error_mode(params: Params, client: Client) -> str:
    """How an error goes back, also one about response_mode itself: by a mode the client has."""
    modes = client.metadata.response_modes or ("query",)
    wanted = _mode(params)
    return next(mode for mode in (wanted, "query", modes[0]) if mode in modes)


# ── answered by redirect ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Rules:
    """What the checks need to know of us."""

    scopes: tuple[str, ...]  # of agency APIs
    acr_values: tuple[str, ...]  # weakest first
    require_pkce: bool = False  # of confidential clients too
    require_nonce: bool = True  # of a confidential client without PKCE
    require_pushed: bool = False
    registration: bool = False  # clients may register themselves
    issuer: str = ""


Check = Callable[[Params, Client, Rules, AuthorizationRequest], AuthorizationRequest]


def _no_repeats(p: Params, _c: Client, _r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    p.once("resource")  # RFC 8707 §2
    return a


def _nothing_fetched(
    p: Params, _c: Client, _r: Rules, a: AuthorizationRequest
) -> AuthorizationRequest:
    for name, error in (
        ("request_uri", errors.RequestUriNotSupported),
        ("registration", errors.RegistrationNotSupported),
    ):
        if name in p:
            raise error
    return a


def _nothing_by_reference(
    p: Params, _c: Client, _r: Rules, a: AuthorizationRequest
) -> AuthorizationRequest:
    if "request_uri" in p:  # RFC 9126 §2.1
        raise InvalidRequest("request_uri cannot be pushed")
    return a


def _pushed(p: Params, c: Client, r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    if c.metadata.require_pushed_authorization_requests or r.require_pushed:
        raise InvalidRequest("the request must be pushed first (RFC 9126)")
    return a


def _response_type(
    p: Params, c: Client, _r: Rules, a: AuthorizationRequest
) -> AuthorizationRequest:
    if not p.get("response_type"):
        raise InvalidRequest("response_type is missing")
    if p["response_type"] != "code":
        raise errors.UnsupportedResponseType
    if "authorization_code" not in c.metadata.grant_types:
        raise errors.UnauthorizedClient
    return a


def _response_mode(
    p: Params, c: Client, _r: Rules, a: AuthorizationRequest
) -> AuthorizationRequest:
    mode = _mode(p)
    if mode not in c.metadata.response_modes:
        raise InvalidRequest("this response_mode is not allowed for the client")
    return replace(a, response_mode=mode)


def _scope(p: Params, c: Client, r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    asked = scopes.known(p.get("scope", "").split(), r.scopes)
    if "openid" in c.metadata.scopes and "openid" not in asked:
        raise errors.InvalidScope("the scope openid is required")
    scopes.check(asked, c.metadata.scopes)
    if not scopes.complete(asked):
        raise errors.InvalidScope("a scope is required: openid, or one of an API")
    return replace(a, scope=tuple(asked))


def _pkce(p: Params, c: Client, r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    """Whoever sends a challenge is held to it. A confidential client may send a nonce in its
    place, which binds the code to its login just as well (RFC 9700 §2.1.1)."""
    challenge, method = p.get("code_challenge"), p.get("code_challenge_method")
    if challenge is None and method is None:
        unbound = c.metadata.public or "openid" not in a.scope  # no ID token brings a nonce back
        if unbound or c.metadata.require_pkce or r.require_pkce:
            raise InvalidRequest("code_challenge is required (PKCE S256)")
        if r.require_nonce and "nonce" not in p:
            raise InvalidRequest("code_challenge (PKCE S256) or nonce is required")
        return a
    if method != "S256" or not CHALLENGE.match(challenge or ""):
        raise InvalidRequest("code_challenge must be S256: 43 base64url characters")
    return replace(a, code_challenge=challenge or "")


def _dpop_jkt(p: Params, _c: Client, _r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    """RFC 9449 §10: the code is for the holder of this key. Any thumbprint is a SHA-256 hash."""
    jkt = p.get("dpop_jkt", "")
    if jkt and not CHALLENGE.match(jkt):
        raise InvalidRequest("dpop_jkt must be 43 base64url characters")
    return replace(a, dpop_jkt=jkt)


def _resources(p: Params, c: Client, r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    """RFC 8707 §2: the client's own, and ourselves for UserInfo."""
    asked = p.all("resource")
    return replace(a, resources=audience.chosen(asked, (r.issuer, *c.metadata.audience)))


def _prompt(p: Params, _c: Client, _r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    prompt = tuple(p.get("prompt", "").split())
    if not set(prompt) <= PROMPTS or ("none" in prompt and len(prompt) > 1):
        raise InvalidRequest("prompt is not one that is known, or none beside another")
    return replace(a, prompt=prompt)


def _max_age(p: Params, _c: Client, _r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    text = p.get("max_age", "")
    if not text:
        return a
    if not _NUMBER.match(text):
        raise InvalidRequest("max_age must be a number of seconds")
    return replace(a, max_age=min(int(text), _LONGEST_AGE))


def _hints(p: Params, _c: Client, _r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    locales = p.get("ui_locales", "")
    return replace(
        a,
        nonce=p.get("nonce", ""),
        ui_locales=locales if _LOCALES.match(locales) else "",
        acr_values=_bounded(p.get("acr_values", "").split()),
    )


def _claims(p: Params, c: Client, r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    """OIDC Core §5.5."""
    if "claims" not in p:
        return a
    try:
        asked = read_object(p["claims"].encode(), most=8192)
    except NotStrict as fault:
        raise InvalidRequest(f"claims: {fault}") from None
    members = {k: v for k, v in asked.items() if k in ("userinfo", "id_token")}
    if not all(isinstance(v, dict) for v in members.values()):
        raise InvalidRequest("claims: userinfo and id_token must be objects")
    a = _essential_acr(members.get("id_token", {}), r, a)
    a = _subjects(members.get("id_token", {}), a)
    may = set(c.metadata.scopes)
    requested = {
        part: [n for n in wanted if scopes.SCOPE_OF.get(n) in may and n != "sub"]
        for part, wanted in members.items()
    }
    return replace(a, requested_claims={part: names for part, names in requested.items() if names})


def _values(wanted: dict[str, Any], name: str) -> list[str]:
    """The value or values that a claim is asked for with (§5.5.1)."""
    demand = wanted.get(name)
    if not isinstance(demand, dict):
        return []
    values = demand.get("values", [demand["value"]] if "value" in demand else [])
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise InvalidRequest(f"claims: {name} values must be texts")
    return values


def _subjects(wanted: dict[str, Any], a: AuthorizationRequest) -> AuthorizationRequest:
    """The answer may be about nobody else. A longer one is nobody's (§2), and is not kept."""
    values = _values(wanted, "sub")
    if len(values) > _MOST_VALUES:
        raise InvalidRequest(f"claims: at most {_MOST_VALUES} sub values")
    subjects = tuple(value[: _MOST_LONG + 1] for value in values)
    if len(subjects) > 1:
        return replace(a, accepted_subjects=subjects)
    return replace(a, expected_subjects=(*a.expected_subjects, *subjects))


def _essential_acr(
    wanted: dict[str, Any], r: Rules, a: AuthorizationRequest
) -> AuthorizationRequest:
    values = _values(wanted, "acr")
    if not values:
        return a
    if not wanted["acr"].get("essential"):
        return replace(a, acr_values=a.acr_values or _bounded(values))
    offered = tuple(v for v in r.acr_values if v in values)
    if not offered:  # OIDC Core §5.5.1.1: essential means that it must be met
        raise errors.UnmetAuthenticationRequirements
    return replace(a, essential_acr=offered)


def _bounded(values: Sequence[str]) -> tuple[str, ...]:
    """What an anonymous visitor can make us store has an end."""
    return tuple(value for value in values if len(value) <= _MOST_LONG)[:_MOST_VALUES]


def _defaults(p: Params, c: Client, _r: Rules, a: AuthorizationRequest) -> AuthorizationRequest:
    """What the client registered for requests that do not say (OIDC Registration §2)."""
    if a.max_age is None:
        a = replace(a, max_age=c.metadata.default_max_age)
    if not (a.acr_values or a.essential_acr):
        a = replace(a, acr_values=_bounded(c.metadata.default_acr_values))
    return a


class Entrance(StrEnum):
    """The endpoints at which an authorization can be asked for."""

    AUTHORIZE = "authorize"
    PUSHED = "pushed"  # RFC 9126
    DEVICE = "device"  # RFC 8628 §3.1
    BACKCHANNEL = "backchannel"  # CIBA Core 1.0 §7.1


EVERYWHERE = frozenset(Entrance)
BY_BROWSER = frozenset({Entrance.AUTHORIZE, Entrance.PUSHED})  # the answer is a redirect

# which check applies where, in the order in which they run
CHECKS: Sequence[tuple[Check, frozenset[Entrance]]] = (
    (_no_repeats, EVERYWHERE),
    (_pushed, frozenset({Entrance.AUTHORIZE})),
    (_nothing_by_reference, frozenset({Entrance.PUSHED})),
    (_nothing_fetched, EVERYWHERE),
    (_response_type, BY_BROWSER),
    (_response_mode, BY_BROWSER),
    (_scope, EVERYWHERE),
    (_pkce, BY_BROWSER),
    (_dpop_jkt, BY_BROWSER),
    (_resources, EVERYWHERE),
    (_prompt, BY_BROWSER),
    (_max_age, BY_BROWSER),
    (_hints, EVERYWHERE),
    (_claims, EVERYWHERE),
    (_defaults, BY_BROWSER),
)


def check(
    params: Params,
    client: Client,
    uri: str,
    rules: Rules,
    entrance: Entrance = Entrance.AUTHORIZE,
) -> AuthorizationRequest:
    """Runs every check of this entrance in order. Raises ProtocolError, which may redirect."""
    request = AuthorizationRequest(client.client_id, uri, state=params.get("state"))
    for one, entrances in CHECKS:
        if entrance in entrances:
            request = one(params, client, rules, request)
    return request
