"""What the core may know, and what it may want: preloaded rows in, effects out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from idp.kernel.audit import Entry
from idp.registry.clients import Client


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person gave a client. `alive` already accounts for everything that can have ended
    it but its client: whether that is disabled is the caller's to ask. `session_alive` is told
    apart, since a grant may outlive its session."""

    id: str
    client_id: str
    person_id: str
    number_index: str
    number_sealed: str
    scope: tuple[str, ...]
    claims: dict[str, tuple[str, ...]]
    nonce: str
    acr: str
    amr: tuple[str, ...]
    auth_time: int
    expires_at: int
    generation: int
    rotated_at: int | None
    refreshed_at: int
    alive: bool
    session_alive: bool


@dataclass(frozen=True, slots=True)
class Code:
    digest: str
    grant: Grant
    redirect_uri: str
    code_challenge: str
    expires_at: int
    spent: bool


@dataclass(frozen=True, slots=True)
class World:
    """Everything a token request can ask for, read in one go."""

    now: int
    address: str
    reference: str
    client: Client | None = None
    code: Code | None = None
    refresh: Grant | None = None
    generation: int = -1  # of the refresh token presented; -1: its mark is not ours
    signed_claims: Mapping[str, object] = field(default_factory=dict)  # for the ID token


# ── effects: each is one change in the one transaction; the first three decide a race ─────────────


@dataclass(frozen=True, slots=True)
class SpendCode:
    digest: str
    grant_id: str


@dataclass(frozen=True, slots=True)
class Refresh:
    """Use of a refresh token of `generation`; `rotate` makes the next generation."""

    grant_id: str
    generation: int
    rotate: bool


@dataclass(frozen=True, slots=True)
class SpendAssertion:
    client_id: str
    jti: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class RevokeGrant:
    grant_id: str


@dataclass(frozen=True, slots=True)
class Tell:
    """An audit entry; written with the other effects if there are any, else in the next batch."""

    entry: Entry


Effect = SpendCode | Refresh | SpendAssertion | RevokeGrant | Tell


@dataclass(slots=True)
class Effects:
    """Appended to while the core decides."""

    wanted: list[Effect] = field(default_factory=list)

    def add(self, effect: Effect) -> None:
        self.wanted.append(effect)

    @property
    def changes(self) -> bool:
        return any(not isinstance(effect, Tell) for effect in self.wanted)
