"""People who act by number, so that a test needs no clicks. Everybody else decides by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Outcome(StrEnum):
    """How a transaction stands; the word is also the ledger's event."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    FAILED = "failed"
    BROKEN = "broken"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Persona:
    """`decides` and `after` (seconds) hold for push and QR; on a page that the browser visits the
    person acts at the click, as `on_page` says or else as `decides` does. `waits`: polls that are
    answered "not yet" after the approval. `early`: something comes before its time, in whichever
    way a service can do that."""

    pid: str = ""
    zh: str = "在手機頁面上決定"
    en: str = "decides on the phone page"
    decides: Outcome | None = None
    after: float = 0
    on_page: Outcome | None = None
    registered: bool = True
    waits: int = 0
    spoils_checksum: bool = False  # of the result
    names_other: bool = False
    delay: float = 0  # seconds before every answer
    early: bool = False

    @property
    def at_click(self) -> Outcome:
        return self.on_page or self.decides or Outcome.APPROVED


ANYBODY = Persona()
OTHER_PERSON = "A123456789"  # whom A100000109's results name
YES = Outcome.APPROVED

# The words in braces are each service's own codes.
_TABLE = (
    Persona("A100000010", "立即同意", "approves at once", YES),
    Persona("A100000029", "三秒後同意", "approves after 3 s", YES, after=3),
    Persona("A100000038", "拒絕（{denied}）", "denies ({denied})", Outcome.DENIED),
    Persona(
        "A100000047",
        "不回應（180 秒後 {expired}）",
        "never answers ({expired} after 180 s)",
        on_page=Outcome.EXPIRED,
    ),
    Persona(
        "A100000056",
        "未註冊（{absent}）",
        "not registered ({absent})",
        registered=False,
        on_page=Outcome.FAILED,
    ),
    Persona("A100000065", "驗證失敗（{failed}）", "fails ({failed})", Outcome.FAILED),
    Persona("A100000074", "系統錯誤（{broken}）", "system error ({broken})", Outcome.BROKEN),
    Persona(
        "A100000083",
        "先回兩次 {waits}，再回 {approved}",
        "answers {waits} twice, then {approved}",
        YES,
        waits=2,
    ),
    Persona(
        "A100000092",
        "結果的檢查碼錯誤",
        "wrong checksum in the result",
        YES,
        spoils_checksum=True,
    ),
    Persona(
        "A100000109", "結果是另一個人", "the result names another person", YES, names_other=True
    ),
    Persona("A100000118", "每次回應都慢 6 秒", "slow: every answer takes 6 s", YES, delay=6),
    Persona("A100000127", "{early_zh}", "{early_en}", YES, early=True),
)


def people(words: Mapping[str, str]) -> dict[str, Persona]:
    """Everybody by number, described in the words of one service."""
    return {p.pid: replace(p, zh=p.zh.format_map(words), en=p.en.format_map(words)) for p in _TABLE}
