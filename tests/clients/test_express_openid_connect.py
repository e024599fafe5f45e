"""express-openid-connect: what is its own; the rest is in test_web_programs.py."""

from __future__ import annotations

from tests.clients.lab import Lab
from tests.clients.web import Program, shown


def test_without_the_option_userinfo_has_the_name(lab: Lab) -> None:
    """`req.oidc.user` has no name then, and `fetchUserInfo()` has it."""
    person = lab.person()
    with Program(lab, "express-openid-connect", without="--claims-in-id-token") as app:
        user = shown(person.walk(f"{app.url}/login"))
        told = shown(person.open(f"{app.url}/refresh"))
    assert "name" not in user
    assert told["name"] == "王小明"
