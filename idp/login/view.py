"""Draws what flow.next_step says: one page a step, the same for every way to verify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from idp.kernel import errors
from idp.kernel.clock import moment
from idp.kernel.database import Row
from idp.kernel.errors import IdpError
from idp.kernel.forms import Params
from idp.kernel.services import Services
from idp.kernel.templates import SOURCE, Templates
from idp.kernel.web import origin_of, preference
from idp.login import qr
from idp.login.desk import Desk
from idp.login.flow import RESEND, Picture, Purpose, Step, decided, ending, mark
from idp.verify import Method

METHOD_COOKIE = "idp_method"
HINT = "number-hint"  # the vault's purpose
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
class Here:
    """One login as its browser sees it now."""

    login: Row
    attempt: Row | None
    purpose: Purpose
    step: Step

    @property
    def id(self) -> str:
        return str(self.login["id"])

    @property
    def path(self) -> str:
        return f"/login/{self.id}"


class View:
    def __init__(self, services: Services, desk: Desk) -> None:
        self._services, self._desk = services, desk

    def page(
        self,
        request: Request,
        here: Here,
        fault: str = "",
        typed: Params | None = None,
        problem: IdpError | None = None,
    ) -> Response:
        """The page of the step, or that of a `problem` which stops no attempt. Raises
        AlreadyFinished where nothing is left to press."""
        if here.step is Step.FINISHED:
            if here.login["finished_at"] is not None:
                known = here.purpose
                raise errors.AlreadyFinished(known.service, known.service_en, known.home)
            problem = errors.AlreadyFinished()  # out of time, but the way back is still open
        picture = Picture.read(here.attempt["challenge"]) if here.attempt else None
        left, kiosk = self.seconds(here), here.purpose.kiosk
        templates = self._services.templates
        language = templates.language(request, here.purpose.language)
        why = problem or (ending(here.attempt) if here.attempt else None)
        return templates.page(
            request,
            "login/problem.html" if problem else PAGES[here.step],
            status=problem.status if problem else 200,
            language=language,
            **templates.app_words(self._desk.app_of(here.purpose, here.attempt), language),
            form_targets=_targets(here.purpose, picture),
            here=here.path,
            login_id=here.id,
            purpose=here.purpose,
            kiosk=kiosk,
            clears="cancel" if kiosk and (problem or here.step in UNTIMED) else "",
            step=here.step.value,
            mark=mark(here.login, here.step),
            seen=here.login["attempts"],
            picture=picture,
            fields=self._desk.fields_of(picture),
            qr_svg=qr.svg(picture.qr) if picture and picture.qr else "",
            seconds=left,
            clock=f"{left // 60:02d}:{left % 60:02d}",
            still="still" in request.query_params,
            soon="soon" in request.query_params,
            locked=self.locked(here),
            scannable=self.scannable(here) is not None,
            life_seconds=self._life(here),
            mobile=_mobile(request),
            problem=why,
            instead=self._instead(here.purpose, getattr(why, "instead", {})),
            wait_minutes=_minutes(problem),
            until=moment(problem.until)["text"] if isinstance(problem, errors.Maintenance) else "",
            waiting=not decided(here.step),
            again=problem is None and self._worth_repeating(here),
            over=isinstance(problem, errors.AlreadyFinished),
            methods=self._ordered(request, here.purpose),
            chosen=self._chosen(request, here.purpose, typed),
            typed=(typed if not kiosk else None) or {"pid": self._suggested(here.purpose)},
            fault=fault,
            csrf=self._services.forms.sign(here.login["browser"]),
        )

    def _life(self, here: Here) -> int:
        """Of the attempt's method; before there is one, the longest of those offered."""
        method = self._desk.method_of(here.attempt) if here.attempt else None
        offered = self._desk.methods_for(here.purpose)
        return method.life if method else max((m.life for m in offered), default=0)

    def _instead(self, purpose: Purpose, advice: Mapping[str, str]) -> str:
        """Of the ways that an error advises, one that is open to everybody here."""
        offered = self._desk.methods_for(purpose)
        ways = {m.shows for m in offered if m.shows != "leave" or not m.needs_number}
        return next((sentence for shows, sentence in advice.items() if shows in ways), "")

    def seconds(self, here: Here) -> int:
        if here.attempt is None:
            return 0
        return max(0, int(here.attempt["expires_at"]) - self._services.clock.now())

    def locked(self, here: Here) -> int:
        """Seconds until a phone that has just rung may ring again."""
        method = self._desk.method_of(here.attempt) if here.attempt else None
        if not here.attempt or not method or not method.disturbs or here.step is not Step.WAIT:
            return 0
        return max(0, int(here.attempt["opened_at"]) + RESEND - self._services.clock.now())

    def scannable(self, here: Here) -> Method | None:
        """The way to go on with a code to scan where a phone should have rung."""
        method = self._desk.method_of(here.attempt) if here.attempt else None
        if not method or not method.disturbs or here.step not in (Step.WAIT, Step.EXPIRED):
            return None
        offered = self._desk.methods_for(here.purpose)
        return next((m for m in offered if m.shows == "scan"), None)

    def _suggested(self, purpose: Purpose) -> str:
        sealed = purpose.number_hint if not purpose.kiosk else ""
        return self._services.vault.open_text(HINT, sealed) if sealed else ""

    def _worth_repeating(self, here: Here) -> bool:
        """Whether “try again” could work: who pressed reject is not rung again for a while."""
        if here.attempt is None or here.step not in (Step.EXPIRED, Step.PROBLEM):
            return False
        method = self._desk.method_of(here.attempt)
        paused = ending(here.attempt) is errors.Denied and self._desk.budgets.pause > 0
        return not (method and method.disturbs and paused)

    def _ordered(self, request: Request, purpose: Purpose) -> list[Method]:
        """On a phone the way that needs no second device comes first."""
        methods = self._desk.methods_for(purpose)
        mobile = _mobile(request)
        first = ("leave", "scan", "wait") if mobile else ("scan", "wait", "leave")
        return sorted(methods, key=lambda m: (first.index(m.shows), m.rank if mobile else -m.rank))

    def _chosen(self, request: Request, purpose: Purpose, typed: Params | None) -> str:
        kept = preference(request, METHOD_COOKIE) if not purpose.kiosk else ""
        wish = (typed or Params()).get("method") or kept
        return wish if any(m.name == wish for m in self._desk.methods_for(purpose)) else ""


def _mobile(request: Request) -> bool:
    return "Mobi" in request.headers.get("user-agent", "")


def _targets(purpose: Purpose, picture: Picture | None) -> list[str]:
    away = [origin_of(picture.action)] if picture and picture.action else []
    return [*purpose.form_targets, *away]


def _minutes(problem: IdpError | None) -> int:
    return -(-(problem.retry_after or 0) // 60) if problem else 0


def purpose_of_our_own(
    templates: Templates, request: Request, service: str, at: str, left: str
) -> Purpose:
    """For a page of the house itself: `service` is its zh-TW name, `at` its path, and `left` the
    path that cancelling leads to."""
    language, brand = templates.language(request), templates.brand
    return Purpose(
        service=service,
        service_en=templates.say("en", service),
        agency=brand.name if language == SOURCE else brand.name_en,
        relying_party=at,  # no client can be called so
        return_to=at,
        cancel_to=left,
        language=language,
    )
