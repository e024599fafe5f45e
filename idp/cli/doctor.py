"""`idp doctor`: everything that a request needs, each with what was seen and what to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import typer

from idp.cli.common import ANOTHER_KEY, Stop, chosen, schema_of
from idp.health import can_write
from idp.house import build
from idp.kernel.errors import IdpError, Unavailable
from idp.kernel.keyring import ALGORITHMS, FURTHER, KeyState
from idp.kernel.root import load_root
from idp.kernel.services import Services, make_services
from idp.kernel.vault import VaultBroken
from idp.settings import Settings
from idp.verify import Check

SKEW = 2.0  # seconds between two clocks that nobody notices
UPGRADE = "run `idp db upgrade`"
START = "start it, or correct database.url"


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Look at everything that can be wrong; safe to paste into a ticket."""
    settings = chosen(context).settings()
    schema = _schema(settings)
    checks = [_settings(settings), schema, *asyncio.run(_living(settings, schema))]
    if as_json:
        fields = [
            {"result": c.result, "check": c.what, "seen": c.seen, "remedy": c.remedy}
            for c in checks
        ]
        typer.echo(json.dumps(fields, ensure_ascii=False, indent=2))
    else:
        for check in checks:
            typer.echo(f"{check.result.ljust(4)}  {check.what}: {check.seen}")
            if check.remedy:
                typer.echo(f"      {check.remedy}")
    if any(check.result == "fail" for check in checks):
        raise Stop("doctor: something must be mended", 1)


def _settings(settings: Settings) -> Check:
    told = f"{settings.environment}, issuer {settings.issuer}"
    if settings.sandbox:
        told += "; anybody can log in as anybody, and each acr ends in :sandbox"
    return Check("ok", "settings", told)


def _schema(settings: Settings) -> Check:
    try:
        found, needed = schema_of(settings)
    except Stop as away:
        return Check("fail", "database schema", str(away), START)
    if found == needed:
        return Check("ok", "database schema", found)
    return Check("fail", "database schema", f"{found or 'empty'}, not {needed}", UPGRADE)


async def _living(settings: Settings, schema: Check) -> list[Check]:
    """Each check stands alone: where one thing is away, the others are still looked at."""
    services = make_services(settings)
    found = [check async for check in _stored(services, schema)]
    found.append(await _counters(services))
    async with contextlib.aclosing(build(services, settings).schemes) as schemes:
        production = settings.environment == "production"
        return found + list(await schemes.checks(production=production))


async def _stored(services: Services, schema: Check) -> AsyncIterator[Check]:
    """What lies in the database; without the right schema only whether it answers."""
    try:
        await services.database.open()
    except IdpError as away:
        yield Check("fail", "database", away.detail, START)
        return
    try:
        yield await _clock(services)
        if schema.result == "ok":
            yield await _writes(services)
            for check in await _secrets(services):
                yield check
    except Unavailable as away:
        yield Check("fail", "database", away.detail, START)
    finally:
        await services.database.close()


async def _clock(services: Services) -> Check:
    skew = abs(await services.database.time() - services.clock.precise())
    seen = f"{skew:.1f} s off the database"
    if skew < SKEW:
        return Check("ok", "clock", seen)
    return Check("warn", "clock", seen, "let NTP set both machines")


async def _writes(services: Services) -> Check:
    try:
        await can_write(services.database)
    except Unavailable as refused:
        remedy = "give the account the right to write, or look at the disk"
        return Check("fail", "database", f"answers, but writes nothing: {refused.detail}", remedy)
    return Check("ok", "database", "reads and writes")


async def _secrets(services: Services) -> list[Check]:
    try:
        await load_root(services.database, services.vault)
        await services.keyring.load()
    except VaultBroken:
        return [Check("fail", "master key", ANOTHER_KEY, "use the key of this database")]
    return [Check("ok", "master key", "opens what is stored"), *_keys(services)]


def _keys(services: Services) -> Iterator[Check]:
    now = services.clock.now()
    states = [(key.alg, key.state(now)) for key in services.keyring.published()]
    if not states:
        yield Check("ok", "signing keys", "none yet: made at the first start")
        return
    for alg in ALGORITHMS:
        active, waiting = (states.count((alg, s)) for s in (KeyState.ACTIVE, KeyState.NEXT))
        if alg in FURTHER and not active + waiting:
            seen = "none yet: the next start makes them"
            yield Check("warn", f"signing keys {alg}", seen, "restart the workers of this version")
            continue
        seen, good = f"{active} active, {waiting} next", active == 1 and waiting > 0
        remedy = (
            "" if good else "look at `idp keys list`; a start of `idp serve` makes missing ones"
        )
        yield Check("ok" if good else "fail", f"signing keys {alg}", seen, remedy)


async def _counters(services: Services) -> Check:
    if not services.settings.web.redis_url:
        remedy = "set web.redis_url before you run more than one worker"
        return Check("warn", "rate counters", "each process counts alone", remedy)
    try:
        await services.throttle.check()
    except Unavailable as away:
        return Check("fail", "rate counters", away.detail, "start Redis, or correct web.redis_url")
    return Check("ok", "rate counters", "Redis answers")
