"""`idp sp-api …`: a question to the SP-API that only operators may ask."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated

import typer

from idp.cli.common import Stop, chosen
from idp.house import build
from idp.kernel.errors import IdpError
from idp.kernel.services import open_services
from idp.verify.numbers import canonical
from idp.verify.spapi.answers import DeviceStatus
from idp.verify.spapi.rules import SCHEME
from idp.verify.spapi.verifier import SpApi

group = typer.Typer(no_args_is_help=True, help="Questions to the SP-API, for operators.")


@group.callback()
def questions() -> None:
    """Keeps the name of the one question there is."""


@group.command()
def registered(
    context: typer.Context,
    number: str,
    client: Annotated[str, typer.Option(help="ask with this client's own account")] = "",
) -> None:
    """LF-01: has this person bound a phone? Never offer this to callers."""
    known = canonical(number)
    if known is None:
        raise Stop("this is not a national ID or resident number")
    settings = chosen(context).settings()

    async def inner() -> DeviceStatus:
        async with open_services(settings) as services:
            schemes = build(services, settings).schemes
            async with contextlib.aclosing(schemes):
                found = schemes.named(SCHEME)
                if not isinstance(found, SpApi):
                    raise Stop(f"the SP-API is not configured: there is no section [{SCHEME}]")
                return await found.registered(known, client)

    try:
        status = asyncio.run(inner())
    except IdpError as refused:
        raise Stop(f"{refused.code} {refused.description}: {refused.detail}") from None
    signs = ", can sign" if status.is_mcert_sign else ""
    typer.echo(f"registered{signs}" if status.is_fido else "not registered")
