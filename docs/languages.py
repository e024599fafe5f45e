"""The sentences of generated tables in the languages of the documents.

A table's function takes a `Say`: ENGLISH leaves the sentences of the code as they are, CHINESE
looks them up in zh-TW/tables.po. tests/test_languages.py fails while one is missing there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from babel.messages.pofile import read_po

Say = Callable[[str], str]
CATALOGUE = Path(__file__).parent / "zh-TW/tables.po"


def ENGLISH(sentence: str) -> str:
    return sentence


class Catalogue:
    """Sentences by their English. `missing` are those that were asked for in vain."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known, self.asked = known, set[str]()

    def __call__(self, sentence: str) -> str:
        if not re.search(r"[A-Za-z]", re.sub(r"`[^`]*`", "", sentence)):
            return sentence  # a number, a value, nothing
        self.asked.add(sentence)
        return self.known.get(sentence) or sentence


def read(file: Path = CATALOGUE) -> Catalogue:
    with file.open("rb") as source:
        return Catalogue({str(m.id): str(m.string) for m in read_po(source) if m.id})


CHINESE = read()
