"""Rust with openidconnect 4, as docs/clients/rust-openidconnect.md tells."""

from __future__ import annotations

from collections.abc import Iterator

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

FOLDER = NATIVE / "rust-openidconnect"


@pytest.fixture(scope="module")
def program(lab: Lab) -> Iterator[Program]:
    with Program("rust-openidconnect", ".installed/rust-openidconnect") as program:
        yield program.register(lab).serve(str(NATIVE / ".installed" / "rust-openidconnect"))


def test_the_page_shows_the_program(program: Program) -> None:
    """What the page prints is what runs here, with the crate and the version that it names."""
    assert untrue_of((FOLDER / "src" / "main.rs").read_text(), program.page, "rust") == []
    assert untrue_of((FOLDER / "Cargo.toml").read_text(), program.page, "toml") == []
    version = locked(FOLDER / "Cargo.lock", "openidconnect")
    assert f"openidconnect {version}" in program.page.section("Tried with")


def test_a_person_logs_in(lab: Lab, program: Program) -> None:
    """The program has the claims of the ID token, and UserInfo's of the same person."""
    claims = shown(lab.person().walk(program.url + "/login"))
    assert claims["id_token"]["iss"] == lab.issuer
    assert claims["id_token"]["acr"] == "urn:twfido:qr"
    assert claims["id_token"]["sub"] == claims["userinfo"]["sub"]


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, program: Program) -> None:
    """The refusal is told by the program, under its own address."""
    assert_cancel_is_told(lab, program)


def test_refresh(lab: Lab, program: Program) -> None:
    """A refresh brings a new ID token for the same person, and a second one does too."""
    person = lab.person()
    first = shown(person.walk(program.url + "/login"))["id_token"]
    for _ in range(2):
        again = shown(person.open(program.url + "/refresh"))["id_token"]
        assert [again[n] for n in ("sub", "auth_time")] == [first[n] for n in ("sub", "auth_time")]
        assert again["at_hash"] != first["at_hash"]


def test_logout_returns_to_the_program(lab: Lab, program: Program) -> None:
    """Both sessions are over."""
    assert "Log in" in assert_both_sessions_end(lab, program, "/login", "/logout").html
