"""Reading client authentication, strictly: one method in one request. Pure.

Corrects Authlib 1.9.9: two methods at once are accepted, Basic is unquoted but not form-decoded
and its base64 is lax, private_key_jwt cannot refuse an algorithm, takes lists of audiences and
ignores a client_id that differs.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from authlib.oauth2.rfc7523 import JWTBearerClientAssertion

from idp.kernel.errors import InvalidClient, InvalidRequest
from idp.oidc import clientkeys
from idp.oidc.clientkeys import AHEAD, NotSigned, is_date, not_ahead
from idp.oidc.preload import SpendAssertion
from idp.registry.clients import Client

ASSERTION_TYPE = JWTBearerClientAssertion.CLIENT_ASSERTION_TYPE
TYPES = (None, "jwt", "client-authentication+jwt")
LONGEST_LIFE = 3600  # seconds an assertion may live; its jti is remembered that long
_BASIC = re.compile(r"\A(?i:basic) +([A-Za-z0-9+/]{1,8192}={0,2})\Z", re.ASCII)
_JTI = re.compile(r"\A[\x21-\x7e]{1,200}\Z", re.ASCII)


class Presented(NamedTuple):
    """What a request tries to authenticate with; nothing is believed yet."""

    method: str
    client_id: str
    secret: str = ""


def presented(headers: Mapping[str, str], form: Mapping[str, str]) -> Presented:
    """What is empty was not sent (RFC 6749 §3.2), in the header too. Raises InvalidRequest for two
    methods at once (§2.3), InvalidClient for none."""
    assertion = form.get("client_assertion") or form.get("client_assertion_type")
    ways = {
        "client_secret_basic": bool(headers.get("authorization")),
        "client_secret_post": bool(form.get("client_secret")),
        "private_key_jwt": bool(assertion),
    }
    used = [way for way, there in ways.items() if there]
    if len(used) > 1:
        raise InvalidRequest("use one client authentication method, not several")
    method = used[0] if used else "none"
    found = Presented(method, *_READERS[method](headers, form))
    if (form.get("client_id") or found.client_id) != found.client_id:
        raise InvalidClient(detail="client_id differs from the authenticated one")
    if method == "client_secret_basic" and not found.secret:
        return found._replace(method="none")  # a public client of a library that knows only Basic
    return found


def _from_basic(headers: Mapping[str, str], _form: Mapping[str, str]) -> tuple[str, str]:
    return basic(headers["authorization"])


def _from_form(_headers: Mapping[str, str], form: Mapping[str, str]) -> tuple[str, str]:
    client_id = form.get("client_id", "")
    if not client_id:
        raise InvalidClient(detail="no client authentication")
    return client_id, form.get("client_secret", "")


def _from_assertion(_headers: Mapping[str, str], form: Mapping[str, str]) -> tuple[str]:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidClient(detail="client_assertion_type")
    return (unverified_subject(form.get("client_assertion", "")),)


_READERS: dict[str, Callable[[Mapping[str, str], Mapping[str, str]], tuple[str, ...]]] = {
    "client_secret_basic": _from_basic,
    "client_secret_post": _from_form,
    "private_key_jwt": _from_assertion,
    "none": _from_form,
}


def basic(header: str) -> tuple[str, str]:
    """RFC 6749 §2.3.1: both halves are form-encoded inside strict base64; the secret may be
    empty."""
    match = _BASIC.match(header)
    if match is None:
        raise InvalidClient(detail="Basic: malformed")
    try:
        pair = base64.b64decode(match[1], validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClient(detail="Basic: bad base64 or not ASCII") from None
    client_id, colon, secret = pair.partition(":")
    if not colon or not client_id:
        raise InvalidClient(detail="Basic: empty id")
    return unquote_plus(client_id), unquote_plus(secret)


def unverified_subject(assertion: str) -> str:
    """Whose key to look up; nothing is believed yet."""
    try:
        subject = clientkeys.unverified(assertion).claims.get("sub")
    except NotSigned as bad:
        raise InvalidClient(detail=f"assertion: {bad}") from None
    if not isinstance(subject, str):
        raise InvalidClient(detail="assertion: sub")
    return subject


def verify_assertion(
    client: Client, assertion: str, issuer: str, now: int, endpoint: str = ""
) -> SpendAssertion:
    """RFC 7523 §3, FAPI 2.0 §5.3.2.1: aud is our issuer as a string and nothing else, but for
    `endpoint` if it is given (OpenID Connect Core §9).
    Raises InvalidClient; the caller commits the returned effect, which decides replays."""
    try:
        registered = client.metadata.token_endpoint_auth_signing_alg
        claims = clientkeys.signed_claims(client, assertion, TYPES, registered)
    except NotSigned as bad:
        raise InvalidClient(detail=f"assertion: {bad}") from None
    fault = _assertion_fault(claims, client.client_id, (issuer, endpoint or issuer), now)
    if fault == "aud":  # its key is proven: it may be told
        raise InvalidClient(f"client_assertion: aud must be {issuer}", detail="assertion: aud")
    if fault:
        raise InvalidClient(detail=f"assertion: {fault}")
    return SpendAssertion(client.client_id, claims["jti"], math.ceil(claims["exp"]))


def _assertion_fault(
    claims: dict[str, Any], client_id: str, audiences: tuple[str, str], now: int
) -> str:
    jti, exp = claims.get("jti"), claims.get("exp")
    rules = {
        "iss": claims.get("iss") == client_id,
        "sub": claims.get("sub") == client_id,
        "aud": claims.get("aud") in audiences,
        "jti": isinstance(jti, str) and bool(_JTI.match(jti)),
        "exp": is_date(exp) and now < exp <= now + LONGEST_LIFE + AHEAD,  # type: ignore[operator]
        "iat": not_ahead(claims.get("iat"), now),
        "nbf": not_ahead(claims.get("nbf"), now),
    }
    return next((name for name, kept in rules.items() if not kept), "")
