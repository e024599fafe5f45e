"""Which database a URL names."""

from __future__ import annotations

from idp.kernel.database import Database
from idp.kernel.postgres import Postgres
from idp.kernel.sqlite import Sqlite, sqlite_file


def database_at(url: str, pool_size: int = 8) -> Database:
    """Not opened yet."""
    if url.startswith("sqlite:"):
        return Sqlite(sqlite_file(url))
    return Postgres(url, pool_size)


async def connect(url: str, pool_size: int = 8) -> Database:
    """Opened. Raises Unavailable."""
    database = database_at(url, pool_size)
    await database.open()
    return database
