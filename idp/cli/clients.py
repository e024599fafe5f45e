"""`idp client …`: relying parties and programs."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from idp.cli.common import Stop, show, when, with_services
from idp.kernel.database import Conflict
from idp.kernel.services import Services
from idp.registry.clients import OVERLAP, Client, Clients
from idp.registry.metadata import ClientMetadata
from idp.registry.secrets import Credentials, HeldSecret, credentials
from idp.registry.uses import Use

group = typer.Typer(no_args_is_help=True, help="Relying parties and programs.")

Many = list[str] | None
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Days = Annotated[
    int | None,
    typer.Option(min=1, help="life of the secret; 360 for a program of an organisation"),
]
DAY = 86_400


def _words(values: Many) -> tuple[str, ...]:
    """Options may be repeated, or hold a spaced list."""
    return tuple(word for value in values or [] for word in value.split())


def _metadata(fields: dict[str, Any]) -> ClientMetadata:
    """Raises Stop with every fault."""
    try:
        return ClientMetadata.model_validate(fields)
    except ValidationError as broken:
        raise Stop("\n".join(_fault(f) for f in broken.errors())) from None


def _fault(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where or 'client'}: {fault['msg'].removeprefix('Value error, ')}"


def _described(client: Client) -> dict[str, Any]:
    fields = client.metadata.model_dump(mode="json", exclude_defaults=True)
    owner = {"organisation": client.organisation} if client.organisation else {}
    return {"client_id": client.client_id, **owner, **fields, "disabled": client.disabled}


def _told(secret: HeldSecret) -> str:
    """A line about a secret: which, since when, until when, last used when and from where."""
    ends = f"expires {when(secret.expires_at)}" if secret.expires_at else "does not expire"
    old = ", replaced" if secret.replaced else ""
    return (
        f"…{secret.hint} created {when(secret.created_at)}, {ends}{old}, {_last(secret.last_use)}"
    )


def _last(use: Use | None) -> str:
    return f"last used {when(use.at)} from {use.address}" if use else "never used"


def summary(client: Client, credentials: Credentials, now: int, *, as_json: bool) -> dict[str, Any]:
    """What there is to see of a client in a list."""
    return {
        "client_id": client.client_id,
        "client_name": client.metadata.client_name,
        "organisation": client.organisation,
        "grant_types": list(client.metadata.grant_types),
        "scopes": list(client.metadata.scopes),
        "state": client.state(now),
        **_proofs(credentials, as_json=as_json),
    }


def _proofs(credentials: Credentials, *, as_json: bool) -> dict[str, Any]:
    """Its secrets, and the last use of its own keys (private_key_jwt)."""
    by_key = credentials.keys_last_use
    if as_json:
        found = asdict(credentials)
        return found if by_key else {"secrets": found["secrets"]}
    lines = {f"secret {n}": _told(secret) for n, secret in enumerate(credentials.secrets, 1)}
    return {**lines, "keys": _last(by_key)} if by_key else lines


@group.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="name that people see")],
    redirect_uri: Annotated[Many, typer.Option(help="exact; may be repeated")] = None,
    grant: Annotated[Many, typer.Option(help="grant type; may be repeated")] = None,
    scope: Annotated[Many, typer.Option(help="repeated or a spaced list")] = None,
    auth_method: Annotated[str | None, typer.Option(help="client_secret_basic, …")] = None,
    public: Annotated[bool, typer.Option(help="no secret: app or browser program")] = False,
    native: Annotated[bool, typer.Option(help="an app; loopback port may differ")] = False,
    trusted: Annotated[bool, typer.Option(help="needs no consent")] = False,
    require_pkce: Annotated[
        bool, typer.Option("--require-pkce/--no-pkce", help="a nonce is not enough")
    ] = False,
    client_id: Annotated[str | None, typer.Option(help="chosen for you if left out")] = None,
    organisation: Annotated[str, typer.Option(help="id of the organisation that owns it")] = "",
    days: Days = None,
    agency: Annotated[str, typer.Option(help="whose service it is")] = "",
    client_uri: Annotated[str, typer.Option(help="its home page, https")] = "",
    policy_uri: Annotated[str, typer.Option(help="its privacy policy, https")] = "",
    purpose: Annotated[str, typer.Option(help="what it needs the data for")] = "",
    kiosk: Annotated[bool, typer.Option(help="for shared screens: nothing is remembered")] = False,
    post_logout_redirect_uri: Annotated[Many, typer.Option()] = None,
    response_mode: Annotated[Many, typer.Option(help="query, form_post")] = None,
    audience: Annotated[Many, typer.Option(help="resources its tokens may be for")] = None,
    role: Annotated[Many, typer.Option(help="realm_access.roles of a program")] = None,
    method: Annotated[Many, typer.Option(help="ways to verify that it allows")] = None,
    minimum_acr: Annotated[str | None, typer.Option(help="weakest level it accepts")] = None,
    token_seconds: Annotated[int | None, typer.Option(help="life of access tokens")] = None,
    access_token_typ: Annotated[str | None, typer.Option(help="at+jwt, or JWT")] = None,
    claims_in_id_token: Annotated[
        bool, typer.Option(help="for clients that never ask /userinfo")
    ] = False,
    sector: Annotated[str, typer.Option(help="clients of one sector see one sub")] = "",
    jwks: Annotated[Path | None, typer.Option(help="public keys for private_key_jwt")] = None,
    sandbox: Annotated[bool, typer.Option(help="error pages show what was wrong")] = False,
    as_json: Json = False,
) -> None:
    """Register a client; its secret is shown this once."""
    redirects = _words(redirect_uri)
    grants = _words(grant) or _usual_grants(redirects)
    scopes = _words(scope) or (("openid", "profile") if redirects else ())
    fields = {
        "client_name": name,
        "agency": agency,
        "client_uri": client_uri,
        "policy_uri": policy_uri,
        "purpose": purpose,
        "kiosk": kiosk,
        "application_type": "native" if native else "web",
        "redirect_uris": redirects,
        "post_logout_redirect_uris": _words(post_logout_redirect_uri),
        "grant_types": grants,
        "scopes": scopes,
        "response_modes": _words(response_mode) or ("query", "form_post"),
        "token_endpoint_auth_method": auth_method or ("none" if public else "client_secret_basic"),
        "jwks": json.loads(jwks.read_text(encoding="utf-8")) if jwks else None,
        "audience": _words(audience),
        "roles": _words(role),
        "methods": _words(method),
        "minimum_acr": minimum_acr,
        "access_token_seconds": token_seconds,
        "require_pkce": require_pkce,
        "access_token_typ": access_token_typ or "at+jwt",
        "claims_in_id_token": claims_in_id_token,
        "sector": sector,
        "trusted": trusted,
        "sandbox": sandbox,
    }
    metadata = _metadata(fields)

    async def work(services: Services) -> tuple[Client, str | None]:
        return await Clients(services).create(
            metadata, client_id, organisation=organisation, life=days and days * DAY
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


def _usual_grants(redirects: tuple[str, ...]) -> tuple[str, ...]:
    return ("authorization_code", "refresh_token") if redirects else ("client_credentials",)


def _print_once(client_id: str, secret: str | None, as_json: bool) -> None:
    shown = {"client_id": client_id, **({"client_secret": secret} if secret else {})}
    show(shown, as_json=as_json)
    if secret and not as_json:
        typer.echo("這是唯一一次顯示金鑰。 The secret is shown this once.", err=True)


@group.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """All clients: state, secrets by their last four characters, and when they were last used."""

    async def work(services: Services) -> list[dict[str, Any]]:
        held, now = await credentials(services), services.clock.now()
        return [
            summary(client, held[client.client_id], now, as_json=as_json)
            for client in await Clients(services).all()
        ]

    show(with_services(context, work), as_json=as_json)


async def _found(services: Services, client_id: str) -> Client:
    client = await Clients(services).find(client_id)
    if client is None:
        raise Stop(f"there is no client {client_id}")
    return client


@group.command("show")
def show_(context: typer.Context, client_id: str, as_json: Json = False) -> None:
    """Everything about a client but its secrets themselves."""

    async def work(services: Services) -> dict[str, Any]:
        client = await _found(services, client_id)
        held = (await credentials(services, client_id))[client_id]
        state = client.state(services.clock.now())
        return {**_described(client), "state": state, **_proofs(held, as_json=as_json)}

    show(with_services(context, work), as_json=as_json)


@group.command()
def update(
    context: typer.Context,
    client_id: str,
    set_: Annotated[
        list[str], typer.Option("--set", help='member=JSON, e.g. trusted=true or scopes=["openid"]')
    ],
) -> None:
    """Change members of a client's metadata."""
    changes = dict(_assignment(text) for text in set_)

    async def work(services: Services) -> Client:
        before = await _found(services, client_id)
        metadata = _metadata({**before.metadata.model_dump(), **changes})
        return await Clients(services).update(client_id, metadata)

    show(_described(with_services(context, work)), as_json=False)


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
    as_json: Json = False,
) -> None:
    """A new secret beside the old one."""

    async def work(services: Services) -> str:
        client = await _found(services, client_id)
        if not client.metadata.with_secret:
            raise Stop(f"client {client_id} has no secret")
        overlap, life = int(overlap_hours * 3600), days and days * DAY
        return await Clients(services).rotate_secret(client_id, overlap, life)

    _print_once(client_id, with_services(context, work), as_json)


