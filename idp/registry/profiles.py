"""Security profiles: what a client is held to that is registered for one. Pure.

A profile fills in the members that make it true, so whoever reads a client needs to know of no
profile; a registration that contradicts it is refused with every clause that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from idp.registry.metadata import BY_CERTIFICATE, ClientMetadata

FAPI_ALGORITHMS = ("PS256", "ES256", "EdDSA")  # §5.4.1

# what a client of the FAPI 2.0 Security Profile has if nothing is said
_FAPI2: Mapping[str, Any] = {
    "token_endpoint_auth_method": "private_key_jwt",
    "id_token_signed_response_alg": "ES256",
    "require_pkce": True,
    "require_pushed_authorization_requests": True,
    "authorization_signed_response_alg": "ES256",
}
_SIGNED_MODES = ("query.jwt", "form_post.jwt")
_FILLED_IN: Mapping[str, Mapping[str, Any]] = {
    "fapi2": _FAPI2,
    "fapi2-message-signing": {
        **_FAPI2,
        "require_signed_request_object": True,
        "response_modes": _SIGNED_MODES,
    },
}


class Rule(NamedTuple):
    """`needs` ends the sentence “fapi2 needs …”."""

    clause: str
    needs: str
    kept: Callable[[ClientMetadata], bool]


# FAPI 2.0 Security Profile (Final). What every client is held to is not here: one issuer as the
# audience of assertions, `iss` in answers, codes that are good once, refresh tokens of confidential
# clients that stay the same.
_SECURITY: tuple[Rule, ...] = (
    Rule(
        "§5.3.2.1",
        "token_endpoint_auth_method private_key_jwt, tls_client_auth or"
        " self_signed_tls_client_auth",
        lambda m: m.token_endpoint_auth_method in ("private_key_jwt", *BY_CERTIFICATE),
    ),
    Rule(
        "§5.3.2.1",
        "dpop_bound_access_tokens or tls_client_certificate_bound_access_tokens",
        lambda m: m.dpop_bound_access_tokens or m.tls_client_certificate_bound_access_tokens,
    ),
    Rule(
        "§5.3.2.2",
        "require_pushed_authorization_requests",
        lambda m: m.require_pushed_authorization_requests,
    ),
    Rule("§5.3.2.2", "require_pkce", lambda m: m.require_pkce),
    Rule(
        "§5.3.2.2",
        "redirect_uris of https alone",
        lambda m: all(uri.lower().startswith("https://") for uri in m.redirect_uris),
    ),
    Rule(
        "§5.4.1",
        f"{', '.join(FAPI_ALGORITHMS)} for every signature",
        lambda m: (
            {
                m.id_token_signed_response_alg,
                m.userinfo_signed_response_alg,
                m.token_endpoint_auth_signing_alg,
                m.request_object_signing_alg,
                m.access_token_alg,
                m.authorization_signed_response_alg,
            }
            <= {"", *FAPI_ALGORITHMS}
        ),
    ),
)

# FAPI 2.0 Message Signing (Final): requests and answers that can be shown to others later
_SIGNING = (
    Rule(
        "Message Signing §5.3",
        "require_signed_request_object",
        lambda m: m.require_signed_request_object,
    ),
    Rule(
        "Message Signing §5.4",
        "response_modes query.jwt and form_post.jwt alone",
        lambda m: set(m.response_modes) <= set(_SIGNED_MODES),
    ),
)
RULES: Mapping[str, tuple[Rule, ...]] = {
    "fapi2": _SECURITY,
    "fapi2-message-signing": (*_SECURITY, *_SIGNING),
}


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, and what follows from its profile where nothing was said."""
    profile = given.get("profile")
    filled = _FILLED_IN.get(profile) if isinstance(profile, str) else None
    if filled is None:
        return dict(given)
    by_certificate = bool(given.get("tls_client_certificate_bound_access_tokens"))
    return {**filled, "dpop_bound_access_tokens": not by_certificate, **given}


def algorithms(metadata: ClientMetadata, usual: Sequence[str]) -> Sequence[str]:
    """What may sign for it."""
    return FAPI_ALGORITHMS if metadata.profile else usual


def code_seconds(metadata: ClientMetadata, usual: int) -> int:
    """Life of its authorization codes: at most a minute (FAPI 2.0 §5.3.2.1)."""
    return min(usual, 60) if metadata.profile else usual


def faults(metadata: ClientMetadata) -> Iterator[str]:
    """A sentence for each clause that is broken."""
    for rule in RULES.get(metadata.profile, ()):
        if not rule.kept(metadata):
            yield f"{metadata.profile} needs {rule.needs} (FAPI 2.0 {rule.clause})"
