"""Request objects (RFC 9101): parameters of an authorization request, signed by the client. Pure.

Nothing beside the object counts (§6.3). OpenID Connect Core §6.1 lets parameters stand outside too;
that is not read, since whoever can change those could change the request.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from idp.kernel.errors import (
    InvalidRequest,
    InvalidRequestObject,
    ProtocolError,
    RequestNotSupported,
)
from idp.kernel.forms import CONTROL, Params, params_of
from idp.oidc import clientkeys
from idp.oidc.clientkeys import NotSigned, is_date, not_ahead
from idp.oidc.request import PARAMETERS
from idp.registry.clients import Client

LONGEST_LIFE = 3600  # seconds (FAPI 2.0 Message Signing §5.3.1)
TYPES = (None, "jwt", "oauth-authz-req+jwt")  # §10.8


class Unwrapped(NamedTuple):
    """`params` are those that count; with a `fault`, those that say where the error goes."""

    params: Params
    fault: ProtocolError | None = None


def unwrapped(params: Params, client: Client, issuer: str, now: int) -> Unwrapped:
    """The parameters in the request object, or the request's own if it has none."""
    text, demanded = params.get("request"), client.metadata.require_signed_request_object
    if "request" in params.repeated or "request_uri" in params:  # §5; refused as parameters
        return Unwrapped(params)
    if text is None:
        missing = InvalidRequest("a signed request object is required (RFC 9101)")
        return Unwrapped(params, missing if demanded else None)
    try:
        header, claims = clientkeys.unverified(text)
        if header.get("alg") == "none":  # believed as little as the parameters beside it
            unsigned = InvalidRequestObject if demanded else RequestNotSupported
            return Unwrapped(Params(params | _parameters(claims)), unsigned())
        alg = client.metadata.request_object_signing_alg
        claims = clientkeys.signed_claims(client, text, TYPES, alg)
        _check(claims, client, _Expected(issuer, now, demanded))
        return Unwrapped(_parameters(claims))
    except InvalidRequestObject as fault:
        return Unwrapped(params, fault)
    except NotSigned as bad:
        return Unwrapped(params, InvalidRequestObject(detail=f"request object: {bad}"))


class _Expected(NamedTuple):
    issuer: str
    now: int
    demanded: bool  # FAPI 2.0 Message Signing §5.3.1: nothing may be left out


def _check(claims: dict[str, Any], client: Client, expected: _Expected) -> None:
    """Raises InvalidRequestObject, which names the first claim that is wrong."""
    aud, exp, nbf = claims.get("aud"), claims.get("exp"), claims.get("nbf")
    strict, now = expected.demanded, expected.now
    rules = {
        # §5, §6.3: without it an assertion of this client would pass for a request
        "client_id": claims.get("client_id") == client.client_id,
        "iss": claims.get("iss", None if strict else client.client_id) == client.client_id,
        "aud": expected.issuer in (aud if isinstance(aud, list) else [aud])
        or (aud is None and not strict),
        "exp": (exp is None and not strict) or (is_date(exp) and now < exp),  # type: ignore[operator]
        "nbf": not_ahead(nbf, now) and not (nbf is None and strict),
        "iat": not_ahead(claims.get("iat"), now),
        "request and request_uri": not {"request", "request_uri"} & claims.keys(),  # §4
    }
    if strict and is_date(nbf) and is_date(exp):
        rules["life"] = exp - nbf <= LONGEST_LIFE and now - nbf <= LONGEST_LIFE  # type: ignore[operator]
    if wrong := next((name for name, kept in rules.items() if not kept), ""):
        raise InvalidRequestObject(f"request object: {wrong}")


def _parameters(claims: dict[str, Any]) -> Params:
    """As if they had come in a query; what is no parameter is ignored. Raises
    InvalidRequestObject."""
    pairs: list[tuple[str, str]] = []
    for name in PARAMETERS & claims.keys() - {"request", "request_uri"}:
        value = claims[name]
        several = value if name == "resource" and isinstance(value, list) else [value]
        pairs += [(name, _text(name, one)) for one in several]
    return params_of(pairs).given()


def _text(name: str, value: object) -> str:
    """§4: texts as they are, `claims` as an object, numbers as digits."""
    if name == "claims" and isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or CONTROL.search(value):
        raise InvalidRequestObject(f"request object: {name}")
    return value
