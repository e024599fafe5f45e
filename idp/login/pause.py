"""“This was not me”: everything of a person ends, and nobody can ring their phone until they say
so themselves. A start meanwhile gets the answer of a number that is not registered.
"""

from __future__ import annotations

from idp.kernel.database import Transaction
from idp.login import attempts, persons
from idp.login.budgets import Budgets
from idp.login.endings import Ending, SessionEnds
from idp.login.persons import Person


async def begin(
    tx: Transaction, budgets: Budgets, ends: SessionEnds, person: Person, now: int
) -> None:
    """The pause comes first: a push that is just beginning waits for it, or is waited for and
    stopped. Then the verifications under way: a login that is just completing is waited for too,
    and the session that comes of it ends with the others."""
    await persons.pause_push(tx, person.id, now)
    await attempts.stop_attempts(tx, person.number_index)
    await ends.end_all(tx, person.id, Ending.DISOWNED)
    await budgets.forgive(tx, person.number_index)


async def end(tx: Transaction, person: Person) -> None:
    await persons.pause_push(tx, person.id, None)
