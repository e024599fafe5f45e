"""passport-openidconnect with Express, as docs/clients/passport-openidconnect.md prints it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.lab import Lab
from tests.clients.person import STRANGER
from tests.clients.web import Program, logged_in, logged_out


@pytest.fixture(scope="module")
def app(lab: Lab) -> Iterator[Program]:
    with Program(lab, "passport-openidconnect") as running:
        yield running


def test_a_person_logs_in(lab: Lab, app: Program) -> None:
    """A nonce without PKCE will do, and the name comes from UserInfo."""
    person = logged_in(lab, app)
    assert (person["name"], person["acr"]) == ("王小明", "urn:twfido:qr")


def test_the_name_can_come_from_the_id_token(lab: Lab) -> None:
    """A client with the option needs no UserInfo, which the strategy leaves out by default."""
    line = "  skipUserProfile: false,  // name and email are at UserInfo\n"
    with Program(lab, "passport-openidconnect", "--claims-in-id-token", changes={line: ""}) as app:
        assert logged_in(lab, app)["name"] == "王小明"


def test_without_a_nonce_nobody_logs_in(lab: Lab) -> None:
    """The error that the page warns of, on the program's own page."""
    with Program(lab, "passport-openidconnect", changes={"  nonce: true,\n": ""}) as app:
        page = lab.person().open(f"{app.url}/login")
    assert (page.status, page.html) == (400, "Login failed: invalid_request")


def test_a_person_without_a_name_logs_in(lab: Lab, app: Program) -> None:
    """Most people are in no directory: the program knows them by `sub` alone."""
    person = logged_in(lab, app, number=STRANGER)
    assert person["sub"]
    assert "name" not in person


def test_a_person_cancels(lab: Lab, app: Program) -> None:
    """The program says so on a page of its own, and sends nobody back to the bridge."""
    page = lab.person().cancel(f"{app.url}/login")
    assert page.url == f"{app.url}/failed"
    assert page.status == 403
    assert page.html.startswith("Login failed: ")


def test_a_person_logs_out(lab: Lab, app: Program) -> None:
    """They come back to the program, and neither it nor the bridge knows them any more."""
    assert logged_out(lab, app) is None
