"""FastAPI with Authlib and with the guard, as docs/clients/fastapi.md sets them up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.lab import HERE, Lab
from tests.clients.person import STRANGER
from tests.clients.site import Site, call, program_token, shown

PAGE = Recipe("fastapi")


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    with Site(PAGE, 9000) as site:
        site.register(lab, "--redirect-uri")
        site.write("app.py")
        yield site.run("app:app")


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Site]:
    with Site(PAGE, 9001) as api:
        api.register(lab, "--audience")
        api.variables["PYTHONPATH"] = str(HERE.parents[1])  # this project's package beside it
        api.write("api.py")
        yield api.run("api:app")


def test_a_person_without_name_and_email_logs_in(lab: Lab, site: Site) -> None:
    """The subject and the level are read, and nothing else is needed."""
    claims = shown(lab.person(number=STRANGER).walk(site.url + "/login"))
    assert claims["sub"]
    assert claims["acr"] == "urn:twfido:qr"
    assert not claims.keys() & {"name", "email"}


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, site: Site) -> None:
    """A refusal is shown, and nobody is logged in."""
    person = lab.person()
    page = person.cancel(site.url + "/login")
    assert (page.status, page.html) == (403, '{"error":"access_denied"}')
    assert "claims" not in person.open(site.url).texts


def test_a_refresh_tells_the_claims_anew(lab: Lab, site: Site) -> None:
    """The refresh token gives an access token with which UserInfo answers."""
    person = lab.person()
    before = shown(person.walk(site.url + "/login"))
    assert before["name"] == "王小明"
    assert shown(person.press(person.pages[-1], "renew")) == before


def test_logout_ends_both_sessions_and_returns(lab: Lab, site: Site) -> None:
    """The person is back at the application, and the next login asks them again."""
    person = lab.person()
    page = person.press(person.walk(site.url + "/login"), "leave")
    assert page.url == site.url + "/"
    assert "claims" not in page.texts
    assert "continue" in person.open(site.url + "/login").buttons()


def test_a_program_with_the_scope_passes(lab: Lab, api: Site) -> None:
    """The guard lets a token in that is for this API, and the API sees whose it is."""
    answer = call(api.url + "/v1/whoami", program_token(lab, api.client))
    assert answer.json() == {"client": api.client[0]}


def test_whoever_has_no_token_for_this_api_stays_outside(lab: Lab, api: Site) -> None:
    """Only what a rule opens to all answers without one; a token for elsewhere opens nothing."""
    assert call(api.url + "/v1/whoami").status_code == 401
    assert call(api.url + "/openapi.json").status_code == 401
    assert call(api.url + "/open/hours").json() == {"hours": "9-17"}
    elsewhere = program_token(lab, lab.client("--name", "x", "--scope", "transport:read"))
    assert call(api.url + "/v1/whoami", elsewhere).status_code == 401
