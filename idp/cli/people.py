"""`idp person …`: let nobody in under a number, or again."""

from __future__ import annotations

import typer

from idp.cli.common import Reason, Stop, with_services
from idp.house import persons_of
from idp.kernel import audit
from idp.kernel.database import Transaction
from idp.kernel.services import Services
from idp.verify.numbers import canonical, mask

group = typer.Typer(no_args_is_help=True, help="Persons.")

DISABLED = audit.event("person.disabled", "an operator disabled a person; their sessions ended")
ENABLED = audit.event("person.enabled", "an operator enabled a person again")


@group.command()
def disable(context: typer.Context, number: str, reason: Reason = "") -> None:
    """End a person's sessions and refuse their logins and tokens."""
    _switch(context, number, reason, enabled=False)


@group.command()
def enable(context: typer.Context, number: str, reason: Reason = "") -> None:
    """Let a disabled person log in again."""
    _switch(context, number, reason, enabled=True)


def _switch(context: typer.Context, number: str, reason: str, *, enabled: bool) -> None:
    known = canonical(number)
    if known is None:
        raise Stop("this is not a national ID or resident number")

    async def work(services: Services) -> bool:
        persons = persons_of(services)
        event, before = ENABLED if enabled else DISABLED, await persons.find(known)

        async def change(tx: Transaction) -> None:
            # written down even if never seen: a number can be barred before its first login
            person = await persons.meet(tx, known)
            await persons.switch(tx, person.id, enabled=enabled)
            await services.trail.write(tx, audit.entry(event, person_id=person.id))

        await services.database.write(change)
        return before is not None

    seen = with_services(context, work, reason)
    told = f"{mask(known)}: {'enabled' if enabled else 'disabled'}"
    typer.echo(told if seen else f"{told} (has never logged in here)")
