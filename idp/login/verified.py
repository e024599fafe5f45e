"""A person was verified: the value that something of lasting effect is made of."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verified:
    """Made where an approval is used up (login.complete), and consumed once. A session consumes
    it today. A device code (RFC 8628) or a backchannel request (CIBA) that waits for a person
    would consume the same value, and needs neither a browser nor a session for it.

    `number` is canonical. `sole_relying_party` is the only one that the verification counts for,
    "" for every one."""

    number: str = field(repr=False)
    method: str
    acr: str
    amr: tuple[str, ...]
    sole_relying_party: str
    at: int
