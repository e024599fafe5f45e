"""Flask with Authlib, as docs/clients/flask.md sets it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.lab import Lab
from tests.clients.logs_in import LogsIn
from tests.clients.site import Site


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    with Site(Recipe("flask"), 5000) as site:
        site.register(lab)
        site.write("app.py")
        yield site.run("flask")


class TestFlask(LogsIn):
    """It logs people in, renews and lets them go."""
