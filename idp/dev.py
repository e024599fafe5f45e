"""`idp dev`: the whole thing on one machine, with nothing to configure.

Bridge, simulator and demo application in one process. Its state is a folder: a complete
configuration, a SQLite file, a master key. Loopback only: its people are known to everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import socket
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from idp.app import create_app
from idp.demo.api import create_api
from idp.demo.certificate import certificate
from idp.demo.documents import create_documents
from idp.house import clients_of, directory_of, registrar_of
from idp.kernel import revision, schema
from idp.kernel.services import Services, open_services
from idp.kernel.templates import template_directory
from idp.registry.registration import Registration
from idp.serving import server_options
from idp.settings import Settings, read_settings
from idp.verify.numbers import canonical
from idp.verify.simulators import section_for, simulator_of
from idp.verify.spapi.simulator import Authority

REALM = "TDXConnect"
AGENCY, PROGRAM = "demo-agency", "demo-program"
APPLICATION = "library"
MEMBERS = """\
card_number,name,gender,identity_type,organization,email,telephone,national_id
07302590,王小明,男,用户,國家圖書館/讀者服務組,ming@example.gov.tw,0912345678,A100000010
07302591,林美麗,女,用户,國家圖書館/館藏發展組,mei@example.gov.tw,0922345678,A100000029
07302592,陳大文,男,其他,國家圖書館,wen@example.gov.tw,0932345678,
"""


MARK = "# Written by `idp dev` (2)"  # a folder of another number is configured anew
NO_LIMITS = """\
# Written by `idp dev` and read without --limits: who tries things out is not slowed down.
[oidc]
token_calls_per_minute = 100000
refresh_calls_per_minute = 100000
failed_auth_per_minute = 100000

[login]
starts_per_minute = 100000
failed_starts = 100000
numbered_starts = 100000
unfinished_starts = 100000
numbers = 10

