"""Binding codes: twelve characters, one card, one use. What is stored is a keyed mark."""

from __future__ import annotations

import unicodedata

from sqlalchemy import bindparam, insert, update

from idp.kernel.database import Transaction
from idp.kernel.housekeeping import kept
from idp.kernel.tables import binding_codes
from idp.kernel.text import legible
from idp.kernel.vault import Vault

LENGTH, GROUP = 12, 4  # over 59 bits

_C = binding_codes.c
_INSERT = insert(binding_codes)
_VOID = (
    update(binding_codes)
    .where(_C.card_number == bindparam("card"), _C.spent_at.is_(None))
    .values(spent_at=bindparam("now"))
)
_SPEND = (
    update(binding_codes)
    .where(
        _C.digest == bindparam("key"),
        _C.card_number == bindparam("card"),
        _C.spent_at.is_(None),
        _C.expires_at > bindparam("now"),
    )
    .values(spent_at=bindparam("moment"))
)
RETENTION = (kept(_C.expires_at, 86_400),)


def new() -> str:
    return legible(LENGTH)


def grouped(code: str) -> str:
    return " ".join(code[i : i + GROUP] for i in range(0, len(code), GROUP))


def canonical(typed: str) -> str:
    """As a thumb types it on a phone: lower case, blanks, dashes, full-width letters."""
    return "".join(c for c in unicodedata.normalize("NFKC", typed) if c.isalnum()).upper()


def _mark(vault: Vault, card_number: str, code: str) -> str:
    # 59 bits would fall to a stolen table and a rack of cards if the mark had no key
    return vault.index("binding-code", f"{card_number} {code}")


async def issue(
    tx: Transaction, vault: Vault, card_number: str, code: str, now: int, expires_at: int
) -> None:
    """The code becomes the only one of its card."""
    await tx.run(_VOID, card=card_number, now=now)
    await tx.run(
        _INSERT,
        digest=_mark(vault, card_number, code),
        card_number=card_number,
        expires_at=expires_at,
        spent_at=None,
    )


async def spend(tx: Transaction, vault: Vault, card_number: str, typed: str, now: int) -> bool:
    """Whether this call used the code up: of many at once, one."""
    mark = _mark(vault, card_number, canonical(typed))
    return await tx.run(_SPEND, key=mark, card=card_number, now=now, moment=now) == 1
