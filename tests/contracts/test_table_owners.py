"""Whose table it is: by import one knows the room of a line, and so one does by table.

A table belongs to one room. Only modules of that room's store import it, and only they run
statements; a join over rooms stands in the list below with its reason.
"""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy.sql import Executable

from idp.kernel.tables import metadata

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "idp"

# table → the modules that hold its statements, first the one that writes it
OWNERS: dict[str, tuple[str, ...]] = {
    "stamps": ("kernel.stamps",),
    "vault_roots": ("kernel.root",),
    "signing_keys": ("kernel.keyring", "kernel.root"),
    "further_signing_keys": ("kernel.keyring",),
    "audit": ("kernel.audit",),
    "audit_seals": ("kernel.audit",),
    "counters": ("kernel.counters",),
    "outbox": ("kernel.outbox",),
    "organisations": ("registry.organisations", "registry.admissions", "registry.clients"),
    "registration_tokens": ("registry.admissions",),
    "clients": ("registry.changes", "registry.clients", "registry.organisations"),
    "client_secrets": (
        "registry.changes",
        "registry.clients",
        "registry.organisations",
        "registry.secrets",
    ),
    "upstream_accounts": ("registry.accounts",),
    "credential_uses": ("registry.uses", "registry.secrets"),
    "persons": ("login.persons", "login.session"),
    "person_aliases": ("login.aliases",),
    "logins": ("login.store", "login.attempts", "login.history"),
    "attempts": ("login.attempts", "login.store", "login.history"),
    "handles": ("login.store",),
    "landings": ("login.store",),
    "upstream_sequences": ("login.store",),
    "sessions": ("login.session", "login.endings"),
    "session_parties": ("login.endings",),
    "history": ("login.history",),
    "authorizations": ("oidc.authorizations",),
    "grants": ("oidc.store",),
    "codes": ("oidc.store",),
    "consents": ("oidc.consents",),
    "spent_assertions": ("oidc.store",),
    "revoked_tokens": ("oidc.store",),
    "cases": ("onboarding.store",),
    "case_people": ("onboarding.store",),
    "case_events": ("onboarding.store",),
    "members": ("members.directory",),
    "binding_codes": ("members.codes",),
}
# (module, table of another room): why one statement reads both
JOINS: dict[tuple[str, str], str] = {
    ("oidc.store", "persons"): "a grant is alive only while its person is not disabled",
    ("oidc.store", "sessions"): "a code is good only while its session has not ended",
    ("members.directory", "persons"): "a card is valid only while its person is not disabled",
}
EVERY = ("kernel.schema", "kernel.reseal", "kernel.tables")  # work on all tables alike


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        if "migrations" not in file.parts and "simulator" not in file.parts:
            name = file.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
            yield name.removesuffix(".__init__"), ast.parse(file.read_text(encoding="utf-8"))


MODULES = dict(_modules())


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that is imported by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                yield node.module, alias.name


@cache
def statements(module: str) -> frozenset[str]:
    """The names in a module that are SQL statements."""
    found = vars(importlib.import_module(f"idp.{module}" if module else "idp"))
    return frozenset(name for name, value in found.items() if isinstance(value, Executable))


def stores() -> set[str]:
    return {module for owners in OWNERS.values() for module in owners} | set(EVERY)


def test_every_table_has_an_owner() -> None:
    """A new table is nobody's until it stands in the list."""
    assert set(OWNERS) == set(metadata.tables)


def test_a_table_is_imported_by_its_owner_alone() -> None:
    """Whoever else wants its rows asks the owner, or is a join with a reason."""
    importers = defaultdict(set)
    for name, tree in MODULES.items():
        for module, what in imports(tree):
            if module == "idp.kernel.tables" and what in metadata.tables:
                importers[what].add(name)
    strangers = {
        (module, table)
        for table, found in importers.items()
        for module in found
        if module not in OWNERS[table] and (module, table) not in JOINS
    }
    assert strangers == set()
    unused = {(m, t) for t, owners in OWNERS.items() for m in owners} | set(JOINS)
    assert unused - {(m, t) for t, found in importers.items() for m in found} == set()


def test_only_stores_know_sqlalchemy() -> None:
    """A line that builds a statement stands in a store."""
    allowed = stores() | {
        "kernel.database", "kernel.postgres", "kernel.sqlite", "kernel.housekeeping",
        "kernel.revision", "cli.common",
    }  # fmt: skip
    found = {
        name
        for name, tree in MODULES.items()
        for module, _ in imports(tree)
        if module.split(".")[0] == "sqlalchemy"
    }
    assert found - allowed == set()


@pytest.mark.parametrize("user", MODULES)
def test_statements_are_run_by_their_store(user: str) -> None:
    """Nobody takes a statement out of another room's module: a store is asked for what it means."""
    tree = MODULES[user]
    aliases: dict[str, str] = {}
    taken = []
    for module, what in imports(tree):
        if not module.startswith("idp"):
            continue
        inside = module.removeprefix("idp").removeprefix(".")
        if what in statements(inside):
            taken.append(f"{module}.{what}")
        deeper = f"{inside}.{what}".removeprefix(".")
        if (PACKAGE / f"{deeper.replace('.', '/')}.py").exists():
            aliases[what] = deeper
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = aliases.get(node.value.id, "")
            if module and node.attr in statements(module):
                taken.append(f"{module}.{node.attr}")
    room = user.split(".")[0]
    own = {f"idp.{room}.", f"{room}."}
    assert [t for t in taken if not any(t.startswith(prefix) for prefix in own)] == []
