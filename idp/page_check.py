"""What can be wrong with a page of ours, read as a browser would read it: `idp pages check`.

It is part of the product because agencies bring their own names, logo and languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from idp.kernel.templates import HTML_LANG, SOURCE

WORDS = re.compile(r"[\u3400-\u9fff]+")
VOID = ("input", "meta", "link", "br", "img")


class Page(HTMLParser):
    """A page as a reader takes it in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title, self.language = "", ""
        self.headings: list[str] = []
        self._ids: list[str] = []
        self._named: list[str] = []
        self._foreign: list[str] = []
        self._open: list[tuple[str, bool]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = known.get("lang", "")
        if tag == "h1":
            self.headings.append("")
        self._ids += [known["id"]] if "id" in known else []
        for name in ("for", "aria-describedby", "aria-labelledby", "form"):
            self._named += known.get(name, "").split()
        if known.get("href", "").startswith("#"):
            self._named.append(known["href"][1:])
        own = tag != "html" and "lang" in known
        if tag not in VOID:
            self._open.append((tag, own))
        if not self._own():
            told = [v for k, v in known.items() if k not in ("value", "href", "content")]
            self._foreign += WORDS.findall(" ".join(told))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self._open]
        if "title" in tags:
            self.title += data
        if "h1" in tags:
            self.headings[-1] += data
        if not self._own():
            self._foreign += WORDS.findall(data)

    def _own(self) -> bool:
        return any(own for _, own in self._open)

    def faults(self, language: str) -> Iterator[str]:
        if self.language != HTML_LANG.get(language, language):
            yield f"lang is {self.language!r}"
        state = self.title.removeprefix("錯誤：").removeprefix("Error: ")
        if len(self.headings) != 1 or not state.startswith(self.headings[0].strip() + "｜"):
            yield f"title {self.title!r} over {self.headings}"
        twice = {name for name in self._ids if self._ids.count(name) > 1}
        if twice:
            yield f"ids are there twice: {', '.join(sorted(twice))}"
        if lost := set(self._named) - set(self._ids):
            yield f"nothing has the id {', '.join(sorted(lost))}"
        if language != SOURCE and self._foreign:
            yield f"not translated: {' '.join(self._foreign)}"
