"""Go with go-oidc, as docs/clients/go-oidc.md tells."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.clients.lab import Lab
from tests.clients.programs import (
    NATIVE,
    Program,
    assert_both_sessions_end,
    assert_cancel_is_told,
    locked,
    shown,
    untrue_of,
)


@pytest.fixture(scope="module")
def program(lab: Lab) -> Iterator[Program]:
    with Program("go-oidc", ".installed/go-oidc") as program:
        yield program.register(lab).serve(str(NATIVE / ".installed" / "go-oidc"))


def test_the_page_shows_the_program(program: Program) -> None:
    """What the page prints is what runs here, with the versions that it names."""
    folder = NATIVE / "go-oidc"
    assert untrue_of((folder / "main.go").read_text(encoding="utf-8"), program.page, "go") == []
    tried = program.page.section("Tried with")
    assert f"go-oidc {locked(folder / 'go.mod', 'go-oidc/v3')}" in tried
    assert f"oauth2 {locked(folder / 'go.mod', 'x/oauth2')}" in tried


def test_a_person_logs_in(lab: Lab, program: Program) -> None:
    """The program has the claims of the ID token."""
    claims = shown(lab.person().walk(program.url + "/login"))
    assert claims["iss"] == lab.issuer
    assert claims["sub"]
    assert claims["acr"] == "urn:twfido:qr"


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, program: Program) -> None:
    """The refusal is told by the program, under its own address."""
    assert_cancel_is_told(lab, program)


def test_an_answer_that_nobody_asked_for(lab: Lab, program: Program) -> None:
    """Another state than that of this visit is refused."""
    person = lab.person()
    person.open(program.url + "/login")
    page = person.open(f"{program.url}/callback?code=c&state=s&iss={lab.issuer}")
    assert (page.status, "our question" in page.html) == (403, True)


def test_refresh(lab: Lab, program: Program) -> None:
    """A refresh brings new tokens for the same person, verified when they were."""
    person = lab.person()
    first = shown(person.walk(program.url + "/login"))
    again = shown(person.open(program.url + "/refresh"))
    same = ("sub", "auth_time", "acr")
    assert [again[name] for name in same] == [first[name] for name in same]
    assert again["at_hash"] != first["at_hash"]


def test_logout_returns_to_the_program(lab: Lab, program: Program) -> None:
    """Both sessions are over."""
    assert "Log in" in assert_both_sessions_end(lab, program, "/login", "/logout").html


def test_an_api_takes_the_token_of_a_program(lab: Lab, program: Program) -> None:
    """The same library verifies an access token, and refuses none and a wrong one."""
    key = lab.client("--name", "p", "--grant", "client_credentials", "--role", "basic")
    asked = httpx.post(
        lab.issuer + "/token", data={"grant_type": "client_credentials"}, auth=key, trust_env=False
    )
    for token, status in ((asked.json()["access_token"], 200), ("x", 401)):
        headers = {"authorization": f"Bearer {token}"}
        answer = httpx.get(program.url + "/api", headers=headers, trust_env=False)
        assert answer.status_code == status
        if status == 200:
            assert answer.json()["realm_access"]["roles"] == ["basic"]
