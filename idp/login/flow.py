"""The login as a state diagram: pure, no I/O.

choose ──► opening ──► leave ──► (browser comes back) ──► wait
  ▲           │          │                                  │
  │           ▼          ▼                                  ▼
  └────── wait / scan ──► problem / expired              approved ──► finished
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from idp.kernel import errors
from idp.kernel.errors import VerificationError

# ── what is stored ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Purpose:
    """Who asks for this login and where it leads (kernel.stored). `return_to` and `cancel_to` are
    paths of ours. `form_targets` are the origins that a redirect chain after a form may end at
    (CSP). `home` is where the service lives, for people who come too late. A `kiosk` is a screen
    that other people will use next: it keeps nothing of the person."""

    service: str = ""
    agency: str = ""
    relying_party: str = ""
    return_to: str = "/"
    cancel_to: str = "/"
    service_en: str = ""
    language: str = ""
    schemes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    number_hint: str = ""  # sealed
    form_targets: tuple[str, ...] = ()
    kiosk: bool = False
    home: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What the page draws of an attempt (kernel.stored): `shows` as in verify.Method, the rest as
    in Challenge. `fields_sealed` may hold a number."""

    shows: str = "wait"
    display_name: str = ""
    masked: str = ""
    qr: str | None = None
    app_link: str = ""
    action: str | None = None
    form_method: str = "post"
    fields_sealed: str = ""


class AttemptState(StrEnum):
    OPENING = "opening"  # the upstream was asked to open it and has not answered yet
    PENDING = "pending"
    APPROVED = "approved"
    USED = "used"
    ENDED = "ended"
    REPLACED = "replaced"  # by a newer attempt, another method, or the end of the login

    @classmethod
    def _missing_(cls, value: object) -> AttemptState:
        """A state of a newer version lets nobody in."""
        return cls.ENDED


class Heard(StrEnum):
    """Why an attempt is over although no error ended it."""

    APPROVED = "approved"  # the person approved an attempt that no longer counted
    STOPPED = "stopped"  # the person said “this was not me” while it was open


Why = type[VerificationError] | Heard | None  # None: nothing was heard yet
ENDINGS: dict[str, type[VerificationError]] = {
    kind.code: kind for kind in errors.all_errors() if issubclass(kind, VerificationError)
}


def why_code(why: type[VerificationError] | Heard) -> str:
    """As it is stored."""
    return why.value if isinstance(why, Heard) else why.code


def why_of(code: str) -> Why:
    """What a stored code means. One that this version does not know is a failure."""
    if not code:
        return None
    heard = next((heard for heard in Heard if heard.value == code), None)
    return heard or ENDINGS.get(code, errors.Failed)


@dataclass(frozen=True, slots=True)
class VerificationAttempt:
    """One verification upstream. `reference` is that of its login. `handle` is the upstream's
    name of the transaction, None until there is one. `sole_relying_party` is the only one that its
    approval counts for, "" for every one (verify.Challenge.only_for). `returned_code` is the result
    code that the browser brought back."""

    id: str
    login_id: str
    reference: str
    relying_party: str
    browser: str
    method: str
    shows: str
    system: str
    handle: str | None
    number_index: str | None
    number_sealed: str | None
    drawing: Drawing
    sole_relying_party: str
    returned_code: str
    state: AttemptState
    why: Why
    opened_at: int
    expires_at: int
    asked_at: int


@dataclass(frozen=True, slots=True)
class LoginTransaction:
    """One login of one browser. `attempts` counts those that were begun."""

    id: str
    browser: str
    reference: str
    relying_party: str
    purpose: Purpose
    attempts: int
    attempt_id: str | None
    session_id: str | None
    created_at: int
    expires_at: int
    finished_at: int | None


# ── what follows from it ────────────────────────────────────────────────────────────────────────


class Step(StrEnum):
    CHOOSE = "choose"
    OPENING = "opening"
    WAIT = "wait"
    SCAN = "scan"
    LEAVE = "leave"
    APPROVED = "approved"
    EXPIRED = "expired"
    PROBLEM = "problem"
    FINISHED = "finished"


RESEND = 30  # seconds until a phone that has just rung may ring again
GRACE = 60  # seconds in which an approval of the last moment may still be heard and taken up
_PENDING = {"wait": Step.WAIT, "scan": Step.SCAN, "leave": Step.LEAVE}


def next_step(login: LoginTransaction, attempt: VerificationAttempt | None, now: int) -> Step:
    """What the browser of this login is to see."""
    if login.finished_at is not None or now >= login.expires_at:
        return Step.FINISHED
    if attempt is None or attempt.state is AttemptState.REPLACED:
        return Step.CHOOSE
    over = now - attempt.expires_at
    if attempt.state is AttemptState.APPROVED and over < GRACE:
        return Step.APPROVED
    if attempt.state in (AttemptState.OPENING, AttemptState.PENDING) and over < 0:
        return _waiting(attempt)
    return Step.EXPIRED if ending(attempt) is errors.Expired else Step.PROBLEM


def _waiting(attempt: VerificationAttempt) -> Step:
    if attempt.state is AttemptState.OPENING:
        return Step.OPENING
    if attempt.shows == "leave" and attempt.returned_code:
        return Step.WAIT  # the browser is back; only the upstream's word is missing
    return _PENDING.get(attempt.shows, Step.WAIT)


def ending(attempt: VerificationAttempt) -> type[VerificationError]:
    """Why an attempt is over, if it is."""
    if attempt.state is AttemptState.ENDED:
        known = attempt.why
        return errors.Failed if known is None or isinstance(known, Heard) else known
    # an opening call that never came back was no fault of the person's
    opening = attempt.state is AttemptState.OPENING
    return errors.UpstreamAway if opening else errors.Expired


def decided(step: Step) -> bool:
    """Whether there is nothing to wait for any more."""
    return step not in (Step.OPENING, Step.WAIT, Step.SCAN, Step.LEAVE)


def worth_asking(attempt: VerificationAttempt, now: int) -> bool:
    """Undecided, and once more after its time: an approval of the last second counts. Not while
    the browser is at the upstream: an attacker who sends somebody else there must learn nothing."""
    away = attempt.shows == "leave" and not attempt.returned_code
    if attempt.state is not AttemptState.PENDING or not attempt.handle or away:
        return False
    ends = attempt.expires_at
    return now < ends or (attempt.asked_at < ends and now < ends + GRACE)


def page_state(login: LoginTransaction, step: Step) -> str:
    """Names what a page shows: as long as it is the same, the page is still true."""
    return f"{step}-{login.attempts}"
