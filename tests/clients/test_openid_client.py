"""openid-client 5 and 6 with Express, as their pages print them; they keep the same promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.lab import Lab
from tests.clients.person import STRANGER
from tests.clients.web import Program, logged_in, logged_out, refreshed


@pytest.fixture(scope="module", params=["openid-client", "openid-client-5"])
def app(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Program]:
    """Version 6 is installed under its own name."""
    page = "openid-client-6" if request.param == "openid-client" else request.param
    with Program(lab, page, openid_client=request.param) as running:
        yield running


def test_a_person_logs_in(lab: Lab, app: Program) -> None:
    """The program shows what it read from the ID token and from UserInfo."""
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
