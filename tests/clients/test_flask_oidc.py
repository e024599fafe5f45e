"""flask-oidc, as docs/clients/flask-oidc.md sets it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.lab import Lab
from tests.clients.logs_in import LogsIn
from tests.clients.site import Site


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    with Site(Recipe("flask-oidc"), 5000) as site:
        site.register(lab)
        site.write("app.py")
        yield site.run("flask")


class TestFlaskOidc(LogsIn):
    """It logs people in with a nonce alone, renews by itself and lets them go."""
