"""Directory passwords: argon2id, at most two at a time, and never quicker for an unknown card."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from idp.kernel.errors import Unavailable

AT_ONCE = 2  # each takes all of 64 MiB and a core: more would starve the rest of the house
MOST_WAITING = 30  # about what two threads manage within Tencent's three seconds
_MOST_MEMORY, _MOST_TIME, _MOST_LANES = 256 * 1024, 16, 16  # an imported hash must not stop us

_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """For the column password_hash of an import."""
    return _hasher.hash(password)


def acceptable(hashed: str) -> bool:
    """Whether an imported hash is argon2id with a bearable cost."""
    try:
        cost = extract_parameters(hashed)
    except (InvalidHashError, ValueError):
        return False
    return (
        cost.type is Type.ID
        and cost.memory_cost <= _MOST_MEMORY
        and cost.time_cost <= _MOST_TIME
        and cost.parallelism <= _MOST_LANES
    )


class Passwords:
    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._nobody: str | None = None
        self._waiting = 0

    async def verify(self, hashed: str | None, password: str) -> bool:
        """None (nobody, locked, expired, no password) takes as long and is always False.
        Raises Unavailable when too many wait already."""
        if self._waiting >= MOST_WAITING:
            raise Unavailable(detail="too many passwords to verify")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._verify, hashed, password)
        finally:
            self._waiting -= 1

    def _verify(self, hashed: str | None, password: str) -> bool:
        try:
            return _hasher.verify(hashed or self._stand_in(), password) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False

    def _stand_in(self) -> str:
        if self._nobody is None:
            self._nobody = _hasher.hash("nobody")
        return self._nobody
