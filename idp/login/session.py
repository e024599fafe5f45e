"""SSO sessions: an opaque cookie, a row, and two clocks (idle and absolute)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import Field
from sqlalchemy import bindparam, insert, select, update
from starlette.requests import Request
from starlette.responses import Response

from idp.kernel.clock import token
from idp.kernel.database import Row, Transaction
from idp.kernel.housekeeping import kept
from idp.kernel.services import Services
from idp.kernel.settings import Section
from idp.kernel.tables import persons, sessions
from idp.kernel.vault import digest

COOKIE = "idp_session"
TOUCH = 60  # seconds between two writes of "last seen"
MOST_SHOWN = 100  # sessions of one person


class SessionSettings(Section):
    idle_seconds: int = Field(1800, ge=60, description="a session unused so long has ended")
    absolute_seconds: int = Field(28_800, ge=60, description="no session lives longer than this")


@dataclass(frozen=True, slots=True)
class Session:
    """Who is in front of this browser, and how we know. `id` is a digest, not the cookie."""

    id: str
    person_id: str
    method: str
    acr: str
    amr: tuple[str, ...]
    auth_time: int
    only_for: str = ""  # the one relying party that it counts for; "" is every one
    root: str = ""  # the first session of this person in this browser; a new login keeps it
    agent: str = ""  # the browser, in words of ours
    seen_at: int = 0


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
END = (
    update(sessions)
    .where(_S.id == bindparam("key"), _S.ended_at.is_(None))
    .values(ended_at=bindparam("now"))
)
REPLACE = (  # its cookie is dead, but nobody logged out: codes just given out stay good
    update(sessions)
    .where(_S.id == bindparam("key"), _S.expires_at > bindparam("now"))
    .values(expires_at=bindparam("now"))
)
_FORGET = (
    update(sessions)
    .where(
        _S.id == bindparam("key"),
        _S.only_for == bindparam("only_for"),
        _S.expires_at > bindparam("now"),
    )
    .values(expires_at=bindparam("now"))
)
END_ALL = (
    update(sessions)
    .where(_S.person_id == bindparam("person"), _S.ended_at.is_(None))
    .values(ended_at=bindparam("now"))
)
END_OTHERS = (
    update(sessions)
    .where(
        _S.person_id == bindparam("person"),
        _S.id != bindparam("key"),
        _S.ended_at.is_(None),
        _S.expires_at > bindparam("now"),
    )
    .values(ended_at=bindparam("now"))
)


RETENTION = (kept(_S.expires_at, 31 * 86_400),)


class Sessions:
    def __init__(self, services: Services, settings: SessionSettings) -> None:
        self._services, self._settings = services, settings

    def presented(self, request: Request) -> str | None:
        """The id of whatever session cookie the browser sent, alive or not."""
        value = self._services.forms.cookies.read(request, COOKIE)
        return digest(value) if value else None

    async def current(self, request: Request) -> Session | None:
        """The live session of this browser, or None. Counts as use of it."""
        presented = self.presented(request)
        return await self.find(presented) if presented else None

    async def find(self, session_id: str) -> Session | None:
        now = self._services.clock.now()
        row = await self._services.database.one(
            _LIVE, id=session_id, now=now, idle_since=now - self._settings.idle_seconds
        )
        if row is None:
            return None
        if row["seen_at"] < now - TOUCH:
            await self._services.database.run(_TOUCH, key=row["id"], now=now)
        return _read(row)

    async def of_person(self, person_id: str) -> list[Session]:
        """Those that are alive, newest first."""
        now = self._services.clock.now()
        idle_since = now - self._settings.idle_seconds
        rows = await self._services.database.all(
            _OF_PERSON, person=person_id, now=now, idle_since=idle_since
        )
        return [_read(row) for row in rows]

    async def begin(
        self,
        tx: Transaction,
        person_id: str,
        method: str,
        acr: str,
        amr: tuple[str, ...],
        replaces: str | None,
        only_for: str = "",
        agent: str = "",
        seconds: int | None = None,
    ) -> tuple[Session, str]:
        """A new session, never an old id (fixation); `replaces` ends. Its life may be shorter
        than usual. Returns it with the value for the cookie."""
        now, value = self._services.clock.now(), token()
        before = await tx.one(_BY_ID, id=replaces) if replaces else None
        same = before is not None and before["person_id"] == person_id
        root = before["root"] if before and same else digest(value)
        session = Session(
            digest(value), person_id, method, acr, amr, now, only_for, root, agent, now
        )
        life = seconds or self._settings.absolute_seconds
        if replaces:
            await tx.run(REPLACE, key=replaces, now=now)
        await tx.run(
            _INSERT,
            id=session.id,
            person_id=person_id,
            method=method,
            acr=acr,
            amr=json.dumps(amr),
            only_for=only_for,
            agent=agent,
            root=root,
            auth_time=now,
            seen_at=now,
            expires_at=now + life,
            ended_at=None,
        )
        return session, value

    async def forget(self, tx: Transaction, session_id: str, only_for: str) -> bool:
        """A shared screen keeps no session; codes just given out stay good. Whether it was one
        that counts for this relying party only."""
        now = self._services.clock.now()
        return bool(await tx.run(_FORGET, key=session_id, only_for=only_for, now=now))

    def hand_out(self, response: Response, value: str) -> None:
        self._services.forms.cookies.write(response, COOKIE, value)


def _read(row: Row) -> Session:
    return Session(
        id=row["id"],
        person_id=row["person_id"],
        method=row["method"],
        acr=row["acr"],
        amr=tuple(json.loads(row["amr"])),
        auth_time=row["auth_time"],
        only_for=row["only_for"],
        root=row["root"],
        agent=row["agent"],
        seen_at=row["seen_at"],
    )
