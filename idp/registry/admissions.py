"""Who may register clients over HTTP: initial access tokens, which an operator issues for an
organisation (RFC 7591 §1.2). Each is good for a number of clients, until a day."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, update

from idp.kernel import audit
from idp.kernel.audit import Trail
from idp.kernel.clock import Clock, token
from idp.kernel.database import Database, Row, Transaction
from idp.kernel.housekeeping import kept
from idp.kernel.tables import organisations, registration_tokens
from idp.kernel.vault import Vault

ISSUED = audit.event("registration.token_issued", "an initial access token was issued")
REVOKED = audit.event("registration.token_revoked", "an initial access token was revoked")

PREFIX = "twi_"
DAY = 86_400

_T, _O = registration_tokens.c, organisations.c
_INSERT = insert(registration_tokens)
_OWNER = select(_O.id).where(_O.id == bindparam("id"))
_ALL = select(registration_tokens).order_by(_T.created_at, _T.digest)
_SPEND = (  # the row count decides who gets the last use
    update(registration_tokens)
    .where(_T.digest == bindparam("id"), _T.uses_left > 0, _T.expires_at > bindparam("now"))
    .values(uses_left=_T.uses_left - 1)
)
_END = (
    update(registration_tokens)
    .where(_T.hint == bindparam("last"), _T.expires_at > bindparam("now"))
    .values(expires_at=bindparam("now"))
)
_SPENT = (
    select(_T.organisation_id, _T.hint)
    .join(organisations, _O.id == _T.organisation_id)
    .where(_T.digest == bindparam("id"), _O.disabled_at.is_(None))
)
_LIVE = (
    select(_T.organisation_id, _O.name)
    .join(organisations, _O.id == _T.organisation_id)
    .where(
        _T.digest == bindparam("id"),
        _T.uses_left > 0,
        _T.expires_at > bindparam("now"),
        _O.disabled_at.is_(None),
    )
)
RETENTION = (kept(_T.expires_at, 90 * DAY),)


class NotAdmitted(Exception):
    """The token is unknown, used up or expired, or its organisation is disabled."""


@dataclass(frozen=True, slots=True)
class InitialToken:
    """As an operator may see it: never itself."""

    organisation: str
    hint: str
    uses_left: int
    created_at: int
    expires_at: int


class Admissions:
    def __init__(self, database: Database, clock: Clock, vault: Vault, trail: Trail) -> None:
        self._database, self._clock = database, clock
        self._vault, self._trail = vault, trail

    async def issue(self, organisation: str, uses: int, life: int) -> str:
        """The token, shown this once; it lives `life` seconds. Raises LookupError for an
        organisation that is nobody."""
        text, now = PREFIX + token(32), self._clock.now()

        async def work(tx: Transaction) -> None:
            if await tx.one(_OWNER, id=organisation) is None:
                raise LookupError(organisation)
            await tx.run(
                _INSERT,
                digest=self._digest(text),
                organisation_id=organisation,
                hint=text[-4:],
                uses_left=uses,
                created_at=now,
                expires_at=now + life,
            )
            said = {"organisation": organisation, "hint": text[-4:]}
            await self._trail.write(tx, audit.entry(ISSUED, **said, uses=uses))

        await self._database.write(work)
        return text

    async def all(self) -> list[InitialToken]:
        return [_read(row) for row in await self._database.all(_ALL)]

    async def revoke(self, hint: str) -> None:
        """By its last four characters. Raises LookupError if no live one ends so."""

        async def work(tx: Transaction) -> None:
            if not await tx.run(_END, last=hint, now=self._clock.now()):
                raise LookupError(hint)
            await self._trail.write(tx, audit.entry(REVOKED, hint=hint))

        await self._database.write(work)

    async def owner(self, text: str) -> tuple[str, str]:
        """(id, name) of the organisation whose clients the token registers. Raises NotAdmitted."""
        row = await self._database.one(_LIVE, id=self._digest(text), now=self._clock.now())
        if row is None:
            raise NotAdmitted
        return row["organisation_id"], row["name"]

    async def spend(self, tx: Transaction, text: str) -> tuple[str, str]:
        """One use of the token, in the transaction that registers the client: (the organisation,
        the token's last four characters). Raises NotAdmitted."""
        digest = self._digest(text)
        if not await tx.run(_SPEND, id=digest, now=self._clock.now()):
            raise NotAdmitted
        row = await tx.one(_SPENT, id=digest)
        if row is None:
            raise NotAdmitted
        return row["organisation_id"], row["hint"]

    def _digest(self, text: str) -> str:
        return self._vault.index("registration-token", text)


def _read(row: Row) -> InitialToken:
    return InitialToken(
        row["organisation_id"],
        row["hint"],
        row["uses_left"],
        row["created_at"],
        row["expires_at"],
    )
