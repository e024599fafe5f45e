"""Many pages ask at the same time; each hears of its own login."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from idp.kernel.database import Database, Row
from idp.kernel.errors import Unavailable
from idp.login import store
from idp.login.polls import Polls

NUMBER = 100


@pytest.fixture
async def waiting(database: Database) -> list[str]:
    """The ids of logins of which every third has an attempt."""
    ids = [f"login-{n:03d}" for n in range(NUMBER)]
    for n, login in enumerate(ids):
        attempt = f"attempt-{n:03d}" if n % 3 == 0 else None
        await database.run(
            store.INSERT_LOGIN, id=login, browser=f"browser-{n}", reference="", relying_party="web",
            purpose="{}", attempts=0, attempt_id=attempt, session_id=None, created_at=1,
            expires_at=2, finished_at=None,
        )  # fmt: skip
        if attempt:
            await database.run(
                store.INSERT_ATTEMPT, id=attempt, login_id=login, relying_party="web", browser="",
                method="qr", system="", handle=None, number_index=None, number_sealed=None,
                challenge="{}", only_for="", brought="", state="pending", why="", opened_at=1,
                expires_at=2, asked_at=n,
            )  # fmt: skip
    return ids


def _plain(row: Row | None) -> dict[str, Any] | None:
    return None if row is None else dict(row)


def statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with every statement that reads."""
    seen: list[str] = []
    for name in ("one", "all"):
        inner = getattr(database, name)

        async def counted(*args: Any, name: str = name, inner: Any = inner, **params: Any) -> Any:
            seen.append(name)
            await asyncio.sleep(0.001)  # on SQLite a statement takes no time
            return await inner(*args, **params)

        monkeypatch.setattr(database, name, counted)
    return seen


async def test_each_hears_of_its_own(
    database: Database, waiting: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once, one of them unknown: the rows are those that LOGIN reads, in few statements."""
    ids = [*waiting, "nobody"]
    alone = [await database.one(store.LOGIN, id=login) for login in ids]
    seen, polls = statements(database, monkeypatch), Polls(database)
    together = await asyncio.gather(*(polls.login(login) for login in ids))
    assert [_plain(row) for row in together] == [_plain(row) for row in alone]
    assert [row and row["attempt__asked_at"] for row in together[:4]] == [0, None, None, 3]
    assert together[-1] is None
    assert len(seen) <= 2 + NUMBER // store.TOGETHER


async def test_later_questions_are_read_anew(database: Database, waiting: list[str]) -> None:
    """Nothing is remembered: what changed between two polls is seen by the second."""
    polls = Polls(database)
    first = await polls.login(waiting[0])
    await database.run(store.CANCEL, key=waiting[0], now=7)
    second = await polls.login(waiting[0])
    assert first and second
    assert (first["finished_at"], second["finished_at"]) == (None, 7)


async def test_who_asks_during_a_read_is_read_anew(
    database: Database, waiting: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a read under way has seen may be old already: the next one answers."""
    polls, begun, go_on = Polls(database), asyncio.Event(), asyncio.Event()
    one = database.one

    async def slow(*args: Any, **params: Any) -> Row | None:
        row = await one(*args, **params)
        begun.set()
        await go_on.wait()
        return row

    monkeypatch.setattr(database, "one", slow)
    first = asyncio.create_task(polls.login(waiting[0]))
    await begun.wait()
    await database.run(store.CANCEL, key=waiting[0], now=7)
    second = asyncio.create_task(polls.login(waiting[0]))
    await asyncio.sleep(0)
    go_on.set()
    rows = await asyncio.gather(first, second)
    assert [row and row["finished_at"] for row in rows] == [None, 7]


async def test_who_hangs_up_takes_nobody_along(database: Database, waiting: list[str]) -> None:
    """A browser that closes its connection in the middle leaves the others their answers."""
    polls = Polls(database)
    asked = [asyncio.create_task(polls.login(waiting[0])) for _ in range(3)]
    asked += [asyncio.create_task(polls.login(login)) for login in waiting[1:5]]
    await asyncio.sleep(0)
    asked[0].cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    found = [dict(answer)["id"] for answer in answers[1:]]  # type: ignore[arg-type]
    assert found == [waiting[0], waiting[0], *waiting[1:5]]


async def test_a_store_that_is_away_is_told_to_all(
    database: Database, waiting: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody who waits is told by the first failure, and not one batch after another; the
    next who asks is answered."""
    polls, tried = Polls(database), []

    async def away(*_: Any, **__: Any) -> None:
        tried.append(1)
        await asyncio.sleep(0.01)
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(database, "one", away)
        patch.setattr(database, "all", away)
        found = await asyncio.gather(
            *(polls.login(login) for login in waiting), return_exceptions=True
        )
        assert {type(answer) for answer in found} == {Unavailable}
        assert len(tried) == 1
    row = await polls.login(waiting[0])
    assert row is not None
