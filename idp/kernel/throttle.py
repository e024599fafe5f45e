"""Request rates: how many calls a second or minute one source may make.

Windows are kept by the `limits` library, in memory for one process or in Redis for several.
Security limits are not here but in `counters`: losing this store must never unlock anything.
"""

from __future__ import annotations

import time

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from pydantic import SecretStr

from idp.kernel.errors import Unavailable
from idp.rates import MemoryWindows

PerMinute = RateLimitItemPerMinute
PerSecond = RateLimitItemPerSecond


def windows_at(redis_url: SecretStr | None) -> Storage:
    """Where calls are counted: in Redis, or without one in the memory of this process."""
    if redis_url:
        url = f"async+{redis_url.get_secret_value()}"
        return RedisStorage(url, implementation="redispy")
    return MemoryWindows()


class Throttle:
    def __init__(self, windows: Storage) -> None:
        self._windows, self._limiter = windows, FixedWindowRateLimiter(windows)

    async def check(self) -> None:
        """Raises Unavailable while nothing can be counted."""
        try:
            good = await self._windows.check()
        except Exception as away:  # the redis client raises many kinds
            raise Unavailable(detail=f"rate counters: {type(away).__name__}") from away
        if not good:
            raise Unavailable(detail="rate counters: no answer")

    async def hit(self, rate: RateLimitItem, *subject: str) -> int:
        """Counts one call. 0: go on; otherwise the seconds until the window ends.
        Raises Unavailable when the counters are away: limits fail closed."""
        try:
            if await self._limiter.hit(rate, *subject):
                return 0
            window = await self._limiter.get_window_stats(rate, *subject)
        except Exception as away:  # the redis client raises many kinds
            raise Unavailable(detail=f"rate counters: {type(away).__name__}") from away
        # the windows are kept by this machine's clock, not by the corrected one
        return max(1, round(window.reset_time - time.time()))
