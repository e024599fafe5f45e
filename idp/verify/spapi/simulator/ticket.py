"""sp_ticket: what the QR code and the app link carry."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping


def _encoded(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def write(fields: Mapping[str, str]) -> str:
    """base64url of the JSON, a dot, base64url of the SHA-256 of what stands before the dot."""
    first = _encoded(json.dumps(fields, ensure_ascii=False).encode())
    return f"{first}.{_encoded(hashlib.sha256(first.encode()).digest())}"


def transaction_of(content: str) -> str | None:
    """The transaction_id in a ticket, however it was scanned; None if it is no ticket."""
    first, _, digest = content.strip().rpartition(".")
    if _encoded(hashlib.sha256(first.encode()).digest()) != digest.rstrip("="):
        return None
    try:
        fields = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError):
        return None
    found = fields.get("transaction_id") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else None
