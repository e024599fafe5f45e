"""Yes or no to one call: count, verify, disclose or refuse.

The attempt is counted before it is verified. A code is spent in the transaction that writes down
the disclosure. Every no costs what a yes costs: two transactions, and one argon2 where the
application takes passwords.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from idp.kernel import audit, counters
from idp.kernel.audit import Trail
from idp.kernel.caller import Caller
from idp.kernel.clock import Clock
from idp.kernel.counters import Limit
from idp.kernel.database import Database, Transaction
from idp.kernel.metrics import ALARMS, CARDS
from idp.kernel.vault import Vault, VaultBroken
from idp.members import codes, record
from idp.members.directory import Directory, Member
from idp.members.envelope import CardAttempt, Form
from idp.members.passwords import Passwords
from idp.members.settings import WeCardApplication

DISCLOSED = audit.event("card.disclosed", "a member's record was answered to a card application")
REFUSED = audit.event("card.refused", "a card application got a refusal; `why` says which")
REPEATED = audit.event("card.repeated", "the same body came again within 24 hours")
GUESSING = audit.event("card.guessing", "one source address has had an unusual number of refusals")

LOCK = Limit("card", most=5, seconds=900, lockout=True)
SEEN = Limit("card-body", most=1, seconds=86_400)
# every person comes from the same few addresses of Tencent's: a lock would shut all of them out
FAILURES = Limit("card-source", most=100, seconds=900)


@dataclass(frozen=True, slots=True)
class Call:
    """One request that may be answered. `why` is empty if `attempt` could be read."""

    name: str
    application: WeCardApplication
    caller: Caller
    body: bytes = field(repr=False)
    echo: str
    attempt: CardAttempt
    form: Form
    why: str


@dataclass(frozen=True, slots=True)
class Case:
    """What the directory and the counters say to a call. `why` is empty if it may be verified."""

    member: Member | None
    card_number: str
    why: str


class CardCheck:
    def __init__(
        self, database: Database, clock: Clock, vault: Vault, trail: Trail, directory: Directory
    ) -> None:
        self._database, self._clock, self._vault, self._trail = database, clock, vault, trail
        self._directory, self._passwords = directory, Passwords()

    async def decide(self, call: Call) -> dict[str, str] | None:
        """The fields to answer, or None: no. Raises Unavailable."""
        case, repeated = await self._database.write(functools.partial(self._count, call))
        password_fits = await self._password_fits(call, case)
        fields = await self._decided(call, case, password_fits)
        CARDS.labels("disclosed" if fields else "refused").inc()
        if repeated:
            ALARMS.labels("card_repeated").inc()
        return fields

    async def _count(self, call: Call, tx: Transaction) -> tuple[Case, bool]:
        """Counts the attempt before anything is verified: of twenty at once five go on."""
        now, vault = self._clock.now(), self._vault
        body = vault.index("card-body", call.body.hex())
        repeated = bool(await counters.take(tx, SEEN, body, now))
        if repeated:
            await self._note(tx, call, REPEATED)
        card = record.canonical_card(call.attempt.card_number)
        member = await self._directory.by_card(tx, card)
        # one person's cards share a counter, and so do all spellings of a card nobody has
        subject = (member.person if member else None) or vault.index("card", card)
        if call.why:
            return Case(None, "", call.why), repeated
        if await counters.take(tx, LOCK, subject, now):
            return Case(member, card, "locked"), repeated
        if member is None:
            return Case(None, card, "unknown card"), repeated
        return Case(member, card, "" if member.valid(now) else "not valid"), repeated

    async def _password_fits(self, call: Call, case: Case) -> bool:
        if not call.application.takes_passwords:
            return False
        # who may not be verified gets a stand-in, so that the answer takes as long
        hashed = case.member.password_hash if case.member and not case.why else None
        return await self._passwords.verify(hashed, call.attempt.password)

    async def _decided(self, call: Call, case: Case, password_fits: bool) -> dict[str, str] | None:
        try:
            return await self._database.write(
                functools.partial(self._disclose, call, case, password_fits)
            )
        except VaultBroken:  # nothing was spent: the record is ours to repair, not theirs to see
            ALARMS.labels("card_record_broken").inc()
            await self._database.write(
                functools.partial(self._note, call=call, event=REFUSED, why="record broken")
            )
            return None

    async def _disclose(
        self, call: Call, case: Case, password_fits: bool, tx: Transaction
    ) -> dict[str, str] | None:
        """Spends the code and writes down the disclosure together, or writes down the refusal."""
        now, vault = self._clock.now(), self._vault
        fits = password_fits
        if call.application.takes_codes:
            card = "" if case.why else case.card_number
            fits |= await codes.spend(tx, vault, card, call.attempt.password, now)
        if case.member is None or case.why or not fits:
            await self._refuse(tx, call, case, now)
            return None
        member = case.member
        fields = record.answer(
            self._directory.record(member), member.valid_from, member.valid_until, call.application
        )
        await counters.reset(tx, LOCK, member.person or vault.index("card", member.card_number))
        await self._note(
            tx,
            call,
            DISCLOSED,
            person_id=member.person_id,
            card=vault.index("card", member.card_number),
            fields=sorted(fields),
        )
        return fields

    async def _refuse(self, tx: Transaction, call: Call, case: Case, now: int) -> None:
        detail: dict[str, Any] = {"why": case.why or "wrong code or password"}
        if not call.why:
            detail["card"] = self._vault.index("card", case.card_number)
            source = self._vault.index("card-source", call.caller.address)
            if await counters.take(tx, FAILURES, source, now):
                ALARMS.labels("card_guessing").inc()
                await self._note(tx, call, GUESSING)
        person_id = case.member.person_id if case.member else ""
        await self._note(tx, call, REFUSED, person_id=person_id, **detail)

    async def _note(
        self, tx: Transaction, call: Call, event: str, *, person_id: str = "", **detail: Any
    ) -> None:
        client_id = f"wecard:{call.name}"
        entry = call.caller.entry(event, client_id=client_id, person_id=person_id, **detail)
        await self._trail.write(tx, entry)
