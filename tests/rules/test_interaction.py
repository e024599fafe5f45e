"""What has to happen before a code: every reason by itself, and what silence makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.kernel.errors import (
    ConsentRequired,
    LoginRequired,
    ProtocolError,
    UnmetAuthenticationRequirements,
)
from idp.login.session import Session
from idp.oidc.interaction import Next, Scene, acceptable, next_step, wished
from idp.oidc.request import AuthorizationRequest
from idp.registry.clients import Client
from idp.registry.metadata import ClientMetadata
from idp.verify import Method

NAMES = ("push", "qr", "web", "dongle")
METHODS = tuple(
    Method("test", name, f"urn:{name}", ("user",), rank, "wait", needs_number=False)
    for rank, name in enumerate(NAMES, 1)
)
SEEN = Session("seen", "person", "test:qr", "urn:qr", ("user",), 1000)
NEW = replace(SEEN, id="new")
REQUEST = AuthorizationRequest("c", "https://c.test/", ("openid",), seen_session="seen")


def client(**fields: Any) -> Client:
    known = {"client_name": "c", "redirect_uris": ("https://c.test/",), "scopes": ("openid",)}
    return Client("c", ClientMetadata.model_validate(known | fields), (), disabled=False)


def scene(
    session: Session | None = SEEN, registered: Client | None = None, **changes: Any
) -> Scene:
    outer = {k: changes.pop(k) for k in ("now", "consented", "consent_given") if k in changes}
    known: dict[str, Any] = {"now": 1000, "consented": frozenset({"openid"})}
    return Scene(
        client=registered or client(),
        request=replace(REQUEST, **changes),
        session=session,
        subject="me",
        methods=METHODS,
        offered=METHODS,
        **(known | outer),
    )


STEPS: dict[str, tuple[Scene, Next | type[ProtocolError]]] = {
    "all is well": (scene(), Next.FINISH),
    "no session": (scene(None), Next.LOGIN),
    "no session, silent": (scene(None, prompt=("none",)), LoginRequired),
    "prompt=login": (scene(prompt=("login",)), Next.LOGIN),
    "prompt=login, done": (scene(NEW, prompt=("login",)), Next.FINISH),
    "prompt=select_account": (scene(prompt=("select_account",)), Next.LOGIN),
    "prompt=login consent": (scene(prompt=("login", "consent")), Next.LOGIN),
    "prompt=login consent, logged in": (scene(NEW, prompt=("login", "consent")), Next.CONSENT),
    "prompt=consent": (scene(prompt=("consent",)), Next.CONSENT),
    "prompt=consent, given": (scene(prompt=("consent",), consent_given=True), Next.FINISH),
    "max_age just reached": (scene(max_age=10, now=1010), Next.FINISH),
    "max_age passed": (scene(max_age=10, now=1011), Next.LOGIN),
    "max_age passed, silent": (scene(max_age=10, now=1011, prompt=("none",)), LoginRequired),
    "max_age passed while consenting": (scene(NEW, max_age=10, now=1011), Next.FINISH),
    "max_age long passed while consenting": (scene(NEW, max_age=10, now=1061), Next.LOGIN),
    "max_age=0": (scene(max_age=0), Next.LOGIN),
    "max_age=0, silent": (scene(max_age=0, prompt=("none",)), LoginRequired),
    "max_age=0, done": (scene(NEW, max_age=0), Next.FINISH),
    "the expected person": (scene(expected_subjects=("me",)), Next.FINISH),
    "another person": (scene(expected_subjects=("you",)), LoginRequired),
    "one of several": (scene(accepted_subjects=("you", "me")), Next.FINISH),
    "none of several": (scene(accepted_subjects=("you", "they")), LoginRequired),
    "one of several, not the expected": (
        scene(accepted_subjects=("you", "me"), expected_subjects=("you",)),
        LoginRequired,
    ),
    "two people": (scene(expected_subjects=("me", "you")), LoginRequired),
    "another person, asked to log in": (
        scene(expected_subjects=("you",), prompt=("login",)),
        Next.LOGIN,
    ),
    "another person has logged in": (scene(NEW, expected_subjects=("you",)), LoginRequired),
    "not weaker than the minimum": (scene(registered=client(minimum_acr="urn:qr")), Next.FINISH),
    "weaker than the minimum": (scene(registered=client(minimum_acr="urn:web")), Next.LOGIN),
    "weaker than the minimum, new": (scene(NEW, client(minimum_acr="urn:web")), Next.LOGIN),
    "a minimum that is no level": (
        scene(registered=client(minimum_acr="urn:typo")),
        UnmetAuthenticationRequirements,
    ),
    "by one of the client's methods": (scene(registered=client(methods=("qr",))), Next.FINISH),
    "by another method": (scene(registered=client(methods=("dongle",))), Next.LOGIN),
    "essential, met": (scene(essential_acr=("urn:qr",)), Next.FINISH),
    "essential, one of several": (scene(essential_acr=("urn:web", "urn:qr")), Next.FINISH),
    "essential, weaker than what was done": (scene(essential_acr=("urn:push",)), Next.LOGIN),
    "essential, stronger": (scene(essential_acr=("urn:web",)), Next.LOGIN),
    "essential, stronger, silent": (
        scene(essential_acr=("urn:web",), prompt=("none",)),
        LoginRequired,
    ),
    "essential, impossible here": (
        scene(registered=client(methods=("qr",)), essential_acr=("urn:web",)),
        UnmetAuthenticationRequirements,
    ),
    "wish, met": (scene(acr_values=("urn:push",)), Next.FINISH),
    "wish, stronger": (scene(acr_values=("urn:web",)), Next.LOGIN),
    "wish, stronger, silent": (scene(acr_values=("urn:web",), prompt=("none",)), Next.FINISH),
    "wish, stronger, tried": (scene(NEW, acr_values=("urn:web",)), Next.FINISH),
    "wish, unknown": (scene(acr_values=("urn:other",)), Next.FINISH),
    "wish, any of several": (scene(acr_values=("urn:web", "urn:qr")), Next.FINISH),
    "wish, impossible here": (
        scene(registered=client(methods=("qr",)), acr_values=("urn:web",)),
        Next.FINISH,
    ),
    "never consented": (scene(consented=frozenset()), Next.CONSENT),
    "never consented, silent": (
        scene(consented=frozenset(), prompt=("none",)),
        ConsentRequired,
    ),
    "never consented, trusted": (
        scene(registered=client(trusted=True), consented=frozenset(), prompt=("none",)),
        Next.FINISH,
    ),
    "the scope has grown": (scene(scope=("openid", "email")), Next.CONSENT),
    "a claim beside the scope": (scene(requested_claims={"userinfo": ["email"]}), Next.CONSENT),
    "that claim, consented": (
        scene(
            requested_claims={"userinfo": ["email"]}, consented=frozenset({"openid", "claim:email"})
        ),
        Next.FINISH,
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_next_step(name: str) -> None:
    """Each reason leads where the table says (OIDC Core §3.1.2.3 to §3.1.2.6, §5.5.1.1)."""
    stage, expected = STEPS[name]
    if isinstance(expected, Next):
        assert next_step(stage) is expected
    else:
        with pytest.raises(expected):
            next_step(stage)


methods = st.lists(st.sampled_from(NAMES), unique=True).map(tuple)
levels = st.lists(st.sampled_from([f"urn:{name}" for name in NAMES]), unique=True).map(tuple)
prompts = st.sampled_from([(), ("none",), ("login",), ("consent",), ("select_account",)])
sessions = st.sampled_from([None, SEEN, NEW])


@settings(deadline=None)
@given(
    minimum=st.sampled_from([None, *(f"urn:{name}" for name in NAMES), "urn:typo"]),
    allowed=methods,
    essential=levels,
    wish=levels,
    prompt=prompts,
    session=sessions,
    method=st.sampled_from(METHODS),
    max_age=st.sampled_from([None, 0, 1, 100]),
    expected=st.sampled_from([(), ("me",), ("you",)]),
    consented=st.booleans(),
)
def test_what_a_finish_guarantees(
    minimum: str | None,
    allowed: tuple[str, ...],
    essential: tuple[str, ...],
    wish: tuple[str, ...],
    prompt: tuple[str, ...],
    session: Session | None,
    method: Method,
    max_age: int | None,
    expected: tuple[str, ...],
    consented: bool,
) -> None:
    """Whatever was asked: a code is only for the right person, verified by a method that is
    enough, lately enough, with consent; and silence never leads to a page."""
    if session:
        session = replace(session, method=method.id, acr=method.acr)
    stage = scene(
        session,
        client(minimum_acr=minimum, methods=allowed),
        essential_acr=essential,
        acr_values=wish,
        prompt=prompt,
        max_age=max_age,
        expected_subjects=expected,
        consented=frozenset({"openid"}) if consented else frozenset(),
        now=1050,
    )
    assert set(wished(stage)) <= set(acceptable(stage))
    assert bool(wished(stage)) == bool(acceptable(stage))
    try:
        step = next_step(stage)
    except ProtocolError as error:
        assert error.may_redirect
        return
    assert "none" not in prompt or step is Next.FINISH
    if step is Next.LOGIN:
        assert acceptable(stage)
        return
    assert session is not None
    assert method in acceptable(stage)
    assert set(expected) <= {"me"}
    assert not essential or session.acr in essential
    assert not {"login", "select_account"} & set(prompt) or session.id == "new"
    assert session.id == "new" or max_age in (None, 100)
    assert step is Next.CONSENT or consented
