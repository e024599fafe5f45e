"""What the login room stores, read by this version and by its neighbours."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text, update

from idp.kernel import errors, revision, schema
from idp.kernel.database import Database, Transaction
from idp.kernel.outbox import Outbox, deliveries
from idp.kernel.tables import attempts, logins, persons, session_parties, sessions
from idp.kernel.vault import Vault
from idp.login import store
from idp.login.attempts import find_attempt
from idp.login.endings import KIND, Ending, Party, SessionEnds
from idp.login.flow import AttemptState, Heard
from idp.login.history import Result, of
from tests.house import StillClock

MIGRATION = "e5f2b2c1d3a4"
LOGIN = {
    "id": "login", "browser": "browser", "reference": "R", "relying_party": "web",
    "purpose": "{}", "attempts": 1, "attempt_id": "attempt", "session_id": None,
    "created_at": 1, "expires_at": 2, "finished_at": None,
}  # fmt: skip
ATTEMPT = {
    "id": "attempt", "login_id": "login", "relying_party": "web", "browser": "browser",
    "method": "twfido:push", "shows": "", "system": "s", "handle": "h", "number_index": "index",
    "number_sealed": None, "challenge": json.dumps({"shows": "wait", "display_name": ""}),
    "only_for": "", "brought": "", "state": "ended", "why": "TF-2101", "opened_at": 5,
    "expires_at": 9, "asked_at": 0,
}  # fmt: skip
SESSION = {
    "id": "one", "person_id": "person", "method": "twfido:qr", "acr": "", "amr": "[]",
    "only_for": "", "agent": "", "root": "one", "auth_time": 1, "seen_at": 1, "expires_at": 99,
    "ended_at": None, "ended_why": "",
}  # fmt: skip


async def put(database: Database, **changes: Any) -> None:
    """A login with one attempt."""
    await database.run(insert(logins), **LOGIN)
    await database.run(insert(attempts), **{**ATTEMPT, **changes})


async def lines(database: Database) -> list[Result]:
    return [line.result for line in await of(database, "index", 100, 0, None, 10)]


# ── rows of another version ─────────────────────────────────────────────────────────────────────


def with_alembic(url: str, act: Any) -> None:
    def run(connection: Connection) -> None:
        config = Config()
        folder = Path(schema.__file__).with_name("migrations")
        config.set_main_option("script_location", str(folder))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        act(config)

    revision.with_connection(url, run)


def before_migration() -> str:
    folder = Path(schema.__file__).with_name("migrations")
    found = ScriptDirectory(str(folder)).get_revision(MIGRATION).down_revision
    assert isinstance(found, str)
    return found


def test_outcomes_of_the_version_before_are_read(database_url: str) -> None:
    """The migration turns class names into codes and tells from each document what it shows; a
    database that goes back has what it had."""
    names = {"Denied": "TF-2101", "Failed": "TF-2102", "Stopped": "stopped", "": "", "X": "X"}

    def fill(connection: Connection) -> None:
        connection.execute(insert(logins), LOGIN)
        known = {name: value for name, value in ATTEMPT.items() if name != "shows"}
        for why in names:
            row = {**known, "id": f"a{why}", "why": why}
            connection.execute(insert(attempts).values(row))

    def whys(connection: Connection) -> None:
        found = connection.execute(text("SELECT id, why FROM attempts"))
        seen.append({row.id[1:]: row.why for row in found})

    seen: list[dict[str, str]] = []
    shown: list[str] = []
    with_alembic(database_url, lambda config: command.downgrade(config, before_migration()))
    revision.with_connection(database_url, fill)
    schema.upgrade(database_url)
    revision.with_connection(database_url, whys)
    revision.with_connection(
        database_url, lambda c: shown.extend(c.scalars(select(attempts.c.shows).distinct()))
    )
    with_alembic(database_url, lambda config: command.downgrade(config, before_migration()))
    revision.with_connection(database_url, whys)
    assert seen == [names, {why: why for why in names}]
    assert shown == ["wait"]
    schema.upgrade(database_url)
    assert schema.differences(database_url) == []


async def test_an_attempt_of_the_version_before_is_read(database: Database) -> None:
    """A worker without the column `shows` writes rows that this one reads by their document."""
    await put(database)
    attempt = await find_attempt(database, "attempt")
    assert attempt is not None
    assert (attempt.shows, attempt.reference, attempt.why) == ("wait", "R", errors.Denied)


async def test_an_attempt_of_a_later_version_is_read(database: Database) -> None:
    """An unknown state or outcome lets nobody in and is a failure, on the pages and in the
    history; unknown members of the documents are ignored."""
    challenge = json.dumps({"shows": "wait", "of_tomorrow": 1})
    await put(database, state="of_tomorrow", why="TF-2999", shows="wait", challenge=challenge)
    await database.run(update(logins).values(purpose='{"of_tomorrow": [1], "service": "x"}'))
    found = await store.find_login(database, "login")
    assert found is not None
    login, attempt = found
    assert attempt is not None
    assert (attempt.state, attempt.why) == (AttemptState.ENDED, errors.Failed)
    assert (login.purpose.service, login.purpose.return_to) == ("x", "/")
    assert await lines(database) == [Result.FAILED]


WHY = [
    ("replaced", "", Result.STOPPED),
    ("replaced", "TF-2101", Result.REFUSED),
    ("replaced", "TF-2102", Result.FAILED),
    ("replaced", Heard.APPROVED.value, Result.UNUSED),
    ("replaced", Heard.STOPPED.value, Result.STOPPED),
    ("ended", "TF-2101", Result.REFUSED),
    ("ended", "TF-2103", Result.EXPIRED),
    ("ended", "TF-2201", Result.FAILED),
    ("pending", "", Result.EXPIRED),
    ("used", "", Result.VERIFIED),
]


@pytest.mark.parametrize(("state", "why", "result"), WHY)
async def test_what_a_person_is_told(
    database: Database, state: str, why: str, result: Result
) -> None:
    """Each ending of an attempt has one word in its person's history."""
    await put(database, state=state, why=why, shows="wait")
    assert await lines(database) == [result]


