"""Thousands of people wait at the same time, and each page asks every few seconds."""

from __future__ import annotations

import asyncio
from itertools import islice

from idp.kernel.database import Database, Row
from idp.kernel.errors import Unavailable
from idp.login.store import LOGIN, LOGINS, TOGETHER


class Polls:
    """Reads logins, one statement at a time: who asks while one is under way is answered by the
    next, together with all who came meanwhile. Alone, nobody waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: dict[str, asyncio.Future[Row | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def login(self, login_id: str) -> Row | None:
        """As the statement LOGIN would. Raises Unavailable."""
        answer = self._asked.get(login_id)
        if answer is None:
            answer = self._asked[login_id] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(answer)  # one who hangs up must not take the others along

    async def _read(self) -> None:
        try:
            while self._asked:
                asked = {key: self._asked.pop(key) for key in list(islice(self._asked, TOGETHER))}
                await self._answer(asked)
        finally:
            self._reading = None

    async def _answer(self, asked: dict[str, asyncio.Future[Row | None]]) -> None:
        try:
            found = await self._rows(list(asked))
        except BaseException as fault:
            # all who wait are told: a store that hangs must not be tried by one batch after another
            waiting = [*asked.values(), *self._asked.values()]
            self._asked.clear()
            for answer in waiting:
                answer.set_exception(Unavailable(detail="read together"))
                answer.exception()  # told, even if whoever asked has hung up
            if isinstance(fault, Unavailable):
                return
            raise
        for login_id, answer in asked.items():
            answer.set_result(found.get(login_id))

    async def _rows(self, ids: list[str]) -> dict[str, Row]:
        if len(ids) == 1:
            row = await self._database.one(LOGIN, id=ids[0])
            return {ids[0]: row} if row else {}
        # the statement has one length, so that it is prepared once: the last is named repeatedly
        named = {f"id{n}": ids[min(n, len(ids) - 1)] for n in range(TOGETHER)}
        return {row["id"]: row for row in await self._database.all(LOGINS, **named)}
