"""The person of these tests, tried with the demo application."""

from __future__ import annotations

from tests.clients.lab import Lab
from tests.clients.person import REJECTS


def test_a_willing_person_comes_out_logged_in(lab: Lab) -> None:
    """From the program's own login link through the bridge's pages and back to the program."""
    page = lab.person().walk(lab.dev.login())
    assert page.url.startswith(lab.dev.demo)
    assert page.status == 200


def test_a_person_who_rejects_stays_at_the_bridge(lab: Lab) -> None:
    """The phone said no, so the program gets nothing and the page says so."""
    page = lab.person(number=REJECTS, method="push").walk(lab.dev.login())
    assert page.url.startswith(lab.issuer)
