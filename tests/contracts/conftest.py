"""A store without the house around it, and a clock for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from idp.kernel.connect import connect
from idp.kernel.database import Database
from tests.house import StillClock


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    store = await connect(database_url)
    yield store
    await store.close()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()
