"""What the core is given, and what it answers: preloaded rows in, effects out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from idp.kernel.audit import Entry
from idp.kernel.caller import Caller
from idp.mtls import X5T
from idp.oidc import scopes
from idp.oidc.request import AuthorizationRequest
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
    bound_to: str = ""  # its refresh tokens are good only for who holds this key
    resources: tuple[str, ...] = ()  # those it was asked for (RFC 8707); none named: any
    session_id: str = ""  # in which it was made

    def within(self, client: Client) -> Grant:
        """What the client may have now: an operator may have taken a scope from it since. Without
        offline_access it ends with its session (OIDC Core §11)."""
        if client.client_id != self.client_id:
            return self
        may = client.metadata.scopes
        scope = tuple(name for name in self.scope if name in may)
        claims = {k: tuple(v) for k, v in scopes.within(self.claims, may).items()}
        online = "offline_access" not in scope
        alive = self.alive and (self.session_alive or not online)
        return replace(self, scope=scope, claims=claims, alive=alive)


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code as it is stored: only its digest is."""

    digest: str
    grant: Grant
    redirect_uri: str
    code_challenge: str
    expires_at: int
    spent: bool
    dpop_jkt: str = ""  # the key that its redemption must show to hold


@dataclass(frozen=True, slots=True)
class SpendProof:
    """A DPoP proof by its mark, remembered as long as it could be used (RFC 9449 §11.1)."""

    mark: str
    until: int


@dataclass(frozen=True, slots=True)
class Held:
    """What a request has shown to hold, by thumbprint: the key of a DPoP proof (`jkt`), a
    certificate (`x5t`). `effects` are what the proof costs."""

    jkt: str = ""
    effects: tuple[SpendProof, ...] = ()
    x5t: str = ""

    def opens(self, bound_to: str) -> bool:
        """Whether it may use what is bound to this; "" is bound to nothing."""
        return bound_to in ("", self.jkt, self.x5t)

    @property
    def confirmation(self) -> dict[str, str]:
        """`cnf` of the tokens that it gets (RFC 9449 §6.1, RFC 8705 §3.1)."""
        return {name: held for name, held in (("jkt", self.jkt), (X5T, self.x5t)) if held}

    @property
    def token_type(self) -> str:
        return "DPoP" if self.jkt else "Bearer"


@dataclass(frozen=True, slots=True)
class Preloaded:
    """Everything a token request can ask for, read before the core decides."""

    now: int
    caller: Caller
    client: Client
    held: Held = Held()
    code: Code | None = None
    refresh: Grant | None = None
    generation: int = -1  # of the refresh token presented; -1: we never issued it
    signed_claims: Mapping[str, object] = field(default_factory=dict)  # for the ID token


# ── effects: each is one change in the one transaction; the first three decide a race ─────────────


@dataclass(frozen=True, slots=True)
class SpendCode:
    """The code cannot be used again; if it was used meanwhile, its family ends."""

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
    """The `jti` of a client's assertion, remembered until it expires (RFC 7523 §3)."""

    client_id: str
    jti: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class BindGrant:
    """From now on its refresh tokens are good only for who holds this key."""

    grant_id: str
    thumbprint: str


@dataclass(frozen=True, slots=True)
class KeepRequest:
    """A pushed authorization request, which the first browser with its reference claims."""

    id: str
    asked: AuthorizationRequest
    expires_at: int


@dataclass(frozen=True, slots=True)
class RevokeGrant:
    """The whole refresh family and its access tokens."""

    grant_id: str


@dataclass(frozen=True, slots=True)
class Record:
    """An audit entry; written with the other effects if there are any, else in the next batch.
    `repeatable`: nothing else ends when it is caused, so a flood of it is not all written."""

    entry: Entry
    repeatable: bool = False


Effect = (
    SpendCode
    | Refresh
    | SpendAssertion
    | SpendProof
    | BindGrant
    | KeepRequest
    | RevokeGrant
    | Record
)


@dataclass(slots=True)
class Effects:
    """Appended to while the core decides."""

    wanted: list[Effect] = field(default_factory=list)

    def add(self, effect: Effect) -> None:
        self.wanted.append(effect)

    @property
    def changes(self) -> bool:
        return any(not isinstance(effect, Record) for effect in self.wanted)
