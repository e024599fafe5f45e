"""Every text that a person may meet exists in every language, whole and current."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from idp.account import pages
from idp.kernel.errors import all_errors
from idp.kernel.templates import template_directory
from idp.members import binding

FOLDER = template_directory()
CATALOGUES = sorted((FOLDER / "locale").glob("*/messages.po"))
ALWAYS_CHINESE = ("simulator", "demo")  # both are for developers and speak two languages at once
CALLS = ("_", "gettext", "ngettext")
# as the environment of idp.kernel.templates reads them
READING = {"trim_blocks": "true", "lstrip_blocks": "true"}
PLACEHOLDER = re.compile(r"%\(\w+\)s|\{\w+\}|%%")
CHINESE = re.compile(r"[\u3400-\u9fff]")
COMMENT_OR_TEXT = re.compile(r"\{#.*?#\}|\{% trans.*?endtrans %\}|_\(.*?\"[,)]", re.DOTALL)


def templates() -> Iterator[Path]:
    for file in sorted(FOLDER.rglob("*.html")):
        if file.parent.name not in ALWAYS_CHINESE:
            yield file


def in_templates() -> Iterator[str | None]:
    for file in templates():
        with file.open("rb") as source:
            for _, _, message, _ in babel_extract(source, CALLS, (), READING):
                yield from (message,) if isinstance(message, str) else message or ()


def shown() -> set[str]:
    """The sentences of the house, in Chinese: the message ids."""
    of_errors = {text for error in all_errors() for text in (error.title, error.advice)}
    instead = {text for e in all_errors() for text in getattr(e, "instead", {}).values()}
    own = {binding.PLACE.service, pages.PLACE.service}
    return {*filter(None, in_templates()), *of_errors, *instead, *own}


def placeholders(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text))


@pytest.fixture(params=CATALOGUES, ids=lambda file: file.parent.name)
def catalogue(request: pytest.FixtureRequest) -> Catalog:
    with request.param.open("rb") as source:
        return read_po(source)


def test_there_is_english() -> None:
    """English is not one of the languages that may be missing."""
    assert "en" in [file.parent.name for file in CATALOGUES]


def test_every_text_is_translated(catalogue: Catalog) -> None:
    """None is missing, empty or marked as doubtful."""
    good = {m.id for m in catalogue if m.id and m.string and not m.fuzzy}
    assert sorted(shown() - good) == []


def test_no_translation_is_left_over(catalogue: Catalog) -> None:
    """What the house no longer says is not kept, nor commented out."""
    assert sorted({m.id for m in catalogue if m.id} - shown()) == []
    assert list(catalogue.obsolete) == []


def test_placeholders_are_the_same(catalogue: Catalog) -> None:
    """A translation names what the sentence names: a slip would be a crash."""
    known = [(str(m.id), str(m.string)) for m in catalogue if m.id]
    wrong = [said for said, text in known if placeholders(said) != placeholders(text)]
    assert wrong == []


def test_a_translation_is_text_not_markup(catalogue: Catalog) -> None:
    """It also stands in attributes: straight quotes, angles and ampersands would end them."""
    assert [m.string for m in catalogue if m.id and re.search(r'["<>&]', str(m.string))] == []


def test_no_sentence_is_written_past_the_catalogues() -> None:
    """Chinese in a template stands where the extractor finds it."""
    switcher = "中文"  # each language is named in itself
    found = {}
    for file in templates():
        rest = COMMENT_OR_TEXT.sub("", file.read_text(encoding="utf-8")).replace(switcher, "")
        if stray := CHINESE.findall(rest):
            found[file.name] = "".join(stray)
    assert found == {}
