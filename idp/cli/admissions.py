"""`idp registration-token …`: who may register clients over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from idp.cli.clients import Json
from idp.cli.common import Reason, Stop, chosen, show, when, with_services
from idp.kernel.services import Services
from idp.registry.admissions import DAY, Admissions, InitialToken

group = typer.Typer(
    no_args_is_help=True,
    help="Initial access tokens: with one, an organisation registers its clients itself.",
)


def _admissions(services: Services) -> Admissions:
    return Admissions(services.database, services.clock, services.vault, services.trail)


@group.command()
def issue(
    context: typer.Context,
    organisation: str,
    uses: Annotated[int, typer.Option(min=1, max=1000, help="clients that it may register")] = 1,
    days: Annotated[int, typer.Option(min=1, max=365, help="it ends after so many days")] = 7,
    as_json: Json = False,
    reason: Reason = "",
) -> None:
    """Issue a token for an organisation; it is shown this once."""
    if not chosen(context).settings().oidc.registration:
        typer.echo("oidc.registration is off: nobody can use it until that is on.", err=True)

    async def work(services: Services) -> str:
        return await _admissions(services).issue(organisation, uses, days * DAY)

    try:
        text = with_services(context, work, reason)
    except LookupError:
        raise Stop(f"there is no organisation {organisation}") from None
    show({"initial_access_token": text}, as_json=as_json)


@group.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """All tokens, by their last four characters."""

    async def work(services: Services) -> list[InitialToken]:
        return await _admissions(services).all()

    show([_described(token) for token in with_services(context, work)], as_json=as_json)


@group.command()
def revoke(context: typer.Context, last_four: str, reason: Reason = "") -> None:
    """End a token; clients that it registered stay."""

    async def work(services: Services) -> None:
        await _admissions(services).revoke(last_four)

    try:
        with_services(context, work, reason)
    except LookupError:
        raise Stop(f"no live token ends in {last_four}") from None
    typer.echo(f"ended: …{last_four}")


def _described(token: InitialToken) -> dict[str, Any]:
    return {
        "token": f"…{token.hint}",
        "organisation": token.organisation,
        "uses_left": token.uses_left,
        "created": when(token.created_at),
        "expires": when(token.expires_at),
    }
