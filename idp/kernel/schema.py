"""Bringing a database to this version's schema: Alembic's work."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from idp.kernel.revision import with_connection
from idp.kernel.tables import metadata


def upgrade(url: str) -> None:
    """To the newest schema. Safe to run twice at once."""
    with_connection(url, lambda connection: command.upgrade(config_for(connection), "head"))


def differences(url: str) -> list[str]:
    """Where the database and tables.py disagree: nothing, after `upgrade`."""
    found: list[str] = []
    with_connection(
        url,
        lambda c: found.extend(
            str(d) for d in compare_metadata(MigrationContext.configure(c), metadata)
        ),
    )
    return found


def revise(url: str, message: str) -> None:
    """Write the migration from the database's schema to tables.py (developers only)."""
    with_connection(
        url, lambda c: command.revision(config_for(c), message=message, autogenerate=True)
    )


def config_for(connection: Connection) -> Config:
    """What Alembic's commands work with."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
