"""WHO IS THIS PERSON? One interface that any national ID scheme can implement.

Owns: Method, Order, Challenge, Attempt, Outcome, Ports, UpstreamPaths and the Verifier protocol;
schemes.py lets several schemes serve one bridge.
Must not touch: the browser, the database, OpenID Connect. A verifier speaks to its upstream and
says what it heard; the login room stores it and decides what happens next.
A further scheme is one more folder here, its settings, and one line in idp/house.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

import httpx

from idp.kernel.errors import VerificationError


@dataclass(frozen=True, slots=True)
class Method:
    """A way to verify. `name` is what settings, pages and relying parties call it; two schemes may
    have methods of one name. `shows` is what the browser does meanwhile: wait (confirm
    elsewhere), scan (draw `Challenge.qr`), leave (post to `Challenge.action`). `life`: seconds
    that an attempt is open, which the pages tell before it begins. `ask_seconds`: the least time
    between two questions about one attempt that the upstream wants."""

    scheme: str
    name: str
    acr: str
    amr: tuple[str, ...]
    rank: int  # a higher rank satisfies a demand for a lower one
    shows: Literal["wait", "scan", "leave"]
    needs_number: bool
    disturbs: bool = False  # rings somebody's phone: guarded by budgets
    life: int = 180
    ask_seconds: int = 1

    @property
    def id(self) -> str:
        """Unique over all schemes; what attempts and sessions are stored with."""
        return f"{self.scheme}:{self.name}"

    @property
    def labels(self) -> dict[str, str]:
        """For audit entries, log lines and metrics."""
        return {"scheme": self.scheme, "method": self.name}


@dataclass(frozen=True, slots=True)
class Order:
    """What to verify: for which relying party, by which method (its id), and (if the method needs
    it) whom. `number` is canonical (`canonical_number`)."""

    relying_party: str
    method: str
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the upstream opened. `handle` is its id for the attempt; None where only the upstream
    knows it, until the browser brings it back. `system` names the upstream account used;
    (system, handle) is unique for ever. `display_name` is what the person's phone shows.
    `expires_in` in seconds. `app_link` opens the app on the same device, where there are such
    links. `only_for` names the relying party whose own account was used: who holds that account's
    key can obtain approvals outside of us, so what it verifies must count for nobody else."""

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
    or else the one that the browser brought back; `returned_code` is the code that came with it.
    `method` is the method's id."""

    relying_party: str
    method: str
    system: str
    handle: str | None
    number: str | None
    returned_code: str = ""


class State(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of the upstream's own for a person, which should never change. It identifies nobody:
    it is remembered beside the number, and another one later is an alarm. `binding`: then nobody
    is let in either."""

    value: str = field(repr=False)
    binding: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """The upstream's word. APPROVED carries the verified `number`; ENDED carries `why`.
    `code` is the upstream's own result code, for the log; `alarm` is set when its answers
    contradict each other or what we asked (nobody is let in, an operator should look).
    `evidence` goes into the audit trail with the outcome: facts that were checked, nothing that
    names a person. `alias` is what the upstream calls the approved person."""

    state: State
    number: str | None = None
    why: type[VerificationError] | None = None
    code: str = ""
    alarm: str | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)
    alias: Alias | None = None


@dataclass(frozen=True, slots=True)
class Returned:
    """What a browser carried back: a wake-up, never proof. Even a failure is only believed from
    the back channel. `number` is whom it names in full, if anybody: the back channel must name
    the same, if it names anybody. `code` is "" where a result is not even claimed: then the
    browser is only led to the page of its login."""

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


@dataclass(frozen=True, slots=True)
class UpstreamPaths:
    """Where a scheme's upstream reaches us; "" where it does not. `returns`: browsers that come
    back. `callback`: the upstream itself, from `callback_peers` (networks), answered with
    `acknowledgement` whatever it said."""

    returns: str = ""
    callback: str = ""
    callback_peers: tuple[str, ...] = ()
    acknowledgement: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class App:
    """What a scheme's app on the phone is called, and where people register for it."""

    name: str
    name_en: str
    register_url: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """For `idp doctor`: what was looked at, what was seen, and what to do where it is not well."""

    result: Literal["ok", "warn", "fail"]
    what: str
    seen: str
    remedy: str = ""


# ── what a scheme is handed ─────────────────────────────────────────────────────────────────────

Reserve = Callable[[str], Awaitable[tuple[int, int]]]


class Accounts(Protocol):
    """A relying party's own account at a scheme's upstream, as the document that the scheme's
    operator command stored; None means that it has none and the house's account serves."""

    async def of(self, scheme: str, relying_party: str) -> Mapping[str, Any] | None: ...
    async def named(self, scheme: str, account: str) -> Mapping[str, Any] | None:
        """By the account's own name at the upstream."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The world of a scheme. `transport` is the way to its upstream (httpx), None for the one of
    its own settings. `reserve(system)` gives a pair (UTC seconds, a number below 10^10) that was
    never given for that system before. `monotonic` in seconds. `now` is UTC seconds. `issuer` is
    the address of the bridge, beneath which the scheme's paths are."""

    transport: httpx.AsyncBaseTransport | None
    reserve: Reserve
    accounts: Accounts
    monotonic: Callable[[], float]
    now: Callable[[], int]
    issuer: str


class Verifier(Protocol):
    """A scheme. Five verbs, all of which raise `VerificationError` (Disagreement, NotStarted,
    UpstreamAway …)."""

    @property
    def scheme(self) -> str: ...

    @property
    def app(self) -> App: ...

    @property
    def methods(self) -> Mapping[str, Method]:
        """By id."""
        ...

    @property
    def paths(self) -> UpstreamPaths: ...

    @property
    def closed_until(self) -> int:
        """UTC seconds until which no attempt can begin; 0 if nobody announced any."""
        ...

    def canonical_number(self, typed: str) -> str | None:
        """The number as it is stored, or None if it cannot be one. Schemes that verify the same
        kind of number write it alike, so that a person is the same by each; a scheme with numbers
        of another kind must write them so that none equals one of theirs."""
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

    async def aclose(self) -> None:
        """Give back connections."""
        ...

    # ── for operators ────────────────────────────────────────────────────────────────────────

    async def checks(self, *, production: bool) -> Sequence[Check]:
        """Settings that are certainly wrong, and whether the upstream can be reached."""
        ...

    def account_document(self, account: str, keys: Sequence[str], name: str) -> dict[str, Any]:
        """What `Accounts` keeps for a relying party's own account, known upstream as `account`;
        phones show `name`. Raises ValueError, also where the scheme has no such accounts."""
        ...
