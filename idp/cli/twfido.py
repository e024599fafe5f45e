"""`idp twfido …`: questions to TW FidO that only operators may ask; and `idp client set-system`,
which is `idp client set-account` in the ministry's words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from idp.cli import clients
from idp.cli.common import Stop, chosen, show
from idp.house import build
from idp.kernel.clock import TAIPEI
from idp.kernel.errors import IdpError
from idp.kernel.services import open_services
from idp.verify.numbers import canonical
from idp.verify.twfido.answers import Record, Statistics
from idp.verify.twfido.settings import SCHEME
from idp.verify.twfido.verifier import TwFido

group = typer.Typer(no_args_is_help=True, help="Questions to TW FidO, for operators.")

T = TypeVar("T")
Client = Annotated[str, typer.Option("--client", help="ask with this client's own account")]
Start = Annotated[str, typer.Option(help="first day, YYYY-MM-DD; 30 days before the last one")]
End = Annotated[str, typer.Option(help="last day, YYYY-MM-DD; today in Taipei if left out")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


def _ask(context: typer.Context, question: Callable[[TwFido], Awaitable[T]]) -> T:
    """Raises Stop with what the upstream said."""
    settings = chosen(context).settings()

    async def inner() -> T:
        async with open_services(settings) as services:
            schemes = build(services, settings).schemes
            async with contextlib.aclosing(schemes):
                found = schemes.named(SCHEME)
                if not isinstance(found, TwFido):
                    raise Stop(f"TW FidO is not configured: there is no section [{SCHEME}]")
                return await question(found)

    try:
        return asyncio.run(inner())
    except IdpError as refused:
        raise Stop(f"{refused.code} {refused.description}: {refused.detail}") from None
    except ValueError as bad:
        raise Stop(str(bad)) from None


def days(start: str, end: str, now: datetime) -> tuple[date, date]:
    """First and last day of the ministry's calendar, which is Taipei's. Raises Stop."""
    try:
        last = date.fromisoformat(end) if end else now.astimezone(TAIPEI).date()
        first = date.fromisoformat(start) if start else last - timedelta(days=30)
    except ValueError:
        raise Stop("days are written YYYY-MM-DD") from None
    return first, last


def _number(typed: str) -> str:
    known = canonical(typed)
    if known is None:
        raise Stop("this is not a national ID or resident number")
    return known


@group.command()
def registered(context: typer.Context, number: str, client: Client = "") -> None:
    """REG-01: has this person bound a phone? Never offer this to callers."""
    known = _number(number)
    bound = _ask(context, lambda verifier: verifier.registered(known, client))
    typer.echo("registered" if bound else "not registered")


@group.command()
def statistics(
    context: typer.Context,
    start: Start = "",
    end: End = "",
    client: Client = "",
    as_json: Json = False,
) -> None:
    """QUE-01: how many verifications succeeded, failed, or were not handled."""
    first, last = days(start, end, datetime.now(TAIPEI))
    told = _ask(context, lambda verifier: verifier.statistics(first, last, client))
    show(_counted(told, first, last), as_json=as_json)


def _counted(told: Statistics, first: date, last: date) -> dict[str, str | int]:
    return {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "success": told.success,
        "fail": told.fail,
        "unhandled": told.unhandled,
    }


@group.command()
def records(
    context: typer.Context,
    number: str,
    start: Start = "",
    end: End = "",
    client: Client = "",
    as_json: Json = False,
) -> None:
    """QUE-02: one person's verifications, newest first."""
    known, (first, last) = _number(number), days(start, end, datetime.now(TAIPEI))
    told = _ask(context, lambda verifier: verifier.records(known, first, last, client))
    if as_json:
        show([_record(record) for record in told], as_json=True)
    elif not told:
        typer.echo(f"none from {first} to {last}")
    else:
        for record in told:
            typer.echo(f"{record.at:%Y-%m-%d %H:%M:%S} {record.at:%Z}  {record.status}")


def _record(record: Record) -> dict[str, str]:
    return {"at": record.at.isoformat(timespec="milliseconds"), "status": record.status}


@clients.group.command("set-system")
def set_system(
    context: typer.Context,
    client_id: str,
    syscode: Annotated[str, typer.Option(help="20 digits, from the ministry")],
    key_file: Annotated[Path, typer.Option(help="1 or 2 API keys, newest first, a line each")],
    name: Annotated[str, typer.Option(help="name that phones show")],
) -> None:
    """Give a client its own account at TW FidO: `set-account --scheme twfido`."""
    clients.set_account(context, client_id, SCHEME, syscode, key_file, name, remove=False)
