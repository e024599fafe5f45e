"""The people in the words of the ministry's slides."""

from __future__ import annotations

from idp.verify.simulated.people import ANYBODY, OTHER_PERSON, Outcome, Persona, people

__all__ = ["ANYBODY", "OTHER_PERSON", "PERSONAS", "Outcome", "Persona", "persona"]

PERSONAS = people(
    {
        "approved": "0000",
        "denied": "9004",
        "expired": "2003",
        "absent": "4002",
        "failed": "2002",
        "broken": "9999",
        "waits": "9000",
        "early_zh": "回呼先於開啟回應一次，之後再兩次",
        "early_en": "callback arrives once before the opening answer and twice after it",
    }
)


def persona(pid: str) -> Persona:
    return PERSONAS.get(pid, ANYBODY)
