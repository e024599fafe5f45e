"""One house for a whole module, on SQLite: for tables of refusals, which leave nothing behind.

from tests.open_house import LOOP, house, service, shared
pytestmark = LOOP
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.actors import Service
from tests.house import TestHouse, empty_sqlite, running, settings_for

LOOP = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHouse]:
    # many tests log in from one address while the clock stands still
    login = {"numbered_starts": 10_000}
    url = empty_sqlite(tmp_path_factory.getbasetemp())
    async with running(settings_for(url, login=login)) as found:
        yield found


@pytest.fixture
def house(shared: TestHouse) -> TestHouse:
    return shared


@pytest_asyncio.fixture(loop_scope="module")
async def service(house: TestHouse) -> Service:
    """A relying party that no other test knows."""
    return Service(house, await house.register())
