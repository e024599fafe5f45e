"""Where sessions end: every ending passes through here, with its reason, and whoever must be told
of it is written into the outbox in the same transaction.

There are two kinds. A session that is *ended* takes what hangs on it along: nothing more is given
out for it, and the protocol room revokes its grants. One that has *expired* only gives no access
any more: codes that were just given out stay good.

A relying party that wants to know joins a session. A new login of the same person in the same
browser continues the session, so its parties are handed on and not told.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql import Executable

from idp.kernel.clock import Clock
from idp.kernel.database import Database, Transaction
from idp.kernel.outbox import Outbox
from idp.kernel.tables import session_parties, sessions

KIND = "session-ended"  # of the outbox: to one relying party, about one session
BATCH = 200


class Ending(StrEnum):
    """Why a session is over."""

    LOGGED_OUT = "logged_out"  # by its person
    DISOWNED = "disowned"  # its person said “this was not me”
    PERSON_DISABLED = "person_disabled"  # by an operator
    REPLACED = "replaced"  # by the next login in the same browser
    SHARED_SCREEN = "shared_screen"  # a kiosk's one login is done
    EXPIRED = "expired"  # unused too long, or too old


class Party(NamedTuple):
    """A relying party of a session: it knows it by the one in which it joined."""

    relying_party: str
    session_id: str


_S, _P = sessions.c, session_parties.c
_ENDED: dict[str, Any] = {"ended_at": bindparam("now"), "ended_why": bindparam("why")}
_EXPIRED: dict[str, Any] = {"expires_at": bindparam("now"), "ended_why": bindparam("why")}
_ALIVE = _S.ended_at.is_(None)
_UNEXPIRED = _S.expires_at > bindparam("now")
_WHOSE = (_S.id, _S.person_id)

_END = update(sessions).where(_S.id == bindparam("key"), _ALIVE).values(_ENDED).returning(*_WHOSE)
_END_ALL = (
    update(sessions)
    .where(_S.person_id == bindparam("person"), _ALIVE)
    .values(_ENDED)
    .returning(*_WHOSE)
)
_END_OTHERS = (
    update(sessions)
    .where(_S.person_id == bindparam("person"), _S.id != bindparam("key"), _ALIVE, _UNEXPIRED)
    .values(_ENDED)
    .returning(*_WHOSE)
)
_EXPIRE = (
    update(sessions)
    .where(_S.id == bindparam("key"), _UNEXPIRED)
    .values(_EXPIRED)
    .returning(*_WHOSE)
)
_EXPIRE_SOLE = (
    update(sessions)
    .where(_S.id == bindparam("key"), _S.only_for == bindparam("sole"), _UNEXPIRED)
    .values(_EXPIRED)
    .returning(*_WHOSE)
)
_GONE = or_(  # also one that the release before this ended
    _S.expires_at <= bindparam("now"),
    _S.seen_at <= bindparam("idle_since"),
    _S.ended_at.is_not(None),
)
_UNTOLD = select(_S.id).where(_S.id.in_(select(_P.held_by)), _GONE).limit(BATCH)
_RUN_OUT = (
    update(sessions)
    .where(_S.id == bindparam("key"), _GONE)
    .values(ended_why=func.coalesce(func.nullif(_S.ended_why, ""), bindparam("why")))
    .returning(*_WHOSE)
)
_JOIN = upsert(session_parties).on_conflict_do_nothing()
_HAND_ON = (
    update(session_parties).where(_P.held_by == bindparam("key")).values(held_by=bindparam("heir"))
)
_LEAVE = (
    delete(session_parties)
    .where(_P.held_by == bindparam("key"))
    .returning(_P.relying_party, _P.session_id)
)


class SessionEnds:
    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database, self._outbox, self._clock = database, outbox, clock

    async def join(self, tx: Transaction, session_id: str, relying_party: str) -> None:
        """It will be told when the session ends."""
        row = {"relying_party": relying_party, "session_id": session_id, "held_by": session_id}
        await tx.run(_JOIN, **row)

    # ── ended ──────────────────────────────────────────────────────────────────────────────────

    async def end(self, tx: Transaction, session_id: str, why: Ending) -> list[Party]:
        """Ends one session. Who is told of it."""
        _, parties = await self._over(tx, _END, why, key=session_id)
        return parties

    async def end_all(self, tx: Transaction, person_id: str, why: Ending) -> None:
        """Ends every session of a person."""
        await self._over(tx, _END_ALL, why, person=person_id)

    async def end_others(
        self, tx: Transaction, person_id: str, session_id: str, why: Ending
    ) -> int:
        """Ends every living session of a person except this one. How many there were."""
        count, _ = await self._over(tx, _END_OTHERS, why, person=person_id, key=session_id)
        return count

    # ── expired ────────────────────────────────────────────────────────────────────────────────

    async def expire(self, tx: Transaction, session_id: str, why: Ending) -> None:
        """Its cookie is dead, but nobody logged out: codes that were just given out stay good."""
        await self._over(tx, _EXPIRE, why, key=session_id)

    async def expire_sole(
        self, tx: Transaction, session_id: str, relying_party: str, why: Ending
    ) -> bool:
        """The same, but only for a session that counts for this relying party alone. Whether it
        did."""
        count, _ = await self._over(tx, _EXPIRE_SOLE, why, key=session_id, sole=relying_party)
        return bool(count)

    async def continue_as(self, tx: Transaction, session_id: str, heir: str) -> None:
        """Its person has logged in again: the new session is the same one to those who joined."""
        await tx.run(_HAND_ON, key=session_id, heir=heir)
        await self.expire(tx, session_id, Ending.REPLACED)

    async def run_out(self, idle_seconds: int) -> None:
        """Those that ended by themselves since the last look. Readers compare times and need no
        mark: this is for those who must be told."""
        now = self._clock.now()
        since = now - idle_seconds
        for row in await self._database.all(_UNTOLD, now=now, idle_since=since):
            which = {"key": row["id"], "idle_since": since}
            await self._database.write(
                partial(self._over, statement=_RUN_OUT, why=Ending.EXPIRED, **which)
            )

    # ── both ───────────────────────────────────────────────────────────────────────────────────

    async def _over(
        self, tx: Transaction, statement: Executable, why: Ending, **params: Any
    ) -> tuple[int, list[Party]]:
        """The one place: whatever ends a session tells its parties. How many sessions it ended,
        and who is told. A grant that is just being made of one is waited for, and has joined."""
        over = await tx.all(statement, why=why.value, now=self._clock.now(), **params)
        told = []
        for row in over:
            for left in await tx.all(_LEAVE, key=row["id"]):
                party = Party(left["relying_party"], left["session_id"])
                await self._outbox.put(
                    tx, KIND, party.relying_party, party.session_id, {"person": row["person_id"]}
                )
                told.append(party)
        return len(over), told
