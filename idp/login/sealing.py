"""What of an attempt is stored sealed: the number, and the fields that the browser carries."""

from __future__ import annotations

import json
from collections.abc import Sequence

from idp.kernel.vault import Vault
from idp.login.flow import Drawing, VerificationAttempt
from idp.verify import Attempt

NUMBER, FIELDS, HINT = "attempt", "challenge", "number-hint"  # the vault's purposes
Fields = tuple[tuple[str, str], ...]


class Sealing:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def number(self, number: str) -> str:
        return self._vault.seal(NUMBER, number)

    def number_of(self, attempt: VerificationAttempt) -> str | None:
        sealed = attempt.number_sealed
        return self._vault.open_text(NUMBER, sealed) if sealed else None

    def fields(self, fields: Sequence[tuple[str, str]]) -> str:
        return self._vault.seal(FIELDS, json.dumps(fields))

    def fields_of(self, drawing: Drawing) -> Fields:
        """What the browser carries to the upstream."""
        if not drawing.fields_sealed:
            return ()
        text = self._vault.open_text(FIELDS, drawing.fields_sealed)
        return tuple((name, value) for name, value in json.loads(text))

    def hint(self, number: str) -> str:
        """A number that a relying party suggested."""
        return self._vault.seal(HINT, number) if number else ""

    def hint_of(self, sealed: str) -> str:
        return self._vault.open_text(HINT, sealed) if sealed else ""

    def as_asked(self, attempt: VerificationAttempt) -> Attempt:
        """As the verifier is asked about it."""
        return Attempt(
            relying_party=attempt.relying_party,
            method=attempt.method,
            system=attempt.system,
            handle=attempt.handle,
            number=self.number_of(attempt),
            returned_code=attempt.returned_code,
        )
