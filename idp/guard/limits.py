"""How often, and how many at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from limits import RateLimitItem, RateLimitItemPerSecond, WindowStats, parse_many
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter

from ..rates import MemoryWindows, source_of
from .answers import UNCOUNTED, USED_UP, Stopped

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """TDX's own numbers. `plans` are named texts of the limits library, e.g.
    {"basic": "5/second;20000/day"}; a rule names one, or a token's role does."""

    per_second: int = 50
    connections: int = 60
    plans: Mapping[str, str] = field(default_factory=dict)
    redis_url: str = ""
    fail_open: bool = False


class Meter:
    """Counts in memory for one process, in Redis for several; connections always in each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        storage: Storage = MemoryWindows()
        if limits.redis_url:
            storage = RedisStorage(f"async+{limits.redis_url}", implementation="redispy")
        self._limiter = FixedWindowRateLimiter(storage)
        self._rate = RateLimitItemPerSecond(limits.per_second)
        self._plans = {name: parse_many(text) for name, text in limits.plans.items()}
        self._open: Counter[str] = Counter()

    @contextmanager
    def connection(self, address: str) -> Iterator[None]:
        """At most so many at once from one address, counted in each process."""
        address = source_of(address)
        if self._open[address] >= self._limits.connections:
            raise Stopped(416, "too many connections")
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    async def rate(self, address: str) -> None:
        passed = await self._asked(self._limiter.hit(self._rate, "address", source_of(address)))
        if passed is False:
            raise Stopped(423, "too many requests in a second", {"Retry-After": "1"})

    async def quota(self, plan: str, key: str) -> dict[str, str]:
        """RateLimit headers for the tightest window of the plan; raises Stopped (429)."""
        windows: list[dict[str, str]] = []
        for item in self._plans.get(plan, ()):
            passed = await self._asked(self._limiter.hit(item, "plan", plan, key))
            window = await self._asked(self._limiter.get_window_stats(item, "plan", plan, key))
            if window is None:
                continue
            told = _told(item, window)
            if passed is False:
                raise Stopped(429, USED_UP, {**told, "Retry-After": told["RateLimit-Reset"]})
            windows.append(told)
        return min(windows, key=lambda told: int(told["RateLimit-Remaining"]), default={})

    async def first(self, mark: str, seconds: int) -> bool:
        """Whether nobody came with this mark so far; it is remembered for these seconds. While the
        store is away: raises Stopped, or yes if the agency chose to go on."""
        once = RateLimitItemPerSecond(1, seconds)
        return await self._asked(self._limiter.hit(once, "proof", mark)) is not False

    async def _asked(self, question: Awaitable[T]) -> T | None:
        """The store's answer. While it is away: None if the agency chose to go on uncounted,
        else raises Stopped (503)."""
        try:
            return await question
        except Exception:  # the redis client raises many kinds
            if not self._limits.fail_open:
                raise Stopped(503, "limits unavailable", {"Retry-After": "5"}) from None
        UNCOUNTED.inc()
        return None

    def plan_among(self, roles: Iterable[str]) -> str:
        """The plan of a token: named as one of its roles."""
        return next((role for role in roles if role in self._plans), "")


def _told(item: RateLimitItem, window: WindowStats) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(item.amount),
        "RateLimit-Remaining": str(max(0, window.remaining)),
        "RateLimit-Reset": str(max(1, round(window.reset_time - time.time()))),
    }
