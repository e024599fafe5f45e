"""An API with PyJWT, as docs/clients/pyjwt.md sets it up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.guarded import Guarded
from tests.clients.lab import Lab
from tests.clients.site import Site


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Site]:
    with Site(Recipe("pyjwt"), 9001) as api:
        api.register(lab)
        api.write("api.py")
        yield api.run("api:app")


class TestPyjwt(Guarded):
    """It lets in who may come in, and nobody else."""
