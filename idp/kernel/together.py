"""Many who ask for one row each at the same time are answered by one statement.

    ask A   ─────►┌────────────┐
                  │  read A    │ A is answered
    ask B   ──► waits          │
    ask C   ──► waits          │
                  └────────────┘──►┌────────────┐
                                   │ read B, C  │ B and C are answered
    ask D   ───────────────────► waits          │
                                   └────────────┘──► read D …

One read is under way at a time. Whoever asks meanwhile is answered by the next one, together with
all who came in between. Alone, nobody waits. With thousands of open pages that poll, the store
answers a few large reads instead of a queue of small ones (docs/decisions/0034).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Generic, TypeVar

from idp.kernel.errors import Unavailable

K = TypeVar("K")
V = TypeVar("V")


class Together(Generic[K, V]):
    """`read` answers for at most `most` keys at once; a key that it leaves out has no value."""

    def __init__(self, read: Callable[[list[K]], Awaitable[Mapping[K, V]]], most: int) -> None:
        self._read, self._most = read, most
        self._asked: dict[K, asyncio.Future[V | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """Raises Unavailable."""
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._work())
        return await asyncio.shield(answer)  # one who hangs up must not take the others along

    async def _work(self) -> None:
        try:
            while self._asked:
                keys = list(islice(self._asked, self._most))
                await self._answer({key: self._asked.pop(key) for key in keys})
        finally:
            self._reading = None

    async def _answer(self, asked: dict[K, asyncio.Future[V | None]]) -> None:
        try:
            found = await self._read(list(asked))
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
        for key, answer in asked.items():
            answer.set_result(found.get(key))
