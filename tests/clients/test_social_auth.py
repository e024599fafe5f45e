"""Django with Python Social Auth, as docs/clients/social-auth.md sets it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.lab import Lab
from tests.clients.person import STRANGER, Person
from tests.clients.site import Django, shown


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Django]:
    with Django(Recipe("social-auth"), 8080) as site:
        site.write("mysite/settings.py", "mysite/login.py", "mysite/urls.py")
        yield site.serve(lab)


def enter(person: Person, site: Django) -> None:
    page = person.go_on(person.press(person.open(site.url + "/?next=/me/"), "enter"))
    assert page.url == site.url + "/me/", page.html


def test_a_person_without_name_and_email_logs_in(lab: Lab, site: Django) -> None:
    """The username is the subject, the rest stays empty, and the level can be read."""
    person = lab.person(number=STRANGER)
    enter(person, site)
    claims = shown(person.pages[-1])
    assert person.open(site.url).texts["user"] == claims["sub"]
    assert (claims["name"], claims["email"], claims["acr"]) == (None, None, "urn:twfido:qr")


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, site: Django) -> None:
    """A refusal ends at the page that the product has for it."""
    person = lab.person()
    page = person.press(person.press(person.open(site.url), "enter"), "cancel")
    assert page.url.startswith(site.url + "/complete/oidc/")
    assert page.status == 403
    assert "user" not in person.open(site.url).texts


def test_the_access_token_is_renewed(lab: Lab, site: Django) -> None:
    """The product redeems the refresh token that it was given."""
    person = lab.person()
    enter(person, site)
    assert shown(person.open(site.url + "/renew/"))["renewed"]


def test_logout_ends_both_sessions_and_returns(lab: Lab, site: Django) -> None:
    """The person is back at the site, and the next login asks them again."""
    person = lab.person()
    enter(person, site)
    page = person.press(person.open(site.url), "leave")
    assert page.url == site.url + "/"
    assert "continue" in person.press(page, "enter").buttons()
