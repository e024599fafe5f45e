"""`idp keys …`: signing keys."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from idp.cli.common import Reason, Stop, chosen, when, with_services
from idp.kernel import audit
from idp.kernel import reseal as resealing
from idp.kernel.clock import iso
from idp.kernel.keyring import KeyState, RotationRefused, SigningKey
from idp.kernel.services import Services
from idp.settings import Settings

group = typer.Typer(no_args_is_help=True, help="Signing keys.")

ORDER = (KeyState.ACTIVE, KeyState.NEXT, KeyState.RETIRING, KeyState.GONE)

ROTATED = audit.event("keys.rotated", "the next signing keys were set to sign")
RESEALED = audit.event("keys.resealed", "stored values were encrypted under another master key")
REMOVED = audit.event("keys.removed", "a signing key was removed in an emergency")


@group.command("list")
def list_(context: typer.Context) -> None:
    """Every key by its state, and what happens to it when."""

    async def work(services: Services) -> tuple[list[SigningKey], int]:
        await services.keyring.ensure()
        return await services.keyring.history(), services.clock.now()

    keys, now = with_services(context, work)
    for key in sorted(keys, key=lambda key: (ORDER.index(key.state(now)), key.alg)):
        state = key.state(now)
        typer.echo(f"{state.value.ljust(9)} {key.alg.ljust(5)}  {key.kid}  {_plan(key, state)}")


def _plan(key: SigningKey, state: KeyState) -> str:
    since = f"published since {when(key.published_at)}"
    signs = f"signs from {when(key.active_at)} on" if key.active_at else "signs after a rotation"
    until = f", until {when(key.retired_at)}" if key.retired_at else ""
    gone = when(key.gone_at) if key.gone_at else "(not decided)"
    plans = {
        KeyState.ACTIVE: f"{since}, {signs.replace('from', 'since').removesuffix(' on')}{until}",
        KeyState.NEXT: f"{since}, {signs}",
        KeyState.RETIRING: f"published until {gone}, signs no more",
        KeyState.GONE: f"published until {gone}",
    }
    return plans[state]


@group.command()
def rotate(
    context: typer.Context,
    now: Annotated[
        bool, typer.Option("--now", help="even if verifiers may not know the next key yet")
    ] = False,
    reason: Reason = "",
) -> None:
    """Let the next keys sign; the old ones stay published until their tokens have died."""
    settings: Settings = chosen(context).settings()
    # twice as long as anybody may keep a JWKS
    lead, keep = 2 * settings.oidc.jwks_seconds, settings.oidc.keep_keys_seconds

    async def work(services: Services) -> tuple[int, int]:
        await services.keyring.ensure()
        at = await services.keyring.rotate(lead, keep, immediately=now)
        await services.trail.note(audit.entry(ROTATED, at=iso(at)))
        return at, at - services.clock.now()

    try:
        at, wait = with_services(context, work, reason)
    except RotationRefused as refused:
        raise Stop(str(refused)) from None
    begin = "now" if wait <= 0 else f"in {wait} s, from {when(at)} on"
    typer.echo(f"the next keys sign {begin}; the old ones are published until {when(at + keep)}")


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
def remove(context: typer.Context, kid: str, reason: Reason = "") -> None:
    """Emergency: unpublish a key at once; whatever it signed is refused from now on."""

    async def work(services: Services) -> None:
        await services.keyring.remove(kid)
        await services.trail.note(audit.entry(REMOVED, kid=kid))

    try:
        with_services(context, work, reason)
    except RotationRefused as refused:
        raise Stop(str(refused)) from None
    typer.echo(f"{kid} is gone")
