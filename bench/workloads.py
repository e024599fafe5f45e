"""What is measured: a table of rows. A row makes its requests anew for every round, since much of
what a bridge gives out is good only once, or only for a while."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlencode

from bench import load, scene
from bench.load import raw
from bench.logins import logins
from bench.rows import Effort, Fire, Goal, Row, saturating
from bench.scene import Scene
from tests.services.bridge import APPLICATION

PEOPLE = 2000
UNSEEN = 12_000  # more than the guard remembers
CARD_PATH = f"/wecard/{APPLICATION['path']}"
Requests = Callable[[Scene], Awaitable[Sequence[bytes]]]
_numbers = itertools.count(time.time_ns() % 10**9 * 1000)


# ── the bare handlers, and the guard ────────────────────────────────────────────────────────────


def floor_rows(pid: int, port: int) -> list[Row]:
    """What everything else is compared with."""

    def row(name: str, request: bytes) -> Row:
        async def make() -> list[bytes]:
            return [request]

        return Row(name, "bare", pid, saturating(port, "bench", make))

    form = urlencode(
        {"grant_type": "client_credentials", "scope": "api:read", "client_id": "x" * 16}
    )
    return [row("floor", raw("POST", "/floor", form)), row("api", raw("GET", "/api"))]


def guard_rows(pid: int, port: int, of: Scene) -> list[Row]:
    """The API of `api`, with the guard before it."""

    def row(name: str, number: int, most: float) -> Row:
        async def make() -> list[bytes]:
            return [_bearing("/guarded", token) for token in await of.program_tokens(number)]

        prepare = saturating(port, "bench", make)
        return Row(name, "bare", pid, prepare, Goal(most=most, than="api"))

    return [row("guard-seen", 1, 15), row("guard-unseen", UNSEEN, 120)]


def _bearing(path: str, token: str) -> bytes:
    return raw("GET", path, authorization=f"Bearer {token}")


# ── the endpoints ───────────────────────────────────────────────────────────────────────────────


def program(alg: str) -> Requests:
    """As the TDX programs ask: credentials in the form."""

    async def make(of: Scene) -> list[bytes]:
        client = of.programs[alg]
        form = {
            "grant_type": "client_credentials",
            "client_id": client.id,
            "client_secret": client.secret or "",
        }
        return [raw("POST", "/token", urlencode(form))]

    return make


def published(path: str, *, known: bool = False) -> Requests:
    """A document; `known`: the caller has it already (304)."""

    async def make(of: Scene) -> list[bytes]:
        async with of.bridge.http() as http:
            tag = (await http.get(path)).headers["etag"]
        return [raw("GET", path, **({"if_none_match": tag} if known else {}))]

    return make


async def introspection(of: Scene) -> list[bytes]:
    client = of.programs["ES256"]
    told = {"authorization": load.basic(client.id, client.secret or "")}
    forms = (urlencode({"token": token}) for token in await of.program_tokens(1000))
    return [raw("POST", "/introspect", form, **told) for form in forms]


async def userinfo(of: Scene) -> list[bytes]:
    await of.populate(PEOPLE)
    return [_bearing("/userinfo", token) for token in await of.person_tokens(PEOPLE)]


async def refresh(of: Scene) -> list[bytes]:
    await of.populate(PEOPLE)
    told = {"authorization": load.basic(of.web.id, of.web.secret or "")}
    forms = (
        {"grant_type": "refresh_token", "refresh_token": t} for t in await of.refresh_tokens(PEOPLE)
    )
    return [raw("POST", "/token", urlencode(form), **told) for form in forms]


async def polls(of: Scene) -> list[bytes]:
    """Each login may be asked about once a second: there are more than can be asked."""
    cookies, paths = await of.waiting(16_000)
    return [raw("GET", path, cookie=cookies) for path in paths]


async def card_refusals(of: Scene) -> list[bytes]:
    """Nobody's cards, never the same twice: a body that comes again is another case."""
    start, told = next(_numbers) * 100_000, {"content_type": "application/json"}
    bodies = (scene.card_body(f"9{start + i}", "23456789ABCD") for i in range(10_000))
    return [raw("POST", CARD_PATH, body, **told) for body in bodies]


METADATA = "/.well-known/openid-configuration"
ENDPOINTS: tuple[tuple[str, Requests, Goal | None], ...] = (
    ("token-es256", program("ES256"), Goal(share=0.35, than="floor")),
    ("token-rs256", program("RS256"), Goal(share=0.75, than="signature")),
    ("discovery", published(METADATA), Goal(share=0.7, than="floor")),
    ("discovery-304", published(METADATA, known=True), Goal(share=0.7, than="floor")),
    ("jwks", published("/jwks"), Goal(share=0.7, than="floor")),
    ("jwks-304", published("/jwks", known=True), Goal(share=0.7, than="floor")),
    ("introspection", introspection, Goal(share=0.3, than="floor")),
    ("userinfo", userinfo, Goal(share=0.3, than="floor")),
    ("refresh", refresh, None),
    ("poll", polls, Goal(most=250)),
    ("card-refused", card_refusals, None),
)  # fmt: skip


def bridge_rows(place: str, of: Scene) -> list[Row]:
    """Everything that a bridge does, on one database."""
    bridge = of.bridge
    host = bridge.issuer.partition("//")[2]

    def row(name: str, requests: Requests, goal: Goal | None) -> Row:
        return Row(
            name, place, bridge.pid, saturating(bridge.port, host, lambda: requests(of)), goal
        )

    async def disclosures(effort: Effort) -> Fire:
        told = {"content_type": "application/json", "host": host}
        given = await of.card_codes(10 * effort.once)
        bodies = [raw("POST", CARD_PATH, scene.card_body(*pair), **told) for pair in given]
        return lambda: load.each_once(bridge.port, bodies)

    async def people(effort: Effort) -> Fire:
        return lambda: logins(of, effort.once)

    return [
        *(row(*endpoint) for endpoint in ENDPOINTS),
        Row("card-disclosed", place, bridge.pid, disclosures),
        Row("login", place, bridge.pid, people, Goal(most=12_000)),
    ]
