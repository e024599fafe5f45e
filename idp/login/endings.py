"""Where sessions end: every ending passes through here, with its reason.

There are two kinds. A session that is *ended* takes what hangs on it along: nothing more is given
out for it, and the protocol room revokes its grants. One that has *expired* only gives no access
any more: codes that were just given out stay good. Sessions that run out by themselves are not
written. Whoever must be told of endings (back-channel logout) starts from `_write`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, update
from sqlalchemy.sql import Executable

from idp.kernel.database import Transaction
from idp.kernel.tables import sessions


class Ending(StrEnum):
    """Why a session is over."""

    LOGGED_OUT = "logged_out"  # by its person
    DISOWNED = "disowned"  # its person said “this was not me”
    PERSON_DISABLED = "person_disabled"  # by an operator
    REPLACED = "replaced"  # by the next login in the same browser
    SHARED_SCREEN = "shared_screen"  # a kiosk's one login is done


_S = sessions.c
_ENDED: dict[str, Any] = {"ended_at": bindparam("now"), "ended_why": bindparam("why")}
_EXPIRED: dict[str, Any] = {"expires_at": bindparam("now"), "ended_why": bindparam("why")}
_ALIVE = _S.ended_at.is_(None)
_UNEXPIRED = _S.expires_at > bindparam("now")

_END = update(sessions).where(_S.id == bindparam("key"), _ALIVE).values(_ENDED)
_END_ALL = update(sessions).where(_S.person_id == bindparam("person"), _ALIVE).values(_ENDED)
_END_OTHERS = (
    update(sessions)
    .where(_S.person_id == bindparam("person"), _S.id != bindparam("key"), _ALIVE, _UNEXPIRED)
    .values(_ENDED)
)
_EXPIRE = update(sessions).where(_S.id == bindparam("key"), _UNEXPIRED).values(_EXPIRED)
_EXPIRE_SOLE = (
    update(sessions)
    .where(_S.id == bindparam("key"), _S.only_for == bindparam("sole"), _UNEXPIRED)
    .values(_EXPIRED)
)


async def end(tx: Transaction, session_id: str, why: Ending, now: int) -> bool:
    """Ends one session; False if it had ended."""
    return bool(await _write(tx, _END, why, now, key=session_id))


async def end_all(tx: Transaction, person_id: str, why: Ending, now: int) -> int:
    """Ends every session of a person."""
    return await _write(tx, _END_ALL, why, now, person=person_id)


async def end_others(
    tx: Transaction, person_id: str, session_id: str, why: Ending, now: int
) -> int:
    """Ends every living session of a person except this one. How many there were."""
    return await _write(tx, _END_OTHERS, why, now, person=person_id, key=session_id)


async def expire(tx: Transaction, session_id: str, why: Ending, now: int) -> bool:
    """Its cookie is dead, but nobody logged out: codes that were just given out stay good."""
    return bool(await _write(tx, _EXPIRE, why, now, key=session_id))


async def expire_sole(
    tx: Transaction, session_id: str, relying_party: str, why: Ending, now: int
) -> bool:
    """The same, but only for a session that counts for this relying party alone."""
    return bool(await _write(tx, _EXPIRE_SOLE, why, now, key=session_id, sole=relying_party))


async def _write(
    tx: Transaction, statement: Executable, why: Ending, now: int, **params: Any
) -> int:
    """The one statement that ends sessions. How many ended."""
    return await tx.run(statement, why=why.value, now=now, **params)
