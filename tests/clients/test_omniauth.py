"""Ruby with OmniAuth, as docs/clients/omniauth.md tells."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.actors import Page
from tests.clients.lab import Lab
from tests.clients.person import STRANGER, Person
from tests.clients.programs import Program, shown

GEM = "/usr/share/doc/ruby-omniauth-openid-connect/copyright"


@pytest.fixture(scope="module")
def program(lab: Lab) -> Iterator[Program]:
    with Program("omniauth", GEM, "/usr/bin/puma") as program:
        program.register(lab)
        (program.folder / "config.ru").write_text(program.page.block("Configure", "ruby"))
        program.variables["SESSION_SECRET"] = secrets.token_hex(32)
        program.changes["127.0.0.1:9000"] = f"127.0.0.1:{program.port}"
        yield program.serve("env", *program.lines("Configure", "sh").split())


def logged_in(person: Person, program: Program) -> Page:
    return person.go_on(person.press(person.open(program.url), "login"))


def test_a_person_logs_in(lab: Lab, program: Program) -> None:
    """The program has the claims of the ID token and of UserInfo together."""
    claims = shown(logged_in(lab.person(), program))
    assert claims["iss"] == lab.issuer
    assert claims["acr"] == "urn:twfido:qr"
    assert claims["email"]


def test_a_person_who_is_in_no_directory(lab: Lab, program: Program) -> None:
    """They are logged in all the same."""
    claims = shown(logged_in(lab.person(number=STRANGER), program))
    assert claims["sub"]
    assert "email" not in claims


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, program: Program) -> None:
    """OmniAuth hands the refusal to /auth/failure."""
    person = lab.person()
    page = person.press(person.press(person.open(program.url), "login"), "cancel")
    assert page.url.startswith(program.url + "/auth/failure?message=access_denied")
    assert (page.status, "access_denied" in page.html) == (403, True)


def test_logout_returns_to_the_program(lab: Lab, program: Program) -> None:
    """Both sessions are over."""
    person = lab.person()
    logged_in(person, program)
    page = person.go_on(person.open(program.url + "/logout"))
    assert page.url == program.url + "/"
    assert "continue" in person.press(page, "login").buttons()
