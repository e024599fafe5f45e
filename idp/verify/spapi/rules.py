"""What the SP-API's words mean: methods, codes, and whose approval it was. Pure.

What its checksums bind and leave open, and so what is believed:

1. A browser's result is bound to one transaction of ours, unlike the RP-API's; but it passes
   through hands that are not ours. It tells whom it names and wakes us up, no more.
2. ATH-02 names no number. Whose approval it was is decided by what we opened: a transaction_id is
   ours, for one number, and under every checksum. Where the ticket told a hashed_id_num, the
   result must tell the same: that also fixes where it ends and signed_response begins.
3. There is no callback. Whatever claims to be one is refused.
4. ATH-02's checksum leaves sp_ticket_id out. So it is the answer to our transaction, whichever
   ticket was asked for; both come from one opening and stay together in one handle.
5. An older answer to the same transaction fits again: it can say "pending" once more, or repeat
   what was final. A result that was fetched by others (SPTKTID_SPTKT_RDM) approves nothing.
6. Requests and answers are signed with one key. Our own signature of a redirect, which its browser
   sees, must never read as an answer: no sp_service_id may begin like one (`settings`).
7. cert is under no checksum, and the signature over what we asked for speaks for the key in it:
   evidence, and no reason for a higher level.
8. hashed_id_num identifies nobody: how it is made is not public.
9. An error may come unsigned. It can end an attempt, and never approve one.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

from idp.kernel.errors import (
    Denied,
    Disagreement,
    Expired,
    Failed,
    NotStarted,
    UpstreamAway,
    VerificationError,
)
from idp.verify import Attempt, Method, Outcome, State
from idp.verify.spapi import checksum, wire
from idp.verify.spapi.answers import BrowserAnswer, Result
from idp.verify.spapi.ticket import Ticket

SCHEME = "spapi"

_APP = ("swk", "user", "mca")  # RFC 8176 §2: software key, user presence, another channel
# The levels of the first interface: it is the same service, the same enrolment, the same act of
# the person. A client that demands one need not be told which interface its people came by.
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.id: method
        for method in (
            Method(SCHEME, "push", "urn:twfido:push", _APP, 1, "wait", True, disturbs=True),
            Method(SCHEME, "qr", "urn:twfido:qr", _APP, 2, "scan", needs_number=True),
            Method(SCHEME, "web", "urn:twfido:web", ("swk", "user"), 3, "leave", False),
        )
    }
)


def methods(names: Sequence[str], life: int, ask_seconds: int) -> Mapping[str, Method]:
    """Those that are on, by id."""
    ids = [f"{SCHEME}:{name}" for name in names]
    return MappingProxyType(
        {id: replace(METHODS[id], life=life, ask_seconds=ask_seconds) for id in ids}
    )


# Our configuration or our numbering is at fault, or somebody between changed what we sent.
_OURS = frozenset(
    {"INV_SP_CHECKSUM", "SPSVCID_NF", "TXNLOG_INS_ERR", "SPTKT_TIME_ORV", "SIGNDATA_LEN_LIMIT"}
)
_AWAY = re.compile(r"\A(?:DB_.*|.*_DBSQL|PS_.*|UNDEFINED)\Z", re.ASCII)  # the service's own trouble
_NEUTRAL = frozenset({"PS_FCM_NOT_FOUND"})  # and this: the phone's app was not opened for long
_ENDED: Mapping[str, type[VerificationError]] = {
    "APP_USER_CANCEL": Denied,
    "APP_SIGN_FAILURE": Failed,
    "SPTKT_OVD": Expired,
    "UNDEFINED": UpstreamAway,  # a database that is away (DB_…) comes back: that is still pending
    "SPTKTID_SPTKT_NF": Failed,
    "SPTKTID_SPTKT_RDM": Failed,
    "IDNUM_USERPROF_NF": Failed,  # the person has left the service meanwhile
    "IDNUM_DEVPROF_NF": Failed,
}
PENDING = frozenset({"20002", "20003", "SPTKTID_TXNLOG_NF"})


def not_opened(code: str) -> type[VerificationError]:
    """Why nothing was opened. Not enrolled, and whatever we do not know, are one neutral answer:
    nobody is to learn who is enrolled."""
    if code in _OURS:
        return Disagreement
    return UpstreamAway if _AWAY.match(code) and code not in _NEUTRAL else NotStarted


# ── the handle: all that must be known of an attempt to ask about it ─────────────────────────────

_HANDLE = re.compile(rf"\A({wire.UUID})(?::([0-9a-f]{{32}}|-):({wire.TICKET_ID}))?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Handle:
    """`sp_ticket_id` is "" for a web redirect. `marked` recognises the ticket's hashed_id_num
    without being it: from that the number could be found by trying all of them. "" if it had
    none."""

    transaction_id: str
    sp_ticket_id: str = ""
    marked: str = ""

    @classmethod
    def of(cls, transaction_id: str, opened: Ticket, key: str) -> Handle:
        hashed = opened.hashed_id_num
        marked = checksum.mark(key, transaction_id, hashed) if hashed else ""
        return cls(transaction_id, opened.sp_ticket_id, marked)

    @classmethod
    def read(cls, text: str) -> Handle:
        """Raises Disagreement."""
        found = _HANDLE.match(text)
        if found is None:
            raise Disagreement(detail="the attempt was not opened by us")
        marked = found[2] or ""
        return cls(found[1], found[3] or "", "" if marked == "-" else marked)

    def __str__(self) -> str:
        if not self.sp_ticket_id:
            return self.transaction_id
        return f"{self.transaction_id}:{self.marked or '-'}:{self.sp_ticket_id}"

    def knows(self, hashed_id_num: str, keys: Sequence[str]) -> bool:
        """Whether the ticket told this hashed_id_num, or none. The key may have changed since."""
        if not self.marked:
            return True
        marks = (checksum.mark(key, self.transaction_id, hashed_id_num) for key in keys)
        return any(hmac.compare_digest(mark, self.marked) for mark in marks)


def signed_words(transaction_id: str) -> str:
    """What we ask the person's key to sign: this login and no other."""
    return f"login:{transaction_id}"


