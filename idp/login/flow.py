"""The login as a state diagram: pure, no I/O.

choose ──► opening ──► leave ──► (browser comes back) ──► wait
  ▲           │          │                                  │
  │           ▼          ▼                                  ▼
  └────── wait / scan ──► problem / expired              approved ──► finished
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from idp.kernel import errors
from idp.kernel.database import Row
from idp.kernel.errors import VerificationError

ENDINGS: dict[str, type[VerificationError]] = {
    cls.__name__: cls for cls in errors.all_errors() if issubclass(cls, VerificationError)
}


@dataclass(frozen=True, slots=True)
class Purpose:
    """Who asks for this login and where it leads. `return_to` and `cancel_to` are paths of ours;
    `form_targets` are the origins that a redirect chain after a form may end at (CSP); `home` is
    where the service lives, for those who come too late. A `kiosk` is a screen that others will
    use next: it keeps nothing of the person."""

    service: str
    agency: str
    relying_party: str
    return_to: str
    cancel_to: str
    service_en: str = ""
    language: str = ""
    schemes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    number_hint: str = ""
    form_targets: tuple[str, ...] = ()
    kiosk: bool = False
    home: str = ""

    def dump(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def read(cls, text: str) -> Purpose:
        found = json.loads(text)
        for name in ("schemes", "methods", "form_targets"):
            found[name] = tuple(found[name])
        return cls(**found)


class AttemptState(StrEnum):
    OPENING = "opening"  # the upstream has been asked to open it, and has not answered yet
    PENDING = "pending"
    APPROVED = "approved"
    USED = "used"
    ENDED = "ended"
    REPLACED = "replaced"  # by a newer attempt, another method, or the end of the login


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


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn of an attempt: `shows` as in verify.Method, the rest as in Challenge; its
    `fields` are sealed, for a number may be among them."""

    shows: str
    display_name: str = ""
    masked: str = ""
    qr: str | None = None
    app_link: str = ""
    action: str | None = None
    form_method: str = "post"
    fields_sealed: str = ""

    def dump(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def read(cls, text: str) -> Picture:
        return cls(**json.loads(text))


RESEND = 30  # seconds until a phone that has just rung may ring again
GRACE = 60  # seconds in which an approval of the last moment may still be heard and taken up
_PENDING = {"wait": Step.WAIT, "scan": Step.SCAN, "leave": Step.LEAVE}


def next_step(login: Row, attempt: Row | None, now: int) -> Step:
    """What the browser of this login is to see."""
    if login["finished_at"] is not None or now >= login["expires_at"]:
        return Step.FINISHED
    if attempt is None or attempt["state"] == AttemptState.REPLACED:
        return Step.CHOOSE
    over = now - attempt["expires_at"]
    if attempt["state"] == AttemptState.APPROVED and over < GRACE:
        return Step.APPROVED
    if attempt["state"] in (AttemptState.OPENING, AttemptState.PENDING) and over < 0:
        return _waiting(attempt)
    return Step.EXPIRED if ending(attempt) is errors.Expired else Step.PROBLEM


def _waiting(attempt: Row) -> Step:
    if attempt["state"] == AttemptState.OPENING:
        return Step.OPENING
    shows = Picture.read(attempt["challenge"]).shows
    if shows == "leave" and attempt["handle"]:
        return Step.WAIT  # the browser is back; only the upstream's word is missing
    return _PENDING[shows]


def ending(attempt: Row) -> type[VerificationError]:
    """Why an attempt is over, if it is."""
    if attempt["state"] == AttemptState.ENDED:
        return ENDINGS.get(attempt["why"], errors.Failed)
    # an opening call that never came back was no fault of the person's
    opening = attempt["state"] == AttemptState.OPENING
    return errors.UpstreamAway if opening else errors.Expired


def decided(step: Step) -> bool:
    """Whether there is nothing to wait for any more."""
    return step not in (Step.OPENING, Step.WAIT, Step.SCAN, Step.LEAVE)


def worth_asking(attempt: Row, now: int) -> bool:
    """Undecided, and once more after its time: who approved in the last second has approved."""
    if attempt["state"] != AttemptState.PENDING or not attempt["handle"]:
        return False
    ends = attempt["expires_at"]
    return bool(now < ends or (attempt["asked_at"] < ends and now < ends + GRACE))


def mark(login: Row, step: Step) -> str:
    """What a page shows: as long as the mark is the same, the page is still true."""
    return f"{step}-{login['attempts']}"
