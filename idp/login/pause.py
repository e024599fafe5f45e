""" "This was not me": everything of a person ends, and nobody can ring their phone until they say
so themselves. Who asks meanwhile gets the answer of a number that is not registered.
"""

from __future__ import annotations

from sqlalchemy import and_, bindparam, or_, select, update

from idp.kernel.database import Row, Transaction
from idp.kernel.tables import attempts, persons
from idp.login.budgets import Budgets
from idp.login.flow import AttemptState
from idp.login.session import END_ALL

_A, _P = attempts.c, persons.c
_PAUSED = (  # a push that begins and a pause that begins wait for each other
    select(_P.push_paused_at)
    .where(_P.number_index == bindparam("index"))
    .with_for_update(read=True)
)
_SET = update(persons).where(_P.id == bindparam("key")).values(push_paused_at=bindparam("at"))
_STOP = (  # nobody asks any more how they ended: a denial that is heard now would show
    update(attempts)
    .where(
        _A.number_index == bindparam("index"),
        or_(
            _A.state == AttemptState.OPENING.value,
            _A.state == AttemptState.PENDING.value,
            _A.state == AttemptState.APPROVED.value,
            and_(_A.state == AttemptState.REPLACED.value, _A.why == ""),
        ),
    )
    .values(state=AttemptState.REPLACED.value, why="Stopped")
)


async def paused(tx: Transaction, index: str) -> bool:
    """Whether the person with this number wants no push."""
    row = await tx.one(_PAUSED, index=index)
    return row is not None and row["push_paused_at"] is not None


async def begin(tx: Transaction, budgets: Budgets, person: Row, now: int) -> None:
    """The pause first: a push that is just beginning is waited for, and stopped. Then the
    verifications under way: who is just completing one is waited for too, and the session that
    comes of it ends with the others."""
    await tx.run(_SET, key=person["id"], at=now)
    await tx.run(_STOP, index=person["number_index"])
    await tx.run(END_ALL, person=person["id"], now=now)
    await budgets.forgive(tx, person["number_index"])


async def end(tx: Transaction, person: Row) -> None:
    await tx.run(_SET, key=person["id"], at=None)