async def test_only_what_rang_is_told(database: Database) -> None:
    """Whoever types a number for a QR code that nobody scans has reached nobody."""
    await put(database, state="replaced", why="", shows="scan")
    assert await lines(database) == []


# ── where sessions end ──────────────────────────────────────────────────────────────────────────


class Ends(SessionEnds):
    """With an outbox that delivers nothing, and a clock that is set."""

    def __init__(self, database: Database) -> None:
        self.store, self.clock = database, StillClock()
        super().__init__(database, Outbox(database, Vault(bytes(32)), self.clock), self.clock)

    async def have(self, *names: str, **changes: Any) -> None:
        """Sessions of one person, each with a party of its own."""
        person = {"id": "person", "number_index": "i", "number_sealed": "", "created_at": 1}
        person |= {"disabled_at": None, "push_paused_at": None}
        await self.store.run(insert(persons), **person)
        for name in names:
            row = {**SESSION, "id": name, **changes}
            await self.store.run(insert(sessions), **row)
        for name in names:
            await self.store.write(partial(self.join, session_id=name, relying_party=f"rp-{name}"))

    async def told(self, *names: str) -> list[str]:
        """Those whose party is told, or was."""
        found = [await deliveries(self.store, KIND, f"rp-{name}") for name in names]
        assert all(d.about == name for name, ds in zip(names, found, strict=True) for d in ds)
        assert all(len(ds) < 2 for ds in found)
        return [name for name, ds in zip(names, found, strict=True) if ds]

    async def rows(self) -> list[tuple[Any, ...]]:
        rows = await self.store.all(select(sessions).order_by(sessions.c.id))
        return [(r["id"], r["ended_at"], r["expires_at"], r["ended_why"]) for r in rows]


