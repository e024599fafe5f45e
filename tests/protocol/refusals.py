"""One bad request, and the answers of two providers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.protocol.provider import Provider

Send = Callable[[Provider], Awaitable[str]]
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Case:
    """`row` of tests/rows.tsv. oidc-provider answers `theirs`, if it is not the same; then `why`
    says why ours stays."""

    row: str
    what: str
    send: Send
    ours: str
    theirs: str = ""
    why: str = ""
