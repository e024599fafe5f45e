"""`idp pages check`: every page in every state and language, without database or network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated

import typer

from idp.cli.common import Stop, chosen
from idp.cli.sights import Studio, sights
from idp.kernel.settings import BrandSettings
from idp.kernel.templates import HTML_LANG, SOURCE

group = typer.Typer(no_args_is_help=True, help="The pages that people see.")

WORDS = re.compile(r"[\u3400-\u9fff]+")
NOT_PAGES = ("simulator", "demo")  # for developers; they speak two languages at once
VOID = ("input", "meta", "link", "br", "img")


@group.command()
def check(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="write the pages there, to be looked at")] = None,
) -> None:
    """Draw every page in every state and language with sample data; say what is wrong."""
    files = chosen(context).files
    studio = Studio(chosen(context).settings().brand if files else BrandSettings())
    drawn, found = 0, list[str]()
    titles: dict[tuple[str, str], str] = {}
    for sight in sights():
        for language in studio.templates.languages:
            text = bytes(sight.shown(studio, language).body).decode()
            page, drawn = Page(text), drawn + 1
            wrong = [*page.faults(language)]
            if titles.setdefault((language, page.title), sight.page) != sight.page:
                wrong.append(f"the title of {titles[language, page.title]}: {page.title}")
            found += [f"{sight.name} {language}: {fault}" for fault in wrong]
            if out:
                _keep(out / language / f"{sight.name}.html", text)
    found += [
        f"{name}: no sight draws it" for name in sorted(pages(studio) - studio.templates.seen)
    ]
    if out:
        _static(out, studio)
    for fault in found:
        typer.echo(fault)
    typer.echo(f"{drawn} pages, {len(found)} faults")
    if found:
        raise Stop("pages: something must be mended")


def pages(studio: Studio) -> set[str]:
    """The templates that are pages of their own."""
    root = studio.templates.directory
    names = [file.relative_to(root) for file in root.rglob("*.html")]
    return {
        name.as_posix()
        for name in names
        if name.parts[0] not in NOT_PAGES and not name.name.startswith(("_", "base"))
    }


def _keep(file: Path, text: str) -> None:
    """For opening from the disk: what the page asks its server for lies beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(re.sub(r'="/(static|brand)/', r'="../\1/', text), encoding="utf-8")


def _static(out: Path, studio: Studio) -> None:
    shutil.copytree(studio.templates.directory / "static", out / "static", dirs_exist_ok=True)
    for name, file in studio.templates.brand.files.items():
        (out / "brand").mkdir(exist_ok=True)
        shutil.copyfile(file, out / "brand" / name)


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
