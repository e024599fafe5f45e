"""SQL by SQLAlchemy Core, run by the drivers themselves.

Statements are module constants with named parameters (no IN lists, which would be expanded at
each run: or_ instead). Each is compiled once per dialect and then handed to asyncpg, or to
sqlite3 on the loop (4-26 µs: a thread hop would cost twenty times that).

    await db.one(SELECT_CLIENT, client_id="…")          → Row | None
    await db.all(SELECT_KEYS)                            → list[Row]
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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import asyncpg
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


class Transaction(Reader, Protocol):
    async def run(self, statement: Executable, **params: Any) -> int:
        """The number of rows changed: what decides a compare-and-swap."""
        ...

    async def run_many(self, statement: Executable, rows: Sequence[Row]) -> None:
        """The same statement for each row of parameters, in one round trip."""
        ...


class Database(Reader, Protocol):
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
_AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class _PostgresReader:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def one(self, statement: Executable, **params: Any) -> Row | None:
        sql, values = _prepare(statement, _POSTGRES, params)
        with _postgres_errors():
            row: Row | None = await self._connection.fetchrow(sql, *values)
        return row

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        sql, values = _prepare(statement, _POSTGRES, params)
        with _postgres_errors():
            rows: list[Row] = await self._connection.fetch(sql, *values)
        return rows


class _PostgresTransaction(_PostgresReader):
    async def run(self, statement: Executable, **params: Any) -> int:
        sql, values = _prepare(statement, _POSTGRES, params)
        with _postgres_errors():
            tag: str = await self._connection.execute(sql, *values)
        return int(tag.rsplit(" ", 1)[-1])

    async def run_many(self, statement: Executable, rows: Sequence[Row]) -> None:
        sql, values = _prepare_many(statement, _POSTGRES, rows)
        with _postgres_errors():
            await self._connection.executemany(sql, values)


class Postgres:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def one(self, statement: Executable, **params: Any) -> Row | None:
        async with self._connection() as connection:
            return await _PostgresReader(connection).one(statement, **params)

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        async with self._connection() as connection:
            return await _PostgresReader(connection).all(statement, **params)

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        for last in (False,) * RETRIES + (True,):
            try:
                async with self._connection() as connection, connection.transaction():
                    return await work(_PostgresTransaction(connection))
            except _Again:
                if last:
                    raise Unavailable(detail="too many serialization failures") from None
        raise AssertionError("unreachable")

    async def time(self) -> float:
        async with self._connection() as connection:
            return float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except (TimeoutError, *_AWAY):
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with _postgres_errors():
            async with self._pool.acquire(timeout=POOL_WAIT) as connection:
                yield connection


class _Again(Exception):
    """Run the transaction once more."""


@contextlib.contextmanager
def _postgres_errors() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as taken:
        raise Conflict(str(taken.constraint_name)) from taken
    except _AGAIN as again:
        raise _Again from again
    except _AWAY as away:
        raise Unavailable(detail=f"PostgreSQL: {type(away).__name__}") from away


# ── SQLite ──────────────────────────────────────────────────────────────────────────────────────

_SQLITE = SqliteDialect()


class _SqliteReader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def one(self, statement: Executable, **params: Any) -> Row | None:
        with _sqlite_errors():
            row: Row | None = self._execute(statement, params).fetchone()
        return row

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        with _sqlite_errors():
            return list(self._execute(statement, params).fetchall())

    async def run(self, statement: Executable, **params: Any) -> int:
        with _sqlite_errors():
            return self._execute(statement, params).rowcount

    async def run_many(self, statement: Executable, rows: Sequence[Row]) -> None:
        sql, values = _prepare_many(statement, _SQLITE, rows)
        with _sqlite_errors():
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

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._my_turn():
            await self._begin()
            try:
                result = await work(self._writer)
                with _sqlite_errors():
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
                with _sqlite_errors():
                    self._writes.execute("BEGIN IMMEDIATE")
                return
            except _Locked:
                if waited >= WAIT:
                    raise Unavailable(detail="SQLite: the write lock is taken") from None
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, 0.05)

    async def time(self) -> float:
        with _sqlite_errors():
            found = self._reads.execute("SELECT (julianday('now') - 2440587.5) * 86400.0")
            return float(found.fetchone()[0])

    async def close(self) -> None:
        self._reads.close()
        self._writes.close()


_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


class _Locked(Unavailable):
    """Another process is writing."""


def _open(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    with _sqlite_errors():
        connection = sqlite3.connect(file, timeout=5, isolation_level=None)
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        # from here on the loop must not stand still: whoever waits does so in `_begin`
        connection.execute("PRAGMA busy_timeout=0")
    return connection


@contextlib.contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as broken:
        if broken.sqlite_errorcode in _TAKEN:
            raise Conflict(str(broken)) from broken
        raise Unavailable(detail=f"SQLite: {broken}") from broken
    except sqlite3.OperationalError as away:
        if away.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise _Locked(detail="SQLite: locked") from away
        raise Unavailable(detail=f"SQLite: {away}") from away
    except sqlite3.DatabaseError as away:
        raise Unavailable(detail=f"SQLite: {away}") from away
