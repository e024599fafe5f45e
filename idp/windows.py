"""Rate windows in the memory of one process: for the kernel's throttle and for the guard."""

from __future__ import annotations

import time

from limits.aio.storage import MemoryStorage

SWEEP = 1.0  # seconds between two looks for windows that are over


class MemoryWindows(MemoryStorage):
    """Corrects limits 5.8, where every hit starts a task that looks through all windows for those
    that are over: with ten thousand callers a hit would cost ten thousand looks. Here nothing
    waits in the middle of a count, so it needs no lock."""

    _swept_at = 0.0

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = time.time()
        if now >= self._swept_at + SWEEP:
            self._swept_at = now
            for over in [one for one, end in self.expirations.items() if end <= now]:
                await self.clear(over)
        if self.expirations.get(key, 0) <= now:
            self.storage[key], self.expirations[key] = 0, now + expiry
        self.storage[key] += amount
        return self.storage[key]
