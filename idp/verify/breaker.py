"""A circuit breaker. Pure: told the time, it decides; it neither waits nor calls.

closed ──`failures` within `window` seconds, and half of the calls or more──▶ open
open   ──every `pause` seconds one call is let through as a probe──▶ closed if it succeeds
"""

from __future__ import annotations

from collections import deque


class Breaker:
    """All times are seconds of one monotonic clock. A probe that never reports back (its caller
    went away) holds nothing up: the next one is let through after another `pause`."""

    def __init__(self, failures: int = 10, window: float = 10.0, pause: float = 3.0) -> None:
        self._failures = failures
        self._window = window
        self._pause = pause
        self._calls: deque[tuple[float, bool]] = deque()
        self._next_probe: float | None = None  # None: closed

    @property
    def is_open(self) -> bool:
        return self._next_probe is not None

    def allow(self, now: float) -> bool:
        """Whether a call may go out. While open this lets through one probe per pause."""
        if self._next_probe is None:
            return True
        if now < self._next_probe:
            return False
        self._next_probe = now + self._pause
        return True

    def retry_after(self, now: float) -> int:
        """Whole seconds until the next probe, at least 1."""
        return max(1, int((self._next_probe or now) - now) + 1)

    def succeeded(self, now: float) -> None:
        if self._next_probe is not None:
            self._next_probe = None
            self._calls.clear()
        self._record(now, True)

    def failed(self, now: float) -> None:
        if self._next_probe is not None:
            self._next_probe = now + self._pause
            return
        self._record(now, False)
        bad = sum(1 for _, good in self._calls if not good)
        # a busy service loses a call now and then: that alone must not close the door for all
        if bad >= self._failures and 2 * bad >= len(self._calls):
            self._next_probe = now + self._pause

    def _record(self, now: float, good: bool) -> None:
        self._calls.append((now, good))
        while self._calls and self._calls[0][0] <= now - self._window:
            self._calls.popleft()
