"""`idp client …`: relying parties and programs."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from idp.cli.applying import Change, make_so, plan, wanted
from idp.cli.common import Reason, Stop, chosen, show, when, with_services
from idp.cli.registrations import checked, members_in, with_members
from idp.house import build, clients_of, registrar_of
from idp.kernel.database import Conflict
from idp.kernel.services import Services
from idp.oidc.backchannel import sent_to
from idp.oidc.tokens import Tokens
from idp.registry.changes import OVERLAP
from idp.registry.clients import Client
from idp.registry.secrets import HeldCredentials, HeldSecret, held_credentials
from idp.registry.uses import LastUse
from idp.verify.schemes import Schemes

group = typer.Typer(no_args_is_help=True, help="Relying parties and programs.")

Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Days = Annotated[
    int | None,
    typer.Option(min=1, help="life of the secret; 360 for a program of an organisation"),
]
DAY = 86_400


def _described(client: Client) -> dict[str, Any]:
    fields = client.metadata.model_dump(mode="json", exclude_defaults=True)
    owner = {"organisation": client.organisation} if client.organisation else {}
    lost = {"unreadable": list(client.unreadable)} if client.unreadable else {}
    return {"client_id": client.client_id, **owner, **fields, **lost, "disabled": client.disabled}


def _told(secret: HeldSecret) -> str:
    """A line about a secret: which, since when, until when, last used when and from where."""
    ends = f"expires {when(secret.expires_at)}" if secret.expires_at else "does not expire"
    old = ", replaced" if secret.replaced else ""
    return (
        f"…{secret.hint} created {when(secret.created_at)}, {ends}{old}, {_last(secret.last_use)}"
    )


def _last(use: LastUse | None) -> str:
    return f"last used {when(use.at)} from {use.address}" if use else "never used"


def summary(client: Client, held: HeldCredentials, now: int, *, as_json: bool) -> dict[str, Any]:
    """What there is to see of a client in a list."""
    return {
        "client_id": client.client_id,
        "client_name": client.metadata.client_name,
        "organisation": client.organisation,
        "grant_types": list(client.metadata.grant_types),
        "scopes": list(client.metadata.scopes),
        "state": client.state(now),
        **_proofs(held, as_json=as_json),
    }


def _proofs(held: HeldCredentials, *, as_json: bool) -> dict[str, Any]:
    """Its secrets, and the last use of its own keys (private_key_jwt)."""
    by_key = held.keys_last_use
    if as_json:
        found = asdict(held)
        return found if by_key else {"secrets": found["secrets"]}
    lines = {f"secret {n}": _told(secret) for n, secret in enumerate(held.secrets, 1)}
    return {**lines, "keys": _last(by_key)} if by_key else lines


@group.command()
@with_members
def create(
    context: typer.Context,
    *,
    public: Annotated[bool, typer.Option(help="no secret: app or browser program")] = False,
    native: Annotated[bool, typer.Option(help="an app; loopback port may differ")] = False,
    client_id: Annotated[str | None, typer.Option(help="chosen for you if left out")] = None,
    organisation: Annotated[str, typer.Option(help="id of the organisation that owns it")] = "",
    days: Days = None,
    as_json: Json = False,
    **given: Any,
) -> None:
    """Register a client; its secret is shown this once."""
    short = {"token_endpoint_auth_method": "none"} if public else {}
    short |= {"application_type": "native"} if native else {}
    registration = checked(short | members_in(given), chosen(context).settings())

    async def work(services: Services) -> tuple[Client, str | None]:
        return await registrar_of(services).create(
            registration, client_id, organisation=organisation, life=days and days * DAY
        )

    try:
        client, secret = with_services(context, work)
    except Conflict:
        raise Stop(f"client {client_id} exists already") from None
    except LookupError:
        raise Stop(f"there is no organisation {organisation}") from None
    except ValueError as bad:
        raise Stop(str(bad)) from None
    _print_once(client.client_id, secret, as_json)


def _print_once(client_id: str, secret: str | None, as_json: bool) -> None:
    shown = {"client_id": client_id, **({"client_secret": secret} if secret else {})}
    show(shown, as_json=as_json)
    if secret and not as_json:
        typer.echo("這是唯一一次顯示金鑰。 The secret is shown this once.", err=True)


@group.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """All clients: state, secrets by their last four characters, and when they were last used."""

    async def work(services: Services) -> list[dict[str, Any]]:
        held, now = await held_credentials(services.database, services.vault), services.clock.now()
        return [
            summary(client, held[client.client_id], now, as_json=as_json)
            for client in await clients_of(services).all()
        ]

    show(with_services(context, work), as_json=as_json)


async def _found(services: Services, client_id: str) -> Client:
    client = await clients_of(services).find(client_id)
    if client is None:
        raise Stop(f"there is no client {client_id}")
    return client


@group.command("show")
def show_(context: typer.Context, client_id: str, as_json: Json = False) -> None:
    """Everything about a client but its secrets themselves."""

    async def work(services: Services) -> dict[str, Any]:
        client = await _found(services, client_id)
        held = await held_credentials(services.database, services.vault, client_id)
        state = client.state(services.clock.now())
        return {**_described(client), "state": state, **_proofs(held[client_id], as_json=as_json)}

    show(with_services(context, work), as_json=as_json)


@group.command()
def update(
    context: typer.Context,
    client_id: str,
    set_: Annotated[
        list[str], typer.Option("--set", help='member=JSON, e.g. trusted=true or scopes=["openid"]')
    ],
    reason: Reason = "",
) -> None:
    """Change members of a client's metadata."""
    changes = dict(_assignment(text) for text in set_)
    settings = chosen(context).settings()

    async def work(services: Services) -> Client:
        before = await _found(services, client_id)
        registration = checked({**before.metadata.model_dump(), **changes}, settings, client_id)
        return await registrar_of(services).update(client_id, registration)

    show(_described(with_services(context, work, reason)), as_json=False)


