"""The code blocks of a page of docs/clients, so that a test runs what the page prints.

page = Recipe("flask")
id, secret = lab.client(*page.registration({"http://127.0.0.1:5000": app.url}))
source = page.block("Configure", "python", "# app.py")
(folder / "app.py").write_text(pasted(source, {"http://127.0.0.1:5000": app.url}))
"""

from __future__ import annotations

import copy
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

CLIENTS = Path(__file__).parents[2] / "docs" / "clients"


class Recipe:
    """docs/clients/NAME.md, or NAME.md of another folder."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.name = name
        self.text = ((folder or CLIENTS) / f"{name}.md").read_text(encoding="utf-8")

    def within(self, heading: str) -> Recipe:
        """The part of the page under a heading: other parts may have the same headings."""
        part = copy.copy(self)
        part.text = self.section(heading)
        return part

    def section(self, heading: str) -> str:
        """What stands between this heading, of any level, and the next that is as high."""
        head = re.search(rf"^(#+) {re.escape(heading)}$", self._outside, re.M)
        assert head, f"{self.name}.md has no heading {heading!r}"
        rest = self._outside[head.end() :]
        end = re.search(rf"^#{{1,{len(head[1])}}} ", rest, re.M)
        return self.text[head.end() : head.end() + end.start() if end else None]

    def blocks(self, heading: str, language: str, containing: str = "") -> list[str]:
        """The fenced blocks of a language under a heading that contain a text, without their
        indentation."""
        found = re.findall(
            rf"^( *)```{re.escape(language)}\n(.*?)^ *```$", self.section(heading), re.M | re.S
        )
        plain = [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in found]
        return [block for block in plain if containing in block]

    def block(self, heading: str, language: str, containing: str = "") -> str:
        """The only one of them."""
        found = self.blocks(heading, language, containing)
        assert len(found) == 1, f"{self.name}.md, {heading}: {len(found)} blocks of {language}"
        return found[0]

    def registration(
        self, changes: Mapping[str, str], heading: str = "Register", containing: str = ""
    ) -> list[str]:
        """The options of `idp client create` under a heading, for Lab.client()."""
        block = self.block(heading, "sh", containing or "client create")
        words = shlex.split(pasted(block, changes).replace("\\\n", " "), comments=True)
        return words[words.index("create") + 1 :]

    @property
    def _outside(self) -> str:
        """The text with its code blanked, for a comment in code may look like a heading."""
        return re.sub(
            r"^ *```.*?^ *```$", lambda m: re.sub(r"[^\n]", " ", m[0]), self.text, flags=re.M | re.S
        )


def pasted(text: str, changes: Mapping[str, str]) -> str:
    """The text with what a reader fills in; each thing to be replaced must be there."""
    for old in changes:
        assert old in text, f"{old!r} is not in\n{text}"
    wanted = re.compile("|".join(re.escape(old) for old in sorted(changes, key=len, reverse=True)))
    return wanted.sub(lambda m: changes[m[0]], text) if changes else text
