"""What the core decided, written in one transaction: all effects or none."""

from __future__ import annotations

from idp.kernel import audit
from idp.kernel.database import Transaction
from idp.kernel.errors import InvalidClient, InvalidDpopProof, InvalidGrant, ProtocolError
from idp.kernel.services import Services
from idp.oidc import authorizations, store
from idp.oidc.preload import (
    BindGrant,
    Effect,
    Effects,
    KeepRequest,
    Record,
    Refresh,
    RevokeGrant,
    SpendAssertion,
    SpendCode,
    SpendProof,
)

RACE_LOST = audit.event("token.race_lost", "a single-use thing came twice at once")


class LostRace(Exception):
    """Somebody else was first; `grant_id` is the family to revoke, if that is the answer."""

    def __init__(self, error: type[ProtocolError], grant_id: str = "") -> None:
        super().__init__(error.error)
        self.error, self.grant_id = error, grant_id


class Overtaken(Exception):
    """The family has rotated since it was read: nothing was written; decide again."""


async def commit(services: Services, effects: Effects) -> None:
    """A lost race raises InvalidGrant, InvalidClient or InvalidDpopProof after its own consequence
    (the family is revoked) has been committed; the token never left the process. Raises Overtaken
    too."""
    wanted = [effect for effect in effects.wanted if await _worth_it(services, effect)]
    if not effects.changes:
        for effect in wanted:
            if isinstance(effect, Record):
                services.trail.gather(effect.entry)
        return
    now = services.clock.now()

    async def work(tx: Transaction) -> None:
        for effect in wanted:
            await _apply(services, tx, effect, now)

    try:
        await services.database.write(work)
    except LostRace as lost:
        if lost.grant_id:
            await _revoke(services, lost.grant_id)
        raise lost.error(detail="lost the race") from None


async def _worth_it(services: Services, effect: Effect) -> bool:
    if isinstance(effect, Record) and effect.repeatable:
        return await services.seldom(effect.entry)
    return True


async def _apply(services: Services, tx: Transaction, effect: Effect, now: int) -> None:
    match effect:
        case SpendCode(digest, grant_id):
            if not await store.spend_code(tx, digest, now):
                raise LostRace(InvalidGrant, grant_id)
        case Refresh(grant_id, generation, rotate):
            if not await store.use_refresh_token(tx, grant_id, generation, now, rotate=rotate):
                raise Overtaken
        case SpendAssertion(client_id, jti, expires_at):
            if not await store.spend_assertion(tx, client_id, jti, expires_at):
                raise LostRace(InvalidClient)
        case SpendProof(mark, until):
            if not await store.spend_proof(tx, mark, until):
                raise LostRace(InvalidDpopProof)
        case KeepRequest(id_, asked, expires_at):
            await authorizations.keep(tx, id_, "", asked, now, expires_at)
        case BindGrant(grant_id, thumbprint):
            await store.bind_grant(tx, grant_id, thumbprint)
        case RevokeGrant(grant_id):
            await store.revoke_grant(tx, grant_id, now)
        case Record(entry):
            await services.trail.write(tx, entry)


async def _revoke(services: Services, grant_id: str) -> None:
    now = services.clock.now()

    async def work(tx: Transaction) -> None:
        if await store.revoke_grant(tx, grant_id, now):
            await services.trail.write(tx, audit.entry(RACE_LOST, grant=grant_id[:8]))

    await services.database.write(work)
