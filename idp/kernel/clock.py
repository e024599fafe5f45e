"""Time and chance, handed in, so that tests own both."""

from __future__ import annotations

import asyncio
import secrets
import time


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


def token(size: int = 32) -> str:
    """`size` random bytes as base64url: safe in URLs, forms and headers without encoding."""
    return secrets.token_urlsafe(size)


def reference() -> str:
    """A short reference that a person can read out on the phone: no 0/O, 1/I/L."""
    return "".join(secrets.choice("23456789ABCDEFGHJKMNPQRSTUVWXYZ") for _ in range(10))
