"""Many pages ask at the same time; each hears of its own login."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert

from idp.kernel.database import Database
from idp.kernel.errors import Unavailable
from idp.kernel.tables import attempts, logins
from idp.kernel.together import Together
from idp.login import store
from idp.login.store import LoginAndAttempt

NUMBER = 100


@pytest.fixture
async def waiting(database: Database) -> list[str]:
    """The ids of logins of which every third has an attempt."""
    ids = [f"login-{n:03d}" for n in range(NUMBER)]
    for n, login in enumerate(ids):
        attempt = f"attempt-{n:03d}" if n % 3 == 0 else None
        await database.run(
            insert(logins), id=login, browser=f"browser-{n}", reference="", relying_party="web",
            purpose="{}", attempts=0, attempt_id=attempt, session_id=None, created_at=1,
            expires_at=2, finished_at=None,
        )  # fmt: skip
        if attempt:
            await database.run(
                insert(attempts), id=attempt, login_id=login, relying_party="web", browser="",
                method="qr", shows="scan", system="", handle=None, number_index=None,
                number_sealed=None,
                challenge="{}", only_for="", brought="", state="pending", why="", opened_at=1,
                expires_at=2, asked_at=n,
            )  # fmt: skip
    return ids


def polling(database: Database) -> Together[str, LoginAndAttempt]:
    """As the pages of the login poll."""
    return Together(lambda ids: store.find_logins(database, ids), store.TOGETHER)


async def cancel(database: Database, login_id: str) -> None:
    await database.write(lambda tx: store.cancel_login(tx, login_id, 7))


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
    """All at once, one of them unknown: each reads what it would alone, in few statements."""
    ids = [*waiting, "nobody"]
    alone = [await store.find_login(database, login) for login in ids]
    seen, polls = statements(database, monkeypatch), polling(database)
    together = await asyncio.gather(*(polls.get(login) for login in ids))
    assert together == alone
    found = [found and found[1] for found in together[:4]]
    assert [attempt and attempt.asked_at for attempt in found] == [0, None, None, 3]
    assert together[-1] is None
    assert len(seen) <= 2 + NUMBER // store.TOGETHER


async def test_later_questions_are_read_anew(database: Database, waiting: list[str]) -> None:
    """Nothing is remembered: what changed between two polls is seen by the second."""
    polls = polling(database)
    first = await polls.get(waiting[0])
    await cancel(database, waiting[0])
    second = await polls.get(waiting[0])
    assert first and second
    assert (first[0].finished_at, second[0].finished_at) == (None, 7)


async def test_who_asks_during_a_read_is_read_anew(
    database: Database, waiting: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a read under way has seen may be old already: the next one answers."""
    polls, begun, go_on = polling(database), asyncio.Event(), asyncio.Event()
    one = database.one

    async def slow(*args: Any, **params: Any) -> Any:
        row = await one(*args, **params)
        begun.set()
        await go_on.wait()
        return row

    monkeypatch.setattr(database, "one", slow)
    first = asyncio.create_task(polls.get(waiting[0]))
    await begun.wait()
    await cancel(database, waiting[0])
    second = asyncio.create_task(polls.get(waiting[0]))
    await asyncio.sleep(0)
    go_on.set()
    rows = await asyncio.gather(first, second)
    assert [row and row[0].finished_at for row in rows] == [None, 7]


async def test_who_hangs_up_takes_nobody_along(database: Database, waiting: list[str]) -> None:
    """A browser that closes its connection in the middle leaves the others their answers."""
    polls = polling(database)
    asked = [asyncio.create_task(polls.get(waiting[0])) for _ in range(3)]
    asked += [asyncio.create_task(polls.get(login)) for login in waiting[1:5]]
    await asyncio.sleep(0)
    asked[0].cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    found = [answer[0].id for answer in answers[1:] if isinstance(answer, tuple)]
    assert found == [waiting[0], waiting[0], *waiting[1:5]]


async def test_a_store_that_is_away_is_told_to_all(
    database: Database, waiting: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody who waits is told by the first failure, and not one batch after another; the
    next who asks is answered."""
    polls, tried = polling(database), []

    async def away(*_: Any, **__: Any) -> None:
        tried.append(1)
        await asyncio.sleep(0.01)
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(database, "one", away)
        patch.setattr(database, "all", away)
        found = await asyncio.gather(
            *(polls.get(login) for login in waiting), return_exceptions=True
        )
        assert {type(answer) for answer in found} == {Unavailable}
        assert len(tried) == 1
    row = await polls.get(waiting[0])
    assert row is not None
