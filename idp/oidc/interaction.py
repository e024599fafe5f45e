"""What has to happen before a code: a table of named reasons, asked in order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from idp.kernel.errors import ConsentRequired, LoginRequired
from idp.login.session import Session
from idp.oidc.request import AuthorizationRequest
from idp.registry.clients import Client


class Next(StrEnum):
    LOGIN = "login"
    CONSENT = "consent"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that decides. `subject` is the session's person for this client;
    `hinted` the subject of the id_token_hint, "" if there was none, None if it was no good;
    `consented` what the person allowed this client before; `ranks` acr → rank."""

    client: Client
    request: AuthorizationRequest
    session: Session | None
    subject: str
    hinted: str | None
    consented: frozenset[str]
    ranks: dict[str, int]
    now: int
    consent_given: bool = False

    @property
    def fresh(self) -> bool:
        """The person logged in for this very request."""
        return self.session is not None and self.session.id != self.request.seen_session


def demanded_rank(scene: Scene, *, wishes: bool) -> int:
    """What must be reached; with `wishes` also what the client would like (acr_values)."""
    request, ranks = scene.request, scene.ranks
    demands = [ranks.get(scene.client.metadata.minimum_acr or "", 0)]
    demands.append(min((ranks[v] for v in request.essential_acr), default=0))
    if wishes:
        demands.append(min((ranks[v] for v in request.levels if v in ranks), default=0))
    return max(demands)


def minimum_acr(scene: Scene) -> str | None:
    """The acr that the login is asked to reach."""
    wanted = demanded_rank(scene, wishes=True)
    return next((acr for acr, rank in scene.ranks.items() if rank == wanted), None)


OTHER_PERSON = "another person is expected"
DEAD_ENDS = (OTHER_PERSON,)  # a hint never logs anybody out or in


def login_reasons(scene: Scene) -> Sequence[tuple[str, bool]]:
    request, session = scene.request, scene.session
    if session is None:
        return [("no session", True)]
    silent = "none" in request.prompt
    rank = scene.ranks.get(session.acr, 0)
    too_old = request.max_age is not None and scene.now - session.auth_time > request.max_age
    again = bool({"login", "select_account"} & set(request.prompt))
    expected = {s for s in (scene.hinted, request.expected_sub) if s}
    return [
        ("asked to log in again", again and not scene.fresh),
        (OTHER_PERSON, bool(expected) and expected != {scene.subject}),
        ("too weak", rank < demanded_rank(scene, wishes=False)),
        ("weaker than wished", not silent and rank < demanded_rank(scene, wishes=True)),
        ("too old", too_old and not scene.fresh),
    ]


def next_step(scene: Scene) -> Next:
    """Raises LoginRequired or ConsentRequired where the client wants no page (prompt=none), or
    where asking again could not help (another person than expected has just logged in)."""
    silent = "none" in scene.request.prompt
    reason = next((name for name, applies in login_reasons(scene) if applies), None)
    if reason:
        if silent or scene.fresh or reason in DEAD_ENDS or scene.hinted is None:
            raise LoginRequired(detail=reason)
        return Next.LOGIN
    if _consent_needed(scene):
        if silent:
            raise ConsentRequired
        return Next.CONSENT
    return Next.FINISH


def _consent_needed(scene: Scene) -> bool:
    if scene.consent_given or scene.client.metadata.trusted:
        return False
    asked_again = "consent" in scene.request.prompt
    return asked_again or not set(scene.request.consent_scope) <= scene.consented
