"""What a worker does besides answering: small jobs at fixed intervals.

Nobody's login depends on them; several workers may run the same job at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Column, bindparam, delete, select, tuple_
from sqlalchemy.sql import Executable

from idp.kernel.clock import Clock
from idp.kernel.database import Database

log = structlog.get_logger("idp.housekeeping")

SWEEP_BATCH = 500


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    seconds: float
    run: Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def running(jobs: Sequence[Job]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(_repeat(job), name=job.name) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _repeat(job: Job) -> None:
    while True:
        await asyncio.sleep(job.seconds)
        try:
            await job.run()
        except Exception as broken:  # a job that fails once must not stop for ever
            log.warning("housekeeping.failed", job=job.name, why=type(broken).__name__)


async def follow_database_clock(database: Database, clock: Clock) -> None:
    """All replicas decide by the database's time; small jitter is left alone."""
    before = clock.monotonic()
    theirs = await database.time()
    passed = clock.monotonic() - before
    difference = theirs + passed / 2 - clock.precise()
    if abs(difference) > 0.5 + passed:
        clock.offset += difference
        log.warning("clock.corrected", seconds=round(difference, 3))


@dataclass(frozen=True, slots=True)
class Retention:
    """`statement` deletes one small batch of rows whose time lies `before` (a parameter); they are
    kept for `seconds` after that time. Each room lists its own."""

    statement: Executable
    seconds: int


def expired_rows(column: Column[int]) -> Executable:
    """DELETE of one small batch: locks are short and nothing waits long behind it."""
    table = column.table
    key = tuple_(*table.primary_key.columns)
    batch = (
        select(*table.primary_key.columns)
        .where(column < bindparam("before"))
        .order_by(column)
        .limit(SWEEP_BATCH)
    )
    return delete(table).where(key.in_(batch))


def kept(column: Column[int], seconds: int) -> Retention:
    return Retention(expired_rows(column), seconds)


async def sweep(database: Database, retentions: Sequence[Retention], now: int) -> int:
    """Returns the rows removed."""
    removed = 0
    for retention in retentions:
        batch = SWEEP_BATCH
        while batch == SWEEP_BATCH:  # a flood leaves more than one; between two, others write
            batch = await database.run(retention.statement, before=now - retention.seconds)
            removed += batch
            await asyncio.sleep(0)
    return removed
