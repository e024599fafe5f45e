"""The audit trail: only ever longer, sealed in a chain, and no person in clear."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from idp.kernel import audit as audit_module
from idp.kernel import schema
from idp.kernel.audit import SETTLED, Search, Trail, entry
from idp.kernel.connect import connect
from idp.kernel.database import Database
from idp.kernel.errors import Unavailable
from idp.kernel.sqlite import sqlite_file
from idp.kernel.tables import audit
from idp.kernel.vault import Vault
from tests.actors import Browser, Service, log_in
from tests.deeds import on_sqlite, refused
from tests.house import HOME, StillClock, TestHouse, alarms

VAULT = Vault(bytes(32))
NUMBER = "A100000010"


@pytest.fixture
def trail(database: Database, clock: StillClock) -> Trail:
    return Trail(database, VAULT, clock)


async def seal(trail: Trail, clock: StillClock) -> None:
    """Looks twice, as the small job does."""
    await trail.seal()
    clock.pass_(SETTLED)
    await trail.seal()


async def count(database: Database, table: str = "audit") -> int:
    row = await database.one(text(f"SELECT count(*) AS n FROM {table}"))  # noqa: S608
    assert row is not None
    return int(row["n"])


async def sql(database: Database, statement: str) -> None:
    await database.write(lambda tx: tx.all(text(statement)))


# ── append-only ─────────────────────────────────────────────────────────────────────────────────

CHANGES = {
    "update": "UPDATE {table} SET {column} = {column}",
    "update of nothing new": "UPDATE {table} SET {column} = 'x' WHERE 1 = 1",
    "delete": "DELETE FROM {table}",
    "delete of one": "DELETE FROM {table} WHERE {column} = {column}",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(("table", "column"), [("audit", "event"), ("audit_seals", "mark")])
async def test_the_store_refuses_changes(
    database: Database, trail: Trail, clock: StillClock, change: str, table: str, column: str
) -> None:
    """Entries and seals are never changed or deleted, whoever asks with our account."""
    await trail.note(entry("a.b"))
    await seal(trail, clock)
    with pytest.raises(Unavailable):
        await sql(database, change.format(table=table, column=column))
    assert await count(database, table) == 1


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_the_store_refuses_to_be_emptied(database: Database, trail: Trail) -> None:
    """PostgreSQL has another word for deleting all."""
    await trail.note(entry("a.b"))
    with pytest.raises(Unavailable):
        await sql(database, "TRUNCATE audit")
    assert await count(database) == 1


@on_sqlite
async def test_replacing_is_found(database: Database, trail: Trail, clock: StillClock) -> None:
    """SQLite's REPLACE deletes without asking the triggers of DELETE; the seal finds it out."""
    await trail.note(entry("a.b"))
    await seal(trail, clock)
    await sql(database, "REPLACE INTO audit VALUES (1, 0, 'x', '', '', '', '', '{}')")
    assert (await trail.verify())[2] is not None


def test_the_triggers_are_no_difference(database_url: str) -> None:
    """Alembic sees the same tables with and without them."""
    assert schema.differences(database_url) == []


# ── the chain ───────────────────────────────────────────────────────────────────────────────────


async def test_what_is_written_is_sealed(database: Database, trail: Trail, clock: Any) -> None:
    """Entries are sealed once they have settled; each seal covers those since the one before."""
    assert await trail.verify() == (0, 0, None)
    for batch in range(3):
        for n in range(4):
            await trail.note(entry("a.b", n=n))
        assert await trail.verify() == (4 * batch, 4, None)
        await seal(trail, clock)
        assert await trail.verify() == (4 * (batch + 1), 0, None)
    assert await count(database, "audit_seals") == 3


async def test_nothing_is_sealed_too_early(trail: Trail, clock: StillClock) -> None:
    """A transaction that began earlier may still bring a lower id: so long nothing is sealed."""
    await trail.note(entry("a.b"))
    await trail.seal()
    clock.pass_(SETTLED - 1)
    await trail.seal()
    assert await trail.verify() == (0, 1, None)
    clock.pass_(1)
    await trail.seal()
    assert await trail.verify() == (1, 0, None)


