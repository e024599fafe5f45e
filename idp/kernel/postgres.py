"""PostgreSQL, through asyncpg itself: what kernel.database promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql.asyncpg import dialect as AsyncpgDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Executable

from idp.kernel.database import Conflict, Row, T, Transaction, Translated, prepare, prepare_many
from idp.kernel.errors import Unavailable

RETRIES = 3  # a deadlock or serialization failure is tried again this often
STATEMENT_TIMEOUT = 3.0  # seconds
POOL_WAIT = 2.0  # seconds for one of the pool's connections

_POSTGRES: Dialect = AsyncpgDialect()  # type: ignore[no-untyped-call]
_CLOCK = select(func.extract("epoch", func.clock_timestamp()).label("now"))
_AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class _PostgresTransaction:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._acts: list[Callable[[], None]] = []

    async def one(self, statement: Executable, **params: Any) -> Row | None:
        sql, values = prepare(statement, _POSTGRES, params)
        with _postgres_errors:
            row: Row | None = await self._connection.fetchrow(sql, *values)
        return row

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        sql, values = prepare(statement, _POSTGRES, params)
        with _postgres_errors:
            rows: list[Row] = await self._connection.fetch(sql, *values)
        return rows

    async def run(self, statement: Executable, **params: Any) -> int:
        sql, values = prepare(statement, _POSTGRES, params)
        with _postgres_errors:
            tag: str = await self._connection.execute(sql, *values)
        return int(tag.rsplit(" ", 1)[-1])

    async def run_many(self, statement: Executable, rows: Sequence[Row]) -> None:
        sql, values = prepare_many(statement, _POSTGRES, rows)
        with _postgres_errors:
            await self._connection.executemany(sql, values)

    def afterwards(self, act: Callable[[], None]) -> None:
        self._acts.append(act)

    def committed(self) -> None:
        for act in self._acts:
            act()


class Postgres:
    """`pool_size` connections, made when it is opened."""

    def __init__(self, url: str, pool_size: int = 8) -> None:
        self._url, self._size = url, pool_size
        self._pool: asyncpg.Pool

    async def open(self) -> None:
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._size,
                timeout=5,
                command_timeout=STATEMENT_TIMEOUT,
                reset=_nothing_to_reset,
                statement_cache_size=500,  # all of ours stay prepared
                max_cached_statement_lifetime=0,
                server_settings={
                    "timezone": "UTC",
                    "statement_timeout": str(int(STATEMENT_TIMEOUT * 1000)),
                    "idle_in_transaction_session_timeout": "5000",
                },
            )
        except (OSError, asyncpg.PostgresError, TimeoutError) as away:
            raise Unavailable(detail=f"PostgreSQL: {away}") from away

    async def one(self, statement: Executable, **params: Any) -> Row | None:
        return await self._with(lambda tx: tx.one(statement, **params))

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        return await self._with(lambda tx: tx.all(statement, **params))

    async def run(self, statement: Executable, **params: Any) -> int:
        return await self._until_done(lambda tx: tx.run(statement, **params), atomic=False)

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._until_done(work, atomic=True)

    async def _until_done(
        self, work: Callable[[_PostgresTransaction], Awaitable[T]], *, atomic: bool
    ) -> T:
        for last in (False,) * RETRIES + (True,):
            try:
                return await self._with(work, atomic=atomic)
            except _Again:
                if last:
                    raise Unavailable(detail="too many serialization failures") from None
        raise AssertionError("unreachable")

    async def time(self) -> float:
        row = await self.one(_CLOCK)
        return float(row["now"]) if row else 0.0

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except (TimeoutError, *_AWAY):
            self._pool.terminate()

    async def _with(
        self, work: Callable[[_PostgresTransaction], Awaitable[T]], *, atomic: bool = False
    ) -> T:
        """On a connection of its own. Raises Conflict, Unavailable, _Again."""
        with _postgres_errors:
            async with self._pool.acquire(timeout=POOL_WAIT) as connection:
                tx = _PostgresTransaction(connection)
                if not atomic:
                    return await work(tx)
                async with connection.transaction():
                    result = await work(tx)
                tx.committed()
                return result


class _Again(Unavailable):
    """Run the transaction once more."""


def _postgres_meaning(error: BaseException) -> Exception | None:
    if isinstance(error, asyncpg.UniqueViolationError):
        return Conflict(str(error.constraint_name))
    if isinstance(error, _AGAIN):
        return _Again()
    if isinstance(error, _AWAY):
        return Unavailable(detail=f"PostgreSQL: {type(error).__name__}")
    return None


_postgres_errors = Translated(_postgres_meaning)


async def _nothing_to_reset(_connection: object) -> None:
    """asyncpg's own reset would be a round trip after every use. Nothing here changes a
    connection's state: no SET, LISTEN, cursor or advisory lock; and what is left of a transaction
    asyncpg rolls back before it calls this."""
