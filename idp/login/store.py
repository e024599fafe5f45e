"""Logins and what belongs to them (attempts.py holds the attempts): rows in, dataclasses out.

Every change of state is one UPDATE whose row count decides, so each function that changes says
whether it did. All take the transaction of their caller, or the database where one statement is a
transaction of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, insert, select, update

from idp.kernel import stored
from idp.kernel.database import Reader, Row, Transaction, Writer
from idp.kernel.housekeeping import kept
from idp.kernel.tables import attempts, handles, landings, logins, upstream_sequences
from idp.login.attempts import read_attempt
from idp.login.flow import LoginTransaction, Purpose, VerificationAttempt

_L, _A = logins.c, attempts.c
LoginAndAttempt = tuple[LoginTransaction, VerificationAttempt | None]

# ── reading logins ──────────────────────────────────────────────────────────────────────────────

_OF_ATTEMPT = {column.name: f"attempt__{column.name}" for column in _A}
_LOGINS = select(  # with the attempt that counts in it: this is what every poll asks
    logins, *(column.label(_OF_ATTEMPT[column.name]) for column in _A)
).join_from(logins, attempts, _A.id == _L.attempt_id, isouter=True)
_LOGIN = _LOGINS.where(_L.id == bindparam("id"))
TOGETHER = 32  # logins that find_logins reads: always so many, so that it is prepared once
_MANY_LOGINS = _LOGINS.where(_L.id.in_([bindparam(f"id{n}") for n in range(TOGETHER)]))


async def find_login(reader: Reader, login_id: str) -> LoginAndAttempt | None:
    """With the attempt that counts in it."""
    row = await reader.one(_LOGIN, id=login_id)
    return _login_and_attempt(row) if row else None


async def find_logins(reader: Reader, ids: Sequence[str]) -> Mapping[str, LoginAndAttempt]:
    """As find_login, at most TOGETHER of them in one statement."""
    if len(ids) == 1:
        found = await find_login(reader, ids[0])
        return {ids[0]: found} if found else {}
    # the statement has one length, so that it is prepared once: the last is named repeatedly
    named = {f"id{n}": ids[min(n, len(ids) - 1)] for n in range(TOGETHER)}
    rows = await reader.all(_MANY_LOGINS, **named)
    return {row["id"]: _login_and_attempt(row) for row in rows}


def _login_and_attempt(row: Row) -> LoginAndAttempt:
    attempt = None
    if row["attempt__id"] is not None:
        of_attempt = {name: row[label] for name, label in _OF_ATTEMPT.items()}
        attempt = read_attempt({**of_attempt, "reference": row["reference"]})
    login = LoginTransaction(
        id=row["id"],
        browser=row["browser"],
        reference=row["reference"],
        relying_party=row["relying_party"],
        purpose=stored.read(Purpose, row["purpose"]),
        attempts=row["attempts"],
        attempt_id=row["attempt_id"],
        session_id=row["session_id"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        finished_at=row["finished_at"],
    )
    return login, attempt


# ── changing logins ─────────────────────────────────────────────────────────────────────────────

_INSERT_LOGIN = insert(logins)
_COUNT_ATTEMPT = (  # one attempt counts; a finished or used-up login takes no more, and of two
    # presses of the same button only the first counts
    update(logins)
    .where(
        _L.id == bindparam("key"),
        _L.finished_at.is_(None),
        _L.expires_at > bindparam("now"),
        _L.attempts == bindparam("seen"),
        _L.attempts < bindparam("most"),
    )
    .values(attempts=_L.attempts + 1, attempt_id=bindparam("attempt"))
)
_DROP_ATTEMPT = (
    update(logins)
    .where(_L.id == bindparam("key"), _L.finished_at.is_(None))
    .values(attempt_id=None)
)
_FINISH = (
    update(logins)
    .where(
        _L.id == bindparam("key"),
        _L.finished_at.is_(None),
        _L.expires_at > bindparam("now"),
        _L.attempt_id == bindparam("attempt"),
    )
    .values(finished_at=bindparam("now"), session_id=bindparam("session"))
)
_CANCEL = (
    update(logins)
    .where(_L.id == bindparam("key"), _L.finished_at.is_(None))
    .values(finished_at=bindparam("now"))
)


async def insert_login(writer: Writer, login: LoginTransaction) -> None:
    row = {column.name: getattr(login, column.name) for column in _L}
    await writer.run(_INSERT_LOGIN, **{**row, "purpose": stored.dump(login.purpose)})


async def count_attempt(
    tx: Transaction, login_id: str, attempt_id: str, seen: int, most: int, now: int
) -> bool:
    """This attempt counts in the login from now on, the `seen` before it do not. False if there
    are more by now, or as many as `most`, or the login is over."""
    params = {"attempt": attempt_id, "seen": seen, "most": most, "now": now}
    return bool(await tx.run(_COUNT_ATTEMPT, key=login_id, **params))


async def drop_attempt(tx: Transaction, login_id: str) -> bool:
    """No attempt counts any more; the person chooses again."""
    return bool(await tx.run(_DROP_ATTEMPT, key=login_id))


async def finish_login(
    tx: Transaction, login_id: str, attempt_id: str, session_id: str, now: int
) -> bool:
    """Completed by this attempt. False if it does not count any more, or the login is over."""
    params = {"attempt": attempt_id, "session": session_id, "now": now}
    return bool(await tx.run(_FINISH, key=login_id, **params))


async def cancel_login(tx: Transaction, login_id: str, now: int) -> bool:
    return bool(await tx.run(_CANCEL, key=login_id, now=now))


# ── what belongs to them ────────────────────────────────────────────────────────────────────────

_TAKE_HANDLE = insert(handles)
_HANDLE = select(handles.c.attempt_id).where(handles.c.handle == bindparam("handle"))
_INSERT_LANDING = insert(landings)
_TAKE_LANDING = (
    delete(landings)
    .where(landings.c.id == bindparam("id"), landings.c.expires_at > bindparam("now"))
    .returning(landings.c.fields_sealed)
)
_RESERVE_SEQUENCE = insert(upstream_sequences)


async def take_handle(writer: Writer, handle: str, attempt_id: str, now: int) -> None:
    """A handle belongs to one attempt for ever, or to none (""). Raises Conflict."""
    await writer.run(_TAKE_HANDLE, handle=handle, attempt_id=attempt_id, seen_at=now)


async def owner_of_handle(reader: Reader, handle: str) -> str | None:
    """The attempt id, "" for none; None if the handle was never seen."""
    row = await reader.one(_HANDLE, handle=handle)
    return row["attempt_id"] if row else None


async def insert_landing(writer: Writer, landing: str, sealed: str, expires_at: int) -> None:
    await writer.run(_INSERT_LANDING, id=landing, fields_sealed=sealed, expires_at=expires_at)


async def take_landing(tx: Transaction, landing: str, now: int) -> str | None:
    """The sealed fields, once."""
    row = await tx.one(_TAKE_LANDING, id=landing, now=now)
    return row["fields_sealed"] if row else None


async def reserve_sequence(writer: Writer, system: str, sequence: str, now: int) -> None:
    """Raises Conflict if it was reserved before."""
    await writer.run(_RESERVE_SEQUENCE, system=system, sequence=sequence, reserved_at=now)


DAY = 86_400
RETENTION = (
    kept(landings.c.expires_at, 0),
    kept(upstream_sequences.c.reserved_at, 7 * DAY),
    kept(handles.c.seen_at, 30 * DAY),
    kept(_L.expires_at, 3 * DAY),
)
