"""Draws what flow.next_step says: one page a step, the same for every way to verify."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import errors
from idp.kernel.clock import Clock, moment
from idp.kernel.errors import IdpError
from idp.kernel.forms import Forms, Params
from idp.kernel.templates import Templates
from idp.kernel.web import origin_of, preference
from idp.login import qr
from idp.login.flow import (
    RESEND,
    Drawing,
    LoginTransaction,
    Purpose,
    Step,
    VerificationAttempt,
    decided,
    ending,
    page_state,
)
from idp.login.offer import Offer
from idp.login.sealing import Sealing
from idp.verify import Method

METHOD_COOKIE = "idp_method"
PAGES = {
    Step.CHOOSE: "login/choose.html",
    Step.OPENING: "login/wait.html",
    Step.WAIT: "login/wait.html",
    Step.SCAN: "login/wait.html",
    Step.LEAVE: "login/leave.html",
    Step.APPROVED: "login/approved.html",
    Step.EXPIRED: "login/problem.html",
    Step.PROBLEM: "login/problem.html",
}

# On a shared screen these clear themselves (kiosk.js). The others show nothing of a person, have a
# clock of their own, and become one of these when it has run out (wait.js).
UNTIMED = (Step.CHOOSE, Step.EXPIRED, Step.PROBLEM)


@dataclass(frozen=True, slots=True)
class LoginView:
    """One login as its browser sees it now."""

    login: LoginTransaction
    attempt: VerificationAttempt | None
    step: Step
    offer: Offer

    @property
    def purpose(self) -> Purpose:
        return self.login.purpose

    @property
    def path(self) -> str:
        return f"/login/{self.login.id}"

    @property
    def rings(self) -> bool:
        """Whether this attempt rings a phone."""
        return self.offer.current is not None and self.offer.current.disturbs

    @property
    def scannable(self) -> Method | None:
        """The way to go on with a code to scan where a phone should have rung."""
        return self.offer.scan if self.rings and self.step in (Step.WAIT, Step.EXPIRED) else None

    @property
    def to_confirm(self) -> bool:
        """Whether the person must first be told whose verification it is. A browser that was sent
        to another site can be sent back with somebody else's, and would then be logged in as them
        (login CSRF, RFC 9700 §4.7): so no script goes on from there."""
        left = self.attempt is not None and self.attempt.shows == "leave"
        return left and self.step is Step.APPROVED

    @property
    def untimed(self) -> bool:
        """Whether a shared screen must clear this page by a clock of its own."""
        return self.step in UNTIMED or self.to_confirm

    @property
    def worth_repeating(self) -> bool:
        """Whether “try again” could work: a person who pressed reject is not rung again for a
        while."""
        if self.attempt is None or self.step not in (Step.EXPIRED, Step.PROBLEM):
            return False
        rests = ending(self.attempt) is errors.Denied and self.offer.rests_after_denial
        return not (self.rings and rests)


class LoginRenderer:
    def __init__(self, clock: Clock, templates: Templates, forms: Forms, sealing: Sealing) -> None:
        self._clock, self._templates = clock, templates
        self._forms, self._sealing = forms, sealing

    def page(
        self,
        request: Request,
        view: LoginView,
        fault: str = "",
        typed: Params | None = None,
        problem: IdpError | None = None,
    ) -> Response:
        """The page of the step, or that of a `problem` which stops no attempt. Raises
        AlreadyFinished where nothing is left to press."""
        purpose, attempt = view.purpose, view.attempt
        if view.step is Step.FINISHED:
            if view.login.finished_at is not None:
                raise errors.AlreadyFinished(purpose.service, purpose.service_en, purpose.home)
            problem = errors.AlreadyFinished()  # out of time, but the way back is still open
        drawing = attempt.drawing if attempt else None
        left, kiosk = self.seconds(view), purpose.kiosk
        language = self._templates.language(request, purpose.language)
        why = problem or (ending(attempt) if attempt else None)
        return self._templates.page(
            request,
            "login/problem.html" if problem else PAGES[view.step],
            status=problem.status if problem else 200,
            language=language,
            **self._templates.app_words(view.offer.app, language),
            form_targets=_targets(purpose, drawing),
            here=view.path,
            login_id=view.login.id,
            purpose=purpose,
            kiosk=kiosk,
            clears="cancel" if kiosk and (problem or view.untimed) else "",
            step=view.step.value,
            page_state=page_state(view.login, view.step),
            seen=view.login.attempts,
            drawing=drawing,
            approval=attempt.id if attempt and view.to_confirm else "",
            person=view.offer.person,
            fields=self._sealing.fields_of(drawing) if drawing else (),
            qr_svg=qr.svg(drawing.qr) if drawing and drawing.qr else "",
            seconds=left,
            clock=f"{left // 60:02d}:{left % 60:02d}",
            still="still" in request.query_params,
            soon="soon" in request.query_params,
            locked=self.locked(view),
            scannable=view.scannable is not None,
            life_seconds=view.offer.life,
            mobile=_mobile(request),
            problem=why,
            instead=view.offer.instead(getattr(why, "instead", {})),
            wait_minutes=_minutes(problem),
            until=moment(problem.until)["text"] if isinstance(problem, errors.Maintenance) else "",
            waiting=not decided(view.step),
            again=problem is None and view.worth_repeating,
            over=isinstance(problem, errors.AlreadyFinished),
            methods=_ordered(request, view.offer),
            chosen=_chosen(request, view, typed),
            typed=(typed if not kiosk else None) or {"pid": self._suggested(purpose)},
            fault=fault,
            csrf=self._forms.sign(view.login.browser),
        )

    def _suggested(self, purpose: Purpose) -> str:
        """The number that the relying party suggested; a shared screen shows none."""
        return "" if purpose.kiosk else self._sealing.hint_of(purpose.number_hint)

    def seconds(self, view: LoginView) -> int:
        """Left of the attempt."""
        return max(0, view.attempt.expires_at - self._clock.now()) if view.attempt else 0

    def locked(self, view: LoginView) -> int:
        """Seconds until a phone that has just rung may ring again."""
        if not view.attempt or not view.rings or view.step is not Step.WAIT:
            return 0
        return max(0, view.attempt.opened_at + RESEND - self._clock.now())


def _ordered(request: Request, offer: Offer) -> list[Method]:
    """On a phone the way that needs no second device comes first."""
    mobile = _mobile(request)
    first = ("leave", "scan", "wait") if mobile else ("scan", "wait", "leave")
    rank = 1 if mobile else -1
    return sorted(offer.methods, key=lambda m: (first.index(m.shows), rank * m.rank))


def _chosen(request: Request, view: LoginView, typed: Params | None) -> str:
    kept = preference(request, METHOD_COOKIE) if not view.purpose.kiosk else ""
    wish = (typed or Params()).get("method") or kept
    return wish if any(m.name == wish for m in view.offer.methods) else ""


def _mobile(request: Request) -> bool:
    return "Mobi" in request.headers.get("user-agent", "")


def _targets(purpose: Purpose, drawing: Drawing | None) -> list[str]:
    away = [origin_of(drawing.action)] if drawing and drawing.action else []
    return [*purpose.form_targets, *away]


def _minutes(problem: IdpError | None) -> int:
    return -(-(problem.retry_after or 0) // 60) if problem else 0
