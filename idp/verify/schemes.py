"""Several schemes in one bridge: which methods somebody may use, and whose each method is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from idp.kernel.errors import NotStarted
from idp.verify import App, Attempt, Challenge, Check, Method, Order, Outcome, Verifier

FIRST = "twfido"  # whose methods were stored by their bare names, when it was the only scheme


SANDBOX = ":sandbox"  # what the levels of a sandbox end in


class Schemes:
    """`verifiers` in the order of preference: where two schemes have a method of one name, the
    first is used. `enabled` names those whose methods the house offers, () for all; another one
    only finishes what it began, or serves relying parties that name it. In a `sandbox` anybody can
    be anybody, so no level of a real verification is told. Raises ValueError if there is none, two
    have one name, or one is enabled that there is not."""

    def __init__(
        self, verifiers: Sequence[Verifier], enabled: Sequence[str] = (), *, sandbox: bool = False
    ) -> None:
        self._verifiers = {verifier.scheme: verifier for verifier in verifiers}
        self._enabled = tuple(enabled) or tuple(self._verifiers)
        if not verifiers or len(self._verifiers) != len(verifiers):
            raise ValueError("at least one scheme is needed, and each once")
        if unknown := set(self._enabled) - set(self._verifiers):
            raise ValueError(f"no such scheme: {', '.join(sorted(unknown))}")
        self.methods: Mapping[str, Method] = {
            method.id: replace(method, acr=method.acr + SANDBOX) if sandbox else method
            for verifier in verifiers
            for method in verifier.methods.values()
        }

    def __iter__(self) -> Iterator[Verifier]:
        return iter(self._verifiers.values())

    def named(self, scheme: str) -> Verifier | None:
        return self._verifiers.get(scheme)

    def offered(self, schemes: Sequence[str] = ()) -> list[Method]:
        """The methods of these schemes, or of the house's; each name once."""
        found: dict[str, Method] = {}
        for scheme in schemes or self._enabled:
            verifier = self._verifiers.get(scheme)
            for method in verifier.methods.values() if verifier else ():
                found.setdefault(method.name, self.methods[method.id])
        return list(found.values())

    def method(self, stored: str) -> Method | None:
        """By its id, or by a bare name. None if it has been switched off since."""
        return self.methods.get(stored if ":" in stored else f"{FIRST}:{stored}")

    def of(self, method: Method) -> Verifier:
        return self._verifiers[method.scheme]

    def closed_until(self, method: Method) -> int:
        return self.of(method).closed_until

    def app(self, method: Method | None = None) -> App:
        """Of the method's scheme, or of the one that the house prefers."""
        return self._verifiers[method.scheme if method else self._enabled[0]].app

    # ── numbers ────────────────────────────────────────────────────────────────────────────────

    def canonical_number(self, typed: str, method: Method | None = None) -> str | None:
        """As the method's scheme reads it; before one is chosen, as the first that can."""
        readers = [self.of(method)] if method else self
        found = (verifier.canonical_number(typed) for verifier in readers)
        return next((number for number in found if number is not None), None)

    def masked(self, number: str) -> str:
        """By the scheme whose number it is; all of it is hidden if it is nobody's."""
        owner = next((v for v in self if v.canonical_number(number) == number), None)
        return owner.masked(number) if owner else "*" * len(number)

    # ── the verbs ──────────────────────────────────────────────────────────────────────────────

    async def start(self, order: Order) -> Challenge:
        method = self.methods.get(order.method)
        if method is None:
            raise NotStarted(detail="the method is off")
        return await self.of(method).start(order)

    async def poll(self, attempt: Attempt) -> Outcome:
        verifier, attempt = self._by(attempt)
        return await verifier.poll(attempt)

    async def cancel(self, attempt: Attempt) -> None:
        verifier, attempt = self._by(attempt)
        await verifier.cancel(attempt)

    def _by(self, attempt: Attempt) -> tuple[Verifier, Attempt]:
        method = self.method(attempt.method)
        if method is None:
            raise NotStarted(detail="the method is off")
        return self.of(method), replace(attempt, method=method.id)

    async def checks(self, *, production: bool) -> list[Check]:
        """For `idp doctor`, of every scheme."""
        return [
            check for verifier in self for check in await verifier.checks(production=production)
        ]

    async def aclose(self) -> None:
        for verifier in self:
            await verifier.aclose()
