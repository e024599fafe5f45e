"""What every test may ask for: the real parts, and the whole house in process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from idp.kernel import postgres as postgres_store
from idp.kernel import sqlite as sqlite_store
from tests.actors import Browser, Service
from tests.house import TestHouse, empty_database, running, settings_for
from tests.services.fixtures import *  # noqa: F403
from tests.services.fixtures import databases


@pytest.fixture(params=databases())
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An empty database with the newest schema, once for each kind."""
    folder = tmp_path_factory.getbasetemp()
    return empty_database(request.param, folder, lambda: request.getfixturevalue("postgres"))


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    """Override, or parametrize, to change settings of the house."""
    return {}


@pytest.fixture
async def house(database_url: str, changed_settings: dict[str, Any]) -> AsyncIterator[TestHouse]:
    """The bridge with the simulator as its upstream and a clock that stands still."""
    async with running(settings_for(database_url, **changed_settings)) as found:
        yield found


@pytest.fixture
def browser(house: TestHouse) -> Browser:
    return Browser(house)


@pytest.fixture
async def service(house: TestHouse) -> Service:
    """A confidential relying party."""
    return Service(house, await house.register("service"))


@pytest.fixture
def patient_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """For races of a hundred: on a busy machine a store may take its time without saying 503."""
    for module, name in (
        (postgres_store, "POOL_WAIT"),
        (postgres_store, "STATEMENT_TIMEOUT"),
        (sqlite_store, "WAIT"),
    ):
        monkeypatch.setattr(module, name, 30.0)
