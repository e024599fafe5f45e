"""What the pages of one login need to know of the ways to verify."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from idp.login.budgets import Budgets
from idp.login.flow import AttemptState, LoginTransaction, Purpose, VerificationAttempt
from idp.login.sealing import Sealing
from idp.verify import App, Method
from idp.verify.schemes import Schemes


@dataclass(frozen=True, slots=True)
class Offer:
    """`methods` may be chosen. `app` is that of the attempt's scheme; before there is one, of the
    first method's. `current` is the method of the attempt. `person` is the masked number that it
    was approved for, where the browser brought it back. `rests_after_denial`: a phone whose person
    pressed reject is not rung again for a while."""

    methods: tuple[Method, ...]
    app: App
    current: Method | None = None
    person: str = ""
    rests_after_denial: bool = True

    @property
    def scan(self) -> Method | None:
        """The way to go on with a code to scan where a phone should have rung."""
        return next((method for method in self.methods if method.shows == "scan"), None)

    def instead(self, advice: Mapping[str, str]) -> str:
        """Of the ways that an error advises, one that is open to everybody here."""
        ways = {m.shows for m in self.methods if m.shows != "leave" or not m.needs_number}
        return next((sentence for shows, sentence in advice.items() if shows in ways), "")

    @property
    def life(self) -> int:
        """Seconds of one attempt; before there is one, the longest of those offered."""
        offered = (method.life for method in self.methods)
        return self.current.life if self.current else max(offered, default=0)


class Offers:
    def __init__(self, schemes: Schemes, sealing: Sealing, budgets: Budgets) -> None:
        self._schemes, self._sealing, self._budgets = schemes, sealing, budgets

    def methods(self, purpose: Purpose) -> tuple[Method, ...]:
        """All that the house or the purpose's schemes offer, or those that the purpose allows."""
        offered = self._schemes.offered(purpose.schemes)
        return tuple(m for m in offered if not purpose.methods or m.id in purpose.methods)

    def of(self, login: LoginTransaction, attempt: VerificationAttempt | None) -> Offer:
        methods = self.methods(login.purpose)
        current = self._schemes.method(attempt.method) if attempt else None
        return Offer(
            methods=methods,
            app=self._schemes.app(current or next(iter(methods), None)),
            current=current,
            person=self._approved(attempt) if attempt else "",
            rests_after_denial=self._budgets.pause > 0,
        )

    def _approved(self, attempt: VerificationAttempt) -> str:
        if attempt.shows != "leave" or attempt.state is not AttemptState.APPROVED:
            return ""
        number = self._sealing.number_of(attempt)
        return self._schemes.masked(number) if number else ""
