"""Django with mozilla-django-oidc, as docs/clients/mozilla-django-oidc.md sets it up."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.lab import Lab
from tests.clients.person import STRANGER
from tests.clients.site import Django, shown

SHORT = {"EXPIRY_SECONDS = 900": "EXPIRY_SECONDS = 1"}


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Django]:
    with Django(Recipe("mozilla-django-oidc"), 8080) as site:
        site.write("mysite/settings.py", "mysite/login.py", "mysite/urls.py")
        site.changes |= SHORT
        site.write("mysite/settings.py", heading="Refresh")
        yield site.serve(lab)


def test_a_person_without_name_and_email_logs_in(lab: Lab, site: Django) -> None:
    """The username is the subject, the rest stays empty, and the level can be read."""
    person = lab.person(number=STRANGER)
    claims = shown(person.walk(site.url + "/me/"))
    assert claims["acr"] == "urn:twfido:qr"
    assert not claims.keys() & {"name", "email"}
    assert person.open(site.url).texts["user"] == claims["sub"]


def test_whoever_cancels_sees_the_programs_own_page(lab: Lab, site: Django) -> None:
    """A refusal ends at the failure page of the site."""
    page = lab.person().cancel(site.url + "/me/")
    assert (page.url, page.status) == (site.url + "/failed/", 403)


def test_logout_ends_both_sessions_and_returns(lab: Lab, site: Django) -> None:
    """The person is back at the site, and the next login asks them again."""
    person = lab.person()
    person.walk(site.url + "/me/")
    page = person.go_on(person.press(person.open(site.url), "leave"))
    assert page.url == site.url + "/"
    assert "user" not in page.texts
    assert "continue" in person.open(site.url + "/me/").buttons()


def test_the_session_is_renewed_without_a_page(lab: Lab, site: Django) -> None:
    """The middleware asks the bridge again, and nobody sees anything of it."""
    person = lab.person()
    person.walk(site.url + "/me/")
    time.sleep(1.1)
    seen = len(person.pages)
    assert shown(person.open(site.url + "/me/"))["acr"] == "urn:twfido:qr"
    assert len(person.pages) == seen + 1


def test_who_left_the_bridge_is_thrown_out_at_renewal(lab: Lab, site: Django) -> None:
    """The renewal finds no session at the bridge and ends the one of Django."""
    person = lab.person()
    person.walk(site.url + "/me/")
    person.go_on(person.open(lab.issuer + "/logout"))
    time.sleep(1.1)
    assert person.open(site.url + "/me/").url == site.url + "/failed/"
