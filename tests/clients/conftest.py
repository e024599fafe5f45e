"""The bridge that client programs are tried against, one for each worker of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.dev import Dev
from tests.clients.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Dev() as dev:
        yield Lab(dev)
