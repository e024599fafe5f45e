"""`idp`: every command. Each group is a file of this folder; nothing is decided here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from idp import __version__
from idp.cli import (
    admissions,
    cases,
    clients,
    doctor,
    keys,
    members,
    operate,
    organisations,
    pages,
    people,
    run,
    spapi,
    twfido,
)
from idp.cli.common import Chosen, Stop
from idp.kernel.settings import BadSettings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="OpenID Connect identity provider in front of national ID schemes.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"idp {__version__}")
        raise typer.Exit


@app.callback()
def _chosen(
    context: typer.Context,
    config: Annotated[
        list[Path] | None,
        typer.Option("-c", "--config", help="TOML file; may be repeated, later ones win"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="say it and end")
    ] = False,
) -> None:
    del version
    context.obj = Chosen(tuple(config or ()))


run.add_to(app)
app.command()(doctor.doctor)
app.add_typer(cases.group, name="case")
app.add_typer(clients.group, name="client")
app.add_typer(organisations.group, name="org")
app.add_typer(admissions.group, name="registration-token")
app.add_typer(people.group, name="person")
app.add_typer(keys.group, name="keys")
app.add_typer(members.member_group, name="member")
app.add_typer(members.wecard_group, name="wecard")
app.add_typer(spapi.group, name="sp-api")
app.add_typer(twfido.group, name="twfido")  # a scheme's own commands, if it has any
app.add_typer(pages.group, name="pages")
app.add_typer(operate.db_group, name="db")
app.add_typer(operate.audit_group, name="audit")


def main() -> None:
    """Faults that the operator can mend are told in a line, without a trace."""
    try:
        app()
    except BadSettings as faults:
        for line in str(faults).splitlines():
            typer.echo(f"settings: {line}", err=True)
        sys.exit(2)
    except Stop as stop:
        typer.echo(str(stop), err=True)
        sys.exit(stop.status)
