"""What TW FidO's words mean: methods, result codes, and whose approval it was. Pure.

The checksum of FATH-02 leaves pid out, so identity is decided here: push, QR and dongle log in
the number that we opened with, and an answer that names somebody else ends the attempt.
"""

from __future__ import annotations

import calendar
import json
from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType
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
from idp.verify import Attempt, Method, Outcome, State, numbers
from idp.verify.twfido.answers import SUCCESS, BrowserAnswer, Opened, Result
from idp.verify.twfido.settings import QR_NAMES, SCHEME

_APP = ("swk", "user", "mca")  # RFC 8176 §2: software key, user presence, another channel
_TABLE = (  # name, amr, rank, shows, needs_number, disturbs
    ("push", _APP, 1, "wait", True, True),
    ("qr", _APP, 2, "scan", True, False),
    ("web", ("swk", "user"), 3, "leave", False, False),
    ("dongle", ("hwk", "user"), 4, "leave", True, False),
)


def methods(names: Sequence[str], life: int) -> Mapping[str, Method]:
    """Those that are on, by id."""
    made = (
        Method(SCHEME, name, f"urn:twfido:{name}", amr, rank, shows, number, disturbs, life)  # type: ignore[arg-type]
        for name, amr, rank, shows, number, disturbs in _TABLE
    )
    by_name = {method.name: method for method in made}
    return MappingProxyType({by_name[name].id: by_name[name] for name in names})


METHODS = methods([row[0] for row in _TABLE], life=180)

# TW FidO slides: rcodes of FEXCH-01 and FATH-01; every other refusal is the same neutral answer
NOT_OPENED: Mapping[str, type[VerificationError]] = {"4002": NotStarted, "9999": UpstreamAway}

# TW FidO slides: rcodes of FATH-02 that end an attempt (and the two of the browser pages).
# 2001, 9000 (verified, waiting to call us) and whatever we do not know are still pending.
_ENDED: Mapping[str, type[VerificationError]] = {
    "2002": Failed,
    "2003": Expired,
    "5002": Failed,
    "5003": Expired,
    "9004": Denied,
    "9999": UpstreamAway,
}


def names(answered: str, ours: str | None) -> bool:
    """Whether a pid in an answer is absent, ours, or the mask of ours."""
    return not answered or (ours is not None and answered in (ours, numbers.mask(ours)))


def judge(attempt: Attempt, result: Result) -> Outcome:
    """What FATH-02's word means for this attempt."""
    if alarm := _identity_fault(attempt, result):
        return contradiction(result.rcode, alarm)
    if result.rcode == SUCCESS:
        number = result.pid if METHODS[attempt.method].name == "web" else attempt.number
        return Outcome(State.APPROVED, number=number, code=result.rcode)
    why = _ENDED.get(result.rcode)
    return Outcome(State.ENDED if why else State.PENDING, why=why, code=result.rcode)


def _identity_fault(attempt: Attempt, result: Result) -> str | None:
    """Where the browser brought us the qrid, the answer itself must say who approved. Otherwise
    somebody could open a dongle login with a victim's number and bring back the qrid of an
    approval of their own. Whom the browser's answer named, FATH-02 must name, too."""
    method = METHODS.get(attempt.method)
    if method is None or (method.needs_number and not attempt.number):
        return "the attempt was not opened by us"
    if attempt.number and not names(result.pid, attempt.number):
        return "FATH-02: the answer names another person"
    approved = result.rcode == SUCCESS
    if approved and attempt.returned_code not in ("", SUCCESS):
        # a signed failure names nobody and fits every qrid: it must open none
        return "FATH-02 approves what the browser said had failed"
    if approved and method.shows == "leave" and not numbers.valid(result.pid):
        return "FATH-02: the answer does not say who approved"
    return None


def return_fault(attempt: Attempt, method: Method, answer: BrowserAnswer) -> str | None:
    """Why what a browser brought cannot be the answer to this attempt."""
    if method.needs_number and not names(answer.pid, attempt.number):
        return "the answer names another person"
    if attempt.handle not in (None, answer.qrid):
        return "another qrid than before"
    return None


def contradiction(code: str, alarm: str) -> Outcome:
    return Outcome(State.ENDED, why=Disagreement, code=code, alarm=alarm)


def qr_content(template: str, opened: Opened, pid: str) -> str:
    """Drawn as a QR code: `template` filled in, or compact JSON."""
    values = {name: getattr(opened, name) for name in QR_NAMES}
    compact = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    content = template.format(**values) if template else compact
    if pid in content:
        # a QR code is read by everybody who can see the screen
        raise Disagreement(detail="the words for the QR code contain the number")
    return content


def app_link(template: str, content: str) -> str:
    """A link that gives the QR code's content to the app on the same phone; "" without one."""
    return template.replace("{content}", quote(content, safe="")) if template else ""


def months_after(day: date, months: int) -> date:
    """The same day `months` later, or the last of that month if it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))