async def test_late_entries_break_no_seal(trail: Trail, clock: StillClock) -> None:
    """Gathered entries are written long after they happened, if the store was away: the chain goes
    by the order of writing, so that none is sealed over or left out."""
    trail.gather(entry("gathered.early"))
    clock.pass_(300)
    await trail.note(entry("written.now"))
    await trail.flush()
    await trail.seal()
    await trail.note(entry("written.later"))
    await seal(trail, clock)
    assert await trail.verify() == (3, 0, None)


TAMPERING: dict[str, list[str]] = {
    "a changed entry": ["UPDATE audit SET event = 'x' WHERE id = 2"],
    "a changed time": ["UPDATE audit SET at = at + 1 WHERE id = 2"],
    "a changed detail": ["UPDATE audit SET detail = '{}' WHERE id = 2"],
    "a deleted entry": ["DELETE FROM audit WHERE id = 2"],
    "the first deleted": ["DELETE FROM audit WHERE id = 1"],
    "the last sealed deleted": ["DELETE FROM audit WHERE id = 6"],
    "two exchanged": [
        "UPDATE audit SET id = 99 WHERE id = 2",
        "UPDATE audit SET id = 2 WHERE id = 3",
        "UPDATE audit SET id = 3 WHERE id = 99",
    ],
    "an inserted entry": [
        "DELETE FROM audit WHERE id = 2",
        "INSERT INTO audit VALUES (2, 1790000000, 'a.b', '', '', '', '', '{\"n\": 9}')",
    ],
    "an entry before the first": [
        "INSERT INTO audit VALUES (0, 1790000000, 'a.b', '', '', '', '', '{}')"
    ],
    "a seal deleted": ["DELETE FROM audit_seals WHERE number = 1"],
    "a changed mark": ["UPDATE audit_seals SET mark = 'x' WHERE number = 2"],
    "a seal that reaches less far": ["UPDATE audit_seals SET last_id = 5 WHERE number = 2"],
    "a forged seal": ["INSERT INTO audit_seals VALUES (3, 7, 1, 'x', 0)"],
    "seals renumbered": [
        "DELETE FROM audit_seals WHERE number = 1",
        "UPDATE audit_seals SET number = 1 WHERE number = 2",
    ],
}


async def without_triggers(database: Database, database_url: str) -> None:
    """What somebody can do who owns the database."""
    if database_url.startswith("sqlite"):
        for table in ("audit", "audit_seals"):
            for act in ("update", "delete"):
                await sql(database, f"DROP TRIGGER {table}_no_{act}")
    else:
        for table in ("audit", "audit_seals"):
            await sql(database, f"ALTER TABLE {table} DISABLE TRIGGER USER")


@pytest.mark.parametrize("changes", TAMPERING.values(), ids=TAMPERING)
async def test_tampering_is_found(
    database: Database, database_url: str, trail: Trail, clock: StillClock, changes: list[str]
) -> None:
    """Change, deletion, insertion: also by whoever owns the database but not our master key."""
    for _ in range(2):
        for n in range(3):
            await trail.note(entry("a.b", n=n))
        await seal(trail, clock)
    await trail.note(entry("a.b"))
    assert await trail.verify() == (6, 1, None)
    await without_triggers(database, database_url)
    for change in changes:
        await sql(database, change)
    _, _, fault = await trail.verify()
    assert fault is not None
    assert fault.startswith("seal ")


async def test_two_sealers_at_once(
    database_url: str, database: Database, clock: StillClock
) -> None:
    """Replicas may seal at the same time: one seal counts, and the chain is whole."""
    stores = [await connect(database_url) for _ in range(4)]
    trails = [Trail(store, VAULT, clock) for store in stores]
    for _ in range(3):
        for n in range(5):
            await trails[n % 4].note(entry("a.b", n=n))
        await asyncio.gather(*(trail.seal() for trail in trails))
        clock.pass_(SETTLED)
        await asyncio.gather(*(trail.seal() for trail in trails))
    assert await trails[0].verify() == (15, 0, None)
    assert await count(database, "audit_seals") == 3
    for store in stores:
        await store.close()


