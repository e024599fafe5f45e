"""People who act by number, so that a test needs no clicks. Everybody else decides by hand."""

from __future__ import annotations

from dataclasses import dataclass
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
    """`decides` and `after` (seconds) hold for push and QR; on the pages of FWEB-01 and CTAP-01
    the person acts at the click, as `on_page` says or else as `decides` does."""

    pid: str = ""
    zh: str = "在手機頁面上決定"
    en: str = "decides on the phone page"
    decides: Outcome | None = None
    after: float = 0
    on_page: Outcome | None = None
    registered: bool = True
    waits: int = 0  # polls answered 9000 between the approval and 0000
    spoils_checksum: bool = False  # of the result, FATH-02
    names_other: bool = False
    delay: float = 0  # seconds before every answer
    callbacks_before: int = 0  # the opening answer
    callbacks_after: int = 1

    @property
    def at_click(self) -> Outcome:
        return self.on_page or self.decides or Outcome.APPROVED


ANYBODY = Persona()
OTHER_PERSON = "A123456789"  # whom A100000109's results name
YES = Outcome.APPROVED

_TABLE = (
    Persona("A100000010", "立即同意", "approves at once", YES),
    Persona("A100000029", "三秒後同意", "approves after 3 s", YES, after=3),
    Persona("A100000038", "拒絕（9004）", "denies (9004)", Outcome.DENIED),
    Persona(
        "A100000047",
        "不回應（180 秒後 2003）",
        "never answers (2003 after 180 s)",
        on_page=Outcome.EXPIRED,
    ),
    Persona(
        "A100000056",
        "未註冊（4002）",
        "not registered (4002)",
        registered=False,
        on_page=Outcome.FAILED,
    ),
    Persona("A100000065", "驗證失敗（2002）", "fails (2002)", Outcome.FAILED),
    Persona("A100000074", "系統錯誤（9999）", "system error (9999)", Outcome.BROKEN),
    Persona(
        "A100000083", "先回兩次 9000，再回 0000", "answers 9000 twice, then 0000", YES, waits=2
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
    Persona(
        "A100000127",
        "回呼先於開啟回應一次，之後再兩次",
        "callback arrives once before the opening answer and twice after it",
        YES,
        callbacks_before=1,
        callbacks_after=2,
    ),
)
PERSONAS = {persona.pid: persona for persona in _TABLE}


def persona(pid: str) -> Persona:
    return PERSONAS.get(pid, ANYBODY)
