"""The only file that knows every room: settings in, application out."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from idp.kernel import database as databases
from idp.kernel import logs, metrics
from idp.kernel.answers import Answers, Endpoint
from idp.kernel.audit import Trail
from idp.kernel.clock import Clock
from idp.kernel.database import Conflict
from idp.kernel.errors import IdpError, Unavailable
from idp.kernel.ground import Ground
from idp.kernel.housekeeping import Job, expired_rows, follow_database_clock, running, sweep
from idp.kernel.keyring import READ_STAMPS, STAMP, KeyRing
from idp.kernel.settings import BadSettings, KernelSettings, load
from idp.kernel.tables import (
    authorizations,
    binding_codes,
    codes,
    counters,
    grants,
    handles,
    history,
    landings,
    logins,
    revoked_tokens,
    sessions,
    spent_assertions,
    upstream_sequences,
)
from idp.kernel.templates import BrandSettings, Templates
from idp.kernel.throttle import Throttle
from idp.kernel.vault import Vault, master_key_from_directory, parse_master_key
from idp.kernel.web import Cookies, Edge, Forms, no_store
from idp.login.desk import Desk
from idp.login.history import settle
from idp.login.pages import Login
from idp.login.persons import Persons
from idp.login.returns import Doors, Returns
from idp.login.session import Sessions
from idp.login.settings import LoginSettings
from idp.login.store import RESERVE_SEQUENCES
from idp.members.directory import Directory
from idp.members.routes import routes as member_routes
from idp.members.settings import MembersSettings
from idp.oidc.cors import Cors
from idp.oidc.routes import cors_paths
from idp.oidc.routes import routes as oidc_routes
from idp.oidc.settings import OidcSettings
from idp.registry import organisations as registry
from idp.registry.clients import Clients
from idp.registry.systems import Systems
from idp.verify import Verifier
from idp.verify.twfido.callback import ACKNOWLEDGEMENT
from idp.verify.twfido.settings import TwFidoSettings
from idp.verify.twfido.verifier import TwFido
from idp.verify.twfido.wire import transeq

log = structlog.get_logger("idp")

RETURN_PATH = "/twfido/return"
DAY = 86_400


class Settings(KernelSettings):
    """Every setting of every room."""

    brand: BrandSettings = BrandSettings()
    login: LoginSettings = LoginSettings()
    oidc: OidcSettings = OidcSettings()
    members: MembersSettings = MembersSettings()
    twfido: TwFidoSettings


def read_settings(files: Sequence[Path] = ()) -> Settings:
    """Raises BadSettings with every fault, also those that only count in production."""
    settings = load(Settings, files)
    faults = unsafe(settings)
    if faults:
        raise BadSettings("\n".join(faults))
    return settings


def unsafe(settings: Settings) -> list[str]:
    """What must not go into production, and an issuer that could never work."""
    parts = urlsplit(settings.issuer)
    faults = []
    if settings.issuer.endswith("/") or parts.query or parts.fragment or not parts.netloc:
        faults.append("issuer: must be scheme://host[:port] without trailing slash")
    if parts.path:
        faults.append("issuer: must not have a path")
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        faults.append("issuer: must be https, or http on loopback for development")
    elif parts.scheme != "https" and settings.environment == "production":
        faults.append("issuer: production needs https")
    if settings.environment == "production":
        if settings.keys.master_key is None:  # a new machine would make a new one, and read nothing
            faults.append("keys.master_key: production needs it (openssl rand -hex 32), as a file")
        faults += [f"twfido.{fault}" for fault in settings.twfido.production_faults()]
        faults += [f"members.{fault}" for fault in settings.members.production_faults()]
    return faults


def master_key(settings: KernelSettings) -> bytes:
    """Raises BadSettings."""
    try:
        if settings.keys.master_key is not None:
            return parse_master_key(settings.keys.master_key.get_secret_value())
        return master_key_from_directory(settings.keys.directory)
    except (OSError, ValueError) as broken:
        raise BadSettings(f"keys: {broken}") from None


@contextlib.asynccontextmanager
async def ground_floor(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Ground]:
    """Everything below the rooms; for the application and for the command line."""
    clock = clock or Clock()
    vault = Vault(master_key(settings))
    database = await databases.connect(settings.database.url, settings.database.pool_size)
    redis = settings.web.redis_url
    try:
        yield Ground(
            settings=settings,
            clock=clock,
            database=database,
            vault=vault,
            trail=Trail(database, vault, clock),
            throttle=Throttle(redis.get_secret_value() if redis else None),
            keyring=KeyRing(database, vault, clock),
            forms=Forms(
                Cookies(secure=settings.issuer.startswith("https:")),
                settings.issuer,
                vault.secret("forms"),
            ),
            templates=Templates(settings.brand),
        )
    finally:
        await database.close()


@dataclass(slots=True)
class House:
    """The rooms, put together over a ground floor."""

    ground: Ground
    settings: Settings
    clients: Clients
    verifier: Verifier
    desk: Desk
    login: Login
    directory: Directory

    def routes(self, answers: Answers) -> list[Route]:
        doors = Doors(
            RETURN_PATH,
            self.settings.twfido.callback_path,
            self.settings.twfido.callback_peers,
            ACKNOWLEDGEMENT,
        )
        return [
            *oidc_routes(
                self.ground, self.settings.oidc, self.clients, self.login, self.directory, answers
            ),
            *self.login.routes(answers),
            *Returns(self.ground, self.desk, doors).routes(answers),
            *member_routes(self.ground, self.settings.members, self.login, answers),
        ]


def build(
    ground: Ground,
    settings: Settings,
    upstream: httpx.AsyncBaseTransport,
    verifier: Verifier | None = None,
) -> House:
    clients = Clients(ground)
    systems = Systems(clients)
    verifier = verifier or TwFido(
        settings.twfido,
        upstream,
        reserve=Sequences(ground).reserve,
        systems=systems.of,
        by_syscode=systems.by_syscode,
        monotonic=ground.clock.monotonic,
    )
    persons, sessions = Persons(ground), Sessions(ground, settings.login.session)
    desk = Desk(ground, settings.login, verifier, persons)
    login = Login(ground, settings.login, desk, persons, sessions)
    return House(ground, settings, clients, verifier, desk, login, Directory(ground))


class Sequences:
    """Numbers (tranSeq) that a system has never used: unique by the store, not by hope. They are
    reserved in blocks, since a row for each would be a transaction for each; what a process has
    left of a block after an hour, or when it ends, is never used."""

    BLOCK, SECONDS = 100, 3600

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._blocks: dict[str, tuple[int, list[str]]] = {}  # since when, and what is left

    async def reserve(self, system: str) -> str:
        now = self._ground.clock.now()
        since, left = self._blocks.get(system, (0, []))
        if not left or now >= since + self.SECONDS:
            left = await self._block(system, now)
            self._blocks[system] = now, left
        return left.pop()

    async def _block(self, system: str, now: int) -> list[str]:
        while True:
            chance = secrets.randbelow(10**10) // self.BLOCK * self.BLOCK
            block = [transeq(now, chance + i) for i in range(self.BLOCK)]
            with contextlib.suppress(Conflict):
                await self._ground.database.run(
                    RESERVE_SEQUENCES, system=system, sequence=block[0], reserved_at=now
                )
                # a browser sees some of them: in order they would tell how many are between
                secrets.SystemRandom().shuffle(block)
                return block


def upstream_line(settings: TwFidoSettings) -> httpx.AsyncBaseTransport:
    """Connections to the ministry's host; no proxy from the environment."""
    limits = httpx.Limits(max_connections=settings.max_in_flight)
    return httpx.AsyncHTTPTransport(limits=limits, trust_env=False)