async def test_a_chain_that_goes_back_is_an_alarm(
    database: Database, database_url: str, trail: Trail, clock: StillClock
) -> None:
    """Whoever may drop the triggers can throw all seals away, forge entries and wait to have them
    sealed anew: the worker that saw the former head refuses, and says so."""
    await trail.note(entry("a.b"))
    await seal(trail, clock)
    await without_triggers(database, database_url)
    await sql(database, "DELETE FROM audit_seals")
    await sql(database, "UPDATE audit SET event = 'forged'")
    before = alarms("audit_head")
    await trail.note(entry("c.d"))
    await seal(trail, clock)
    assert await count(database, "audit_seals") == 0
    assert alarms("audit_head") > before


async def test_a_seal_that_is_known_from_elsewhere(
    database: Database, database_url: str, trail: Trail, clock: StillClock
) -> None:
    """The log tells each seal. A chain that was cut and sealed anew verifies by itself, but not
    against what the log told."""
    await trail.note(entry("a.b"))
    await seal(trail, clock)
    told = await trail.head()
    assert (await trail.verify(told))[2] is None
    await without_triggers(database, database_url)
    await sql(database, "DELETE FROM audit_seals")
    await sql(database, "UPDATE audit SET event = 'forged'")
    again = Trail(database, VAULT, clock)  # a worker that started since has seen nothing
    await seal(again, clock)
    assert (await again.verify())[2] is None
    for expect in (told, "7:00", "x", "1:", "9" * 40 + ":x", "²:x"):
        assert "not the one expected" in str((await again.verify(expect))[2])


async def test_another_master_key_verifies_nothing(
    database: Database, trail: Trail, clock: StillClock
) -> None:
    """A chain can only be continued, or forged, with the key that began it."""
    await trail.note(entry("a.b"))
    await seal(trail, clock)
    stranger = Trail(database, Vault(bytes([1] * 32)), clock)
    assert (await stranger.verify())[2] is not None


# ── batches ─────────────────────────────────────────────────────────────────────────────────────


