"""`idp org …`: the member accounts that own clients."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from idp.cli.clients import Json, summary
from idp.cli.common import Reason, Stop, show, when, with_services
from idp.house import clients_of, organisations_of
from idp.kernel.database import Conflict
from idp.kernel.services import Services
from idp.registry.organisations import Organisation
from idp.registry.secrets import held_credentials

group = typer.Typer(no_args_is_help=True, help="Organisations: member accounts with their keys.")


@group.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="name that people see")],
    name_en: Annotated[str, typer.Option(help="the same in English")] = "",
    id_: Annotated[str | None, typer.Option("--id", help="chosen for you if left out")] = None,
    as_json: Json = False,
) -> None:
    """Register an organisation. Its keys: idp client create --organisation ID."""

    async def work(services: Services) -> Organisation:
        return await organisations_of(services).create(name, name_en, id_)

    try:
        made = with_services(context, work)
    except Conflict:
        raise Stop(f"organisation {id_} exists already") from None
    except ValueError:
        raise Stop("name: 1 to 100 visible characters; id: A-Z a-z 0-9 . _ ~ -") from None
    show(_described(made), as_json=as_json)


def _described(organisation: Organisation) -> dict[str, Any]:
    return {
        "id": organisation.id,
        "name": organisation.name,
        "name_en": organisation.name_en,
        "created": when(organisation.created_at),
        "disabled": organisation.disabled,
    }


@group.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """All organisations."""

    async def work(services: Services) -> list[Organisation]:
        return await organisations_of(services).all()

    found = with_services(context, work)
    show([_described(organisation) for organisation in found], as_json=as_json)


@group.command("show")
def show_(context: typer.Context, organisation: str, as_json: Json = False) -> None:
    """An organisation and its clients: state, scopes, expiry, last use."""

    async def work(services: Services) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        found = await organisations_of(services).find(organisation)
        if found is None:
            raise Stop(f"there is no organisation {organisation}")
        held, now = await held_credentials(services.database, services.vault), services.clock.now()
        return _described(found), [
            summary(client, held[client.client_id], now, as_json=as_json)
            for client in await clients_of(services).owned(organisation)
        ]

    described, owned = with_services(context, work)
    show({**described, "clients": owned} if as_json else [described, *owned], as_json=as_json)


@group.command()
def disable(context: typer.Context, organisation: str, reason: Reason = "") -> None:
    """Refuse all clients of an organisation, and their tokens, from now on."""
    _switch(context, organisation, reason, enabled=False)


@group.command()
def enable(context: typer.Context, organisation: str, reason: Reason = "") -> None:
    """Let a disabled organisation in again; clients that were disabled themselves stay so."""
    _switch(context, organisation, reason, enabled=True)


def _switch(context: typer.Context, organisation: str, reason: str, *, enabled: bool) -> None:
    async def work(services: Services) -> None:
        await organisations_of(services).switch(organisation, enabled=enabled)

    try:
        with_services(context, work, reason)
    except LookupError:
        raise Stop(f"there is no organisation {organisation}") from None
    typer.echo(f"{organisation}: {'enabled' if enabled else 'disabled'}")
