"""One house for a whole module, on SQLite: for tables of refusals, which leave nothing behind.

from tests.open_house import LOOP, house, service, shared
pytestmark = LOOP
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.actors import Service
from tests.house import TestHouse, empty_database, running, settings_for

LOOP = pytest.mark.asyncio(loop_scope="module")


def _no_server() -> None:
    raise AssertionError("SQLite has no server")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHouse]:
    folder = tmp_path_factory.getbasetemp()
    async with running(settings_for(empty_database("sqlite", folder, _no_server))) as found:  # type: ignore[arg-type]
        yield found


@pytest.fixture
def house(shared: TestHouse) -> TestHouse:
    return shared


@pytest_asyncio.fixture(loop_scope="module")
async def service(house: TestHouse) -> Service:
    """A relying party that no other test knows."""
    return Service(house, await house.register())
