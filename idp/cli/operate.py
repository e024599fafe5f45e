"""`idp db …` and `idp audit …`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer

from idp.cli.common import Stop, chosen, schema_of, with_services
from idp.house import persons_of
from idp.kernel.audit import Search
from idp.kernel.clock import TAIPEI
from idp.kernel.services import Services
from idp.verify.numbers import canonical, mask

db_group = typer.Typer(no_args_is_help=True, help="The database.")
audit_group = typer.Typer(no_args_is_help=True, help="The audit trail.")


@db_group.command()
def upgrade(context: typer.Context) -> None:
    """Bring the schema to this version."""
    from idp.kernel import schema  # here only: Alembic is not for those who serve

    settings = chosen(context).settings()
    schema_of(settings)  # a database that is away is told in a line
    schema.upgrade(settings.database.url)
    typer.echo(f"schema {schema_of(settings)[0]}")


@db_group.command()
def check(context: typer.Context) -> None:
    """Exit status 0 if the schema is this version's."""
    found, needed = schema_of(chosen(context).settings())
    if found != needed:
        raise Stop(f"the schema is {found or 'empty'}, not {needed}: run `idp db upgrade`")
    typer.echo(f"schema {found}")


@audit_group.command()
def verify(
    context: typer.Context,
    expect: Annotated[
        str, typer.Option(help="a seal known from elsewhere, NUMBER:MARK as the log tells it")
    ] = "",
) -> None:
    """Recompute the chain of seals. Without --expect nobody can tell whether its end was cut."""

    async def work(services: Services) -> tuple[tuple[int, int, str | None], str]:
        return await services.trail.verify(expect), await services.trail.head()

    (sealed, unsealed, wrong), head = with_services(context, work)
    if wrong:
        raise Stop(f"BROKEN after {sealed} good entries: {wrong}", 2)
    typer.echo(f"{sealed} entries sealed and unchanged, {unsealed} not sealed yet")
    typer.echo(f"newest seal {head or '(none)'}")


@audit_group.command("list")
def list_(
    context: typer.Context,
    after: Annotated[
        int | None, typer.Option(help="the oldest entries with a higher id; 0: from the beginning")
    ] = None,
    before: Annotated[int | None, typer.Option(help="the newest entries with a lower id")] = None,
    since: Annotated[str, typer.Option(help="ISO 8601; without a zone it is Taiwan's")] = "",
    until: Annotated[str, typer.Option(help="ISO 8601; entries before this time")] = "",
    event: Annotated[str, typer.Option(help="one kind of event")] = "",
    reference: Annotated[str, typer.Option(help="of one incident")] = "",
    client: Annotated[str, typer.Option(help="client_id")] = "",
    person: Annotated[str, typer.Option(help="number, or person_id")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="entries of one page")] = 500,
) -> None:
    """Entries in their order, a JSON line each: the newest, or from --after on. Where there are
    more, the last line on standard error says how to go on."""
    wanted = Search(
        event=event,
        reference=reference,
        client_id=client,
        since=_seconds("--since", since) if since else 0,
        until=_seconds("--until", until) if until else Search().until,
        after=after,
        before=before,
        most=limit + 1,
    )

    async def work(services: Services) -> list[dict[str, Any]]:
        person_id = await _person_id(services, person) if person else ""
        return await services.trail.search(replace(wanted, person_id=person_id))

    found = with_services(context, work)
    page = found[:limit] if wanted.forwards else found[-limit:]
    for entry in page:
        typer.echo(json.dumps(entry, ensure_ascii=False))
    if len(found) > limit:
        way = f"--after {page[-1]['id']}" if wanted.forwards else f"--before {page[0]['id']}"
        typer.echo(f"there are more: {way}", err=True)


async def _person_id(services: Services, person: str) -> str:
    number = canonical(person)
    if number is None:
        return person
    found = await persons_of(services).find(number)
    if found is None:
        raise Stop(f"{mask(number)} has never logged in here")
    return found.id


def _seconds(option: str, text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Stop(f"{option}: an ISO time, as 2026-11-25 or 2026-11-25T09:30:00+08:00") from None
    return int((found if found.tzinfo else found.replace(tzinfo=TAIPEI)).timestamp())
