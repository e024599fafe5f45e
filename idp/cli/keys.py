"""`idp keys …`: signing keys."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from idp.cli.common import Stop, chosen, when, with_services
from idp.kernel import audit
from idp.kernel import reseal as resealing
from idp.kernel.keyring import RotationRefused, SigningKey
from idp.kernel.services import Services
from idp.settings import Settings

group = typer.Typer(no_args_is_help=True, help="Signing keys.")

ROTATED = audit.event("keys.rotated", "the next signing keys were set to sign")
RESEALED = audit.event("keys.resealed", "stored values were encrypted under another master key")
REMOVED = audit.event("keys.removed", "a signing key was removed in an emergency")


@group.command("list")
def list_(context: typer.Context) -> None:
    """Every key with its state."""

    async def work(services: Services) -> tuple[list[SigningKey], int]:
        await services.keyring.ensure()
        return await services.keyring.history(), services.clock.now()

    keys, now = with_services(context, work)
    for key in keys:
        published = when(key.published_at)
        typer.echo(f"{key.state(now).value.ljust(9)} {key.alg}  {key.kid}  published {published}")


@group.command()
def rotate(
    context: typer.Context,
    now: Annotated[
        bool, typer.Option("--now", help="even if verifiers may not know the next key yet")
    ] = False,
) -> None:
    """Let the next keys sign; the old ones stay published until their tokens have died."""
    settings: Settings = chosen(context).settings()
    # twice as long as anybody may keep a JWKS
    lead, keep = 2 * settings.oidc.jwks_seconds, settings.oidc.keep_keys_seconds

    async def work(services: Services) -> int:
        await services.keyring.ensure()
        at = await services.keyring.rotate(lead, keep, immediately=now)
        await services.trail.note(audit.entry(ROTATED, at=at))
        return at - services.clock.now()

    try:
        wait = with_services(context, work)
    except RotationRefused as refused:
        raise Stop(str(refused)) from None
    typer.echo("the next keys sign now" if wait <= 0 else f"the next keys sign in {wait} s")


@group.command()
def reseal(context: typer.Context) -> None:
    """Encrypt everything stored anew under the master key in use, while the bridge serves. It may
    be interrupted and begun again."""
    note = sys.stderr.isatty()

    def told(name: str, total: int) -> None:
        if note:
            typer.echo(f"\r{name}: {total} values so far", nl=False, err=True)

    async def work(services: Services) -> tuple[int, int]:
        done = await resealing.reseal(services.database, services.vault, told)
        await services.trail.note(audit.entry(RESEALED, values=done, key=services.vault.current))
        return done, await resealing.left(services.database, services.vault)

    done, left = with_services(context, work)
    typer.echo(f"{done} values sealed anew")
    if left:
        raise Stop(f"{left} columns have values of another key again: run it once more")


@group.command(context_settings={"ignore_unknown_options": True})  # a kid may begin with "-"
def remove(context: typer.Context, kid: str) -> None:
    """Emergency: unpublish a key at once; whatever it signed is refused from now on."""

    async def work(services: Services) -> None:
        await services.keyring.remove(kid)
        await services.trail.note(audit.entry(REMOVED, kid=kid))

    try:
        with_services(context, work)
    except RotationRefused as refused:
        raise Stop(str(refused)) from None
    typer.echo(f"{kid} is gone")
