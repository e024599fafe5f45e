"""The real parts as pytest fixtures; `from tests.services.fixtures import *` in conftest.py.

Each worker of pytest-xdist starts its own at first use. A part that is missing skips the
test with the reason, or fails it where TEST_REQUIRE names the part: in continuous
integration a skip must not look like a success.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.services import node as node_module
from tests.services.chromium import Chromium
from tests.services.nginx import Edge
from tests.services.postgres import Postgres
from tests.services.process import Missing
from tests.services.redis import Redis

__all__ = [
    "chromium",
    "databases",
    "empty_redis",
    "node",
    "postgres",
    "redis_server",
    "redis_url",
    "start_edge",
]


def databases() -> list[str]:
    """The databases to test on: TEST_DATABASES, or both."""
    return os.environ.get("TEST_DATABASES", "sqlite postgres").split()


@contextmanager
def needs(part: str) -> Iterator[None]:
    """Turn Missing into a skip with its reason, or into a failure where it is required."""
    try:
        yield
    except Missing as reason:
        if part in os.environ.get("TEST_REQUIRE", "").split():
            pytest.fail(f"{part} is required here: {reason}", pytrace=False)
        pytest.skip(f"{part}: {reason}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; `postgres.create_database()` gives the URL of an empty one."""
    with needs("postgres"):
        server = Postgres()
    with server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis server that may be frozen, killed and flushed."""
    with needs("redis"):
        server = Redis()
    with server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: Redis) -> str:
    """The URL of a Redis that the tests of this worker share."""
    return redis_server.url


@pytest.fixture
def empty_redis(redis_server: Redis) -> str:
    """The URL of the same Redis, emptied before the test."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """A running Chromium; `async with chromium.page() as page` opens a fresh profile."""
    with needs("chromium"):
        browser = Chromium()
    with browser:
        yield browser


@pytest.fixture(scope="session")
def start_edge() -> Iterator[Callable[..., Edge]]:
    """`start_edge("127.0.0.1:8000")` starts nginx as shipped in front of an upstream."""
    with ExitStack() as edges:

        def start(upstream: str, host: str = "localhost", days: int = 30, mutual: str = "") -> Edge:
            with needs("nginx"):
                edge = Edge(upstream, host, days, mutual)
            return edges.enter_context(edge)

        yield start


@pytest.fixture(scope="session")
def node() -> str:
    """The Node program, with the packages of tests/node installed."""
    with needs("node"):
        node_module.packages()
        return node_module.node()
    raise AssertionError("unreachable")
