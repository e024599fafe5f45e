"""Counters for security limits (budgets, lockouts): rows, so that every worker counts the same.

An attempt is counted before it is made: of twenty at once exactly twenty are counted, and only
the first `limit` may go on.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, case, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from idp.kernel.database import Reader, Transaction
from idp.kernel.housekeeping import kept
from idp.kernel.tables import counters


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` in `seconds`. A `lockout` measures from the latest attempt that was let
    through, so that `most` failures always cost the full time; a budget from the first."""

    kind: str
    most: int
    seconds: int
    lockout: bool = False


_ROW = counters.c
_OVER = _ROW.since <= bindparam("cutoff")
_TAKE = (
    insert(counters)
    .values(
        kind=bindparam("kind"),
        subject=bindparam("subject"),
        count=1,
        since=bindparam("now"),
        expires_at=bindparam("end"),
    )
    .on_conflict_do_update(
        index_elements=[_ROW.kind, _ROW.subject],
        set_={
            "count": case((_OVER, 1), else_=_ROW.count + 1),
            "since": case(
                (or_(_OVER, _ROW.count < bindparam("slides_below")), bindparam("now")),
                else_=_ROW.since,
            ),
            "expires_at": case(
                (or_(_OVER, _ROW.count < bindparam("slides_below")), bindparam("end")),
                else_=_ROW.expires_at,
            ),
        },
    )
    .returning(_ROW.count, _ROW.since)
)
_RESET = delete(counters).where(
    _ROW.kind == bindparam("kind"), _ROW.subject == bindparam("subject")
)
_GIVE_BACK = (
    update(counters)
    .where(
        _ROW.kind == bindparam("of_kind"),
        _ROW.subject == bindparam("of_subject"),
        _ROW.count > 0,
    )
    .values(count=_ROW.count - 1)
)
_PEEK = select(_ROW.count, _ROW.since).where(
    _ROW.kind == bindparam("kind"), _ROW.subject == bindparam("subject")
)
RETENTION = (kept(_ROW.expires_at, 0),)


async def take(tx: Transaction, limit: Limit, subject: str, now: int) -> int:
    """Counts one attempt. 0: go on; otherwise the seconds until it may be tried again."""
    row = await tx.one(
        _TAKE,
        kind=limit.kind,
        subject=subject,
        now=now,
        cutoff=now - limit.seconds,
        end=now + limit.seconds,
        slides_below=limit.most if limit.lockout else 0,
    )
    return _wait(limit, row["count"], row["since"], now) if row else 0


async def peek(reader: Reader, limit: Limit, subject: str, now: int) -> int:
    """As `take`, for the attempt that would come next, without counting it."""
    row = await reader.one(_PEEK, kind=limit.kind, subject=subject)
    if row is None or row["since"] <= now - limit.seconds:
        return 0
    return _wait(limit, row["count"] + 1, row["since"], now)


async def give_back(tx: Transaction, limit: Limit, subject: str) -> None:
    """One that was counted turned out to be none of those that the limit is about."""
    await tx.run(_GIVE_BACK, of_kind=limit.kind, of_subject=subject)


async def reset(tx: Transaction, limit: Limit, subject: str) -> None:
    await tx.run(_RESET, kind=limit.kind, subject=subject)


def _wait(limit: Limit, count: int, since: int, now: int) -> int:
    return max(1, since + limit.seconds - now) if count > limit.most else 0
