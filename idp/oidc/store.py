"""Rows in, effects out. Preloading is one query; committing is one transaction."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import bindparam, delete, exists, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel import audit
from idp.kernel.database import Database, Row, Transaction
from idp.kernel.errors import InvalidClient, InvalidGrant
from idp.kernel.housekeeping import kept
from idp.kernel.services import Services
from idp.kernel.tables import (
    authorizations,
    codes,
    consents,
    grants,
    persons,
    revoked_tokens,
    sessions,
    spent_assertions,
)
from idp.login.session import END, END_OTHERS, Session
from idp.oidc.world import (
    Code,
    Effects,
    Grant,
    Refresh,
    RevokeGrant,
    SpendAssertion,
    SpendCode,
    Tell,
)

RACE_LOST = audit.event("token.race_lost", "a single-use thing came twice at once")

_G, _K = grants.c, codes.c
_GRANT_COLUMNS = (
    *grants.c,
    persons.c.number_index,
    persons.c.number_sealed,
    persons.c.disabled_at.label("person_disabled_at"),
    sessions.c.ended_at.label("session_ended_at"),
)
_GRANT_FROM = grants.join(persons, persons.c.id == _G.person_id).join(
    sessions, sessions.c.id == _G.session_id, isouter=True
)
GRANT = select(*_GRANT_COLUMNS).select_from(_GRANT_FROM).where(_G.id == bindparam("id"))
CODE = (
    select(
        *_GRANT_COLUMNS,
        _K.redirect_uri,
        _K.code_challenge,
        _K.expires_at.label("code_expires_at"),
        _K.spent_at,
    )
    .select_from(_GRANT_FROM.join(codes, _K.grant_id == _G.id))
    .where(_K.digest == bindparam("digest"))
)

SPEND_CODE = (
    update(codes)
    .where(_K.digest == bindparam("key"), _K.spent_at.is_(None))
    .values(spent_at=bindparam("now"))
)
ROTATE = (
    update(grants)
    .where(
        _G.id == bindparam("key"),
        _G.revoked_at.is_(None),
        _G.generation == bindparam("generation_now"),
    )
    .values(
        generation=_G.generation + 1, rotated_at=bindparam("now"), refreshed_at=bindparam("now")
    )
)
TOUCH = (
    update(grants)
    .where(
        _G.id == bindparam("key"),
        _G.revoked_at.is_(None),
        _G.generation >= bindparam("generation_now"),
    )
    .values(refreshed_at=bindparam("now"))
)
REVOKE = (
    update(grants)
    .where(_G.id == bindparam("key"), _G.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)
REVOKE_OF_SESSION = (
    update(grants)
    .where(
        _G.session_id.in_(select(sessions.c.id).where(sessions.c.root == bindparam("root"))),
        _G.revoked_at.is_(None),
        _G.scope.not_like("%offline_access%"),
    )
    .values(revoked_at=bindparam("now"))
)
_REVOKE_OF_OTHERS = (
    update(grants)
    .where(
        _G.session_id.in_(
            select(sessions.c.id).where(
                sessions.c.person_id == bindparam("person"), sessions.c.root != bindparam("root")
            )
        ),
        _G.revoked_at.is_(None),
        _G.scope.not_like("%offline_access%"),
    )
    .values(revoked_at=bindparam("now"))
)
REVOKE_OF_CONSENT = (
    update(grants)
    .where(
        _G.person_id == bindparam("person"),
        _G.client_id == bindparam("client"),
        _G.revoked_at.is_(None),
    )
    .values(revoked_at=bindparam("now"))
)
REVOKE_OF_PERSON = (
    update(grants)
    .where(_G.person_id == bindparam("person"), _G.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)
SPEND_ASSERTION = upsert(spent_assertions).on_conflict_do_nothing(
    index_elements=[spent_assertions.c.client_id, spent_assertions.c.jti]
)
INSERT_GRANT, INSERT_CODE = insert(grants), insert(codes)

REVOKED_TOKEN = select(revoked_tokens.c.jti).where(revoked_tokens.c.jti == bindparam("jti"))
GRANT_OF_TOKEN = (  # the grant unless this very token was revoked
    select(*_GRANT_COLUMNS)
    .select_from(_GRANT_FROM)
    .where(_G.id == bindparam("id"), ~exists(REVOKED_TOKEN))
)
REVOKE_TOKEN = upsert(revoked_tokens).on_conflict_do_nothing(index_elements=[revoked_tokens.c.jti])

_A = authorizations.c
INSERT_AUTHORIZATION = insert(authorizations)
AUTHORIZATION = select(authorizations).where(_A.id == bindparam("id"))
CLAIM_AUTHORIZATION = (  # a request that came by cross-site POST meets its browser at the first GET
    update(authorizations)
    .where(_A.id == bindparam("key"), _A.browser == "")
    .values(browser=bindparam("owner"), request=bindparam("document"))
)
FINISH_AUTHORIZATION = (
    update(authorizations)
    .where(_A.id == bindparam("key"), _A.finished_at.is_(None), _A.expires_at > bindparam("now"))
    .values(finished_at=bindparam("now"))
)

_C = consents.c
CONSENT = select(_C.scope).where(
    _C.person_id == bindparam("person"), _C.client_id == bindparam("client")
)
# Whoever ends a session or a consent waits for the grants that are being made of it, and revokes
# them too; whoever comes after finds no row.
STILL_LOGGED_IN = (
    select(sessions.c.id)
    .where(sessions.c.id == bindparam("id"), sessions.c.ended_at.is_(None))
    .with_for_update(read=True)
)
STILL_CONSENTED = CONSENT.with_for_update(read=True)
CONSENTS = (
    select(consents)
    .where(_C.person_id == bindparam("person"))
    .order_by(_C.granted_at.desc(), _C.client_id)
)
WITHDRAW_CONSENT = delete(consents).where(
    _C.person_id == bindparam("person"), _C.client_id == bindparam("client")
)
GIVE_CONSENT = (
    upsert(consents)
    .values(
        person_id=bindparam("person"),
        client_id=bindparam("client"),
        scope=bindparam("scope"),
        granted_at=bindparam("now"),
    )
    .on_conflict_do_update(
        index_elements=[_C.person_id, _C.client_id],
        set_={"scope": bindparam("scope"), "granted_at": bindparam("now")},
    )
)


DAY = 86_400
RETENTION = (
    kept(_K.expires_at, DAY),
    kept(_A.expires_at, 0),
    kept(spent_assertions.c.expires_at, 60),
    kept(revoked_tokens.c.expires_at, 60),
    kept(_G.expires_at, 2 * DAY),
)


def read_grant(row: Row) -> Grant:
    return Grant(
        id=row["id"],
        client_id=row["client_id"],
        person_id=row["person_id"],
        number_index=row["number_index"],
        number_sealed=row["number_sealed"],
        scope=tuple(row["scope"].split()),
        claims={k: tuple(v) for k, v in json.loads(row["claims"]).items()},
        nonce=row["nonce"],
        acr=row["acr"],
        amr=tuple(json.loads(row["amr"])),
        auth_time=row["auth_time"],
        expires_at=row["expires_at"],
        generation=row["generation"],
        rotated_at=row["rotated_at"],
        refreshed_at=row["refreshed_at"],
        alive=row["revoked_at"] is None and row["person_disabled_at"] is None,
        session_alive=row["session_ended_at"] is None,
    )


def read_code(digest: str, row: Row) -> Code:
    return Code(
        digest=digest,
        grant=read_grant(row),
        redirect_uri=row["redirect_uri"],
        code_challenge=row["code_challenge"],
        expires_at=row["code_expires_at"],
        spent=row["spent_at"] is not None,
    )


class LostRace(Exception):
    """Somebody else was first; `grant_id` is the family to revoke, if that is the answer."""

    def __init__(self, error: type[InvalidGrant | InvalidClient], grant_id: str = "") -> None:
        super().__init__(error.error)
        self.error, self.grant_id = error, grant_id


class Overtaken(Exception):
    """The family has rotated since it was read: nothing was written; decide again."""


async def commit(services: Services, effects: Effects) -> None:
    """All effects or none. A lost race raises InvalidGrant or InvalidClient after its own
    consequence (the family is revoked) has been committed; the token never left the process.
    Raises Overtaken too."""
    if not effects.changes:
        for effect in effects.wanted:
            if isinstance(effect, Tell):
                services.trail.gather(effect.entry)
        return
    now = services.clock.now()

    async def work(tx: Transaction) -> None:
        for effect in effects.wanted:
            await _apply(services, tx, effect, now)

    try:
        await services.database.write(work)
    except LostRace as lost:
        if lost.grant_id:
            await revoke(services, lost.grant_id)
        raise lost.error(detail="lost the race") from None


async def _apply(services: Services, tx: Transaction, effect: Any, now: int) -> None:
    match effect:
        case SpendCode(digest, grant_id):
            if not await tx.run(SPEND_CODE, key=digest, now=now):
                raise LostRace(InvalidGrant, grant_id)
        case Refresh(grant_id, generation, rotate):
            statement = ROTATE if rotate else TOUCH
            if not await tx.run(statement, key=grant_id, generation_now=generation, now=now):
                raise Overtaken
        case SpendAssertion(client_id, jti, expires_at):
            row = {"client_id": client_id, "jti": jti, "expires_at": expires_at}
            if not await tx.run(SPEND_ASSERTION, **row):
                raise LostRace(InvalidClient)
        case RevokeGrant(grant_id):
            await tx.run(REVOKE, key=grant_id, now=now)
        case Tell(entry):
            await services.trail.write(tx, entry)


async def end_session(tx: Transaction, session_id: str, root: str, now: int) -> None:
    """The session and what hangs on it; what was asked for offline use stays (OIDC Core §11)."""
    await tx.run(END, key=session_id, now=now)
    await tx.run(REVOKE_OF_SESSION, root=root, now=now)


async def end_others(tx: Transaction, session: Session, now: int) -> int:
    """The same for all other sessions of its person. How many there were."""
    ended = await tx.run(END_OTHERS, person=session.person_id, key=session.id, now=now)
    await tx.run(_REVOKE_OF_OTHERS, person=session.person_id, root=session.root, now=now)
    return ended


async def revoke(services: Services, grant_id: str) -> None:
    now = services.clock.now()

    async def work(tx: Transaction) -> None:
        if await tx.run(REVOKE, key=grant_id, now=now):
            await services.trail.write(tx, audit.entry(RACE_LOST, grant=grant_id[:8]))

    await services.database.write(work)


async def grant_by_id(database: Database, grant_id: str) -> Grant | None:
    row = await database.one(GRANT, id=grant_id)
    return read_grant(row) if row else None


async def grant_of_token(database: Database, grant_id: str, jti: str) -> Grant | None:
    """None also if it is no longer alive, or this one of its tokens was revoked."""
    row = await database.one(GRANT_OF_TOKEN, id=grant_id, jti=jti)
    grant = read_grant(row) if row else None
    return grant if grant and grant.alive else None