def _assignment(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@group.command("rotate-secret")
def rotate_secret(
    context: typer.Context,
    client_id: str,
    overlap_hours: Annotated[float, typer.Option(min=0, help="how long the old one works")] = (
        OVERLAP / 3600
    ),
    days: Days = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """A new secret beside the old one."""

    async def work(services: Services) -> str:
        client = await _found(services, client_id)
        if not client.metadata.with_secret:
            raise Stop(f"client {client_id} has no secret")
        overlap, life = int(overlap_hours * 3600), days and days * DAY
        return await registrar_of(services).rotate_secret(client_id, overlap, life)

    _print_once(client_id, with_services(context, work, reason), as_json)


@group.command()
def disable(context: typer.Context, client_id: str, reason: Reason = "") -> None:
    """Refuse a client, and its tokens, from now on."""
    _switch(context, client_id, reason, enabled=False)


@group.command()
def enable(context: typer.Context, client_id: str, reason: Reason = "") -> None:
    """Let a disabled client in again."""
    _switch(context, client_id, reason, enabled=True)


def _switch(context: typer.Context, client_id: str, reason: str, *, enabled: bool) -> None:
    async def work(services: Services) -> None:
        await _found(services, client_id)
        await registrar_of(services).switch(client_id, enabled=enabled)

    with_services(context, work, reason)
    typer.echo(f"{client_id}: {'enabled' if enabled else 'disabled'}")


@group.command()
def deliveries(context: typer.Context, client_id: str, as_json: Json = False) -> None:
    """What became of the logout tokens that a client was sent, the newest first."""
    settings = chosen(context).settings()

    async def work(services: Services) -> list[dict[str, Any]]:
        await _found(services, client_id)
        tokens = Tokens(
            settings.issuer, settings.oidc, services.keyring, services.vault, services.clock
        )
        return await sent_to(services, tokens, client_id)

    found = with_services(context, work)
    if not as_json:
        times = ("created_at", "next_try_at", "ended_at")
        found = [{k: when(v) if k in times else v for k, v in row.items()} for row in found]
    if not (found or as_json):
        typer.echo("none in the last seven days")
    show(found, as_json=as_json)


@group.command("set-account")
def set_account(
    context: typer.Context,
    client_id: str,
    scheme: Annotated[str, typer.Option(help="the scheme's name, as its section is called")],
    account: Annotated[str, typer.Option(help="the account's name at the scheme's upstream")] = "",
    key_file: Annotated[
        Path | None, typer.Option(help="1 or 2 keys of the account, newest first, a line each")
    ] = None,
    name: Annotated[str, typer.Option(help="name that phones show")] = "",
    remove: Annotated[bool, typer.Option(help="use the account of the settings again")] = False,
) -> None:
    """Give a client its own account at a scheme, so that phones show its name."""
    settings = chosen(context).settings()
    if remove == bool(account and key_file and name):
        raise Stop("either --account, --key-file and --name, or --remove")
    keys = _keys_in(key_file)

    async def work(services: Services) -> None:
        await _found(services, client_id)
        house = build(services, settings)
        async with contextlib.aclosing(house.schemes):
            if remove:
                await house.accounts.drop(client_id, scheme)
                return
            document = _account_of(house.schemes, scheme, account, keys, name)
            await house.accounts.set(client_id, scheme, account, document)

    with_services(context, work)
    typer.echo(f"{client_id}: {'the account of the settings' if remove else name}")


def _account_of(
    schemes: Schemes, scheme: str, account: str, keys: list[str], name: str
) -> dict[str, Any]:
    verifier = schemes.named(scheme)
    if verifier is None:
        names = ", ".join(verifier.scheme for verifier in schemes)
        raise Stop(f"there is no scheme {scheme}; configured: {names}")
    try:
        return verifier.account_document(account, keys, name)
    except ValueError as bad:
        raise Stop(f"{scheme}: {bad}") from None


def _keys_in(file: Path | None) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split() if file else []
    except (OSError, UnicodeDecodeError) as broken:
        raise Stop(f"{file}: {broken}") from None


@group.command()
def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Option("-f", "--file", help="TOML with [clients.ID] tables")],
    dry_run: Annotated[bool, typer.Option(help="only say what would happen")] = False,
    prune: Annotated[
        bool, typer.Option(help="disable clients that the file does not name")
    ] = False,
    reason: Reason = "",
) -> None:
    """Make the clients what a file says they are."""
    registrations = wanted(file, chosen(context).settings())

    async def work(services: Services) -> None:
        registrar = registrar_of(services)
        for change in plan(await clients_of(services).all(), registrations, prune=prune):
            secret = None if dry_run else await make_so(registrar, change)
            _tell(change, secret, dry_run)  # at once: a later fault must not hide a secret

    with_services(context, work, reason)


def _tell(change: Change, secret: str | None, dry_run: bool) -> None:
    what = change.what + (f", client_secret {secret}" if secret else "")
    typer.echo(f"{change.client_id}: {what}{' (dry run)' if dry_run else ''}")
    for line in change.differences:
        typer.echo(f"    {line}")
