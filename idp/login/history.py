"""What a person may see of their own identity: where it was used, and what reached their phone.

A use is written in the transaction of its grant. A verification is read from its attempt while
that is kept; when the attempt is deleted, what its person may know of it moves into the history. A
row holds no number and no name. It is found by the keyed index of the number, so that a person who
logs in here for the first time also sees what was tried before.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel import errors
from idp.kernel.database import Database, Reader, Row, Transaction
from idp.kernel.housekeeping import SWEEP_BATCH, Retention, expired_rows
from idp.kernel.tables import attempts, history, logins
from idp.login.flow import AttemptState, Heard, Why, why_code, why_of
from idp.login.session import Session

GRANTED, DECLINED = "granted", "declined"  # the states of a use; the others are of an attempt


class Result(StrEnum):
    """How it ended, for the person."""

    GRANTED = "granted"
    DECLINED = "declined"  # verified, and then said no to giving anything
    VERIFIED = "verified"  # and nothing was given
    UNUSED = "unused"  # confirmed on the phone, and no browser took it up
    WAITING = "waiting"
    REFUSED = "refused"
    EXPIRED = "expired"
    STOPPED = "stopped"  # given up in the browser, or replaced by another try
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One row of the page. `client_id` may also be a page of ours; `cursor` continues after it."""

    client_id: str
    method: str
    at: int
    result: Result
    claims: tuple[str, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class Use:
    """Somebody's identity was asked for by a client, and was given or not."""

    id: str
    number_index: str
    client_id: str
    session: Session
    state: str
    claims: tuple[str, ...]


_H, _A, _L = history.c, attempts.c, logins.c
_ANSWERED = or_(
    *(_A.why == why_code(why) for why in (errors.Denied, errors.Failed, Heard.APPROVED))
)
_APPROVED = or_(_A.state == AttemptState.APPROVED.value, _A.state == AttemptState.USED.value)
_RANG = _A.shows == "wait"
# a number that was typed for a QR code has reached nobody until somebody scans it
_REACHED = and_(
    _A.handle.is_not(None), _A.number_index.is_not(None), or_(_RANG, _ANSWERED, _APPROVED)
)
_IN_HISTORY = exists(  # what followed from it is there already
    select(_H.id)
    .join(logins, _L.session_id == _H.session_id)
    .where(
        _L.id == _A.login_id,
        _H.number_index == _A.number_index,
        _H.client_id == _A.relying_party,
    )
)
_NO_END = literal(0, BigInteger).label("expires_at")
_WRITTEN = select(
    _H.id, _H.client_id, _H.method, _H.at, _H.state, _H.why, _H.claims, _NO_END
).where(_H.number_index == bindparam("index"))
_STILL_ATTEMPTS = select(
    _A.id,
    _A.relying_party.label("client_id"),
    _A.method,
    _A.opened_at.label("at"),
    _A.state,
    _A.why,
    literal("", Text).label("claims"),
    _A.expires_at,
).where(_A.number_index == bindparam("index"), _REACHED, ~_IN_HISTORY)
_LINES = union_all(_WRITTEN, _STILL_ATTEMPTS).subquery("lines")
_PAGE = (
    select(_LINES)
    .where(
        _LINES.c.at > bindparam("since"),
        or_(
            _LINES.c.at < bindparam("at"),
            and_(_LINES.c.at == bindparam("at"), _LINES.c.id < bindparam("id")),
        ),
    )
    .order_by(_LINES.c.at.desc(), _LINES.c.id.desc())
    .limit(bindparam("most"))
)

_INSERT = upsert(history).on_conflict_do_nothing(index_elements=[_H.id])
_batch = (
    select(_A.expires_at)
    .where(_A.expires_at < bindparam("before"))
    .order_by(_A.expires_at)
    .limit(SWEEP_BATCH)
    .subquery("batch")
)
_END_OF_BATCH = select(func.max(_batch.c.expires_at).label("upto"))
_MOVE_TO_HISTORY = (  # two workers may sweep at once: the rows are the same
    upsert(history)
    .from_select(
        ["id", "number_index", "client_id", "session_id", "method", "state", "why", "claims", "at"],
        select(
            _A.id,
            _A.number_index,
            _A.relying_party,
            literal("", Text),
            _A.method,
            _A.state,
            _A.why,
            literal("", Text),
            _A.opened_at,
        ).where(_A.expires_at <= bindparam("upto"), _REACHED, ~_IN_HISTORY),
    )
    .on_conflict_do_nothing(index_elements=[_H.id])
)
_ERASE_HISTORY = delete(history).where(_H.client_id == bindparam("client"))
_ERASE_ATTEMPTS = delete(attempts).where(_A.relying_party == bindparam("client"))
_ERASE_LOGINS = delete(logins).where(_L.relying_party == bindparam("client"))
_DELETE_ATTEMPTS = delete(attempts).where(_A.expires_at <= bindparam("upto"))


def retention(days: int) -> Retention:
    """How long a person can see what was."""
    return Retention(expired_rows(_H.at), days * 86_400)


async def write(tx: Transaction, use: Use, now: int) -> None:
    """In the transaction of the grant or the refusal."""
    await tx.run(
        _INSERT,
        id=use.id,
        number_index=use.number_index,
        client_id=use.client_id,
        session_id=use.session.id,
        method=use.session.method,
        state=use.state,
        why="",
        claims=" ".join(use.claims),
        at=now,
    )


async def of(
    reader: Reader,
    number_index: str,
    now: int,
    since: int,
    after: tuple[int, str] | None,
    most: int,
) -> list[HistoryLine]:
    """At most `most` lines, newest first, later than `since`; `after` is where a page ended."""
    at, last = after or (now + 1, "")
    rows = await reader.all(_PAGE, index=number_index, since=since, at=at, id=last, most=most)
    return [_read(row, now) for row in rows]


def _read(row: Row, now: int) -> HistoryLine:
    return HistoryLine(
        client_id=row["client_id"],
        method=row["method"],
        at=row["at"],
        result=_result(row["state"], why_of(row["why"]), row["expires_at"], now),
        claims=tuple(row["claims"].split()),
        cursor=f"{row['at']}.{row['id']}",
    )


_BY_STATE = {
    GRANTED: Result.GRANTED,
    DECLINED: Result.DECLINED,
    AttemptState.USED: Result.VERIFIED,
    AttemptState.APPROVED: Result.UNUSED,
}


def _result(state: str, why: Why, expires_at: int, now: int) -> Result:
    if state in _BY_STATE:
        return _BY_STATE[state]
    if state == AttemptState.PENDING:
        return Result.WAITING if now < expires_at else Result.EXPIRED
    if why is Heard.APPROVED:
        return Result.UNUSED
    if why is errors.Denied:
        return Result.REFUSED
    if state == AttemptState.REPLACED and why is not errors.Failed:
        return Result.STOPPED
    return Result.EXPIRED if why is errors.Expired else Result.FAILED


async def sweep_attempts(database: Database, before: int) -> None:
    """Deletes the attempts that ended before that, in small batches; what their persons may know
    of them moves into the history."""
    while True:

        async def work(tx: Transaction) -> bool:
            row = await tx.one(_END_OF_BATCH, before=before)
            if row is None or row["upto"] is None:
                return False
            await tx.run(_MOVE_TO_HISTORY, upto=row["upto"])
            return bool(await tx.run(_DELETE_ATTEMPTS, upto=row["upto"]))

        if not await database.write(work):
            return


async def erase_client(tx: Transaction, client_id: str) -> None:
    """Every login for a relying party, and what persons could see of it."""
    for statement in (_ERASE_HISTORY, _ERASE_ATTEMPTS, _ERASE_LOGINS):
        await tx.run(statement, client=client_id)
