"""Programs with Express that keep the same promises, as their pages print them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.lab import Lab
from tests.clients.person import STRANGER
from tests.clients.web import Program, logged_in, shown

REFRESHING = ["openid-client-6", "openid-client-5", "express-openid-connect"]
RENAMED = {"openid-client-5": {"openid_client": "openid-client-5"}}


@pytest.fixture(scope="module", params=[*REFRESHING, "passport-openidconnect"])
def app(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Program]:
    with Program(lab, request.param, changes=None, **RENAMED.get(request.param, {})) as running:
        yield running


def test_a_person_logs_in(lab: Lab, app: Program) -> None:
    """The program shows what the ID token and, where the page asks for it, UserInfo tells."""
    person = logged_in(lab, app)
    assert (person["name"], person["acr"]) == ("王小明", "urn:twfido:qr")


def test_a_person_without_a_name_logs_in(lab: Lab, app: Program) -> None:
    """Most people are in no directory: the program knows them by `sub` alone."""
    person = logged_in(lab, app, number=STRANGER)
    assert person["sub"]
    assert "name" not in person


def test_a_person_cancels(lab: Lab, app: Program) -> None:
    """The program says so on a page of its own, and sends nobody back to the bridge."""
    page = lab.person().cancel(f"{app.url}/login")
    assert page.url.startswith(f"{app.url}/")
    assert page.status in (400, 403)
    assert page.html.startswith("Login failed: ")
    assert "denied" in page.html


def test_a_person_logs_out(lab: Lab, app: Program) -> None:
    """They come back to the program, and neither it nor the bridge knows them any more."""
    person = lab.person()
    person.walk(f"{app.url}/login")
    page = person.open(f"{app.url}/logout")
    assert page.url.rstrip("/") == app.url
    assert shown(page) is None
    assert "continue" in person.open(f"{app.url}/login").buttons()


@pytest.mark.parametrize("app", REFRESHING, indirect=True)
def test_tokens_are_refreshed(lab: Lab, app: Program) -> None:
    """UserInfo answers the access token of the refresh."""
    person = lab.person()
    before = shown(person.walk(f"{app.url}/login"))
    assert shown(person.open(f"{app.url}/refresh"))["sub"] == before["sub"]


@pytest.mark.parametrize("app", REFRESHING, indirect=True)
def test_a_refresh_may_be_too_late(lab: Lab, app: Program) -> None:
    """Who has logged out at the bridge has no refresh token any more; the program says so."""
    person = lab.person()
    person.walk(f"{app.url}/login")
    person.go_on(person.open(f"{lab.issuer}/logout"))
    page = person.open(f"{app.url}/refresh")
    assert (page.status, page.html) == (400, "Login failed: invalid_grant")
