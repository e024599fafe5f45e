"""Does it stay as quick when it grows? Clients, people, waiting logins; `--growth`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from urllib.parse import urlencode

from sqlalchemy import bindparam, update

from bench import load
from bench.load import raw
from bench.report import Report
from bench.rows import Effort, Fire, Make, Row, measure, saturating
from bench.scene import SQL_KEY, Scene, copied, execute, furnish, key, settle
from bench.servers import Served, memory
from idp.house import clients_of
from idp.kernel import tables
from idp.kernel.database import Transaction

CLIENTS, PEOPLE, LOGINS = (1, 1_000, 1_000_000), (1_000, 1_000_000), (10, 1_000, 10_000)
ASKING = 30_000  # clients or people that come in turn: more than a worker remembers
EVERY, SECONDS = 4, 20  # a login is polled every 4 seconds, for 20 seconds
_SECRET = (
    update(tables.client_secrets)
    .where(tables.client_secrets.c.client_id == bindparam("of"))
    .values(digest=bindparam("mark"))
)


async def grow(report: Report, place: str, url: str, rounds: int) -> None:
    """Adds its rows to the report; `url` is of an empty database."""
    with Served(url) as bridge:
        of = await furnish(bridge)
        known = 0
        for size in CLIENTS:
            bridge.stop()
            await _clients(of, known + 1, size)
            known = size
            bridge.serve()
            await _take(report, _asking(of, place, size), rounds)
        for size in PEOPLE:
            bridge.stop()
            await of.populate(size)
            await settle(url)
            bridge.serve()
            await _take(report, _of_people(of, place, size), rounds)
            report.fact(f"memory with {size} people, {place}", memory(bridge.pid), "MiB")
    with Served(url, pin=False, workers=2) as bridge:
        of = await furnish(bridge)
        for size in LOGINS:
            await _take(report, _waiting(of, place, size), 1)
            for pid in bridge.worker_pids():
                report.fact(f"memory with {size} waiting, {place}", memory(pid), "MiB")


async def _take(report: Report, row: Row, rounds: int) -> None:
    if rounds > 1:
        await measure(row, Effort(2, 0))  # caches filled, statements compiled
    for _ in range(rounds):
        report.of(row).add(*await measure(row, Effort(2, 0)))
    print(report.line(report.of(row)), file=sys.stderr, flush=True)  # the whole takes minutes


# ── clients ─────────────────────────────────────────────────────────────────────────────────────


def _chosen(size: int) -> list[int]:
    return [1 + i * 7919 % size for i in range(min(size, ASKING))]


def _secret(i: int) -> str:
    return f"twf_bench_{key(i)}"


async def _clients(of: Scene, first: int, last: int) -> None:
    """Copies of a program; those that will ask get a secret that is theirs."""
    model = of.programs["ES256"].id
    ids = {"client_id": f"'c' || {SQL_KEY}"}
    (secret,) = await of.bridge.all(
        tables.client_secrets.select().where(tables.client_secrets.c.client_id == model)
    )
    changed = {**ids, "digest": f"{SQL_KEY} || '{'0' * 47}'"}
    await execute(
        of.bridge.database_url,
        copied(tables.clients, ids, model, first, last),
        copied(tables.client_secrets, changed, secret["digest"], first, last),
    )
    await settle(of.bridge.database_url)
    async with of.bridge.services() as services:
        marks = {i: clients_of(services).digest(_secret(i)) for i in _chosen(last)}

        async def work(tx: Transaction) -> None:
            for i, mark in marks.items():
                await tx.run(_SECRET, of=f"c{key(i)}", mark=mark)

        await services.database.write(work)


def _asking(of: Scene, place: str, size: int) -> Row:
    async def make() -> Sequence[bytes]:
        grant = {"grant_type": "client_credentials"}
        forms = (
            {**grant, "client_id": f"c{key(i)}", "client_secret": _secret(i)} for i in _chosen(size)
        )
        return [raw("POST", "/token", urlencode(form)) for form in forms]

    return _row(of, f"token, {size:,} clients", place, make)


# ── people and waiting logins ───────────────────────────────────────────────────────────────────


def _of_people(of: Scene, place: str, size: int) -> Row:
    async def make() -> Sequence[bytes]:
        tokens = await of.person_tokens(min(size, ASKING))
        return [raw("GET", "/userinfo", authorization=f"Bearer {token}") for token in tokens]

    return _row(of, f"userinfo, {size:,} people", place, make)


def _row(of: Scene, name: str, place: str, make: Make) -> Row:
    bridge = of.bridge
    prepare = saturating(bridge.port, bridge.issuer.partition("//")[2], make)
    return Row(name, place, bridge.pid, prepare)


def _waiting(of: Scene, place: str, size: int) -> Row:
    """Each login polled every few seconds, on a connection of its own up to a thousand."""
    bridge = of.bridge
    host = bridge.issuer.partition("//")[2]

    async def prepare(_effort: Effort) -> Fire:
        polls = load.addressed(await of.waiting(size), host)
        rate, connections = size / EVERY, min(size, 1000)
        return functools.partial(load.paced, bridge.port, polls, rate, SECONDS, connections)

    return Row(f"poll, {size:,} waiting", place, bridge.pid, prepare)
