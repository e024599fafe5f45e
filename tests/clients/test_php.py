"""PHP without a library, as docs/clients/php.md tells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.lab import Lab
from tests.clients.person import STRANGER
from tests.clients.programs import Program, assert_both_sessions_end, assert_cancel_is_told, shown


@pytest.fixture(scope="module")
def program(lab: Lab) -> Iterator[Program]:
    with Program("php", "/usr/bin/php") as program:
        (program.folder / "index.php").write_text(program.page.block("Configure", "php"))
        program.changes["127.0.0.1:9000"] = f"127.0.0.1:{program.port}"
        command = program.lines("Configure", "sh").split()
        yield program.register(lab).serve(*command)


def test_a_person_logs_in(lab: Lab, program: Program) -> None:
    """The program has the claims of the ID token and of UserInfo together."""
    claims = shown(lab.person().walk(program.url + "/login"))
    assert claims["iss"] == lab.issuer
    assert claims["acr"] == "urn:twfido:qr"
    assert claims["email"]


def test_a_person_who_is_in_no_directory(lab: Lab, program: Program) -> None:
    """They are logged in all the same."""
    claims = shown(lab.person(number=STRANGER).walk(program.url + "/login"))
    assert claims["sub"]
    assert "email" not in claims


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, program: Program) -> None:
    """The refusal is told by the program, under its own address."""
    assert_cancel_is_told(lab, program)


def test_an_answer_that_nobody_asked_for(lab: Lab, program: Program) -> None:
    """Another state than that of this session is refused, and so is an answer without a login."""
    person = lab.person()
    for _ in range(2):
        for state in ("state=s", "state[]=s"):
            page = person.open(f"{program.url}/callback?code=c&{state}&iss={lab.issuer}")
            assert (page.status, "not begun here" in page.html) == (403, True)
        person.open(program.url + "/login")


def test_refresh(lab: Lab, program: Program) -> None:
    """A refresh brings a new ID token for the same person."""
    person = lab.person()
    first = shown(person.walk(program.url + "/login"))
    again = shown(person.open(program.url + "/refresh"))
    assert [again[n] for n in ("sub", "auth_time")] == [first[n] for n in ("sub", "auth_time")]
    assert again["at_hash"] != first["at_hash"]


def test_logout_returns_to_the_program(lab: Lab, program: Program) -> None:
    """Both sessions are over."""
    assert "Log in" in assert_both_sessions_end(lab, program, "/login", "/logout").html
