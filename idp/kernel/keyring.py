"""Signing keys: next → active → retiring → gone.

A key's state is a function of time, and its times are decided in advance: every replica changes
over at the same moment without talking to the others. A key is published (in the JWKS) well
before it signs, and stays published until the last token it signed has died.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from sqlalchemy import Table, bindparam, insert, or_, select, update
from sqlalchemy.sql import Executable

from idp.kernel import stamps
from idp.kernel.clock import Clock, iso
from idp.kernel.database import Conflict, Database, Row, Transaction
from idp.kernel.errors import Unavailable
from idp.kernel.tables import further_signing_keys, signing_keys
from idp.kernel.vault import Vault

ALGORITHMS = ("RS256", "ES256", "PS256", "EdDSA")
FURTHER = ("PS256", "EdDSA")  # those that the release before does not have
# RFC 9864 prefers the name Ed25519, which client programs do not know yet
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)


class KeyState(StrEnum):
    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    alg: str
    key: Key
    public: dict[str, Any]
    published_at: int
    active_at: int | None
    retired_at: int | None
    gone_at: int | None

    def state(self, now: int) -> KeyState:
        if self.gone_at is not None and now >= self.gone_at:
            return KeyState.GONE
        if self.retired_at is not None and now >= self.retired_at:
            return KeyState.RETIRING
        if self.active_at is not None and now >= self.active_at:
            return KeyState.ACTIVE
        return KeyState.NEXT

    def sign(self, typ: str, claims: Mapping[str, Any]) -> str:
        """A JWT in compact form (RFC 7519)."""
        header = {"alg": self.alg, "typ": typ, "kid": self.kid}
        return jwt.encode(header, dict(claims), self.key, algorithms=[self.alg])


MakeKey = Callable[[str], Key]


def generate_key(alg: str) -> Key:
    if alg in ("RS256", "PS256"):
        return RSAKey.generate_key(2048, auto_kid=False)
    if alg == "EdDSA":
        return OKPKey.generate_key("Ed25519", auto_kid=False)
    return ECKey.generate_key("P-256", auto_kid=False)


class RotationRefused(Exception):
    """Says when it may be tried again."""


class _Statements:
    """On one of the two tables, which are alike."""

    def __init__(self, table: Table) -> None:
        k, of_kid = table.c, table.c.kid == bindparam("id")
        self.all = select(table).order_by(k.published_at, k.kid)
        self.live = self.all.where(or_(k.gone_at.is_(None), k.gone_at > bindparam("now")))
        self.insert = insert(table)
        self.promote = (
            update(table)
            .where(of_kid, k.active_at.is_(None), k.gone_at.is_(None))
            .values(active_at=bindparam("at"))
        )
        self.hasten = (  # a promotion that was to come later
            update(table)
            .where(of_kid, k.active_at > bindparam("at"), k.gone_at.is_(None))
            .values(active_at=bindparam("at"))
        )
        self.remove = (
            update(table)
            .where(of_kid, or_(k.gone_at.is_(None), k.gone_at > bindparam("at")))
            .values(retired_at=bindparam("at"), gone_at=bindparam("at"))
        )
        self.retire = (
            update(table)
            .where(of_kid)
            .values(retired_at=bindparam("at"), gone_at=bindparam("gone"))
        )


_FIRST, _FURTHER = _Statements(signing_keys), _Statements(further_signing_keys)
_KINDS: dict[str, type[Key]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


def _of(alg: str) -> _Statements:
    """Where the keys of an algorithm are kept."""
    return _FURTHER if alg in FURTHER else _FIRST


STAMP = "keys"


class KeyRing:
    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock,
        make_key: MakeKey = generate_key,
    ) -> None:
        self._database, self._vault, self._clock = database, vault, clock
        self._make_key = make_key
        self._keys: tuple[SigningKey, ...] = ()
        self._imported: dict[str, Key] = {}  # an RSA key takes 50 ms to import

    async def load(self) -> None:
        now = self._clock.now()
        rows = [
            row
            for kept in (_FIRST, _FURTHER)
            for row in await self._database.all(kept.live, now=now)
        ]
        self._keys = tuple(self._read(row) for row in rows)

    async def ensure(self) -> None:
        """First start: one active and one next key for each algorithm that has none."""
        await self.load()
        for alg in ALGORITHMS:
            if not any(k.alg == alg for k in self._keys):
                await self._found(alg)
        await self.load()

    async def _found(self, alg: str) -> None:
        now = self._clock.now()
        rows = [self._new(alg, now, active_at=now), self._new(alg, now)]

        async def work(tx: Transaction) -> None:
            # the marker row lets one of several first starts win
            await stamps.claim(tx, f"keys-{alg}")
            for row in rows:
                await tx.run(_of(alg).insert, **row)
            await stamps.bump(tx, STAMP)

        try:
            await self._database.write(work)
        except Conflict:
            return

    def _new(self, alg: str, now: int, active_at: int | None = None) -> dict[str, Any]:
        key = self._make_key(alg)
        kid = key.thumbprint()  # RFC 7638
        public = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": alg}
        private = json.dumps(key.as_dict(private=True))
        return {
            "kid": kid,
            "alg": alg,
            "private_sealed": self._vault.seal(f"signing-key:{kid}", private),
            "public": json.dumps(public, sort_keys=True),
            "published_at": now,
            "active_at": active_at,
            "retired_at": None,
            "gone_at": None,
        }

    def _read(self, row: Row) -> SigningKey:
        if row["kid"] not in self._imported:
            self._imported[row["kid"]] = self._import(row)
        return SigningKey(
            kid=row["kid"],
            alg=row["alg"],
            key=self._imported[row["kid"]],
            public=json.loads(row["public"]),
            published_at=row["published_at"],
            active_at=row["active_at"],
            retired_at=row["retired_at"],
            gone_at=row["gone_at"],
        )

    def _import(self, row: Row) -> Key:
        private = json.loads(self._vault.open(f"signing-key:{row['kid']}", row["private_sealed"]))
        return _KINDS[private["kty"]].import_key(
            private, {"kid": row["kid"], "use": "sig", "alg": row["alg"]}
        )

    # ── use ────────────────────────────────────────────────────────────────────────────────────

    def signer(self, alg: str) -> SigningKey:
        """The one active key; picked here, never by the JOSE library at random.
        Raises Unavailable if there is none: our fault, not the caller's."""
        now = self._clock.now()
        active = [k for k in self._keys if k.alg == alg and k.state(now) is KeyState.ACTIVE]
        if not active:
            raise Unavailable(detail=f"no active key for {alg}")
        return max(active, key=lambda k: k.active_at or 0)

    def find(self, kid: str) -> SigningKey | None:
        """For verifying our own tokens: anything published."""
        key = next((k for k in self._keys if k.kid == kid), None)
        return key if key and key.state(self._clock.now()) is not KeyState.GONE else None

    def published(self) -> Sequence[SigningKey]:
        now = self._clock.now()
        return [k for k in self._keys if k.state(now) is not KeyState.GONE]

    async def history(self) -> list[SigningKey]:
        kept = [await self._database.all(table.all) for table in (_FIRST, _FURTHER)]
        return [self._read(row) for rows in kept for row in rows]

    # ── rotation ───────────────────────────────────────────────────────────────────────────────

    async def rotate(self, lead: int, keep: int, *, immediately: bool = False) -> int:
        """Lets the next keys sign. Verifiers may hold a JWKS that is `lead` seconds old, so a
        key that is younger waits that long, unless `immediately`. The old keys stay published
        for `keep` seconds more. Returns the time of the change. Raises RotationRefused."""
        await self.load()
        now = self._clock.now()
        upcoming = {alg: self._upcoming(alg) for alg in ALGORITHMS}
        ready = max(k.published_at for k in upcoming.values()) + lead
        at = now if immediately else max(now, ready)

        async def work(tx: Transaction) -> None:
            for alg, key in upcoming.items():
                await self._change(tx, self.signer(alg), key, at, at + keep)
                await tx.run(_of(alg).insert, **self._new(alg, now))
            await stamps.bump(tx, STAMP)

        await self._database.write(work)
        await self.load()
        return at

    def _upcoming(self, alg: str) -> SigningKey:
        now = self._clock.now()
        waiting = [k for k in self._keys if k.alg == alg and k.state(now) is KeyState.NEXT]
        scheduled = [k for k in waiting if k.active_at is not None]
        if scheduled:
            at = iso(scheduled[0].active_at or now)
            raise RotationRefused(f"a rotation is under way: the next keys sign from {at} on")
        if not waiting:
            raise RotationRefused(f"there is no next key for {alg}")
        return waiting[-1]

    async def _change(
        self, tx: Transaction, old: SigningKey, new: SigningKey, at: int, gone: int
    ) -> None:
        if not await tx.run(_of(new.alg).promote, id=new.kid, at=at):
            raise RotationRefused("another rotation was first")
        await tx.run(_of(old.alg).retire, id=old.kid, at=at, gone=gone)

    async def remove(self, kid: str) -> None:
        """Emergency: the key is unpublished now, and all it signed is worth nothing. What it
        signs, or was to sign, falls to another at the same moment. Raises RotationRefused."""
        await self.load()
        now = self._clock.now()
        lost = self.find(kid)
        if lost is None:
            raise RotationRefused("there is no such published key")

        async def work(tx: Transaction) -> None:
            if not await tx.run(_of(lost.alg).remove, id=kid, at=now):
                raise RotationRefused("another removal was first")
            if lost.state(now) is not KeyState.RETIRING:
                await self._replace(tx, lost, now)
            await stamps.bump(tx, STAMP)

        await self._database.write(work)
        await self.load()

    async def _replace(self, tx: Transaction, lost: SigningKey, now: int) -> None:
        kept = _of(lost.alg)
        others = [
            k
            for k in self._keys
            if k.alg == lost.alg and k.kid != lost.kid and k.state(now) is KeyState.NEXT
        ]
        scheduled = next((k for k in others if k.active_at is not None), None)
        if scheduled and lost.state(now) is KeyState.ACTIVE:  # the rotation happens now
            await self._take_over(tx, kept.hasten, scheduled, now)
            return
        if lost.active_at is not None:
            if not others:
                raise RotationRefused(f"there is no other key for {lost.alg}")
            await self._take_over(tx, kept.promote, others[-1], max(now, lost.active_at))
        await tx.run(kept.insert, **self._new(lost.alg, now))

    @staticmethod
    async def _take_over(tx: Transaction, how: Executable, key: SigningKey, at: int) -> None:
        if not await tx.run(how, id=key.kid, at=at):
            raise RotationRefused("another change was first; look and try again")