# ── who is believed ─────────────────────────────────────────────────────────────────────────────


def opening_fault(opened: Ticket, asked: Mapping[str, str]) -> str | None:
    """Why a ticket is not the one that we asked for."""
    differs = opened.disagrees(asked)
    if differs:
        return f"the ticket has another {differs}"
    if opened.said.get("transaction_id") != asked["transaction_id"]:
        return "the ticket names no transaction"
    return None


def judge(attempt: Attempt, handle: Handle, result: Result, keys: Sequence[str]) -> Outcome:
    """What ATH-02's word means for this attempt."""
    if result.code in _OURS:
        return contradiction(result.code, f"ATH-02 refused our request: {result.code}")
    if not result.success:
        why = _ENDED.get(result.code)
        return Outcome(State.ENDED if why else State.PENDING, why=why, code=result.code)
    if alarm := _identity_fault(attempt, handle, result, keys):
        return contradiction(result.code, alarm)
    return Outcome(State.APPROVED, number=attempt.number, code=result.code)


def _identity_fault(
    attempt: Attempt, handle: Handle, result: Result, keys: Sequence[str]
) -> str | None:
    """Push and QR log in the number that we opened with; a redirect whom its signed return named,
    to this very transaction."""
    method = METHODS.get(attempt.method)
    if method is None or not attempt.number:
        return "the attempt was not opened by us"
    if method.shows == "leave":
        # a signed failure names nobody: the upstream must not approve what it said had failed
        failed = attempt.returned_code != wire.SUCCESS
        return "ATH-02 approves what the browser said had failed" if failed else None
    if not handle.sp_ticket_id:
        return "the attempt has no ticket"
    if not handle.knows(result.hashed_id_num, keys):
        return "ATH-02: hashed_id_num is not that of the ticket"
    return None


def return_fault(attempt: Attempt, answer: BrowserAnswer) -> str | None:
    """Why what a browser brought cannot be the answer to this attempt."""
    method = METHODS.get(attempt.method)
    if method is None or method.shows != "leave":
        return "this method does not return by the browser"
    if attempt.handle != answer.transaction_id:
        return "the answer is to another transaction"
    if attempt.number and answer.id_num not in ("", attempt.number):
        return "the answer names another person than before"
    return None


def contradiction(code: str, alarm: str) -> Outcome:
    return Outcome(State.ENDED, why=Disagreement, code=code, alarm=alarm)


# ── what the ticket is carried by ────────────────────────────────────────────────────────────────

RtnEncoding = Literal["base64url", "base64", "plain"]


def encoded(value: str, how: RtnEncoding) -> str:
    """One program writes the link's values in base64url, another in base64."""
    if how == "plain":
        return value
    write = base64.urlsafe_b64encode if how == "base64url" else base64.b64encode
    plain = write(value.encode("utf-8")).decode("ascii")
    return plain.rstrip("=") if how == "base64url" else plain


def decoded(text: str) -> str:
    """What `encoded` wrote, in whichever way; "" if it is none of them."""
    bare = text.strip().rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        found = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        return found.decode("ascii")
    except ValueError:
        return text


def app_link(template: str, values: Mapping[str, str]) -> str:
    """A link that gives the ticket to the app on the same phone; "" without a template."""
    link = template
    for name, value in values.items():
        link = link.replace("{" + name + "}", quote(value, safe=""))
    return link


def must_not_contain(ticket: Ticket, number: str) -> None:
    """A QR code is read by everybody who can see the screen. Raises Disagreement."""
    if number in ticket.plain:
        raise Disagreement(detail="what the QR code carries contains the number")
