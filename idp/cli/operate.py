"""`idp db …`, `idp audit …`, `idp doctor`: what an operator needs at two in the morning."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from idp.cli.common import ANOTHER_KEY, Stop, chosen, schema_of, with_services
from idp.house import build
from idp.kernel.errors import IdpError
from idp.kernel.keyring import ALGORITHMS, KeyState
from idp.kernel.services import Services, make_services, open_services
from idp.kernel.vault import VaultBroken
from idp.settings import Settings

db_group = typer.Typer(no_args_is_help=True, help="The database.")
audit_group = typer.Typer(no_args_is_help=True, help="The audit trail.")


def add_to(app: typer.Typer) -> None:
    app.command()(doctor)


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
    after: Annotated[int, typer.Option(help="entries with a higher id only")] = 0,
    reference: Annotated[str, typer.Option(help="of one incident")] = "",
) -> None:
    """The newest entries, a JSON line each."""

    async def work(services: Services) -> list[dict[str, Any]]:
        return await services.trail.recent(after, reference)

    for entry in reversed(with_services(context, work)):
        typer.echo(json.dumps(entry, ensure_ascii=False))


Finding = tuple[str, str, str]  # ok, warn or fail; what was looked at; what was seen


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Look at everything that can be wrong; safe to paste into a ticket."""
    settings = chosen(context).settings()
    findings = [*_static(settings), *asyncio.run(_living(settings))]
    if as_json:
        keys = ("result", "check", "seen")
        typer.echo(json.dumps([dict(zip(keys, f, strict=True)) for f in findings], indent=2))
    else:
        for result, what, seen in findings:
            typer.echo(f"{result.ljust(4)}  {what}: {seen}")
    if any(result == "fail" for result, _, _ in findings):
        raise Stop("doctor: something must be mended", 1)


def _static(settings: Settings) -> Iterator[Finding]:
    yield "ok", "settings", f"{settings.environment}, issuer {settings.issuer}"
    found, needed = schema_of(settings)
    mended = f"{found} (run `idp db upgrade`)" if found != needed else str(found)
    yield ("ok" if found == needed else "fail"), "database schema", mended
    if not settings.web.redis_url:
        yield "warn", "rate counters", "each process counts alone (no web.redis_url)"


async def _living(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    try:
        async with open_services(settings) as services:
            skew = abs(await services.database.time() - services.clock.precise())
            found.append(("ok" if skew < 2 else "warn", "clock", f"{skew:.1f} s off the database"))
            await services.keyring.load()
            found += _keys(services)
    except IdpError as away:
        found.append(("fail", "database", away.detail))
    except VaultBroken:
        found.append(("fail", "master key", ANOTHER_KEY))
    found += await _upstreams(settings)
    return found


def _keys(services: Services) -> Iterator[Finding]:
    now = services.clock.now()
    states = [(key.alg, key.state(now)) for key in services.keyring.published()]
    for alg in ALGORITHMS:
        active = states.count((alg, KeyState.ACTIVE))
        waiting = states.count((alg, KeyState.NEXT))
        seen = f"{active} active, {waiting} next"
        yield ("ok" if active == 1 and waiting else "fail"), f"signing keys {alg}", seen


async def _upstreams(settings: Settings) -> list[Finding]:
    """What each scheme says of itself."""
    async with contextlib.aclosing(build(make_services(settings), settings).schemes) as schemes:
        checks = await schemes.checks(production=settings.environment == "production")
    return [(c.result, c.what, f"{c.seen}: {c.remedy}" if c.remedy else c.seen) for c in checks]
