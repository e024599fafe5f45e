"""A paper passport: a second scheme in fifty lines, to show that the contract is not TW FidO's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from types import MappingProxyType

from idp.kernel.errors import Denied, Disagreement, NotStarted
from idp.verify import (
    App,
    Attempt,
    Challenge,
    Method,
    Order,
    Outcome,
    Returned,
    State,
    UpstreamPaths,
    Wakeup,
)


class PaperPassport:
    """An officer looks at a passport and at the person, and says yes or no."""

    scheme = "passport"
    app = App("護照櫃檯", "Passport desk")
    paths = UpstreamPaths()
    closed_until = 0
    _desk = Method("passport", "desk", "urn:passport:desk", ("face",), 1, "wait", True, life=600)
    methods: Mapping[str, Method] = MappingProxyType({_desk.id: _desk})

    def __init__(self) -> None:
        self._tickets = count(1)
        self._said: dict[str, bool] = {}

    def canonical_number(self, typed: str) -> str | None:
        number = typed.strip().upper()
        return number if re.fullmatch(r"[0-9]{9}", number, re.ASCII) else None

    def masked(self, number: str) -> str:
        return f"*****{number[-4:]}"

    async def start(self, order: Order) -> Challenge:
        if order.method not in self.methods or not order.number:
            raise NotStarted
        return Challenge("desk-1", f"ticket-{next(self._tickets)}", "Desk 1", 600)

    async def poll(self, attempt: Attempt) -> Outcome:
        said = self._said.get(attempt.handle or "")
        if said is None:
            return Outcome(State.PENDING)
        if said:
            return Outcome(State.APPROVED, number=attempt.number, code="yes")
        return Outcome(State.ENDED, why=Denied, code="no")

    async def accept(self, attempt: Attempt | None, fields: Mapping[str, str]) -> Returned:
        raise Disagreement(detail="nobody returns from a desk by browser")

    async def wakeup(self, body: bytes) -> Wakeup:
        raise Disagreement(detail="officers do not call back")

    async def cancel(self, attempt: Attempt) -> None:
        self._said[attempt.handle or ""] = False

    async def aclose(self) -> None:
        """Nothing is open."""

    async def decide(self, handle: str, yes: bool) -> None:
        self._said[handle] = yes
