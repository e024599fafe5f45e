"""Time and chance, handed in, so that tests own both."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta, timezone

from idp.kernel.text import legible


class Clock:
    """UTC seconds. `offset` corrects this machine towards the database's clock, so that every
    replica decides by the same time (kernel.housekeeping keeps it fresh)."""

    offset: float = 0.0

    def precise(self) -> float:
        return time.time() + self.offset

    def now(self) -> int:
        return int(self.precise())

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


TAIPEI = timezone(timedelta(hours=8))  # no summer time since 1979; Shanghai none since 1991


_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=TAIPEI)


def calendar(at: float, zone: timezone = UTC) -> datetime:
    """UTC seconds as a date. What no calendar has is shown as its nearest day: a stored time must
    never stop the page or the command that shows it."""
    seconds = min(max(at, _FIRST.timestamp()), _LAST.timestamp())
    return datetime.fromtimestamp(seconds, zone)


def iso(at: float) -> str:
    """UTC seconds as machines read them: 2026-09-21T14:13:20Z."""
    return calendar(at).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment(at: int) -> dict[str, str]:
    """UTC seconds for <time>: what machines read, and 2026-09-21 22:13 as people in Taiwan do."""
    return {"iso": iso(at), "text": calendar(at, TAIPEI).isoformat(" ", "minutes")[:16]}


def token(size: int = 32) -> str:
    """`size` random bytes as base64url: safe in URLs, forms and headers without encoding."""
    return secrets.token_urlsafe(size)


def reference() -> str:
    """A short reference that a person can read out on the phone."""
    return legible(10)
