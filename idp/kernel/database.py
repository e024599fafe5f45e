"""SQL by SQLAlchemy Core, run by the drivers themselves.

Statements are module constants with named parameters (no IN over a list, which would be expanded
at each run: or_, or a fixed number of parameters). Each is compiled once per dialect and then
handed to asyncpg, or to sqlite3 on the loop (4-26 µs: a thread hop would cost twenty times that).

    await db.one(SELECT_CLIENT, client_id="…")          → Row | None
    await db.all(SELECT_KEYS)                            → list[Row]
    await db.run(TOUCH_SESSION, key="…")                 → the number of rows changed
    await db.write(work)                                 → what `async def work(tx)` returns

`work` runs in one transaction and may be run again after a lost lock, so it must not do anything
but talk to `tx`. Raises Conflict when a unique key is taken (the transaction is then over),
Unavailable when the store is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql.asyncpg import dialect as AsyncpgDialect
from sqlalchemy.dialects.sqlite.pysqlite import dialect as SqliteDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Executable

from idp.kernel.errors import Unavailable

T = TypeVar("T")
Row = Mapping[str, Any]

WAIT = 5.0  # seconds a write waits for SQLite's one writer before it answers 503
RETRIES = 3  # a deadlock or serialization failure is tried again this often
STATEMENT_TIMEOUT = 3.0
POOL_WAIT = 2.0  # seconds for one of PostgreSQL's connections


class Conflict(Exception):
    """A unique key is taken already: somebody else was first."""


class Reader(Protocol):
    async def one(self, statement: Executable, **params: Any) -> Row | None: ...
    async def all(self, statement: Executable, **params: Any) -> list[Row]: ...


class Writer(Reader, Protocol):
    async def run(self, statement: Executable, **params: Any) -> int:
        """The number of rows changed: what decides a compare-and-swap. On a Database it is a
        transaction of its own, which after Unavailable may have been done all the same."""
        ...


class Transaction(Writer, Protocol):
    async def run_many(self, statement: Executable, rows: Sequence[Row]) -> None:
        """The same statement for each row of parameters, in one round trip."""
        ...


class Database(Writer, Protocol):
    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T: ...
    async def time(self) -> float:
        """The store's own UTC clock, in seconds."""
        ...

    async def close(self) -> None: ...


@functools.lru_cache(maxsize=1024)
def _compiled(
    statement: Executable, dialect: Dialect
) -> tuple[str, tuple[str, ...], frozenset[str], Row]:
    """SQL text, its parameters in order and as a set, and their defaults."""
    compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
    order = tuple(compiled.positiontup or ())
    required = {b.key for b in compiled.binds.values() if b.required}
    defaults = {k: v for k, v in compiled.params.items() if k not in required}
    return str(compiled), order, frozenset(order), defaults


def _prepare(statement: Executable, dialect: Dialect, params: Row) -> tuple[str, list[Any]]:
    sql, order, known, defaults = _compiled(statement, dialect)
    if not params.keys() <= known:
        raise TypeError(f"unknown parameters {params.keys() - known}")
    return sql, [params[name] if name in params else defaults[name] for name in order]


def _prepare_many(
    statement: Executable, dialect: Dialect, rows: Sequence[Row]
) -> tuple[str, list[list[Any]]]:
    sql, order, _, defaults = _compiled(statement, dialect)
    return sql, [[row[n] if n in row else defaults[n] for n in order] for row in rows]


class _Translated:
    """A driver's error as ours. Not a generator: that would cost as much as a statement."""

    def __init__(self, meaning: Callable[[BaseException], Exception | None]) -> None:
        self._meaning = meaning

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        meant = self._meaning(error) if error else None
        if meant:
            raise meant from error


async def connect(url: str, pool_size: int = 8) -> Database:
    """Raises Unavailable."""
    if url.startswith("sqlite:"):
        return Sqlite(sqlite_file(url))
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=pool_size,
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
    return Postgres(pool)


async def _nothing_to_reset(_connection: object) -> None:
    """asyncpg's own would be a round trip after every use. Nothing here changes a connection's
    state: no SET, LISTEN, cursor or advisory lock; and what is left of a transaction it rolls
    back by itself before it calls this."""


def sqlite_file(url: str) -> Path:
    """sqlite:///relative/file or sqlite:////absolute/file."""
    return Path(urlsplit(url).path.removeprefix("/"))


# ── PostgreSQL ──────────────────────────────────────────────────────────────────────────────────

