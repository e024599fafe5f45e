"""The root: a random secret of the database, which every keyed index, subject and refresh token
hangs on. It is made once, kept sealed under the master key, and never changes."""

from __future__ import annotations

import contextlib
import secrets

from sqlalchemy import insert, select

from idp.kernel.database import Conflict, Database
from idp.kernel.tables import signing_keys, vault_roots
from idp.kernel.vault import Vault

PURPOSE = "vault-root"
NAME = "index"

_R = vault_roots.c
_READ = select(_R.secret_sealed).where(_R.name == NAME)
_INSERT = insert(vault_roots)
_IN_USE = select(signing_keys.c.kid).limit(1)


async def load_root(database: Database, vault: Vault) -> None:
    """Lets the vault use this database's root; makes it at the first start. A database that was in
    use before there were roots keeps its marks: its root is the master key of then.
    Raises VaultBroken for a master key that is not this database's."""
    row = await database.one(_READ)
    if row is None:
        in_use = await database.one(_IN_USE) is not None
        root = vault.master_key if in_use else secrets.token_bytes(32)
        with contextlib.suppress(Conflict):  # another process started first: its root counts
            await database.run(_INSERT, name=NAME, secret_sealed=vault.seal(PURPOSE, root))
        row = await database.one(_READ)
    if row is None:
        raise AssertionError("a root cannot vanish")
    vault.use_root(vault.open(PURPOSE, row["secret_sealed"]))
