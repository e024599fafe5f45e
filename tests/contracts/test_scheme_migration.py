"""What was stored while TW FidO was the only scheme is TW FidO's afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

from alembic import command
from sqlalchemy import Connection, MetaData, select

from idp.kernel import schema
from idp.kernel.audit import Trail
from idp.kernel.clock import Clock
from idp.kernel.connect import connect
from idp.kernel.revision import with_connection
from idp.kernel.vault import Vault
from idp.registry.accounts import Accounts

BEFORE = "e5f2b2c1d3a4"
SYSCODE, DOCUMENT = "20200820100951269231", '{"syscode": "1", "keys": ["k"], "name": "館藏"}'


def read(connection: Connection, name: str, *columns: str) -> list[tuple[Any, ...]]:
    found = tables(connection)[name]
    wanted = select(*(found.c[c] for c in columns)).order_by(found.c[columns[0]])
    return [tuple(row) for row in connection.execute(wanted)]


def tables(connection: Connection) -> Any:
    known = MetaData()
    known.reflect(connection)
    return known.tables


def fill(connection: Connection, name: str, **values: Any) -> None:
    """A row with what is not named as empty as it may be."""
    table = tables(connection)[name]
    empty = {c.name: 0 if c.type.python_type is int else "" for c in table.c if not c.nullable}
    connection.execute(table.insert().values({**empty, **values}))


def store_before(vault: Vault) -> Any:
    def work(connection: Connection) -> None:
        command.downgrade(schema.config_for(connection), BEFORE)
        sealed, index = vault.seal("system", DOCUMENT), vault.index("system", SYSCODE)
        fill(connection, "clients", client_id="own", system_sealed=sealed, system_index=index)
        fill(connection, "clients", client_id="plain", updated_at=7)
        fill(connection, "persons", id="p")
        fill(connection, "logins", id="l")
        for table, columns in (
            ("attempts", {"login_id": "l"}),
            ("sessions", {"person_id": "p"}),
            ("history", {}),
        ):
            for method in ("qr", "passport:desk"):
                fill(connection, table, id=f"{table}-{method}", method=method, **columns)

    return work


def test_methods_and_accounts_belong_to_twfido(database_url: str) -> None:
    """Methods get the scheme's name, those that have one keep it; a client's own account is found
    as before, without being unsealed; going back gives what was there."""
    vault = Vault(bytes(32))
    found: dict[str, Any] = {}

    def after(connection: Connection) -> None:
        for name in ("attempts", "sessions", "history"):
            found[name] = [method for _, method in read(connection, name, "id", "method")]
        found["accounts"] = read(connection, "upstream_accounts", "client_id", "scheme")

    def back(connection: Connection) -> None:
        command.downgrade(schema.config_for(connection), BEFORE)
        found["back"] = [method for _, method in read(connection, "sessions", "id", "method")]

    with_connection(database_url, store_before(vault))
    schema.upgrade(database_url)
    with_connection(database_url, after)
    for name in ("attempts", "sessions", "history"):
        assert found[name] == ["passport:desk", "twfido:qr"]
    assert found["accounts"] == [("own", "twfido")]
    asyncio.run(assert_the_account_is_found(database_url, vault))
    with_connection(database_url, back)
    assert found["back"] == ["passport:desk", "qr"]


async def assert_the_account_is_found(url: str, vault: Vault) -> None:
    database, clock = await connect(url), Clock()
    try:
        accounts = Accounts(database, vault, clock, Trail(database, vault, clock))
        document = await accounts.named("twfido", SYSCODE)
        assert document is not None
        assert document["name"] == "館藏"
        assert document == await accounts.of("twfido", "own")
        assert await accounts.of("twfido", "plain") is None
    finally:
        await database.close()
