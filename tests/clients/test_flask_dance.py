"""Flask-Dance, as docs/clients/flask-dance.md sets it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.lab import Lab
from tests.clients.logs_in import LogsIn
from tests.clients.site import Site


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    with Site(Recipe("flask-dance"), 5000) as site:
        site.register(lab)
        site.variables["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # as the page says
        site.write("app.py")
        yield site.run("flask")


class TestFlaskDance(LogsIn):
    """It logs people in, renews by itself and lets them go; it does not look at the ID token."""

    start = "/idp"
    level = None
