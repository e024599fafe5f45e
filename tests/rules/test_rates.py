"""Rate windows in memory."""

from __future__ import annotations

import time

import pytest
from limits import RateLimitItemPerSecond
from limits.aio.strategies import FixedWindowRateLimiter

from idp.rates import MemoryWindows


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which only the test moves."""
    at = [1000.0]
    monkeypatch.setattr(time, "time", lambda: at[0])
    return at


async def test_a_window_counts_and_ends(now: list[float]) -> None:
    """Up to the limit within the window, and again from nothing after it."""
    limiter, rate = FixedWindowRateLimiter(MemoryWindows()), RateLimitItemPerSecond(2)
    assert [await limiter.hit(rate, "a") for _ in range(3)] == [True, True, False]
    assert await limiter.hit(rate, "b")
    now[0] += 1
    assert await limiter.hit(rate, "a")


async def test_what_is_left_of_a_window_is_told(now: list[float]) -> None:
    """The end and the rest, which go out as Retry-After and RateLimit headers."""
    limiter, rate = FixedWindowRateLimiter(MemoryWindows()), RateLimitItemPerSecond(3, 10)
    await limiter.hit(rate, "a")
    now[0] += 4
    told = await limiter.get_window_stats(rate, "a")
    assert (told.reset_time, told.remaining) == (1010, 2)


async def test_windows_that_are_over_are_forgotten(now: list[float]) -> None:
    """Whoever comes once with a thousand names leaves nothing behind."""
    storage = MemoryWindows()
    limiter, rate = FixedWindowRateLimiter(storage), RateLimitItemPerSecond(1)
    for number in range(1000):
        await limiter.hit(rate, str(number))
    now[0] += 2
    await limiter.hit(rate, "last")
    assert len(storage.storage) == len(storage.expirations) == 1


async def test_a_clock_that_is_set_back_locks_nobody_out(now: list[float]) -> None:
    """What was counted in a time that has not been yet is over, and is swept as ever."""
    storage = MemoryWindows()
    limiter, rate = FixedWindowRateLimiter(storage), RateLimitItemPerSecond(1, 60)
    assert [await limiter.hit(rate, "a") for _ in range(2)] == [True, False]
    now[0] -= 3600
    assert [await limiter.hit(rate, "a") for _ in range(2)] == [True, False]
    now[0] += 61
    await limiter.hit(rate, "b")
    assert len(storage.storage) == 1