async def test_every_ending_has_a_reason(database: Database) -> None:
    """A session that is ended takes what hangs on it along, one that expires does not; both
    keep the first reason, nothing ends twice, and each party is told once."""
    ends, names = Ends(database), ("one", "two", "three", "four")
    await ends.have(*names)
    await database.run(update(sessions).where(sessions.c.id == "four").values(only_for="web"))

    async def work(tx: Transaction) -> list[Any]:
        ends.clock.at = 7
        found: list[Any] = [
            await ends.end(tx, "one", Ending.LOGGED_OUT),
            await ends.end(tx, "one", Ending.DISOWNED),
            await ends.expire_sole(tx, "four", "other", Ending.SHARED_SCREEN),
            await ends.expire_sole(tx, "four", "web", Ending.SHARED_SCREEN),
        ]
        await ends.expire(tx, "two", Ending.REPLACED)
        ends.clock.at = 9
        return [*found, await ends.end_others(tx, "person", "one", Ending.LOGGED_OUT)]

    assert await database.write(work) == [[Party("rp-one", "one")], [], False, True, 1]
    assert await ends.rows() == [
        ("four", None, 7, "shared_screen"),
        ("one", 7, 99, "logged_out"),
        ("three", 9, 99, "logged_out"),
        ("two", None, 7, "replaced"),
    ]
    assert await ends.told(*names) == list(names)
    assert await database.all(select(session_parties)) == []


async def test_a_session_that_goes_on(database: Database) -> None:
    """A new login of the same person hands the parties on: they are told when the new session
    ends, by the name that they know."""
    ends = Ends(database)
    await ends.have("old", "new")
    ends.clock.at = 7
    await database.write(lambda tx: ends.continue_as(tx, "old", "new"))
    assert await ends.rows() == [("new", None, 99, ""), ("old", None, 7, "replaced")]
    assert await ends.told("old", "new") == []
    told = await database.write(lambda tx: ends.end(tx, "new", Ending.LOGGED_OUT))
    assert sorted(told) == [Party("rp-new", "new"), Party("rp-old", "old")]
    assert await ends.told("old", "new") == ["old", "new"]


async def test_sessions_whose_time_is_over(database: Database) -> None:
    """Those that were unused too long or are too old are told of, and so is one that a release
    before this ended without telling; its reason stays."""
    ends, names = Ends(database), ("alive", "idle", "old", "ended")
    await ends.have(*names, seen_at=95)
    for name, changes in (
        ("idle", {"seen_at": 80}),
        ("old", {"expires_at": 100}),
        ("ended", {"ended_at": 90, "ended_why": "logged_out"}),
        ("alive", {"expires_at": 101}),
    ):
        await database.run(update(sessions).where(sessions.c.id == name).values(changes))
    ends.clock.at = 100
    for _ in range(2):
        await ends.run_out(idle_seconds=20)
    assert await ends.told(*names) == ["idle", "old", "ended"]
    reasons = {row[0]: row[3] for row in await ends.rows()}
    assert reasons == {"alive": "", "idle": "expired", "old": "expired", "ended": "logged_out"}


async def test_a_transaction_that_fails_tells_nobody(database: Database) -> None:
    """What must be delivered is written with the change, or not at all."""
    ends = Ends(database)
    await ends.have("one")

    async def work(tx: Transaction) -> None:
        await ends.end(tx, "one", Ending.LOGGED_OUT)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    assert await ends.told("one") == []
    assert len(await database.all(select(session_parties))) == 1


def test_sessions_end_in_one_place() -> None:
    """No other module writes the columns by which a session ends."""
    folder = Path(schema.__file__).parent.parent
    writers = {
        str(file.relative_to(folder))
        for file in folder.rglob("*.py")
        if "migrations" not in file.parts and "ended_why" in file.read_text(encoding="utf-8")
    }
    assert writers == {"kernel/tables.py", "login/endings.py", "login/session.py"}
