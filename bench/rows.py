"""What a line of the table is, and how it is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bench import load
from bench.load import Sent
from bench.servers import cpu

LATER = 1.6  # seconds in which a bridge finishes what it has put off
Fire = Callable[[], Awaitable[Sent]]
Make = Callable[[], Awaitable[Sequence[bytes]]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard one measurement tries."""

    seconds: float
    once: int  # how many of what can be done only once


@dataclass(frozen=True, slots=True)
class Goal:
    """`share`: at least this share of the throughput of the row `than`. `most`: at most so many
    microseconds more than the row `than`, or in all."""

    share: float = 0
    most: float = 0
    than: str = ""

    def met(self, cost: float, other: float) -> bool:
        if self.share:
            return other / cost >= self.share
        return cost - (other if self.than else 0) <= self.most

    def __str__(self) -> str:
        than = f" {self.than}" if self.than else ""
        return (
            f"≥ {self.share:g} of{than}"
            if self.share
            else f"≤ {self.most:g} µs{than and ' over' + than}"
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: who is measured (`pid`), and how to get ready to fire at it."""

    name: str
    place: str
    pid: int
    prepare: Callable[[Effort], Awaitable[Fire]]
    goal: Goal | None = None


async def measure(row: Row, effort: Effort) -> tuple[float, Sent]:
    """(microseconds of CPU per request, what was sent). What the server does later for these
    requests, such as writing down the audit trail, is waited for and counted."""
    fire = await row.prepare(effort)
    before = cpu(row.pid)
    sent = await fire()
    await asyncio.sleep(0.1 if row.place == "bare" else LATER)
    return (cpu(row.pid) - before) / (sent.answers + sent.unseen), sent


def saturating(port: int, host: str, make: Make) -> Callable[[Effort], Awaitable[Fire]]:
    """As many of these requests as the server takes."""

    async def prepare(effort: Effort) -> Fire:
        requests = load.addressed(await make(), host)
        return lambda: load.saturate(port, requests, effort.seconds)

    return prepare
