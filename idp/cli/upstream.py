"""`idp twfido …`: questions to TW FidO that only operators may ask."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated, Any, TypeVar

import typer

from idp.cli.common import Stop, chosen, show
from idp.house import build
from idp.kernel.errors import IdpError
from idp.kernel.services import open_services
from idp.verify.twfido.numbers import canonical
from idp.verify.twfido.verifier import TwFido

group = typer.Typer(no_args_is_help=True, help="Questions to TW FidO, for operators.")

T = TypeVar("T")
Client = Annotated[str, typer.Option("--client", help="ask with this client's own account")]
Start = Annotated[str, typer.Option(help="first day, YYYY-MM-DD; a month ago if left out")]
End = Annotated[str, typer.Option(help="last day, YYYY-MM-DD; today if left out")]


def _ask(context: typer.Context, question: Callable[[TwFido], Awaitable[T]]) -> T:
    """Raises Stop with what the upstream said."""
    settings = chosen(context).settings()

    async def inner() -> T:
        async with open_services(settings) as services:
            schemes = build(services, settings).schemes
            async with contextlib.aclosing(schemes):
                found = next((v for v in schemes if isinstance(v, TwFido)), None)
                if found is None:
                    raise Stop("TW FidO is not configured")
                return await question(found)

    try:
        return asyncio.run(inner())
    except IdpError as refused:
        raise Stop(f"{refused.code} {refused.description}: {refused.detail}") from None
    except ValueError as bad:
        raise Stop(str(bad)) from None


def _range(start: str, end: str) -> tuple[date, date]:
    try:
        last = date.fromisoformat(end) if end else date.today()
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
    context: typer.Context, start: Start = "", end: End = "", client: Client = ""
) -> None:
    """QUE-01: how many verifications succeeded, failed, or were not handled."""
    first, last = _range(start, end)
    told = _ask(context, lambda verifier: verifier.statistics(first, last, client))
    show(_plain(told), as_json=False)


@group.command()
def records(
    context: typer.Context, number: str, start: Start = "", end: End = "", client: Client = ""
) -> None:
    """QUE-02: one person's verifications, newest first."""
    known, (first, last) = _number(number), _range(start, end)
    told = _ask(context, lambda verifier: verifier.records(known, first, last, client))
    show([_plain(record) for record in told], as_json=False)


def _plain(told: Any) -> dict[str, Any]:
    return {k: v for k, v in asdict(told).items() if k not in ("rcode", "pid")}