def create_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    verifier: Verifier | None = None,
) -> ASGIApp:
    """The bridge. `transport` replaces the network to the upstream (tests), `verifier` TW FidO."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with (
            ground_floor(settings, clock) as ground,
            transport or upstream_line(settings.twfido) as upstream,
        ):
            await follow_database_clock(ground.database, ground.clock)
            await ground.keyring.ensure()
            house = build(ground, settings, upstream, verifier)
            app.state.house = house
            # before the others, since routes are tried in order
            app.router.routes[:0] = house.routes(Answers(ground.templates))
            async with running(jobs(house)):
                yield
            await ground.trail.flush()
            with contextlib.suppress(Unavailable):  # a last use is not worth a failed end
                await house.clients.uses.flush()

    templates = Templates(settings.brand)
    answers = Answers(templates)
    app = Starlette(
        routes=[
            Route("/health/live", alive, methods=["GET"]),
            Route("/health/ready", ready, methods=["GET"]),
            *([] if settings.metrics.port else [Route("/metrics", measured, methods=["GET"])]),
            Route("/brand/{name}", branded(settings.brand), methods=["GET"]),
            Mount("/static", StaticFiles(directory=templates.directory / "static")),
        ],
        exception_handlers={
            HTTPException: answers.on_http,
            IdpError: answers.on_idp_error,
            Exception: answers.on_crash,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.house = None
    cors = Cors(app, settings.oidc.cors_origins, cors_paths(settings.oidc))
    return Edge(cors, settings.issuer, settings.web)


# ── health, metrics, small jobs ─────────────────────────────────────────────────────────────────


async def alive(_request: Request) -> Response:
    return no_store(JSONResponse({"status": "ok"}))


async def ready(request: Request) -> Response:
    """Not ready while the store is away; the upstream being away does not count."""
    house: House | None = request.app.state.house
    try:
        if house is None:
            raise Unavailable
        await house.ground.database.time()
    except Unavailable:
        return no_store(JSONResponse({"status": "unavailable"}, status_code=503))
    return no_store(JSONResponse({"status": "ok"}))


def branded(brand: BrandSettings) -> Endpoint:
    """The agency's own files: those that the configuration names, and nothing beside them."""

    async def endpoint(request: Request) -> Response:
        file = brand.files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        return FileResponse(file, headers={"Cache-Control": "public, max-age=300"})

    return endpoint


