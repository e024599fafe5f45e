"""flask-oidc, as docs/clients/flask-oidc.md sets it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.lab import Lab
from tests.clients.person import STRANGER
from tests.clients.site import Site, shown


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    with Site(Recipe("flask-oidc"), 5000) as site:
        site.register(lab)
        site.write("app.py")
        yield site.run("flask")


def test_a_person_without_name_and_email_logs_in(lab: Lab, site: Site) -> None:
    """The subject and the level are read, and nothing else is needed."""
    claims = shown(lab.person(number=STRANGER).walk(site.url + "/login"))
    assert claims["sub"]
    assert claims["acr"] == "urn:twfido:qr"
    assert not claims.keys() & {"name", "email"}


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, site: Site) -> None:
    """A refusal is the product's 401, and nobody is logged in."""
    person = lab.person()
    page = person.cancel(site.url + "/login")
    assert page.url.startswith(site.url + "/authorize?")
    assert page.status == 401
    assert "access_denied" in page.html
    assert "claims" not in person.open(site.url).texts


def test_an_access_token_that_is_over_is_renewed_by_itself(lab: Lab, site: Site) -> None:
    """The product redeems the refresh token before the next request, and the login goes on."""
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