_POSTGRES: Dialect = AsyncpgDialect()  # type: ignore[no-untyped-call]
_CLOCK = select(func.extract("epoch", func.clock_timestamp()).label("now"))
_AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class _PostgresTransaction:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def one(self, statement: Executable, **params: Any) -> Row | None:
        sql, values = _prepare(statement, _POSTGRES, params)
        with _postgres_errors:
            row: Row | None = await self._connection.fetchrow(sql, *values)
        return row

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        sql, values = _prepare(statement, _POSTGRES, params)
        with _postgres_errors:
            rows: list[Row] = await self._connection.fetch(sql, *values)
        return rows

    async def run(self, statement: Executable, **params: Any) -> int:
        sql, values = _prepare(statement, _POSTGRES, params)
        with _postgres_errors:
            tag: str = await self._connection.execute(sql, *values)
        return int(tag.rsplit(" ", 1)[-1])

    async def run_many(self, statement: Executable, rows: Sequence[Row]) -> None:
        sql, values = _prepare_many(statement, _POSTGRES, rows)
        with _postgres_errors:
            await self._connection.executemany(sql, values)


class Postgres:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

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
                if not atomic:
                    return await work(_PostgresTransaction(connection))
                async with connection.transaction():
                    return await work(_PostgresTransaction(connection))


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


_postgres_errors = _Translated(_postgres_meaning)


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────

_SQLITE = SqliteDialect()


class _SqliteReader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def one(self, statement: Executable, **params: Any) -> Row | None:
        with _sqlite_errors:
            row: Row | None = self._execute(statement, params).fetchone()
        return row

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        with _sqlite_errors:
            return list(self._execute(statement, params).fetchall())

    async def run(self, statement: Executable, **params: Any) -> int:
        with _sqlite_errors:
            return self._execute(statement, params).rowcount

    async def run_many(self, statement: Executable, rows: Sequence[Row]) -> None:
        sql, values = _prepare_many(statement, _SQLITE, rows)
        with _sqlite_errors:
            self._connection.executemany(sql, values)

    def _execute(self, statement: Executable, params: Row) -> sqlite3.Cursor:
        sql, values = _prepare(statement, _SQLITE, params)
        return self._connection.execute(sql, values)


class Sqlite:
    """One connection reads, one writes. Nothing inside a transaction ever suspends (its awaits
    are plain calls), so transactions of one process cannot interleave; those of other processes
    are kept out by BEGIN IMMEDIATE, retried here without freezing the loop."""

    def __init__(self, file: Path) -> None:
        self._reads = _open(file)
        self._writes = _open(file)
        self._reader = _SqliteReader(self._reads)
        self._writer = _SqliteReader(self._writes)
        self._turn = asyncio.Lock()

    async def one(self, statement: Executable, **params: Any) -> Row | None:
        return await self._reader.one(statement, **params)

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        return await self._reader.all(statement, **params)

    async def run(self, statement: Executable, **params: Any) -> int:
        return await self.write(lambda tx: tx.run(statement, **params))

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._my_turn():
            await self._begin()
            try:
                result = await work(self._writer)
                with _sqlite_errors:
                    self._writes.execute("COMMIT")
            except BaseException:
                if self._writes.in_transaction:
                    self._writes.execute("ROLLBACK")
                raise
            return result

    @contextlib.asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(WAIT):
                await self._turn.acquire()
        except TimeoutError:
            raise Unavailable(detail="SQLite: too many wait to write") from None
        try:
            yield
        finally:
            self._turn.release()

    async def _begin(self) -> None:
        pause, waited = 0.002, 0.0
        while True:
            try:
                with _sqlite_errors:
                    self._writes.execute("BEGIN IMMEDIATE")
                return
            except _Locked:
                if waited >= WAIT:
                    raise Unavailable(detail="SQLite: the write lock is taken") from None
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, 0.05)

    async def time(self) -> float:
        with _sqlite_errors:
            found = self._reads.execute("SELECT (julianday('now') - 2440587.5) * 86400.0")
            return float(found.fetchone()[0])

    async def close(self) -> None:
        self._reads.close()
        self._writes.close()


_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class _Locked(Unavailable):
    """Another process is writing."""


def _open(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    with _sqlite_errors:
        connection = sqlite3.connect(file, timeout=5, isolation_level=None)
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        # from here on the loop must not stand still: whoever waits does so in `_begin`
        connection.execute("PRAGMA busy_timeout=0")
    return connection


def _sqlite_meaning(error: BaseException) -> Exception | None:
    if not isinstance(error, sqlite3.DatabaseError):
        return None
    if isinstance(error, sqlite3.IntegrityError) and error.sqlite_errorcode in _TAKEN:
        return Conflict(str(error))
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in _BUSY:
        return _Locked(detail="SQLite: locked")
    return Unavailable(detail=f"SQLite: {error}")


_sqlite_errors = _Translated(_sqlite_meaning)
