"""Django with django-allauth, as docs/clients/django-allauth.md sets it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.lab import Lab
from tests.clients.person import STRANGER, Person
from tests.clients.site import Django, shown


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Django]:
    with Django(Recipe("django-allauth"), 8080) as site:
        site.write("mysite/settings.py", "mysite/login.py", "mysite/urls.py")
        yield site.serve(lab)


def enter(person: Person, site: Django) -> None:
    page = person.go_on(person.press(person.open(site.url), "enter"))
    assert page.url == site.url + "/", page.html


def test_a_person_without_name_and_email_logs_in(lab: Lab, site: Django) -> None:
    """The username is the subject, no form asks for more, and both sets of claims are kept."""
    person = lab.person(number=STRANGER)
    enter(person, site)
    claims = shown(person.open(site.url + "/me/"))
    assert person.open(site.url).texts["user"] == claims["userinfo"]["sub"]
    assert claims["id_token"]["acr"] == "urn:twfido:qr"
    assert not claims["userinfo"].keys() & {"name", "email"}


def test_a_person_of_the_directory_brings_name_and_email(lab: Lab, site: Django) -> None:
    """What UserInfo tells reaches the account."""
    person = lab.person()
    enter(person, site)
    assert shown(person.open(site.url + "/me/"))["userinfo"]["email"] == "ming@example.gov.tw"


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, site: Django) -> None:
    """A refusal ends at the page that the product has for it."""
    person = lab.person()
    page = person.press(person.press(person.open(site.url), "enter"), "cancel")
    assert page.url == site.url + "/accounts/3rdparty/login/cancelled/"
    assert "user" not in person.open(site.url).texts


def test_logout_ends_both_sessions_and_returns(lab: Lab, site: Django) -> None:
    """The person is back at the site, and the next login asks them again."""
    person = lab.person()
    enter(person, site)
    page = person.go_on(person.press(person.open(site.url), "leave"))
    assert page.url == site.url + "/"
    assert "continue" in person.press(page, "enter").buttons()
