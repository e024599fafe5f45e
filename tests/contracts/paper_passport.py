"""A paper passport: a second scheme in fifty lines, to show that the contract is not TW FidO's; and
a counter for ID cards, a third one, whose numbers and one method's name are those of TW FidO."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import count
from types import MappingProxyType
from typing import Any

from idp.kernel.errors import Denied, Disagreement, NotStarted
from idp.verify import (
    App,
    Attempt,
    Challenge,
    Check,
    Method,
    Order,
    Outcome,
    Returned,
    State,
    UpstreamPaths,
    Wakeup,
    numbers,
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
        self.said: dict[str, bool] = {}

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
        said = self.said.get(attempt.handle or "")
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
        self.said[attempt.handle or ""] = False

    async def aclose(self) -> None:
        """Nothing is open."""

    async def checks(self, *, production: bool) -> Sequence[Check]:
        return [Check("ok", "passport desk", "an officer is there")]

    def account_document(self, account: str, keys: Sequence[str], name: str) -> dict[str, Any]:
        raise ValueError("relying parties have no desks of their own")

    async def decide(self, handle: str, yes: bool) -> None:
        self.said[handle] = yes


class CardCounter(PaperPassport):
    """An officer looks at an ID card: here (qr), or at a counter that the browser is sent to and
    comes back from with its ticket (counter). The counter also calls us."""

    scheme = "idcard"
    app = App("身分證櫃檯", "ID card counter")
    paths = UpstreamPaths("/idcard/return", "/idcard/callback", ("192.0.2.0/24",), {"thank": "you"})
    _here = Method("idcard", "qr", "urn:twfido:qr", ("face",), 2, "wait", True, life=600)
    _away = Method("idcard", "counter", "urn:idcard:counter", ("face",), 3, "leave", True)
    methods: Mapping[str, Method] = MappingProxyType({m.id: m for m in (_here, _away)})

    def canonical_number(self, typed: str) -> str | None:
        return numbers.canonical(typed)

    def masked(self, number: str) -> str:
        return numbers.mask(number)

    async def start(self, order: Order) -> Challenge:
        if order.method != self._away.id:
            return await super().start(order)
        return Challenge("desk-1", None, "Counter", 180, action="https://counter.test/")

    async def accept(self, attempt: Attempt | None, fields: Mapping[str, str]) -> Returned:
        if "ticket" not in fields:
            raise Disagreement(detail="no ticket")
        return Returned(fields["ticket"], "yes")

    async def wakeup(self, body: bytes) -> Wakeup:
        try:
            told = json.loads(body)
            return Wakeup(told["system"], told["ticket"], "yes")
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Disagreement(detail="no ticket") from None