async def test_gathered_entries_come_in_batches(
    database: Database, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order they happened, each with its own time."""
    monkeypatch.setattr(audit_module, "BATCH", 3)
    for n in range(8):
        trail.gather(entry("a.b", n=n))
    assert await count(database) == 0
    await asyncio.gather(trail.flush(), trail.flush())
    found = await trail.search()
    assert [e["detail"]["n"] for e in found] == list(range(8))


async def test_an_incident_is_found_however_old(database: Database, trail: Trail) -> None:
    """By its reference, behind more entries than are listed; `after` still counts."""
    await trail.note(entry("a.old", reference="39TD6ZZM5Z"))
    await trail.note(*(entry("a.b", reference="another") for _ in range(501)))
    assert "a.old" not in {e["event"] for e in await trail.search()}
    (found,) = await trail.search(Search(reference="39TD6ZZM5Z"))
    assert found["event"] == "a.old"
    assert await trail.search(Search(after=found["id"], reference="39TD6ZZM5Z")) == []


async def test_a_search_goes_over_many_pieces(
    trail: Trail, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each condition alone and all together, forwards and backwards, on every database; what the
    pieces are does not matter."""
    monkeypatch.setattr(audit_module, "PIECE", 3)
    for n in range(20):
        reference, client = f"R{n % 2}", f"c{n % 5}"
        await trail.note(entry(f"a.{n % 4}", reference=reference, client_id=client, person_id="p"))
        clock.pass_(1)
    first = int(clock.at) - 20

    async def found(**wanted: Any) -> list[int]:
        return [e["id"] for e in await trail.search(Search(**wanted))]

    everything = await found()
    assert len(everything) == 20
    assert everything == sorted(everything)
    assert await found(event="a.1") == everything[1::4]
    assert await found(reference="R1") == everything[1::2]
    assert await found(client_id="c2", person_id="p") == everything[2::5]
    assert await found(person_id="q") == []
    assert await found(since=first + 5, until=first + 7) == everything[5:7]
    assert await found(most=4) == everything[-4:]
    assert await found(most=4, before=everything[10]) == everything[6:10]
    assert await found(most=4, after=everything[10]) == everything[11:15]
    assert await found(most=2, after=0, reference="R1") == everything[1:4:2]
    assert await found(after=everything[-1]) == await found(before=everything[0]) == []


async def test_what_could_not_be_written_is_kept(
    database_url: str, trail: Trail, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is away entries wait; none is lost, none is written twice."""
    trail.gather(entry("a.b"))

    async def away(_work: Any) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(database, "write", away)
        with pytest.raises(Unavailable):
            await trail.flush()
    trail.gather(entry("a.c"))
    await trail.flush()
    assert [e["event"] for e in await trail.search()] == ["a.b", "a.c"]


@on_sqlite
async def test_a_full_backlog_stops_the_tokens(
    house: TestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be audited is not done: 503, until the store has taken the entries."""
    monkeypatch.setattr(audit_module, "BACKLOG", 2)
    await house.services.trail.flush()
    program = await house.register_program()
    form, auth = {"grant_type": "client_credentials"}, (program.id, program.secret or "")
    http = house.http()
    answers = [await http.post("/token", data=form, auth=auth) for _ in range(3)]
    assert [a.status_code for a in answers[:2]] == [200, 200]
    refused(answers[2], 503, "temporarily_unavailable")
    refused(await http.post("/token", data=form), 503, "temporarily_unavailable")
    await house.services.trail.flush()
    assert (await http.post("/token", data=form, auth=auth)).status_code == 200


# ── what is in it ───────────────────────────────────────────────────────────────────────────────


async def test_no_person_in_clear(house: TestHouse, browser: Browser, service: Service) -> None:
    """After a login with everything, no row of the trail holds a number, an address or a token;
    the operator who has the master key sees the address."""
    page = await log_in(browser, service, "push", NUMBER, scope="openid profile twid")
    tokens = (await service.redeem(page)).json()
    await service.redeem(page)
    await house.services.trail.flush()
    rows = str([dict(r) for r in await house.services.database.all(text("SELECT * FROM audit"))])
    for secret in (NUMBER, HOME, page.query["code"], *map(str, tokens.values())):
        if secret not in ("600", "Bearer", tokens["scope"]):
            assert secret not in rows
    assert HOME in {e["address"] for e in await house.events()}
    assert {e["client_id"] for e in await house.events("token.issued")} == {"service"}


@on_sqlite
async def test_no_person_in_the_whole_store(
    house: TestHouse, database_url: str, browser: Browser, service: Service
) -> None:
    """Nor in any other table: the file holds no number, no secret and no private key."""
    page = await log_in(browser, service, "push", NUMBER, scope="openid profile twid")
    tokens = (await service.redeem(page)).json()
    await house.services.trail.flush()
    file = sqlite_file(database_url)
    content = b"".join(p.read_bytes() for p in _all(file))
    private = house.services.keyring.signer("ES256").key.as_dict(private=True)["d"]
    for secret in (
        NUMBER,
        NUMBER[1:],
        page.query["code"],
        tokens["refresh_token"],
        tokens["access_token"],
        str(service.registered.secret),
        str(private),
    ):
        assert secret.encode() not in content


def _all(file: Path) -> list[Path]:
    return [p for p in file.parent.glob(file.name + "*") if p.is_file()]


async def test_an_entry_is_written_with_its_decision(database: Database, trail: Trail) -> None:
    """If the decision is rolled back, so is its entry."""

    async def work(tx: Any) -> None:
        await trail.write(tx, entry("a.b"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await database.write(work)
    assert await count(database) == 0


async def test_every_event_is_in_the_catalogue(house: TestHouse, service: Service) -> None:
    """What is written has been declared, with a sentence for the operator."""
    await house.register_program()
    for event in await house.events():
        assert audit_module.CATALOGUE[event["event"]]


def test_the_trail_knows_every_column() -> None:
    """A mark covers the whole entry: no column may be added without it."""
    assert [c.name for c in audit.c] == [
        "id", "at", "event", "reference", "client_id", "person_id", "address_sealed", "detail",
    ]  # fmt: skip
