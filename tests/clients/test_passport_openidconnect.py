"""passport-openidconnect: what is its own; the rest is in test_web_programs.py."""

from __future__ import annotations

from tests.clients.lab import Lab
from tests.clients.web import Program, logged_in


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
