"""Which schema the database has, and which one this version needs. Alembic is not asked: it would
stay in the memory of every process that serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from idp.kernel.sqlite import private, sqlite_file

HEAD = "e8a4c1d6b2f7"  # the newest of the migrations


def current(url: str) -> tuple[str | None, str]:
    """(revision of the database or None, revision this version needs)."""
    found: list[str | None] = []
    with_connection(url, lambda connection: found.append(_revision(connection)))
    return found[0], HEAD


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def with_connection(url: str, act: Callable[[Connection], object]) -> None:
    if url.startswith("sqlite:"):
        file = private(sqlite_file(url))
        engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 10})
        with engine.connect() as connection:
            # one migration at a time, and all of it or nothing
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            act(connection)
            connection.commit()
        engine.dispose()
    else:
        asyncio.run(_with_postgres(url, act))


async def _with_postgres(url: str, act: Callable[[Connection], object]) -> None:
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool
    )
    async with engine.begin() as connection:
        # two replicas starting at once: the second waits and finds nothing to do
        await connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7126411)")
        await connection.run_sync(act)
    await engine.dispose()