async def measured(_request: Request) -> Response:
    return no_store(Response(metrics.exposition(), media_type="text/plain; version=0.0.4"))


def jobs(house: House) -> list[Job]:
    ground = house.ground
    follower = Follower(house)
    return [
        Job("stamps", 1, follower.look),
        Job("audit-flush", 1, ground.trail.flush),
        Job("credential-uses", 1, house.clients.uses.flush),
        Job("audit-seal", 10, ground.trail.seal),
        Job("clock", 60, lambda: follow_database_clock(ground.database, ground.clock)),
        Job("sweep", 20, lambda: sweep_expired(house)),
    ]


class Follower:
    """Notices what other processes changed: keys and clients."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._seen: dict[str, int] = {}

    async def look(self) -> None:
        rows = await self._house.ground.database.all(READ_STAMPS)
        now = {row["name"]: row["value"] for row in rows}
        if now.get(STAMP) != self._seen.get(STAMP):
            await self._house.ground.keyring.load()
        if now.get(registry.STAMP) != self._seen.get(registry.STAMP):
            self._house.clients.forget()
        self._seen = now


SWEEP = [
    (expired_rows(counters, counters.c.expires_at), 0),
    (expired_rows(landings, landings.c.expires_at), 0),
    (expired_rows(codes, codes.c.expires_at), DAY),
    (expired_rows(authorizations, authorizations.c.expires_at), 0),
    (expired_rows(spent_assertions, spent_assertions.c.expires_at), 60),
    (expired_rows(revoked_tokens, revoked_tokens.c.expires_at), 60),
    (expired_rows(binding_codes, binding_codes.c.expires_at), DAY),
    (expired_rows(upstream_sequences, upstream_sequences.c.reserved_at), 7 * DAY),
    (expired_rows(handles, handles.c.seen_at), 30 * DAY),
    (expired_rows(logins, logins.c.expires_at), 3 * DAY),
    (expired_rows(grants, grants.c.expires_at), 2 * DAY),
    (expired_rows(sessions, sessions.c.expires_at), 31 * DAY),
]


async def sweep_expired(house: House) -> None:
    ground, now = house.ground, house.ground.clock.now()
    await settle(ground, now - 2 * DAY)
    seen = (expired_rows(history, history.c.at), house.settings.login.history_days * DAY)
    await sweep(ground.database, [(statement, now - kept) for statement, kept in (*SWEEP, seen)])


# ── for uvicorn's workers, which are started by name ────────────────────────────────────────────

CONFIG_VARIABLE = "IDP_CONFIG_FILES"


def create() -> ASGIApp:
    """`uvicorn --factory idp.app:create`; configuration files by environment."""
    names = os.environ.get(CONFIG_VARIABLE, "")
    settings = read_settings([Path(n) for n in names.split(os.pathsep) if n])
    logs.configure(production=settings.environment == "production")
    return create_app(settings)
