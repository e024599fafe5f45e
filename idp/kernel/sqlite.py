"""SQLite, on the event loop (4 to 26 µs a statement: a thread hop would cost twenty times that)."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.dialects.sqlite.pysqlite import dialect as SqliteDialect
from sqlalchemy.sql import Executable

from idp.kernel.database import Conflict, Row, T, Transaction, Translated, prepare, prepare_many
from idp.kernel.errors import Unavailable

WAIT = 5.0  # seconds a write waits for the one writer before it answers 503


def sqlite_file(url: str) -> Path:
    """sqlite:///relative/file or sqlite:////absolute/file."""
    return Path(urlsplit(url).path.removeprefix("/"))


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
        sql, values = prepare_many(statement, _SQLITE, rows)
        with _sqlite_errors:
            self._connection.executemany(sql, values)

    def _execute(self, statement: Executable, params: Row) -> sqlite3.Cursor:
        sql, values = prepare(statement, _SQLITE, params)
        return self._connection.execute(sql, values)


class _SqliteTransaction(_SqliteReader):
    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._acts: list[Callable[[], None]] = []

    def afterwards(self, act: Callable[[], None]) -> None:
        self._acts.append(act)

    def committed(self) -> None:
        for act in self._acts:
            act()


class Sqlite:
    """One connection reads, one writes. Nothing inside a transaction ever suspends (its awaits
    are plain calls), so transactions of one process cannot interleave; those of other processes
    are kept out by BEGIN IMMEDIATE, retried here without freezing the loop."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._reads: sqlite3.Connection
        self._writes: sqlite3.Connection
        self._reader: _SqliteReader
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        self._reads, self._writes = _open(self._file), _open(self._file)
        self._reader = _SqliteReader(self._reads)

    async def one(self, statement: Executable, **params: Any) -> Row | None:
        return await self._reader.one(statement, **params)

    async def all(self, statement: Executable, **params: Any) -> list[Row]:
        return await self._reader.all(statement, **params)

    async def run(self, statement: Executable, **params: Any) -> int:
        return await self.write(lambda tx: tx.run(statement, **params))

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        deadline = asyncio.get_running_loop().time() + WAIT
        async with self._my_turn(deadline):
            await self._begin(deadline)
            try:
                tx = _SqliteTransaction(self._writes)
                result = await work(tx)
                with _sqlite_errors:
                    self._writes.execute("COMMIT")
            except BaseException:
                if self._writes.in_transaction:
                    self._writes.execute("ROLLBACK")
                raise
            tx.committed()
            return result

    @contextlib.asynccontextmanager
    async def _my_turn(self, deadline: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            raise Unavailable(detail="SQLite: too many wait to write") from None
        try:
            yield
        finally:
            self._turn.release()

    async def _begin(self, deadline: float) -> None:
        pause, loop = 0.002, asyncio.get_running_loop()
        while True:
            try:
                with _sqlite_errors:
                    self._writes.execute("BEGIN IMMEDIATE")
                return
            except _Locked:
                if loop.time() >= deadline:
                    raise Unavailable(detail="SQLite: the write lock is taken") from None
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.05)

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


def private(file: Path) -> Path:
    """The file, made for this user alone where it is new; SQLite's companions take its mode."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        file.touch(mode=0o600)
    return file


def _open(file: Path) -> sqlite3.Connection:
    private(file)
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


_sqlite_errors = Translated(_sqlite_meaning)