[login.push]
per_ten_minutes = 1000
per_day = 10000
pause_after_denial = 0
per_address = 100000
"""


class PortTaken(Exception):
    """Somebody listens there already."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything is to live."""

    state: Path
    host: str
    port: int
    simulator_port: int
    demo_port: int
    tls: bool = False  # for client programs that insist on https
    limits: bool = False  # the real ones: without, nobody who tries out meets any
    scheme: str = "twfido"

    @property
    def issuer(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def simulator(self) -> str:
        # another site than the bridge for the browser: returns are really cross-site
        name = "localhost" if self.host != "localhost" else "127.0.0.1"
        return f"http://{name}:{self.simulator_port}"

    @property
    def demo(self) -> str:
        return f"http://{self.host}:{self.demo_port}"

    @property
    def config(self) -> Path:
        return self.state / "idp.toml"

    @property
    def issuers(self) -> Path:
        return self.state / "issuers.pem"

    @property
    def without_limits(self) -> Path:
        """Read after `config`, unless the real limits are wanted."""
        return self.state / "limits-off.toml"

    @property
    def certificate(self) -> tuple[Path, Path]:
        """(the authority that signed it, certificate and key)."""
        return certificate(self.state / "tls")

    @property
    def trusted(self) -> ssl.SSLContext | bool:
        """What our own programs believe of the bridge's certificate."""
        return ssl.create_default_context(cafile=self.certificate[0]) if self.tls else True


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made once for this folder and kept beside it, so that a second start finds its clients."""

    agency: str
    program: str


async def run(plan: Plan) -> None:
    """Until interrupted. Raises PortTaken."""
    for port in (plan.port, plan.simulator_port, plan.demo_port):
        _must_be_free(plan.host, port)
    authority = Authority()
    plan.state.mkdir(parents=True, exist_ok=True)
    plan.issuers.write_bytes(authority.pem)
    settings, known = await prepare(plan)
    upstream = settings.upstreams[plan.scheme]
    callbacks = httpx.AsyncHTTPTransport(verify=plan.trusted, trust_env=False)
    simulator = simulator_of(upstream, settings.issuer, plan.simulator, authority, callbacks)
    servers = [
        _server(create_app(settings), plan.host, plan.port, plan.certificate if plan.tls else None),
        _server(simulator, plan.host, plan.simulator_port),
        _server(agency_for(plan, known), plan.host, plan.demo_port),
    ]
    await _serve_all(servers, card(plan, known))


async def prepare(plan: Plan) -> tuple[Settings, Secrets]:
    """Configuration, schema, clients, members: made where missing, left alone where there."""
    plan.state.mkdir(parents=True, exist_ok=True)
    plan.state.chmod(0o700)
    written = plan.config.read_text(encoding="utf-8") if plan.config.exists() else ""
    parts = (MARK, f'issuer = "{plan.issuer}"', f"[{plan.scheme}]")
    if not all(part in written for part in parts):
        plan.config.write_text(configuration(plan), encoding="utf-8")
        plan.config.chmod(0o600)
    plan.without_limits.write_text(NO_LIMITS, encoding="utf-8")
    settings = read_settings([plan.config, *([] if plan.limits else [plan.without_limits])])
    found, needed = revision.current(settings.database.url)
    if found != needed:
        schema.upgrade(settings.database.url)
    known = _secrets(plan)
    async with open_services(settings) as services:
        await _seed(plan, services, known)
    return settings, known


def configuration(plan: Plan) -> str:
    """A complete configuration for this folder, with secrets of its own."""
    return f"""\
{MARK}; delete this folder to begin anew. Never use it elsewhere.
environment = "development"
issuer = "{plan.issuer}"

[database]
url = "sqlite:///{plan.state}/idp.sqlite3"

[keys]
directory = "{plan.state}/keys"

[brand]
name = "行動身分識別登入（開發）"
name_en = "Mobile identity login (development)"
test_banner = true

[outward]
allowed_networks = ["127.0.0.0/8", "::1/128"]
allow_http = true

[oidc]
realms = ["{REALM}"]
scopes = ["transport:read", "library:read"]
jwks_seconds = 5

{_upstream(plan)}
[members.wecard.{APPLICATION}]
name = "國家圖書館 電子閱覽證"
path = "{secrets.token_urlsafe(18)}"
app_key = "{secrets.token_hex(8)}"
app_secret = "{secrets.token_hex(16)}"
allowed_sources = ["127.0.0.0/8", "::1/128"]
fields = ["telephone", "email"]
credential = "either"
"""


def _upstream(plan: Plan) -> str:
    name = "國家圖書館 館藏服務（開發）"
    server = f"http://127.0.0.1:{plan.simulator_port}"
    return section_for(plan.scheme, server, plan.simulator, name, str(plan.issuers))


def _secrets(plan: Plan) -> Secrets:
    file = plan.state / "clients.json"
    if not file.exists():
        made = {name: "twf_dev_" + secrets.token_urlsafe(24) for name in ("agency", "program")}
        file.write_text(json.dumps(made), encoding="utf-8")
        file.chmod(0o600)
    return Secrets(**json.loads(file.read_text(encoding="utf-8")))


async def _seed(plan: Plan, services: Services, known: Secrets) -> None:
    clients = clients_of(services)
    registrar = registrar_of(services, clients)
    if await clients.find(AGENCY) is None:
        await registrar.create(agency_client(plan), AGENCY, known.agency)
    if await clients.find(PROGRAM) is None:
        await registrar.create(program_client(), PROGRAM, known.program)
    sheet = plan.state / "members.csv"
    if not sheet.exists():
        sheet.write_text(MEMBERS, encoding="utf-8")
        await directory_of(services).import_file(sheet, canonical)


def agency_client(plan: Plan) -> Registration:
    return Registration(
        client_name="館藏服務",
        client_name_en="Library services",
        agency="示範機關",
        client_uri=f"{plan.demo}/",
        policy_uri=f"{plan.demo}/",
        purpose="借閱與預約館藏",
        purpose_en="Borrowing and reserving books",
        redirect_uris=(f"{plan.demo}/callback",),
        post_logout_redirect_uris=(f"{plan.demo}/",),
        grant_types=("authorization_code", "refresh_token"),
        scopes=("openid", "profile", "email", "phone", "address", "twid", "offline_access"),
        sandbox=True,
    )


def program_client() -> Registration:
    return Registration(
        client_name="示範程式",
        grant_types=("client_credentials",),
        scopes=("transport:read", "library:read"),
        roles=("basic",),
    )


def agency_for(plan: Plan, known: Secrets) -> ASGIApp:
    """The agency's application, under /api/ its API for programs, and the documents."""
    with warnings.catch_warnings():  # Authlib's client prefers httpx2; not the reader's concern
        warnings.simplefilter("ignore")
        from idp.demo.agency import Agency
    agency = Agency(
        issuer=plan.issuer,
        client_id=AGENCY,
        client_secret=known.agency,
        url=plan.demo,
        phone=f"{plan.simulator}/phone",
        templates=template_directory(),
        trusted=plan.trusted,
    ).application()
    api = create_api(plan.issuer, httpx.AsyncClient(timeout=2, verify=plan.trusted))
    beside = {"api": api, "docs": create_documents()}

    async def one_of_them(scope: Scope, receive: Receive, send: Send) -> None:
        first = scope.get("path", "").lstrip("/").partition("/")[0]
        await beside.get(first, agency)(scope, receive, send)

    return one_of_them


def card(plan: Plan, known: Secrets) -> str:
    """What to open and what to type."""
    program = f"-d client_id={PROGRAM} -d client_secret={known.program}"
    realm = f"{plan.issuer}/auth/realms/{REALM}/protocol/openid-connect/token"
    trust = f"--cacert {plan.certificate[0]} " if plan.tls else ""
    limits = "on, as in production" if plan.limits else "off; `idp dev --limits` turns them on"
    return f"""
  示範機關服務 demo application   {plan.demo}
  登入服務 bridge                 {plan.issuer}/.well-known/openid-configuration
  模擬手機 simulated phone        {plan.simulator}/phone
  說明文件 documents              {plan.demo}/docs/ (after `make site`)
  我的登入紀錄 my sign-ins        {plan.issuer}/account
  電子卡綁定 WeCard binding       {plan.issuer}/wecard

  身分證字號 type this number     A100000010 approves at once      A100000038 denies
                                  A100000029 approves after 3 s    A100000056 is not registered
                                  A100000083 approves, is in no directory: no name, no e-mail
                                  any other valid one (A123456789) decides on the phone page

  程式 program                    curl {trust}-d grant_type=client_credentials {program} \\
                                    {realm}
                                  curl -H "Authorization: Bearer TOKEN" \\
                                    {plan.demo}/api/transport/stops
  WeCard                          idp -c {plan.config} wecard call --card 07302590 --password CODE
  設定 configuration              {plan.config}
  限制 limits                     {limits}
{_trust_card(plan)}
  Ctrl-C ends it. 按 Ctrl-C 結束。
"""


def _trust_card(plan: Plan) -> str:
    if not plan.tls:
        return ""
    return f"""\
  憑證 certificate                trust {plan.certificate[0]}
                                  (SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, curl --cacert)
"""


# ── three servers in one loop ───────────────────────────────────────────────────────────────────


class _Server(uvicorn.Server):
    """One of several: signals are handled once, for all of them."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


def _server(
    app: ASGIApp, host: str, port: int, certificate: tuple[Path, Path] | None = None
) -> _Server:
    pem = certificate[1] if certificate else None
    options = server_options(drain=3)
    return _Server(uvicorn.Config(app, host=host, port=port, ssl_certfile=pem, **options))


async def _serve_all(servers: Sequence[_Server], greeting: str) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    tasks = [asyncio.create_task(server.serve()) for server in servers]
    while not all(server.started for server in servers):
        if any(task.done() for task in tasks):
            stop()
            break
        await asyncio.sleep(0.02)
    else:
        print(greeting, flush=True)  # noqa: T201
    await asyncio.gather(*tasks)


def _must_be_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise PortTaken(f"port {port} on {host} is taken; choose another") from None
