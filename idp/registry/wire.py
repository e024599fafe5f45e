"""Client metadata in the words of RFC 7591 and of OpenID Connect Registration, as a client sends
them and reads them back. Pure.

What a client may say of itself stands here; everything else is an operator's word.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from idp.registry.metadata import ClientMetadata
from idp.registry.registration import Registration

# the same word on both sides
SAME = frozenset({
    "application_type", "authorization_signed_response_alg", "backchannel_logout_session_required",
    "backchannel_logout_uri", "client_name", "client_uri", "frontchannel_logout_session_required",
    "frontchannel_logout_uri", "initiate_login_uri",
    "dpop_bound_access_tokens", "grant_types", "id_token_signed_response_alg", "jwks",
    "default_acr_values", "default_max_age",
    "jwks_uri", "request_uris", "sector_identifier_uri", "subject_type",
    "policy_uri", "post_logout_redirect_uris", "redirect_uris", "request_object_signing_alg",
    "require_pushed_authorization_requests", "require_signed_request_object", "response_modes",
    "tls_client_auth_san_dns", "tls_client_auth_san_email", "tls_client_auth_san_ip",
    "tls_client_auth_san_uri", "tls_client_auth_subject_dn",
    "tls_client_certificate_bound_access_tokens", "token_endpoint_auth_method",
    "token_endpoint_auth_signing_alg", "userinfo_signed_response_alg",
})  # fmt: skip
# RFC 7591 §2 has a member in several languages
RENAMED = {"client_name#en": "client_name_en"}
SAID = {*SAME, *RENAMED.values(), "scopes"}  # of our members; the others are an operator's word
GRANTS = ("authorization_code", "refresh_token")
ENCRYPTION = ("_encrypted_response_alg", "_encryption_alg")


class Unfit(Exception):
    """The metadata cannot be registered; `error` is the word of RFC 7591 §3.2.2."""

    def __init__(self, text: str, error: str = "invalid_client_metadata") -> None:
        super().__init__(text)
        self.error = error


def read(
    told: Mapping[str, Any], scopes: Collection[str], decided: Mapping[str, Any]
) -> Registration:
    """What a client says of itself; of `scopes` it may have all or some. What an operator
    `decided` of it holds. Members that nobody knows are ignored (RFC 7591 §2). Raises Unfit."""
    _check(told)
    fields = {name: told[name] for name in SAME & told.keys() if told[name] is not None}
    fields |= {ours: told[theirs] for theirs, ours in RENAMED.items() if theirs in told}
    fields.setdefault("client_name", _host_of(told.get("redirect_uris")))
    fields.setdefault("grant_types", ["authorization_code"])  # RFC 7591 §2
    fields["scopes"] = _scopes(told.get("scope"), scopes)
    fields |= {name: value for name, value in decided.items() if name not in SAID}
    if not set(fields["grant_types"]) <= set(GRANTS):
        raise Unfit(f"grant_types: of {', '.join(GRANTS)}")
    try:
        return Registration.model_validate(fields)
    except ValidationError as broken:
        raise _unfit(broken) from None


def _check(told: Mapping[str, Any]) -> None:
    if "software_statement" in told:
        raise Unfit("software statements are not supported", "invalid_software_statement")
    for name in told:
        if name in Registration.model_fields.keys() - SAME:
            raise Unfit(f"{name}: only an operator may set it")
        if name.endswith(ENCRYPTION):
            raise Unfit(f"{name} is not supported")
    if told.get("response_types", ["code"]) != ["code"]:
        raise Unfit('response_types: only ["code"]')
    grants = told.get("grant_types", [])
    if not isinstance(grants, list) or not all(isinstance(grant, str) for grant in grants):
        raise Unfit("grant_types must be a list of texts")


def _host_of(uris: object) -> str:
    """What people see of a client that has no name."""
    first = uris[0] if isinstance(uris, list) and uris else ""
    with contextlib.suppress(ValueError):
        return urlsplit(str(first)).hostname or ""
    return ""


def _scopes(told: object, allowed: Collection[str]) -> list[str]:
    """A text with blanks (RFC 7591 §2); left out: all."""
    if told is None:
        return list(allowed)
    if not isinstance(told, str):
        raise Unfit("scope must be a text")
    if refused := [scope for scope in told.split() if scope not in allowed]:
        raise Unfit(f"scope: only an operator may give {' '.join(refused)}")
    return told.split()


def _unfit(broken: ValidationError) -> Unfit:
    """Every fault, in the words of the wire."""
    faults = []
    for fault in broken.errors():
        where = ".".join(str(part) for part in fault["loc"])
        text = str(fault["msg"]).removeprefix("Value error, ")
        faults.append(f"{where}: {text}" if where else text)
    about = any("redirect_uri" in fault or "https is required" in fault for fault in faults)
    only = about and all("post_logout" not in fault for fault in faults)
    error = "invalid_redirect_uri" if only else "invalid_client_metadata"
    return Unfit("; ".join(faults), error)


def shown(metadata: ClientMetadata) -> dict[str, Any]:
    """As RFC 7591 §3.2.1 has it: everything that holds now, also by default."""
    known = metadata.model_dump(mode="json")
    said = {name: known[name] for name in sorted(SAME) if known[name] not in ("", None, [])}
    said |= {theirs: known[ours] for theirs, ours in RENAMED.items() if known[ours]}
    return {
        **said,
        "scope": " ".join(metadata.scopes),
        "response_types": ["code"],
    }
