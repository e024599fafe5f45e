"""A client as its row describes it, whatever is in that row: reading never fails.

A member that is null is one that was left out (RFC 7591 §2). A member that cannot be read has its
default, and its client may do nothing until an operator has mended it: a rule that is lost with the
member must not be one that kept somebody out.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from idp.kernel import stored
from idp.registry.metadata import ClientMetadata, address_fault

ADDRESSES = (
    *("redirect_uris", "post_logout_redirect_uris"),
    *("client_uri", "policy_uri", "initiate_login_uri"),
)
LONGEST_LIFE = 2**31  # seconds of an access token; times beyond it fit no column and no calendar
WHOLE = ("metadata",)  # the document itself is none


def read_metadata(text: str) -> tuple[ClientMetadata, tuple[str, ...]]:
    """(what can be read, the members that cannot)."""
    try:
        found = stored.read(ClientMetadata, text)
        broken: tuple[str, ...] = ()
    except ValidationError:
        found, broken = _salvaged(text)
    broken = tuple(dict.fromkeys((*broken, *_useless(found))))
    return found.model_copy(update={n: _default(n) for n in broken if n not in WHOLE}), broken


def _salvaged(text: str) -> tuple[ClientMetadata, tuple[str, ...]]:
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return ClientMetadata(), WHOLE
    if not isinstance(document, dict):
        return ClientMetadata(), WHOLE
    known = {n: v for n, v in document.items() if n in ClientMetadata.model_fields}
    broken = [name for name, value in known.items() if not _is_text(value)]
    kept = {n: v for n, v in known.items() if v is not None and n not in broken}
    try:
        ClientMetadata.model_validate(kept)
    except ValidationError as faults:
        broken += [str(fault["loc"][0]) for fault in faults.errors()]
    kept = {name: value for name, value in kept.items() if name not in broken}
    return ClientMetadata.model_validate(kept), tuple(broken)


def _is_text(value: Any) -> bool:
    """Whether it can be written again: half a character of UTF-16 cannot."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _useless(found: ClientMetadata) -> list[str]:
    """Members of the right type that nothing could use."""
    faults = [name for name in ADDRESSES if any(map(address_fault, _texts(found, name)))]
    if not 0 <= (found.access_token_seconds or 0) <= LONGEST_LIFE:
        faults.append("access_token_seconds")
    if not isinstance((found.jwks or {}).get("keys", []), list):
        faults.append("jwks")
    return faults


def _texts(found: ClientMetadata, name: str) -> list[str]:
    value = getattr(found, name)
    return [value] if isinstance(value, str) and value else list(value)


def _default(name: str) -> Any:
    return ClientMetadata.model_fields[name].default
