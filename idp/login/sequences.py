"""Numbers that an upstream account has never seen; a unique key in the store makes sure.

They are reserved in blocks, since a row for each would be a transaction for each. What a process
has left of a block after an hour, or when it ends, is never used.
"""

from __future__ import annotations

import contextlib
import random
import secrets

from idp.kernel.clock import Clock
from idp.kernel.database import Conflict, Database
from idp.login import store

BLOCK, SECONDS = 100, 3600
Number = tuple[int, int]  # UTC seconds, and a number below 10^10


class Sequences:
    def __init__(
        self, database: Database, clock: Clock, chance: random.Random | None = None
    ) -> None:
        self._database, self._clock = database, clock
        self._chance = chance or secrets.SystemRandom()
        self._blocks: dict[str, tuple[int, list[Number]]] = {}  # since when, and what is left

    async def reserve(self, system: str) -> Number:
        now = self._clock.now()
        since, left = self._blocks.get(system, (0, []))
        if not left or now >= since + SECONDS:
            left = await self._block(system, now)
            self._blocks[system] = now, left
        return left.pop()

    async def _block(self, system: str, now: int) -> list[Number]:
        while True:
            start = self._chance.randrange(10**10) // BLOCK * BLOCK
            with contextlib.suppress(Conflict):
                sequence = f"{now % 10**10:010d}{start:010d}"
                await store.reserve_sequence(self._database, system, sequence, now)
                block = [(now, start + i) for i in range(BLOCK)]
                # browsers see some of them: in order, they would tell how many logins lie between
                self._chance.shuffle(block)
                return block
