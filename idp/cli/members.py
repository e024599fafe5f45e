"""`idp member …` and `idp wecard …`: the member directory, and Tencent's side of a call."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from idp.cli.common import Stop, chosen, show, with_services
from idp.house import directory_of
from idp.kernel.services import Services
from idp.members import record, wecard_client
from idp.members.directory import Directory, ImportReport, Member
from idp.members.passwords import hash_password as hashed
from idp.members.settings import WeCardApplication
from idp.members.sheet import SheetRefused
from idp.members.wecard_client import NoAnswer
from idp.settings import Settings
from idp.verify.numbers import canonical

member_group = typer.Typer(no_args_is_help=True, help="The member directory.")
wecard_group = typer.Typer(no_args_is_help=True, help="WeCard (腾讯微卡).")


@member_group.command("import")
def import_(
    context: typer.Context,
    file: Path,
    dry_run: Annotated[bool, typer.Option(help="read and check, write nothing")] = False,
    skip_rejected: Annotated[bool, typer.Option(help="take the good lines only")] = False,
) -> None:
    """Take in a CSV file: all of it, or nothing."""

    async def work(services: Services) -> ImportReport:
        return await directory_of(services).import_file(
            file, canonical, dry_run=dry_run, skip_rejected=skip_rejected
        )

    try:
        report = with_services(context, work)
    except (SheetRefused, OSError) as refused:
        raise Stop(f"{file}: {refused}") from None
    for rejected in report.rejected:
        typer.echo(f"line {rejected.line}: {rejected.why}", err=True)
    typer.echo(_outcome(report))
    if report.rejected and not skip_rejected:
        raise Stop("mend the lines above, or leave them out with --skip-rejected")


def _outcome(report: ImportReport) -> str:
    """What was written or, where nothing was, what would have been."""
    changes = f"{report.added} added, {report.updated} updated"
    rejected = f"{report.lines} lines, {len(report.rejected)} rejected"
    if report.written:
        return f"{rejected}: {changes}"
    return f"{rejected}: nothing was written; the others would be {changes}"


@member_group.command("list")
def list_(
    context: typer.Context,
    after: Annotated[str, typer.Option(help="last card number of the page before")] = "",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """A hundred members a page."""

    async def work(services: Services) -> list[dict[str, Any]]:
        directory, now = directory_of(services), services.clock.now()
        return [described(directory, member, now) for member in await directory.page(after)]

    show(with_services(context, work), as_json=as_json)


@member_group.command("show")
def show_(
    context: typer.Context,
    card: str,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """One member's record."""

    async def work(services: Services) -> dict[str, Any]:
        directory = directory_of(services)
        member = await directory.by_card(services.database, record.canonical_card(card))
        if member is None:
            raise Stop("there is no member with this card number")
        brief = described(directory, member, services.clock.now())
        return {**brief, "password": bool(member.password_hash), **directory.record(member)}

    show(with_services(context, work), as_json=as_json)


def described(directory: Directory, member: Member, now: int) -> dict[str, Any]:
    """A member in a list: the name only to be recognised."""
    opened = directory.record(member)
    moments = {"valid_from": member.valid_from, "valid_until": member.valid_until}
    return {
        "card_number": opened["card_number"],
        "name": record.mask_name(opened["name"]),
        "organization": opened["organization"],
        "valid": member.valid(now),
        "linked": member.person is not None,
        **{k: record.show_time(v) if v is not None else None for k, v in moments.items()},
    }


@member_group.command("hash-password")
def hash_password() -> None:
    """An argon2id hash for the column password_hash. The password is asked for, or is the first
    line of standard input."""
    if sys.stdin.isatty():
        password = typer.prompt("password", hide_input=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise Stop("the password is empty")
    typer.echo(hashed(password))


@wecard_group.command("call")
def call(
    context: typer.Context,
    card: Annotated[str, typer.Option(help="card number")],
    password: Annotated[str, typer.Option(help="binding code or directory password")],
    application: Annotated[str, typer.Option(help="name in [members.wecard]")] = "",
    url: Annotated[str, typer.Option(help="verification URL, if not this server's")] = "",
) -> None:
    """Play Tencent's side against a running server; print both sides of the exchange."""
    settings = chosen(context).settings()
    name, app = _application(settings, application)
    target = url or f"{settings.issuer}/wecard/{app.path}"
    secret = app.app_secret.get_secret_value()
    try:
        exchange = asyncio.run(
            wecard_client.call(
                target, app_key=app.app_key, app_secret=secret, card_number=card, password=password
            )
        )
    except NoAnswer as away:
        raise Stop(f"{target}: {away}") from None
    typer.echo(f"application {name}, HTTP {exchange.status}, {exchange.seconds:.3f} s")
    for label, value in (
        ("asked", exchange.asked),
        ("sent", exchange.sent),
        ("received", exchange.received),
        ("answered", exchange.answered),
    ):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        typer.echo(f"{label.ljust(9)} {text}")
    if exchange.answered is None:
        raise Stop("refused")


def _application(settings: Settings, name: str) -> tuple[str, WeCardApplication]:
    known = settings.members.wecard
    if not name and len(known) == 1:
        name = next(iter(known))
    if name not in known:
        raise Stop(f"--application: one of {', '.join(known) or '(none is configured)'}")
    return name, known[name]
