"""`idp client apply`: a file says what the clients are; what differs is told, then made so."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idp.cli.common import Stop
from idp.cli.registrations import checked
from idp.registry.changes import BAD_ID, Registrar
from idp.registry.clients import Client
from idp.registry.metadata import CLIENT_ID
from idp.registry.registration import Registration
from idp.settings import Settings


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done to one client. `differences` are lines for people."""

    client_id: str
    registration: Registration | None
    what: str
    differences: tuple[str, ...] = ()
    enables: bool = False


def wanted(file: Path, settings: Settings) -> dict[str, Registration]:
    """Raises Stop with every fault of the file."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as broken:
        raise Stop(f"{file}: {broken}") from None
    tables = document.pop("clients", {})
    strange = [*document] if isinstance(tables, dict) else ["clients", *document]
    faults = [f"{file}: {name}: only [clients.ID] tables are read" for name in strange]
    found: dict[str, Registration] = {}
    for client_id, fields in tables.items() if isinstance(tables, dict) else ():
        try:
            found[client_id] = checked(fields, settings, client_id)
        except Stop as fault:
            faults.append(str(fault))
        if not CLIENT_ID.match(client_id):
            faults.append(f"client {client_id}: {BAD_ID}")
    if faults:
        raise Stop("\n".join(faults))
    return found


def plan(known: Iterable[Client], file: dict[str, Registration], *, prune: bool) -> list[Change]:
    """In the order of the file; then what `prune` disables."""
    before = {client.client_id: client for client in known}
    changes = [_change(before.get(id_), id_, registration) for id_, registration in file.items()]
    gone = [c for c in before.values() if c.client_id not in file and not c.switched_off]
    return changes + [Change(c.client_id, None, "disabled") for c in gone if prune]


def _change(before: Client | None, client_id: str, registration: Registration) -> Change:
    if before is None:
        return Change(client_id, registration, "created")
    found = tuple(_differences(before, registration))
    if before.switched_off:
        return Change(client_id, registration, "changed", (*found, "disabled → enabled"), True)
    return Change(client_id, registration, "changed" if found else "unchanged", found)


def _differences(before: Client, registration: Registration) -> Iterator[str]:
    """A list shows what came (+) and what went (-), everything else old → new."""
    old = before.metadata.model_dump(mode="json")
    new = registration.with_sector(before.client_id, before.metadata.sector).model_dump(mode="json")
    for name, value in new.items():
        if old[name] == value:
            continue
        if isinstance(value, list) and set(old[name]) != set(value):
            lost = [f"-{v}" for v in old[name] if v not in value]
            yield f"{name}: {' '.join(lost + [f'+{v}' for v in value if v not in old[name]])}"
        else:
            yield f"{name}: {_shown(old[name])} → {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "(none)"
    if isinstance(value, dict):
        return f"{len(value.get('keys', ()))} keys"
    return str(value).lower() if isinstance(value, bool) else str(value or "(none)")


async def make_so(registrar: Registrar, change: Change) -> str | None:
    """The secret of a client that was created with one, shown this once."""
    if change.registration is None:
        await registrar.switch(change.client_id, enabled=False)
    elif change.what == "created":
        return (await registrar.create(change.registration, change.client_id))[1]
    elif change.what == "changed":
        await registrar.update(change.client_id, change.registration)
        if change.enables:
            await registrar.switch(change.client_id, enabled=True)
    return None
