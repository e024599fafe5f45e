"""`idp pages check`: every page in every state and language, without database or network."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from idp.cli.common import Stop, chosen
from idp.kernel.settings import BrandSettings
from idp.page_check import Page
from idp.samples import Studio, mails, samples

group = typer.Typer(no_args_is_help=True, help="The pages that people see.")

NOT_PAGES = ("simulator", "demo", "mail")  # they speak two languages at once


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
    for sample in samples():
        for language in studio.templates.languages:
            text = bytes(sample.shown(studio, language).body).decode()
            page, drawn = Page(text), drawn + 1
            wrong = [*page.faults(language)]
            if titles.setdefault((language, page.title), sample.page) != sample.page:
                wrong.append(f"the title of {titles[language, page.title]}: {page.title}")
            found += [f"{sample.name} {language}: {fault}" for fault in wrong]
            if out:
                _keep(out / language / f"{sample.name}.html", text)
    found += [
        f"{name}: no sample draws it" for name in sorted(pages(studio) - studio.templates.seen)
    ]
    if out:
        _static(out, studio)
        for name, letter in mails(studio):
            _keep(out / "mail" / f"{name}.html", letter.html)
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
