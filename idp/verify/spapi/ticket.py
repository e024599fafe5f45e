"""The sp_ticket: base64url(JSON) "." base64url(SHA-256 of the first part). Pure.

Its digest is no signature: anybody can write a ticket. What makes one ours is the checksum of the
answer that brought it (`answers`), and that it says what we asked for (`Ticket.disagrees`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from idp.kernel.errors import Disagreement
from idp.kernel.strictjson import NotStrict, read_object
from idp.verify.spapi import wire

_MOST_BYTES = 8192
_TICKET_ID = re.compile(rf"\A{wire.TICKET_ID}\Z", re.ASCII)
_OURS = ("transaction_id", "sp_service_id", "op_code", "op_mode", "hint")


@dataclass(frozen=True, slots=True)
class Ticket:
    """`text` is what the QR code carries and `plain` what can be read in it; `said` are the fields
    that repeat our request, as far as they are there; `sp_name` is what the phone shows;
    `hashed_id_num` is "" where there is none."""

    text: str = field(repr=False)
    plain: str = field(repr=False)
    sp_ticket_id: str
    sp_name: str
    said: Mapping[str, str]
    hashed_id_num: str = field(repr=False)

    def disagrees(self, asked: Mapping[str, str]) -> str | None:
        """The first field in which the ticket is not the one that was asked for."""
        for name, value in self.said.items():
            if name in asked and value != asked[name]:
                return name
        return None


def read(text: str) -> Ticket:
    """Raises Disagreement; its text names the rule, never the content."""
    first, dot, second = text.rpartition(".")
    digest = hashlib.sha256(first.encode("ascii")).digest()
    if not dot or not hmac.compare_digest(_decoded(second), digest):
        raise Disagreement(detail="sp_ticket: the digest does not fit")
    try:
        fields = read_object(_decoded(first), _MOST_BYTES)
    except NotStrict as fault:
        raise Disagreement(detail=f"sp_ticket: {fault}") from None
    ticket_id = wire.scalar(fields.get("sp_ticket_id"))
    if not _TICKET_ID.match(ticket_id):
        raise Disagreement(detail="sp_ticket: sp_ticket_id is missing or not well-formed")
    said = {name: wire.scalar(fields[name]) for name in _OURS if fields.get(name) is not None}
    return Ticket(
        text=text,
        plain=" ".join(map(wire.scalar, fields.values())),
        sp_ticket_id=ticket_id,
        sp_name=wire.text(fields, "sp_name"),
        said=said,
        hashed_id_num=wire.optional(fields, "hashed_id_num"),
    )


def _decoded(part: str) -> bytes:
    """base64url with or without padding. Raises Disagreement."""
    bare = part.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise Disagreement(detail="sp_ticket: not base64url") from None
