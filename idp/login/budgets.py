"""How often a person's phone may ring, and how often an address may try whose number is known.

Counted in the store over all relying parties, in the transaction that opens the attempt. A refusal
rolls its counts back, so nobody can spend another person's budget by being refused.
"""

from __future__ import annotations

from idp.kernel import counters
from idp.kernel.caller import Caller
from idp.kernel.counters import Limit
from idp.kernel.database import Reader, Transaction
from idp.login import attempts
from idp.login.flow import LoginTransaction, VerificationAttempt
from idp.login.settings import LoginSettings
from idp.verify import Method

TEN_MINUTES, DAY = 600, 86_400


def probes(method: Method) -> bool:
    """Whether opening it tells if a number is registered: the upstream says so at once."""
    return method.needs_number and method.shows != "leave"


class Budgets:
    def __init__(self, settings: LoginSettings) -> None:
        push = settings.push
        self.pause = push.pause_after_denial
        self._short = Limit("push-10m", push.per_ten_minutes, TEN_MINUTES)
        self._day = Limit("push-day", push.per_day, DAY)
        self._source = Limit("push-source", push.per_address, TEN_MINUTES)
        self._denied = Limit("push-denied", 0, push.pause_after_denial, lockout=True)
        self._numbers = settings.numbers
        self._numbered = Limit("start-number", settings.numbered_starts, TEN_MINUTES)
        self._unfinished = Limit("start-network", settings.unfinished_starts, TEN_MINUTES)
        self._failed = Limit("start-failed", settings.failed_starts, TEN_MINUTES)

    async def take(
        self,
        tx: Transaction,
        method: Method,
        login: LoginTransaction,
        attempt: VerificationAttempt,
        who: Caller,
    ) -> int:
        """Seconds to wait, or 0 and it is counted. The caller rolls back if there is a wait."""
        source = who.source
        index, now = attempt.number_index, attempt.opened_at
        if index is None or not probes(method):
            return 0
        # whatever the upstream will say: “registered” tells as much as “not registered”
        takes = [
            await self.failing(tx, method, source, now),
            await counters.take(tx, self._numbered, source, now),
            await counters.take(tx, self._unfinished, who.network, now),
            await self._numbers_tried(tx, login, attempt),
        ]
        if method.disturbs:
            # the counters' rows also serialize two attempts that ring the same phone at once
            takes += [
                await counters.take(tx, self._source, source, now),
                await counters.take(tx, self._short, index, now),
                await counters.take(tx, self._day, index, now),
                await counters.peek(tx, self._denied, index, now),
                await self._rings_elsewhere(tx, attempt),
            ]
        return max(takes)

    async def _numbers_tried(
        self, tx: Transaction, login: LoginTransaction, attempt: VerificationAttempt
    ) -> int:
        """A login that has tried enough numbers goes on with those, or by a way without one, until
        it ends."""
        tried = await attempts.numbers_tried(tx, login.id) | {attempt.number_index}
        return 0 if len(tried) <= self._numbers else login.expires_at - attempt.opened_at

    async def _rings_elsewhere(self, tx: Transaction, attempt: VerificationAttempt) -> int:
        """Seconds for which the phone still rings for another browser. A call of this browser is
        not waited for: the new one replaces it (opening.py)."""
        ringing = await attempts.ringing(tx, attempt)
        others = [call.expires_at for call in ringing if call.browser != attempt.browser]
        return max(0, max(others, default=0) - attempt.opened_at)

    async def finished(self, tx: Transaction, method: Method, network: str) -> None:
        """Somebody was logged in from this network: that start listed nobody. So a carrier, whose
        people log in by the thousand from one network, is not locked out by its size."""
        if probes(method):
            await counters.give_back(tx, self._unfinished, network)

    async def forgive(self, tx: Transaction, index: str) -> None:
        """Lifts the pause after a rejection: the person has asked for a longer one themselves."""
        await counters.reset(tx, self._denied, index)

    async def failing(self, reader: Reader, method: Method, address: str, now: int) -> int:
        """Seconds for which this address learns nothing more about who is registered."""
        if not probes(method):
            return 0
        return await counters.peek(reader, self._failed, address, now)

    async def failed(self, tx: Transaction, method: Method, address: str, now: int) -> None:
        if probes(method):
            await counters.take(tx, self._failed, address, now)

    async def denied(self, tx: Transaction, method: Method, index: str | None, now: int) -> None:
        """The person pressed reject: no push for a while, whoever asks."""
        if method.disturbs and index:
            await counters.take(tx, self._denied, index, now)
