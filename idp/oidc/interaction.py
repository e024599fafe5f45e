"""What has to happen before a code: a table of named reasons, asked in order. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from idp.kernel.errors import ConsentRequired, LoginRequired, UnmetAuthenticationRequirements
from idp.login.session import Session
from idp.oidc.request import AuthorizationRequest
from idp.registry.clients import Client
from idp.verify import Method


class Next(StrEnum):
    LOGIN = "login"
    CONSENT = "consent"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that decides. `subject` is the session's person for this client;
    `consented` what the person allowed this client before; `methods` all that there are, of every
    scheme, `offered` those that a login for this client can use."""

    client: Client
    request: AuthorizationRequest
    session: Session | None
    subject: str
    consented: frozenset[str]
    methods: Sequence[Method]
    offered: Sequence[Method]
    now: int
    consent_given: bool = False

    @property
    def fresh(self) -> bool:
        """The person has logged in since this request came."""
        return self.session is not None and self.session.id != self.request.seen_session

    @property
    def silent(self) -> bool:
        return "none" in self.request.prompt


def acceptable(scene: Scene) -> Sequence[Method]:
    """The methods that the client's registration and an essential acr allow. An essential acr
    must be one of those named, not just stronger (OIDC Core §5.5.1.1); a minimum that is no
    level of ours is reached by nothing."""
    demand, essential = scene.client.metadata, scene.request.essential_acr
    ranks = {method.acr: method.rank for method in scene.methods}
    floor = ranks.get(demand.minimum_acr, math.inf) if demand.minimum_acr else 0
    return [
        method
        for method in scene.methods
        if method.rank >= floor
        and (not demand.methods or method.name in demand.methods)
        and (not essential or method.acr in essential)
    ]


def possible(scene: Scene) -> Sequence[Method]:
    """The acceptable ones that a login for this client can use."""
    offered = {method.id for method in scene.offered}
    return [method for method in acceptable(scene) if method.id in offered]


def wished(scene: Scene) -> Sequence[Method]:
    """Of the possible ones those as strong as acr_values would like, if there are any:
    voluntary, so the answer tells what really happened (OIDC Core §3.1.2.1)."""
    able, wish = possible(scene), _wish(scene)
    return [method for method in able if method.rank >= wish] or able


def _wish(scene: Scene) -> int:
    """The least rank that acr_values would like."""
    values = scene.request.acr_values
    return min((method.rank for method in scene.methods if method.acr in values), default=0)


def _enough(scene: Scene, session: Session) -> bool:
    """Levels count, not schemes: who was verified by another scheme at a level that is acceptable
    is not asked again. Where the client names methods, the session's must have such a name."""
    name = session.method.rpartition(":")[2]
    return any(m.acr == session.acr and m.name == name for m in acceptable(scene))


def _weaker_than_wished(scene: Scene, session: Session) -> bool:
    """And a login could do better."""
    wish = _wish(scene)
    rank = max((m.rank for m in scene.methods if m.acr == session.acr), default=0)
    return rank < wish and any(method.rank >= wish for method in possible(scene))


READING_SECONDS = 60
OTHER_PERSON = "another person is expected"  # asking again cannot help: a hint logs nobody in


def _expected(scene: Scene) -> bool:
    """OpenID Connect Core §5.5.1."""
    named, accepted = scene.request.expected_subjects, scene.request.accepted_subjects
    any_will_do = not accepted or scene.subject in accepted
    return any_will_do and all(subject == scene.subject for subject in named)


def login_reasons(scene: Scene) -> Sequence[tuple[str, bool]]:
    request, session = scene.request, scene.session
    if session is None:
        return [("no session", True)]
    # max_age=0 means prompt=login (OIDC Core §3.1.2.1)
    again = bool({"login", "select_account"} & set(request.prompt)) or request.max_age == 0
    again = again or scene.client.metadata.kiosk  # the one before may have been anybody
    # compared again after each page; who was just verified has time to read it, or a short
    # max_age would never end
    most = max(request.max_age or 0, READING_SECONDS if scene.fresh else 0)
    too_old = request.max_age is not None and scene.now - session.auth_time > most
    everybody_or_this = ("", scene.client.client_id)
    polite = scene.silent or scene.fresh
    return [
        ("asked to log in again", again and not scene.fresh),
        ("verified for another service", session.sole_relying_party not in everybody_or_this),
        (OTHER_PERSON, not _expected(scene)),
        ("by a method that is not enough", not _enough(scene, session)),
        ("weaker than wished", not polite and _weaker_than_wished(scene, session)),
        ("too old", too_old),
    ]


def next_step(scene: Scene) -> Next:
    """Raises UnmetAuthenticationRequirements if nothing could be enough; LoginRequired or
    ConsentRequired where the client wants no page (prompt=none), or where a page cannot help."""
    if not possible(scene):
        raise UnmetAuthenticationRequirements
    reason = next((name for name, applies in login_reasons(scene) if applies), None)
    if reason:
        if scene.silent or reason == OTHER_PERSON:
            raise LoginRequired(detail=reason)
        return Next.LOGIN
    if _consent_needed(scene):
        if scene.silent:
            raise ConsentRequired
        return Next.CONSENT
    return Next.FINISH


def _consent_needed(scene: Scene) -> bool:
    if scene.consent_given or scene.client.metadata.trusted:
        return False
    asked_again = "consent" in scene.request.prompt
    return asked_again or not set(scene.request.consent_scope) <= scene.consented
