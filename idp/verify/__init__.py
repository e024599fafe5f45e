"""WHO IS THIS PERSON? One interface that any national ID scheme can implement.

Owns: Method, System, Order, Challenge, Attempt, Outcome and the Verifier protocol.
Must not touch: the browser, the database, OpenID Connect. A verifier speaks to its upstream and
says what it heard; the login room stores it and decides what happens next.
A second scheme is one more folder here and one line in app.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from idp.kernel.errors import VerificationError


@dataclass(frozen=True, slots=True)
class Method:
    """A way to verify. `shows` is what the browser does meanwhile:
    wait (confirm elsewhere), scan (draw `Challenge.qr`), leave (post to `Challenge.action`)."""

    id: str
    acr: str
    amr: tuple[str, ...]
    rank: int  # a higher rank satisfies a demand for a lower one
    shows: Literal["wait", "scan", "leave"]
    needs_number: bool
    disturbs: bool = False  # rings somebody's phone: guarded by budgets


@dataclass(frozen=True, slots=True)
class Order:
    """What to verify: for which relying party, how, and (if the method needs it) whom.
    `number` is canonical (`canonical_number`)."""

    relying_party: str
    method: str
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the upstream opened. `handle` is its id for the attempt, None until the browser
    brings it back. `system` names the upstream account used; (system, handle) is unique for ever.
    `display_name` is what the person's phone shows. `expires_in` in seconds. `app_link` opens the
    app on the same device, where there are such links. `only_for` names the relying party whose
    own account was used: who holds that account's key can obtain approvals outside of us, so what
    it verifies must count for nobody else."""

    system: str
    handle: str | None
    display_name: str
    expires_in: int
    qr: str | None = None
    app_link: str = ""
    action: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    form_method: Literal["post", "get"] = "post"
    only_for: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a verifier needs to be asked again; `number` is the one the attempt was opened with,
    or else the one that the browser brought back; `brought` is the code that came with it."""

    relying_party: str
    method: str
    system: str
    handle: str | None
    number: str | None
    brought: str = ""


class State(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The upstream's word. APPROVED carries the verified `number`; ENDED carries `why`.
    `code` is the upstream's own result code, for the log; `alarm` is set when its answers
    contradict each other or what we asked (nobody is let in, an operator should look)."""

    state: State
    number: str | None = None
    why: type[VerificationError] | None = None
    code: str = ""
    alarm: str | None = None


@dataclass(frozen=True, slots=True)
class Returned:
    """What a browser carried back: a wake-up, never proof. Even a failure is only believed from
    the back channel. `number` is whom it names in full, if anybody: the back channel must name
    the same."""

    handle: str
    code: str
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Wakeup:
    """What an upstream callback names: a handle to ask about, and what it claims of it."""

    system: str
    handle: str
    code: str
    number: str | None = None


class Verifier(Protocol):
    """Five verbs. All raise `VerificationError` (Disagreement, NotStarted, UpstreamAway …)."""

    @property
    def methods(self) -> Mapping[str, Method]: ...

    @property
    def life(self) -> int:
        """Seconds that an attempt is open: what the pages tell before it begins."""
        ...

    @property
    def closed_until(self) -> int:
        """UTC seconds until which no attempt can begin; 0 if nobody announced any."""
        ...

    def canonical_number(self, typed: str) -> str | None:
        """The number as the upstream writes it, or None if it cannot be one."""
        ...

    def masked(self, number: str) -> str:
        """For display only, never a key."""
        ...

    async def start(self, order: Order) -> Challenge:
        """Open an attempt. Never resent by itself: a second try is the person's decision."""
        ...

    async def poll(self, attempt: Attempt) -> Outcome:
        """Ask the upstream, server to server. The only source of truth."""
        ...

    async def accept(self, attempt: Attempt | None, fields: Mapping[str, str]) -> Returned:
        """Read what the browser brought back for `attempt`, or for nothing that we know of (None);
        raises Disagreement if it is not well-formed, not signed, or of another attempt."""
        ...

    async def wakeup(self, body: bytes) -> Wakeup:
        """Read an upstream callback; raises Disagreement if it is malformed or not signed."""
        ...

    async def cancel(self, attempt: Attempt) -> None:
        """Tell the upstream, where it can be told."""
        ...
