"""Is the database's schema the one this version needs? Alembic knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from idp.kernel.database import sqlite_file
from idp.kernel.tables import metadata


def upgrade(url: str) -> None:
    """To the newest schema. Safe to run twice at once."""
    _with_connection(url, lambda connection: command.upgrade(_config(connection), "head"))


def current(url: str) -> tuple[str | None, str | None]:
    """(revision of the database, revision this version needs)."""
    found: list[str | None] = []
    _with_connection(
        url, lambda c: found.append(MigrationContext.configure(c).get_current_revision())
    )
    return found[0], ScriptDirectory.from_config(_config(None)).get_current_head()


def differences(url: str) -> list[str]:
    """Where the database and tables.py disagree: nothing, after `upgrade`."""
    found: list[str] = []
    _with_connection(
        url,
        lambda c: found.extend(
            str(d) for d in compare_metadata(MigrationContext.configure(c), metadata)
        ),
    )
    return found


def revise(url: str, message: str) -> None:
    """Write the migration from the database's schema to tables.py (developers only)."""
    _with_connection(
        url, lambda c: command.revision(_config(c), message=message, autogenerate=True)
    )


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _with_connection(url: str, act: Callable[[Connection], object]) -> None:
    if url.startswith("sqlite:"):
        file = sqlite_file(url)
        file.parent.mkdir(parents=True, exist_ok=True)
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
