"""`idp serve`, `idp dev`, `idp simulate`, `idp healthcheck`, `idp token`."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
from pathlib import Path
from typing import Annotated, Any

import httpx
import structlog
import typer
import uvicorn

from idp import __version__
from idp import app as application
from idp.cli.common import Stop, chosen, schema_of, with_services
from idp.cli.workers import run
from idp.kernel import logs, metrics
from idp.kernel.reasons import reason_of
from idp.serving import server_options
from idp.settings import Settings
from idp.verify.simulators import simulator_of

log = structlog.get_logger("idp.serve")

DRAIN = 25  # seconds that open requests may finish in
Host = Annotated[str, typer.Option(help="address to listen on")]
Port = Annotated[int, typer.Option(help="port to listen on")]


def add_to(app: typer.Typer) -> None:
    for command in (serve, dev_, simulate, healthcheck, token):
        app.command(command.__name__.rstrip("_"))(command)


def serve(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[int, typer.Option(help="processes")] = 1,
    uds: Annotated[str | None, typer.Option(help="a Unix socket instead of host and port")] = None,
) -> None:
    """Run the bridge. Refuses to start with a schema that is not this version's."""
    settings = chosen(context).settings()
    _check_schema(settings)
    with_services(context, lambda services: services.keyring.ensure())
    files = [str(file.resolve()) for file in chosen(context).files]
    os.environ[application.CONFIG_VARIABLE] = os.pathsep.join(files)
    logs.configure(production=settings.environment != "development")
    with tempfile.TemporaryDirectory(prefix="idp-metrics-") as directory:
        if settings.metrics.port:
            if workers > 1:
                os.environ[metrics.SHARED] = directory
            metrics.listen(settings.metrics.host, settings.metrics.port)
        where = {"host": host, "port": port, "uds": uds}

        def started() -> None:
            log.info("serve.started", version=__version__, address=uds or f"{host}:{port}",
                     workers=workers, issuer=settings.issuer)  # fmt: skip

        status = run("idp.app:create", workers, started, **where, **server_options(DRAIN))
    raise typer.Exit(status)


def _check_schema(settings: Settings) -> None:
    found, needed = schema_of(settings)
    if found != needed:
        raise Stop(f"the database schema is {found or 'empty'}, not {needed}: run `idp db upgrade`")


def dev_(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    state: Annotated[Path, typer.Option(help="where its state and configuration live")] = Path(
        ".idp-dev"
    ),
    simulator_port: Annotated[int, typer.Option(help="the pretend upstream")] = 8100,
    demo_port: Annotated[int, typer.Option(help="the demo agency application")] = 8200,
    tls: Annotated[bool, typer.Option(help="https, with a certificate of its own making")] = False,
    limits: Annotated[bool, typer.Option(help="the real limits; otherwise they are off")] = False,
    scheme: Annotated[str, typer.Option(help="whose service is simulated: twfido, sp-api")] = (
        "twfido"
    ),
) -> None:
    """Bridge, simulator and demo application, with seeded people: for trying out."""
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise Stop("idp dev listens on loopback only: its keys and people are known to all")
    wanted = scheme.replace("-", "")
    if wanted not in Settings.schemes():
        raise Stop(f"there is no scheme {scheme}: twfido or sp-api")
    logs.configure(production=False)
    from idp import dev  # here only: it brings the demo application and Authlib's client

    try:
        ports = (port, simulator_port, demo_port)
        plan = dev.Plan(state.resolve(), host, *ports, tls, limits, wanted)
        asyncio.run(dev.run(plan))
    except dev.PortTaken as taken:
        raise Stop(str(taken)) from None


def simulate(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 8100,
    scheme: Annotated[str, typer.Option(help="whose service; the house's if left out")] = "",
    public_url: Annotated[
        str, typer.Option(help="where browsers find it; http://localhost:PORT if left out")
    ] = "",
) -> None:
    """The pretend service alone, for the account of the configuration. With environment sandbox it
    has no control interface."""
    settings = chosen(context).settings()
    name = scheme.replace("-", "") or next(iter(settings.login.schemes or settings.upstreams))
    section = settings.upstreams.get(name)
    if section is None:
        raise Stop(f"the configuration has no section [{name}]")
    try:
        simulator = simulator_of(
            section,
            settings.issuer,
            public_url or f"http://localhost:{port}",
            sandbox=settings.sandbox,
        )
    except ValueError as refused:
        raise Stop(str(refused)) from None
    typer.echo(f"simulator on http://{host}:{port}", err=True)
    uvicorn.run(simulator, host=host, port=port, **server_options(DRAIN))


def _line() -> dict[str, Any]:
    """To a bridge: no proxy, and the certificates of the system (or of SSL_CERT_FILE)."""
    return {"verify": ssl.create_default_context(), "trust_env": False}


def healthcheck(
    context: typer.Context,
    url: Annotated[str, typer.Option(help="of the bridge as seen from here")] = (
        "http://127.0.0.1:8000"
    ),
) -> None:
    """Exit status 0 if the bridge is ready: for containers."""
    del context
    try:
        status = httpx.get(f"{url}/health/ready", timeout=3, **_line()).status_code
    except httpx.HTTPError as away:
        raise Stop(f"{url}: {reason_of(away)}") from None
    if status != 200:
        raise Stop(f"{url}: HTTP {status}")
    typer.echo("ready")


def token(
    context: typer.Context,
    client_id: Annotated[str, typer.Option()],
    client_secret: Annotated[str, typer.Option(envvar="IDP_CLIENT_SECRET")],
    scope: Annotated[str, typer.Option(help="spaced list; all that the client may have")] = "",
    issuer: Annotated[str, typer.Option(help="if not that of the configuration")] = "",
) -> None:
    """Get an access token by client credentials and print it."""
    base = issuer or chosen(context).settings().issuer
    form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
    try:
        answer = httpx.post(
            f"{base}/token", data=form, auth=(client_id, client_secret), timeout=10, **_line()
        )
    except httpx.HTTPError as away:
        raise Stop(f"{base}: {reason_of(away)}") from None
    if answer.status_code != 200:
        raise Stop(f"HTTP {answer.status_code}: {answer.text}")
    typer.echo(answer.json()["access_token"])
