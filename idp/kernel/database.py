"""SQL by SQLAlchemy Core, run by the drivers themselves.

Statements are module constants with named parameters (no IN over a list, which would be expanded
at each run: or_, or a fixed number of parameters). Each is compiled once per dialect and then
handed to the driver (kernel.postgres, kernel.sqlite). A parameter of an UPDATE must not have the
name of a column, which SQLAlchemy keeps for itself: it is `key` for `id`, `now` for a time.

    await db.one(SELECT_CLIENT, client_id="…")          → Row | None
    await db.all(SELECT_KEYS)                            → list[Row]
    await db.run(TOUCH_SESSION, key="…")                 → the number of rows changed
    await db.write(work)                                 → what `async def work(tx)` returns

`work` runs in one transaction and may be run again after a lost lock, so it must not do anything
but talk to `tx`. Raises Conflict when a unique key is taken (the transaction is then over),
Unavailable when the store is away.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Executable

T = TypeVar("T")
Row = Mapping[str, Any]


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

    def afterwards(self, act: Callable[[], None]) -> None:
        """Calls `act` once the transaction is committed, and never if it is not."""
        ...


class Database(Writer, Protocol):
    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T: ...
    async def time(self) -> float:
        """The store's own UTC clock, in seconds."""
        ...

    async def open(self) -> None:
        """Raises Unavailable."""
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


def prepare(statement: Executable, dialect: Dialect, params: Row) -> tuple[str, list[Any]]:
    sql, order, known, defaults = _compiled(statement, dialect)
    if not params.keys() <= known:
        raise TypeError(f"unknown parameters {params.keys() - known}")
    return sql, [params[name] if name in params else defaults[name] for name in order]


def prepare_many(
    statement: Executable, dialect: Dialect, rows: Sequence[Row]
) -> tuple[str, list[list[Any]]]:
    sql, order, _, defaults = _compiled(statement, dialect)
    return sql, [[row[n] if n in row else defaults[n] for n in order] for row in rows]


class Translated:
    """A driver's error as ours. Not a generator: that would cost as much as a statement."""

    def __init__(self, meaning: Callable[[BaseException], Exception | None]) -> None:
        self._meaning = meaning

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        meant = self._meaning(error) if error else None
        if meant:
            raise meant from error
