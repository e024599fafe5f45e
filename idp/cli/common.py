"""What commands share: which configuration, and a ground floor to stand on."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import asyncpg
import typer
from sqlalchemy.exc import SQLAlchemyError

from idp.kernel import revision
from idp.kernel.clock import iso
from idp.kernel.errors import IdpError
from idp.kernel.services import Services, open_services
from idp.kernel.vault import VaultBroken
from idp.registry.organisations import Refused
from idp.settings import Settings, read_settings

T = TypeVar("T")
ANOTHER_KEY = "keys: this database was sealed under another master key"


class Stop(Exception):
    """A command ends here, with a line for the operator."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Chosen:
    """The configuration files of this call."""

    files: tuple[Path, ...]

    def settings(self) -> Settings:
        return read_settings(self.files)


def chosen(context: typer.Context) -> Chosen:
    found = context.find_object(Chosen)
    return found or Chosen(())


Reason = Annotated[str, typer.Option(help="why, for the audit trail; no names of persons")]


def operator() -> str:
    """Who runs this command, as the machine knows them. Only root's word for somebody counts."""
    behind = os.environ.get("SUDO_USER", "") if os.getuid() == 0 else ""
    if behind:
        return behind
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user has no name
        return f"uid {os.getuid()}"


def with_services(
    context: typer.Context, work: Callable[[Services], Awaitable[T]], reason: str = ""
) -> T:
    """Runs `work` against the configured database; what it writes into the audit trail names the
    operator and their reason. Raises Stop."""
    settings = chosen(context).settings()
    why = {"reason": " ".join(reason.split())[:200]} if reason else {}

    async def inner() -> T:
        async with open_services(settings) as services:
            services.trail.tell_always(actor=operator(), **why)
            return await work(services)

    try:
        return asyncio.run(inner())
    except IdpError as refused:
        raise Stop(f"{refused.error}: {refused.detail or refused.description}") from None
    except VaultBroken:
        raise Stop(ANOTHER_KEY) from None
    except Refused as refused:
        raise Stop(str(refused)) from None


def schema_of(settings: Settings) -> tuple[str | None, str]:
    """(revision of the database, revision this version needs). Raises Stop."""
    try:
        return revision.current(settings.database.url)
    except (OSError, SQLAlchemyError, asyncpg.PostgresError) as away:
        reason = " ".join(str(away).split()) or type(away).__name__
        raise Stop(f"the database cannot be reached: {reason}") from None


def when(at: int) -> str:
    """UTC seconds as a person reads them."""
    return iso(at).replace("T", " ")


def show(value: Any, *, as_json: bool) -> None:
    """A mapping or a list of mappings: as JSON, or as lines for people."""
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
        return
    for row in value if isinstance(value, list) else [value]:
        width = max((len(key) for key in row), default=0)
        for key, cell in row.items():
            shown = " ".join(map(str, cell)) if isinstance(cell, list | tuple) else cell
            typer.echo(f"{key.ljust(width)}  {'' if shown is None else shown}")
        if isinstance(value, list):
            typer.echo("")
