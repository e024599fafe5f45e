"""`idp person …`: let nobody in under a number, or again."""

from __future__ import annotations

import typer

from idp.cli.common import Stop, with_services
from idp.kernel import audit
from idp.kernel.database import Transaction
from idp.kernel.services import Services
from idp.login.persons import Persons
from idp.verify.twfido.numbers import canonical

group = typer.Typer(no_args_is_help=True, help="Persons.")

DISABLED = audit.event("person.disabled", "an operator disabled a person; their sessions ended")
ENABLED = audit.event("person.enabled", "an operator enabled a person again")


@group.command()
def disable(context: typer.Context, number: str) -> None:
    """End a person's sessions and refuse their logins and tokens."""
    _switch(context, number, enabled=False)


@group.command()
def enable(context: typer.Context, number: str) -> None:
    """Let a disabled person log in again."""
    _switch(context, number, enabled=True)


def _switch(context: typer.Context, number: str, *, enabled: bool) -> None:
    known = canonical(number)
    if known is None:
        raise Stop("this is not a national ID or resident number")

    async def work(services: Services) -> None:
        persons = Persons(services.database, services.vault, services.clock)
        event = ENABLED if enabled else DISABLED

        async def change(tx: Transaction) -> None:
            # written down even if never seen: a number can be barred before its first login
            person = await persons.meet(tx, known)
            await persons.switch(tx, person.id, enabled=enabled)
            await services.trail.write(tx, audit.entry(event, person_id=person.id))

        await services.database.write(change)

    with_services(context, work)
    typer.echo("enabled" if enabled else "disabled")