@group.command()
def disable(context: typer.Context, client_id: str) -> None:
    """Refuse a client, and its tokens, from now on."""
    _switch(context, client_id, enabled=False)


@group.command()
def enable(context: typer.Context, client_id: str) -> None:
    """Let a disabled client in again."""
    _switch(context, client_id, enabled=True)


def _switch(context: typer.Context, client_id: str, *, enabled: bool) -> None:
    async def work(services: Services) -> None:
        await _found(services, client_id)
        await Clients(services).switch(client_id, enabled=enabled)

    with_services(context, work)
    typer.echo(f"{client_id}: {'enabled' if enabled else 'disabled'}")


@group.command("set-system")
def set_system(
    context: typer.Context,
    client_id: str,
    syscode: Annotated[str, typer.Option(help="20 digits, from the ministry")],
    key_file: Annotated[Path, typer.Option(help="1 or 2 API keys, newest first, a line each")],
    name: Annotated[str, typer.Option(help="name that phones show")],
) -> None:
    """Give a client its own account at TW FidO, so that phones show its name."""
    keys = tuple(key_file.read_text(encoding="ascii").split())
    account = json.dumps({"syscode": syscode, "keys": list(keys), "name": name}, ensure_ascii=False)

    async def work(services: Services) -> None:
        await _found(services, client_id)
        await Clients(services).set_system(client_id, syscode, account)

    with_services(context, work)
    typer.echo(f"{client_id}: {name}")


