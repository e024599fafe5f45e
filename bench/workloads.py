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
SIGNED = 5_000
UNSEEN = 12_000  # more than the guard remembers
BUSY = 8  # logins at once
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
    return [row("floor", raw("POST", "/floor", form))]


def guard_rows(pid: int, port: int, of: Scene) -> list[Row]:
    """An API without the guard, and behind it; the same requests for both."""

    def row(name: str, path: str, number: int, goal: Goal | None) -> Row:
        async def make() -> list[bytes]:
            return [_bearing(path, token) for token in await of.program_tokens(number)]

        return Row(name, "bare", pid, saturating(port, "bench", make), goal)

    return [
        row("api", "/api", 1, None),
        row("guard-seen", "/guarded", 1, Goal(most=15, than="api")),
        row("guard-unseen", "/guarded", UNSEEN, Goal(most=120, than="api")),
        row("guard-seen-plan", "/planned", 1, None),
    ]


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


async def signed(of: Scene) -> list[bytes]:
    """By private_key_jwt, for a token that is bound to a key (DPoP): two signatures to verify, two
    identifiers to remember. More than can be asked in a round, since none is good twice."""
    return [of.signing.request(of.bridge.issuer) for _ in range(SIGNED)]


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
    """Answered from the store, as nearly all are: the upstream was asked a moment ago. Each login
    may be asked about once a second, so there are more than can be."""
    return await of.waiting(16_000, asked_at=int(time.time()) + 60)


async def card_refusals(of: Scene) -> list[bytes]:
    """Nobody's cards, never the same twice: a body that comes again is another case."""
    start, told = next(_numbers) * 100_000, {"content_type": "application/json"}
    bodies = (scene.card_body(f"9{start + i}", "23456789ABCD") for i in range(10_000))
    return [raw("POST", CARD_PATH, body, **told) for body in bodies]


METADATA = "/.well-known/openid-configuration"
ENDPOINTS: tuple[tuple[str, Requests, Goal | None], ...] = (
    ("token-es256", program("ES256"), Goal(share=0.35, than="floor")),
    ("token-rs256", program("RS256"), Goal(share=0.75, than="signature")),
    ("token-signed", signed, Goal(share=0.333, than="token-es256")),
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

    def once(
        make: Callable[[int], Awaitable[Sequence[bytes]]],
    ) -> Callable[[Effort], Awaitable[Fire]]:
        async def prepare(effort: Effort) -> Fire:
            requests = load.addressed(await make(effort.once), host)
            return lambda: load.each_once(bridge.port, requests)

        return prepare

    async def disclosures(number: int) -> list[bytes]:
        told = {"content_type": "application/json"}
        given = await of.card_codes(10 * number)
        return [raw("POST", CARD_PATH, scene.card_body(*pair), **told) for pair in given]

    def people(at_once: int) -> Callable[[Effort], Awaitable[Fire]]:
        async def prepare(effort: Effort) -> Fire:
            return lambda: logins(of, effort.once, at_once)

        return prepare

    return [
        *(row(*endpoint) for endpoint in ENDPOINTS),
        Row("poll-upstream", place, bridge.pid, once(of.waiting)),
        Row("card-disclosed", place, bridge.pid, once(disclosures)),
        Row("login", place, bridge.pid, people(BUSY), Goal(most=12_000)),
        Row("login-alone", place, bridge.pid, people(1), Goal(most=12_000)),
    ]
