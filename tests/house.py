"""The whole application in process: the bridge, the simulator as its upstream, a still clock."""

from __future__ import annotations

import asyncio
import functools
import itertools
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from asgi_lifespan import LifespanManager
from limits.aio.storage import Storage
from starlette.applications import Starlette
from starlette.types import ASGIApp

from idp.app import app_for
from idp.house import House, build, registrar_of
from idp.kernel import metrics, schema
from idp.kernel.clock import Clock
from idp.kernel.keyring import generate_key
from idp.kernel.outward import Outward
from idp.kernel.services import make_services
from idp.kernel.throttle import Throttle, windows_at
from idp.registry.changes import Registrar
from idp.registry.clients import Client
from idp.registry.registration import Registration
from idp.settings import Settings
from idp.verify import Verifier
from idp.verify.spapi.simulator import Authority, SimulatedService
from idp.verify.spapi.simulator import create_simulator as create_successor
from idp.verify.twfido.settings import RETURN_PATH
from idp.verify.twfido.simulator import SimulatedSystem, create_simulator
from idp.verify.twfido.verifier import TwFido
from tests import outside
from tests.services.postgres import Postgres

ISSUER = "https://id.test"
SIMULATOR = "https://fido.test"
SUCCESSOR = "https://moica.test"  # the simulator of the SP-API, where a house has that section
SP_SERVICE, SP_KEY = "SP-20260731", "3q2-7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs"
SYSCODE, API_KEY = "20200820100951269230", "00112233445566778899AABBCCDDEEFF"
MINISTRY, HOME = "117.56.7.69", "203.0.113.7"
SYSTEM_NAME = "國家圖書館 館藏服務"
SERVICE, CALLBACK = "https://service.test", "https://service.test/callback"
START = 1_790_000_000
Sleep = Callable[[float], Awaitable[None]]


_RSA_KEYS: list[Any] = []
_RSA_TURNS = itertools.cycle(range(16))


def quick_key(alg: str) -> Any:
    """RSA keys take long to make, so each house is founded on the same few."""
    if alg not in ("RS256", "PS256"):
        return generate_key(alg)
    turn = next(_RSA_TURNS)
    if turn == len(_RSA_KEYS):
        _RSA_KEYS.append(generate_key(alg))
    return _RSA_KEYS[turn]