@group.command()
def apply(
    context: typer.Context,
    file: Annotated[Path, typer.Option("-f", "--file", help="TOML with [clients.ID] tables")],
    dry_run: Annotated[bool, typer.Option(help="only say what would happen")] = False,
    prune: Annotated[
        bool, typer.Option(help="disable clients that the file does not name")
    ] = False,
) -> None:
    """Make the clients what a file says they are."""
    try:
        wanted = tomllib.loads(file.read_text(encoding="utf-8")).get("clients", {})
    except (OSError, tomllib.TOMLDecodeError) as broken:
        raise Stop(f"{file}: {broken}") from None
    checked = {client_id: _metadata(fields) for client_id, fields in wanted.items()}

    async def work(services: Services) -> list[tuple[str, str]]:
        registry = Clients(services)
        known = {c.client_id: c for c in await registry.all()}
        done = [
            (client_id, await _applied(registry, known, client_id, metadata, dry_run))
            for client_id, metadata in checked.items()
        ]
        gone = [c for c in known.values() if c.client_id not in checked and not c.switched_off]
        for client in gone if prune else []:
            if not dry_run:
                await registry.switch(client.client_id, enabled=False)
            done.append((client.client_id, "disabled"))
        return done

    for client_id, what in with_services(context, work):
        typer.echo(f"{client_id}: {what}{' (dry run)' if dry_run else ''}")


async def _applied(
    registry: Clients,
    known: dict[str, Client],
    client_id: str,
    metadata: ClientMetadata,
    dry_run: bool,
) -> str:
    before = known.get(client_id)
    if before is None:
        if dry_run:
            return "created"
        _, secret = await registry.create(metadata, client_id)
        return f"created, client_secret {secret}" if secret else "created"
    if before.metadata == metadata.settled(client_id) and not before.switched_off:
        return "unchanged"
    if not dry_run:
        await registry.update(client_id, metadata)
        await registry.switch(client_id, enabled=True)
    return "changed"
