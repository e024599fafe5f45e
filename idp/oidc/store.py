"""Grants, codes and what ends them: read for a decision, and changed by its effects in one
transaction."""

from __future__ import annotations

import json

from sqlalchemy import bindparam, delete, exists, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel.database import Reader, Row, Transaction
from idp.kernel.housekeeping import kept
from idp.kernel.tables import codes, grants, persons, revoked_tokens, sessions, spent_assertions
from idp.login.endings import Ending, Party, SessionEnds
from idp.login.session import Session
from idp.oidc.preload import Code, Grant
from idp.oidc.request import AuthorizationRequest

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
_GRANT = select(*_GRANT_COLUMNS).select_from(_GRANT_FROM).where(_G.id == bindparam("id"))
_CODE = (
    select(
        *_GRANT_COLUMNS,
        _K.redirect_uri,
        _K.code_challenge,
        _K.dpop_jkt,
        _K.expires_at.label("code_expires_at"),
        _K.spent_at,
    )
    .select_from(_GRANT_FROM.join(codes, _K.grant_id == _G.id))
    .where(_K.digest == bindparam("digest"))
)

_SPEND_CODE = (
    update(codes)
    .where(_K.digest == bindparam("key"), _K.spent_at.is_(None))
    .values(spent_at=bindparam("now"))
)
_ROTATE = (
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
_TOUCH = (
    update(grants)
    .where(
        _G.id == bindparam("key"),
        _G.revoked_at.is_(None),
        _G.generation >= bindparam("generation_now"),
    )
    .values(refreshed_at=bindparam("now"))
)
_BIND = update(grants).where(_G.id == bindparam("key")).values(bound_to=bindparam("thumbprint"))
_REVOKE = (
    update(grants)
    .where(_G.id == bindparam("key"), _G.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)
_REVOKE_OF_SESSION = (
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
_REVOKE_OF_CONSENT = (
    update(grants)
    .where(
        _G.person_id == bindparam("person"),
        _G.client_id == bindparam("client"),
        _G.revoked_at.is_(None),
    )
    .values(revoked_at=bindparam("now"))
)
_ERASE_CODES = delete(codes).where(
    _K.grant_id.in_(select(_G.id).where(_G.client_id == bindparam("client")))
)
_ERASE_GRANTS = delete(grants).where(_G.client_id == bindparam("client"))
_REVOKE_OF_PERSON = (
    update(grants)
    .where(_G.person_id == bindparam("person"), _G.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)
_SPEND_ASSERTION = upsert(spent_assertions).on_conflict_do_nothing(
    index_elements=[spent_assertions.c.client_id, spent_assertions.c.jti]
)
_INSERT_GRANT, _INSERT_CODE = insert(grants), insert(codes)

_REVOKED_TOKEN = select(revoked_tokens.c.jti).where(revoked_tokens.c.jti == bindparam("jti"))
_GRANT_OF_TOKEN = (  # the grant unless this very token was revoked
    select(*_GRANT_COLUMNS)
    .select_from(_GRANT_FROM)
    .where(_G.id == bindparam("id"), ~exists(_REVOKED_TOKEN))
)
# Whoever ends a session waits for the grants that are being made of it, and revokes them too;
# whoever comes after finds no row.
_LOGGED_IN = (
    select(sessions.c.id)
    .where(sessions.c.id == bindparam("id"), sessions.c.ended_at.is_(None))
    .with_for_update(read=True)
)
_REVOKE_TOKEN = upsert(revoked_tokens).on_conflict_do_nothing(index_elements=[revoked_tokens.c.jti])

PROOFS = "dpop:"  # owns the proofs in the table of assertions: no client is called so
_DAY = 86_400
RETENTION = (
    kept(_K.expires_at, _DAY),
    kept(spent_assertions.c.expires_at, 60),
    kept(revoked_tokens.c.expires_at, 60),
    kept(_G.expires_at, 2 * _DAY),
)


def _read_grant(row: Row) -> Grant:
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
        bound_to=row["bound_to"],
        resources=tuple(json.loads(row["resources"])),
        session_id=row["session_id"],
    )


def _read_code(digest: str, row: Row) -> Code:
    return Code(
        digest=digest,
        grant=_read_grant(row),
        redirect_uri=row["redirect_uri"],
        code_challenge=row["code_challenge"],
        expires_at=row["code_expires_at"],
        spent=row["spent_at"] is not None,
        dpop_jkt=row["dpop_jkt"],
    )


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


async def code_by_digest(reader: Reader, digest: str) -> Code | None:
    row = await reader.one(_CODE, digest=digest)
    return _read_code(digest, row) if row else None


async def grant_by_id(reader: Reader, grant_id: str) -> Grant | None:
    row = await reader.one(_GRANT, id=grant_id)
    return _read_grant(row) if row else None


async def grant_of_token(reader: Reader, grant_id: str, jti: str) -> Grant | None:
    """None also if it is no longer alive, or this one of its tokens was revoked."""
    row = await reader.one(_GRANT_OF_TOKEN, id=grant_id, jti=jti)
    grant = _read_grant(row) if row else None
    return grant if grant and grant.alive else None


async def is_revoked(reader: Reader, jti: str) -> bool:
    """Whether this very access token was revoked."""
    return await reader.one(_REVOKED_TOKEN, jti=jti) is not None


async def is_logged_in(tx: Transaction, session_id: str) -> bool:
    """Whether nobody has ended this session; until the transaction ends nobody can."""
    return await tx.one(_LOGGED_IN, id=session_id) is not None


# ── beginning ───────────────────────────────────────────────────────────────────────────────────


async def insert_grant(
    tx: Transaction,
    grant_id: str,
    asked: AuthorizationRequest,
    session: Session,
    now: int,
    expires_at: int,
) -> None:
    """What a person gives a client, and the beginning of its refresh family."""
    await tx.run(
        _INSERT_GRANT,
        id=grant_id,
        client_id=asked.client_id,
        person_id=session.person_id,
        session_id=session.id,
        scope=" ".join(asked.scope),
        claims=json.dumps(asked.requested_claims),
        nonce=asked.nonce,
        acr=session.acr,
        amr=json.dumps(session.amr),
        auth_time=session.auth_time,
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
        generation=0,
        rotated_at=None,
        refreshed_at=now,
        bound_to="",
        resources=json.dumps(asked.resources),
    )


async def insert_code(
    tx: Transaction, digest: str, grant_id: str, asked: AuthorizationRequest, expires_at: int
) -> None:
    await tx.run(
        _INSERT_CODE,
        digest=digest,
        grant_id=grant_id,
        redirect_uri=asked.redirect_uri,
        code_challenge=asked.code_challenge,
        dpop_jkt=asked.dpop_jkt,
        expires_at=expires_at,
        spent_at=None,
    )


# ── using: each answers whether it was the first ────────────────────────────────────────────────


async def spend_code(tx: Transaction, digest: str, now: int) -> bool:
    return bool(await tx.run(_SPEND_CODE, key=digest, now=now))


async def use_refresh_token(
    tx: Transaction, grant_id: str, generation: int, now: int, *, rotate: bool
) -> bool:
    """False if the family has rotated past this generation, or was revoked."""
    statement = _ROTATE if rotate else _TOUCH
    return bool(await tx.run(statement, key=grant_id, generation_now=generation, now=now))


async def spend_assertion(tx: Transaction, client_id: str, jti: str, expires_at: int) -> bool:
    row = {"client_id": client_id, "jti": jti, "expires_at": expires_at}
    return bool(await tx.run(_SPEND_ASSERTION, **row))


async def spend_proof(tx: Transaction, mark: str, until: int) -> bool:
    return await spend_assertion(tx, PROOFS, mark, until)


async def bind_grant(tx: Transaction, grant_id: str, thumbprint: str) -> None:
    await tx.run(_BIND, key=grant_id, thumbprint=thumbprint)


# ── ending: each answers whether there was anything to end ──────────────────────────────────────


async def revoke_grant(tx: Transaction, grant_id: str, now: int) -> bool:
    return bool(await tx.run(_REVOKE, key=grant_id, now=now))


async def revoke_token(tx: Transaction, jti: str, expires_at: int) -> bool:
    """This one access token, remembered for as long as it would have lived."""
    return bool(await tx.run(_REVOKE_TOKEN, jti=jti, expires_at=expires_at))


async def revoke_grants_to(tx: Transaction, person_id: str, client_id: str, now: int) -> None:
    """All that this person gave this client."""
    await tx.run(_REVOKE_OF_CONSENT, person=person_id, client=client_id, now=now)


async def revoke_grants_of(tx: Transaction, person_id: str, now: int) -> None:
    """All that this person gave anybody."""
    await tx.run(_REVOKE_OF_PERSON, person=person_id, now=now)


async def erase_grants(tx: Transaction, client_id: str) -> None:
    """All that anybody gave this client, as if it had never been."""
    await tx.run(_ERASE_CODES, client=client_id)
    await tx.run(_ERASE_GRANTS, client=client_id)


async def end_session(
    tx: Transaction, ends: SessionEnds, session: Session, now: int
) -> list[Party]:
    """The session and what hangs on it; what was asked for offline use stays (OIDC Core §11, OIDC
    Back-Channel Logout §2.7). Who is told of it."""
    told = await ends.end(tx, session.id, Ending.LOGGED_OUT)
    await tx.run(_REVOKE_OF_SESSION, root=session.first_session, now=now)
    return told


async def end_others(tx: Transaction, ends: SessionEnds, session: Session, now: int) -> int:
    """The same for all other sessions of its person. How many there were."""
    ended = await ends.end_others(tx, session.person_id, session.id, Ending.LOGGED_OUT)
    await tx.run(_REVOKE_OF_OTHERS, person=session.person_id, root=session.first_session, now=now)
    return ended
