"""express-openid-connect, as docs/clients/express-openid-connect.md prints it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.lab import Lab
from tests.clients.person import STRANGER
from tests.clients.web import Program, logged_in, logged_out, refreshed


@pytest.fixture(scope="module")
def app(lab: Lab) -> Iterator[Program]:
    with Program(lab, "express-openid-connect") as running:
        yield running


def test_a_person_logs_in(lab: Lab, app: Program) -> None:
    """The program shows the claims of the ID token, with those of the granted scopes."""
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
    assert (page.status, page.html) == (400, "Login failed: access_denied")


def test_a_person_logs_out(lab: Lab, app: Program) -> None:
    """They come back to the program, and neither it nor the bridge knows them any more."""
    assert logged_out(lab, app) is None


def test_tokens_are_refreshed(lab: Lab, app: Program) -> None:
    """UserInfo answers the access token of the refresh."""
    before, after = refreshed(lab, app)
    assert after["sub"] == before["sub"]


def test_without_the_option_userinfo_has_the_name(lab: Lab) -> None:
    """`req.oidc.user` has no name then, and `fetchUserInfo()` has it."""
    with Program(lab, "express-openid-connect", "--no-claims-in-id-token") as app:
        before, after = refreshed(lab, app)
    assert "name" not in before
    assert after["name"] == "王小明"
