"""SSO sessions: an opaque cookie, a row, and two clocks (idle and absolute)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from sqlalchemy import bindparam, insert, select, update
from starlette.requests import Request
from starlette.responses import Response

from idp.kernel.clock import Clock, token
from idp.kernel.database import Database, Row, Transaction
from idp.kernel.housekeeping import kept
from idp.kernel.settings import Section
from idp.kernel.tables import persons, sessions
from idp.kernel.vault import digest
from idp.kernel.web import Cookies
from idp.login.endings import Ending, SessionEnds
from idp.login.verified import Verified

COOKIE = "idp_session"
TOUCH = 60  # seconds between two writes of "last seen"
MOST_SHOWN = 100  # sessions of one person


class SessionSettings(Section):
    idle_seconds: int = Field(1800, ge=60, description="a session unused so long has ended")
    absolute_seconds: int = Field(28_800, ge=60, description="no session lives longer than this")


@dataclass(frozen=True, slots=True)
class Session:
    """Who is in front of this browser, and how we know. `id` is a digest, not the cookie.
    `sole_relying_party` is the only one that it counts for, "" for every one. `first_session` is
    the first one of this person in this browser: a new login keeps it, so that a logout finds
    what earlier logins gave out. `agent` is the browser in our own words."""

    id: str
    person_id: str
    method: str
    acr: str
    amr: tuple[str, ...]
    auth_time: int
    sole_relying_party: str = ""
    first_session: str = ""
    agent: str = ""
    seen_at: int = 0

    def form_proof(self, page: str) -> str:
        """Signed into the forms of a page: they act for this session or for none."""
        return f"{page}:{digest(self.id)[:22]}"


_S = sessions.c
_LIVE = (
    select(sessions)
    .join(persons, persons.c.id == _S.person_id)
    .where(
        _S.id == bindparam("id"),
        _S.ended_at.is_(None),
        _S.expires_at > bindparam("now"),
        _S.seen_at > bindparam("idle_since"),
        persons.c.disabled_at.is_(None),
    )
)
_OF_PERSON = (
    select(sessions)
    .where(
        _S.person_id == bindparam("person"),
        _S.ended_at.is_(None),
        _S.expires_at > bindparam("now"),
        _S.seen_at > bindparam("idle_since"),
    )
    .order_by(_S.auth_time.desc(), _S.id)
    .limit(MOST_SHOWN)
)
_BY_ID = select(sessions).where(_S.id == bindparam("id"))
_INSERT = insert(sessions)
_TOUCH = update(sessions).where(_S.id == bindparam("key")).values(seen_at=bindparam("now"))

RETENTION = (kept(_S.expires_at, 31 * 86_400),)


class Sessions:
    def __init__(
        self,
        database: Database,
        clock: Clock,
        cookies: Cookies,
        settings: SessionSettings,
        ends: SessionEnds,
    ) -> None:
        self._database, self._clock = database, clock
        self._cookies, self._settings, self.ends = cookies, settings, ends

    def presented(self, request: Request) -> str | None:
        """The id of whatever session cookie the browser sent, alive or not."""
        value = self._cookies.read(request, COOKIE)
        return digest(value) if value else None

    async def current(self, request: Request) -> Session | None:
        """The live session of this browser, or None. Counts as use of it."""
        presented = self.presented(request)
        return await self.find(presented) if presented else None

    async def find(self, session_id: str) -> Session | None:
        now = self._clock.now()
        row = await self._database.one(
            _LIVE, id=session_id, now=now, idle_since=now - self._settings.idle_seconds
        )
        if row is None:
            return None
        if row["seen_at"] < now - TOUCH:
            await self._database.run(_TOUCH, key=row["id"], now=now)
        return _read(row)

    async def of_person(self, person_id: str) -> list[Session]:
        """Those that are alive, newest first."""
        now = self._clock.now()
        idle_since = now - self._settings.idle_seconds
        rows = await self._database.all(
            _OF_PERSON, person=person_id, now=now, idle_since=idle_since
        )
        return [_read(row) for row in rows]

    async def begin(
        self,
        tx: Transaction,
        person_id: str,
        verified: Verified,
        replaces: str | None,
        agent: str = "",
        seconds: int | None = None,
    ) -> tuple[Session, str]:
        """A new session, never an old id (fixation), with the value for the cookie. `replaces` is
        the session that the browser presented: it ends. `seconds` is its life, if that is to be
        shorter than usual."""
        value = token()
        before = await tx.one(_BY_ID, id=replaces) if replaces else None
        same = before is not None and before["person_id"] == person_id
        session = Session(
            id=digest(value),
            person_id=person_id,
            method=verified.method,
            acr=verified.acr,
            amr=verified.amr,
            auth_time=verified.at,
            sole_relying_party=verified.sole_relying_party,
            first_session=before["root"] if before and same else digest(value),
            agent=agent,
            seen_at=self._clock.now(),
        )
        if before and same and self._lives(before):
            await self.ends.continue_as(tx, before["id"], session.id)
        elif before:
            await self.ends.expire(tx, before["id"], Ending.REPLACED)
        await tx.run(_INSERT, **self._row(session, seconds or self._settings.absolute_seconds))
        return session, value

    def _lives(self, row: Row) -> bool:
        now = self._clock.now()
        unused = row["seen_at"] <= now - self._settings.idle_seconds
        return row["ended_at"] is None and row["expires_at"] > now and not unused

    @staticmethod
    def _row(session: Session, life: int) -> dict[str, Any]:
        return {
            "id": session.id,
            "person_id": session.person_id,
            "method": session.method,
            "acr": session.acr,
            "amr": json.dumps(session.amr),
            "only_for": session.sole_relying_party,
            "agent": session.agent,
            "root": session.first_session,
            "auth_time": session.auth_time,
            "seen_at": session.seen_at,
            "expires_at": session.seen_at + life,
            "ended_at": None,
            "ended_why": "",
        }

    async def forget(self, tx: Transaction, session_id: str, relying_party: str) -> bool:
        """A shared screen keeps no session; codes that were just given out stay good. Whether it
        was one that counts for this relying party only."""
        return await self.ends.expire_sole(tx, session_id, relying_party, Ending.SHARED_SCREEN)

    async def run_out(self) -> None:
        """Tells of those whose time is over."""
        await self.ends.run_out(self._settings.idle_seconds)

    def set_cookie(self, response: Response, value: str) -> None:
        self._cookies.write(response, COOKIE, value)

    def erase_cookie(self, response: Response) -> None:
        """After the session of this very browser has ended. Nobody else erases it."""
        self._cookies.erase(response, COOKIE)


def _read(row: Row) -> Session:
    return Session(
        id=row["id"],
        person_id=row["person_id"],
        method=row["method"],
        acr=row["acr"],
        amr=tuple(json.loads(row["amr"])),
        auth_time=row["auth_time"],
        sole_relying_party=row["only_for"],
        first_session=row["root"],
        agent=row["agent"],
        seen_at=row["seen_at"],
    )
