"""A connection goes back to the pool as it is, and nothing here leaves a trace on it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import bindparam, select

from idp.kernel.connect import connect
from idp.kernel.tables import stamps

IDP = Path(__file__).parents[2] / "idp"
READ = select(stamps).where(stamps.c.name == bindparam("id"))
LAST = """SELECT query FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()"""
# What would stay on a connection after its transaction (asyncpg's reset removes it). "set" in small
# letters is a word of sentences here.
STAYS = re.compile(
    r"^\s*((?-i:SET)(?! LOCAL)|RESET|LISTEN|PREPARE|DECLARE|DISCARD)\s"
    r"|\bpg_(try_)?advisory_(?!xact_)",
    re.I,
)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_read_is_one_round_trip(database_url: str) -> None:
    """The last statement of a connection is ours: no reset follows it."""
    store = await connect(database_url, pool_size=1)
    await store.one(READ, id="a")
    beside = await asyncpg.connect(database_url)
    try:
        last = [row["query"] for row in await beside.fetch(LAST)]
    finally:
        await beside.close()
        await store.close()
    assert len(last) == 1
    assert "FROM stamps" in last[0]


def test_no_statement_changes_a_connection() -> None:
    """No text in the code is a SET, a LISTEN, a cursor or a session-level lock: without a reset
    the next user of the connection would have it."""
    found = [
        f"{file.relative_to(IDP)}:{node.lineno} {node.value[:40]}"
        for file in sorted(IDP.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if STAYS.search(node.value)
    ]
    assert found == []


@pytest.mark.parametrize(
    "statement",
    ["SET search_path TO x", "listen stamps", "SELECT pg_advisory_lock(1)", "DECLARE c CURSOR"],
)
def test_a_statement_that_would_stay_is_recognised(statement: str) -> None:
    """The search above finds what it is for."""
    assert STAYS.search(statement)
