"""One bridge with two workers for each database, shared by the tests of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.house import empty_database
from tests.services.bridge import Bridge
from tests.services.fixtures import databases


@pytest.fixture(scope="session")
def fresh_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """`fresh_database("sqlite")` gives the URL of a database with our schema and nothing in it."""
    folder = tmp_path_factory.mktemp("databases")
    return lambda kind: empty_database(kind, folder, lambda: request.getfixturevalue("postgres"))


@pytest.fixture(scope="session", params=databases())
def bridge(
    request: pytest.FixtureRequest, fresh_database: Callable[[str], str]
) -> Iterator[Bridge]:
    """`idp serve` with two workers and `idp simulate`, once for each database."""
    with Bridge(fresh_database(request.param)) as running:
        yield running
