"""Every ending of a login is one log line, beside its audit entry and under its reference."""

from __future__ import annotations

from dataclasses import replace

import structlog

from idp.kernel.caller import Caller
from idp.login.flow import VerificationAttempt

log = structlog.get_logger("idp.login")


def line(event: str, who: Caller, client_id: str, what: str, **detail: str | int) -> None:
    """`event` as in the audit trail. `what` is the code of the error that a person sees, or a word
    for an ending that is none."""
    log.info(event, reference=who.reference, client_id=client_id, what=what, **detail)


def under(attempt: VerificationAttempt, who: Caller) -> Caller:
    """Whoever asks, a browser or the upstream: what is heard of an attempt is written under the
    reference of its login."""
    return replace(who, reference=attempt.reference)