class StillClock(Clock):
    """Moves only when it is told to."""

    def __init__(self) -> None:
        self.at = float(START)

    def precise(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
        await asyncio.sleep(0.01)

    def pass_(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Registered:
    """A client as its owner knows it."""

    client: Client
    secret: str | None

    @property
    def id(self) -> str:
        return self.client.client_id


class Line(httpx.AsyncBaseTransport):
    """The wire to the upstreams, by host: counts the calls that go through, and can be cut."""

    def __init__(self, far_ends: Mapping[str, ASGIApp]) -> None:
        self._far_ends = {host: httpx.ASGITransport(app) for host, app in far_ends.items()}
        self.cut = False
        self.calls: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.path.removeprefix("/rp-api-").upper())
        if self.cut:
            raise httpx.ConnectError("connection refused") from ConnectionRefusedError()
        return await self._far_ends[request.url.host].handle_async_request(request)


@dataclass
class TestHouse:
    """The bridge under test. `app` is what uvicorn would serve; `house` its rooms."""

    __test__ = False

    app: ASGIApp
    house: House
    clock: StillClock
    settings: Settings
    line: Line
    windows: Storage  # of the request rates
    upstreams: dict[str, Starlette]  # by host, as browsers see them
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def services(self) -> Any:
        return self.house.services

    @property
    def registrar(self) -> Registrar:
        """Changes clients as the command line does; the bridge sees it at once."""
        return registrar_of(self.services, self.house.clients)

    @property
    def simulator(self) -> Any:
        """The world of the pretend TW FidO."""
        return self.upstreams["fido.test"].state.simulator

    @property
    def successor(self) -> Any:
        """The world of the pretend SP-API, where the house has that section."""
        return self.upstreams["moica.test"].state.simulator

    @property
    def twfido(self) -> TwFido:
        """The scheme that speaks to the simulator."""
        return next(v for v in self.house.schemes if isinstance(v, TwFido))

    def http(self, address: str = HOME, **options: Any) -> httpx.AsyncClient:
        """A bare HTTP client at `address`, speaking to the bridge."""
        transport = httpx.ASGITransport(self.app, client=(address, 4711))
        client = httpx.AsyncClient(transport=transport, base_url=ISSUER, **options)
        self.clients.append(client)
        return client

    async def register(self, client_id: str | None = None, **fields: Any) -> Registered:
        """A confidential web client with everything, unless told otherwise."""
        known: dict[str, Any] = {
            "client_name": "館藏服務",
            "agency": "國家圖書館",
            "redirect_uris": (CALLBACK,),
            "grant_types": ("authorization_code", "refresh_token"),
            "scopes": ("openid", "profile", "email", "phone", "address", "twid", "offline_access"),
        }
        registration = Registration.model_validate(known | fields)
        client, secret = await self.registrar.create(registration, client_id)
        return Registered(client, secret)

    async def register_program(self, **fields: Any) -> Registered:
        known: dict[str, Any] = {
            "client_name": "程式",
            "redirect_uris": (),
            "grant_types": ("client_credentials",),
            "scopes": ("api:read", "api:write"),
            "roles": ("basic",),
        }
        return await self.register(**(known | fields))

    async def events(self, name: str = "") -> list[dict[str, Any]]:
        """The audit trail, oldest first."""
        await self.services.trail.flush()
        found = await self.services.trail.search()
        return [e for e in found if not name or e["event"] == name]

    async def count(self, table: Any) -> int:
        from sqlalchemy import func, select

        row = await self.services.database.one(select(func.count().label("n")).select_from(table))
        return int(row["n"])


def alarms(kind: str) -> float:
    """How often operators were alarmed so far."""
    return metrics.registry.get_sample_value("idp_alarms_total", {"kind": kind}) or 0.0


def settings_for(database_url: str, **changes: Any) -> Settings:
    document: dict[str, Any] = {
        "environment": "development",
        "issuer": ISSUER,
        "database": {"url": database_url},
        "keys": {"master_key": secrets.token_hex(32)},
        "oidc": {
            "realms": ("TDXConnect",),
            "scopes": ("api:read", "api:write"),
            "token_calls_per_minute": 10_000,
            "refresh_calls_per_minute": 10_000,
            "failed_auth_per_minute": 10_000,
        },
        "outward": {
            "allowed_networks": (outside.NETWORK,),
            "ca_file": outside.authority().file,
        },
        "login": {"starts_per_minute": 10_000, "asks_per_second": 10_000},
        "twfido": {
            "base_url": SIMULATOR,
            "syscode": SYSCODE,
            "api_keys": (API_KEY,),
            "system_name": SYSTEM_NAME,
            "callback_peers": (f"{MINISTRY}/32",),
        },
    }
    return Settings.model_validate(merged(document, changes))


AUTHORITY = Authority()  # its keys take long to make
WITH_SUCCESSOR: dict[str, Any] = {
    "api_url": SUCCESSOR,
    "sp_service_id": SP_SERVICE,
    "keys": (SP_KEY,),
    "system_name": SYSTEM_NAME,
}


def merged(into: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    for key, value in more.items():
        deeper = isinstance(value, dict) and isinstance(into.get(key), dict)
        into[key] = merged(into[key], value) if deeper else value
    return into


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def running(
    settings: Settings, *further: Verifier, sleep: Sleep = _at_once
) -> AsyncIterator[TestHouse]:
    """`further` schemes are offered before TW FidO; `sleep` makes the simulator slow."""
    clock = StillClock()
    bridge: list[ASGIApp] = []

    async def call_back(request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(bridge[0], client=(MINISTRY, 443))
        return await transport.handle_async_request(request)

    system = SimulatedSystem(
        syscode=SYSCODE,
        api_key=API_KEY,
        name=SYSTEM_NAME,
        success_url=ISSUER + RETURN_PATH,
        callback_url=ISSUER + settings.twfido.callback_path if settings.twfido else None,
    )
    simulator = create_simulator(
        [system],
        public_url=SIMULATOR,
        clock=clock.precise,
        sleep=sleep,
        transport=httpx.MockTransport(call_back),
    )
    upstreams = {"fido.test": simulator}
    if settings.spapi:
        service = SimulatedService(
            SP_SERVICE, SP_KEY, SYSTEM_NAME, ISSUER + settings.spapi.return_path
        )
        upstreams["moica.test"] = create_successor(
            [service], public_url=SUCCESSOR, clock=clock.precise, sleep=sleep, authority=AUTHORITY
        )
    line = Line(upstreams)
    windows = windows_at(settings.web.redis_url)
    services = replace(
        make_services(settings, clock, quick_key),
        throttle=Throttle(windows),
        outward=Outward(settings.outward, clock, outside.resolve),
    )
    house = build(services, settings, line, further)
    app = app_for(house)
    bridge.append(app)
    async with LifespanManager(app, startup_timeout=60, shutdown_timeout=60):
        found = TestHouse(app, house, clock, settings, line, windows, upstreams)
        try:
            yield found
        finally:
            for client in found.clients:
                await client.aclose()


def empty_database(kind: str, folder: Path, postgres: Callable[[], Postgres]) -> str:
    """The URL of a database with the newest schema and nothing in it."""
    if kind == "sqlite":
        return empty_sqlite(folder)
    server = postgres()
    return server.create_database(template=server.template("migrated", schema.upgrade))


def empty_sqlite(folder: Path) -> str:
    file = folder / f"{secrets.token_hex(6)}.sqlite3"
    shutil.copy(_sqlite_template(folder), file)
    return f"sqlite:///{file}"


@functools.cache
def _sqlite_template(folder: Path) -> Path:
    file = folder / "template.sqlite3"
    schema.upgrade(f"sqlite:///{file}")
    return file
