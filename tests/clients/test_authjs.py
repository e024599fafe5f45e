"""Auth.js with Express, as docs/clients/authjs.md prints it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.actors import Page
from tests.clients.lab import Lab
from tests.clients.person import STRANGER, Person
from tests.clients.web import Program, shown

BUTTON = ""  # the buttons of Auth.js have no id


@pytest.fixture(scope="module")
def app(lab: Lab) -> Iterator[Program]:
    with Program(lab, "authjs") as running:
        yield running


def to_the_bridge(person: Person, app: Program) -> Page:
    """By the button of the page that Auth.js shows."""
    return person.press(person.open(f"{app.url}/auth/signin?callbackUrl=/"), BUTTON)


def test_a_person_logs_in(lab: Lab, app: Program) -> None:
    """The session has the claims of UserInfo."""
    person = lab.person()
    page = person.go_on(to_the_bridge(person, app))
    assert shown(page)["user"]["name"] == "王小明"


def test_a_person_without_a_name_logs_in(lab: Lab, app: Program) -> None:
    """Most people are in no directory: the program knows them by `sub` alone."""
    person = lab.person(number=STRANGER)
    user = shown(person.go_on(to_the_bridge(person, app)))["user"]
    assert user["sub"]
    assert "name" not in user


def test_the_claims_can_come_from_the_id_token(lab: Lab) -> None:
    """A client with the option has them where Auth.js looks by default, beside `acr`."""
    line = "    idToken: false,  // name and email are at UserInfo\n"
    person = lab.person()
    with Program(lab, "authjs", "--claims-in-id-token", changes={line: ""}) as app:
        user = shown(person.go_on(to_the_bridge(person, app)))["user"]
    assert (user["name"], user["acr"]) == ("王小明", "urn:twfido:qr")


def test_a_person_cancels(lab: Lab, app: Program) -> None:
    """They are at the page with the button again, which says that something went wrong."""
    person = lab.person()
    page = person.press(to_the_bridge(person, app), "cancel")
    assert page.url == f"{app.url}/auth/signin?error=OAuthCallbackError"
    assert "Try signing in with a different account." in page.html


def test_a_person_logs_out(lab: Lab, app: Program) -> None:
    """They come back to the program, and neither it nor the bridge knows them any more."""
    person = lab.person()
    person.go_on(to_the_bridge(person, app))
    page = person.open(f"{app.url}/logout")
    assert page.url == f"{app.url}/"
    assert shown(page) is None
    assert "continue" in to_the_bridge(person, app).buttons()


def test_tokens_are_refreshed(lab: Lab) -> None:
    """A session whose access token is nearly over asks for the next each time it is read, and
    tells when that is refused."""
    early = {"EARLY = 30": "EARLY = 60"}
    person = lab.person()
    with Program(lab, "authjs", "--token-seconds", "60", changes=early) as app:
        fresh = shown(person.go_on(to_the_bridge(person, app)))
        lab.idp("client", "disable", app.client[0])
        told = until_told(person, app)
    assert "error" not in fresh
    assert (told["user"], told["error"]) == (fresh["user"], "invalid_client")


def until_told(person: Person, app: Program) -> Any:
    """The session once it has an error: a bridge notices within a second what an operator did."""
    for _ in range(50):
        session = shown(person.open(app.url))
        if "error" in session:
            return session
        time.sleep(0.1)
    raise AssertionError("no error after five seconds")
