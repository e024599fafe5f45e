"""Authorizations as rows: requests that wait for their person, each finished once."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, update

from idp.kernel import stored
from idp.kernel.database import Reader, Transaction, Writer
from idp.kernel.housekeeping import kept
from idp.kernel.tables import authorizations
from idp.oidc.request import AuthorizationRequest

AUTHORIZATION_SECONDS = 3600

_A = authorizations.c
_INSERT = insert(authorizations)
_BY_ID = select(authorizations).where(_A.id == bindparam("id"))
_CLAIM = (
    update(authorizations)
    .where(_A.id == bindparam("key"), _A.browser == "")
    .values(
        browser=bindparam("owner"), request=bindparam("document"), expires_at=bindparam("until")
    )
)
_FINISH = (
    update(authorizations)
    .where(_A.id == bindparam("key"), _A.finished_at.is_(None), _A.expires_at > bindparam("now"))
    .values(finished_at=bindparam("now"))
)

RETENTION = (kept(_A.expires_at, 0),)


@dataclass(frozen=True, slots=True)
class Authorization:
    """`browser` is "" while a request that came by POST, or was pushed, has not met its
    browser."""

    id: str
    browser: str
    client_id: str
    request: AuthorizationRequest
    created_at: int
    expires_at: int
    finished_at: int | None

    def over(self, now: int) -> bool:
        return self.finished_at is not None or self.expires_at <= now


async def keep(
    writer: Writer,
    id_: str,
    browser: str,
    asked: AuthorizationRequest,
    now: int,
    expires_at: int,
) -> None:
    await writer.run(
        _INSERT,
        id=id_,
        browser=browser,
        client_id=asked.client_id,
        request=stored.dump(asked),
        created_at=now,
        expires_at=expires_at,
        finished_at=None,
    )


async def find(reader: Reader, id_: str) -> Authorization | None:
    row = await reader.one(_BY_ID, id=id_)
    if row is None:
        return None
    return Authorization(
        id=row["id"],
        browser=row["browser"],
        client_id=row["client_id"],
        request=stored.read(AuthorizationRequest, row["request"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        finished_at=row["finished_at"],
    )


async def claim(
    writer: Writer, id_: str, browser: str, asked: AuthorizationRequest, expires_at: int
) -> bool:
    """By the first browser that comes. Whether it was this one."""
    document = stored.dump(asked)
    return bool(
        await writer.run(_CLAIM, key=id_, owner=browser, document=document, until=expires_at)
    )


async def finish(tx: Transaction, id_: str, now: int) -> bool:
    """Whether it was open until now."""
    return bool(await tx.run(_FINISH, key=id_, now=now))
