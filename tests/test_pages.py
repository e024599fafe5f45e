"""The catalogue of pages: every template is drawn, and what is wrong with a page is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from idp.cli import app, pages
from idp.kernel.errors import all_errors
from idp.kernel.settings import BrandSettings
from idp.page_check import Page
from idp.samples import Studio, samples

GOOD = (
    '<html lang="en"><title>Error: Sign in｜Service</title><nav lang="zh">中文</nav>'
    '<h1 id="a">Sign in</h1><label for="b">Library</label><input id="b" value="圖">'
)


def checked(*arguments: str) -> tuple[int, list[str]]:
    found = CliRunner().invoke(app, ["pages", "check", *arguments])
    return found.exit_code, found.output.splitlines()


def test_every_page_passes(tmp_path: Path) -> None:
    """Each sample in each language, with what a browser needs to show it from the disk."""
    code, said = checked("--out", str(tmp_path))
    assert (code, said) == (0, [f"{2 * len(samples())} pages, 0 faults"])
    assert (tmp_path / "static/style.css").exists()
    assert "請說明蒐集個人資料之用途" in (tmp_path / "mail/rejected.html").read_text("utf-8")
    assert '"../static/wait.js"' in (tmp_path / "en/scan.html").read_text(encoding="utf-8")


def test_a_page_that_nobody_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds a template adds a sample."""
    without = [sample for sample in samples() if sample.page != "consent"]
    monkeypatch.setattr(pages, "samples", lambda: without)
    code, said = checked()
    assert (code, said[0]) == (1, "oidc/consent.html: no sample draws it")


def test_names_are_unique() -> None:
    """A sample is asked for by its name."""
    names = [sample.name for sample in samples()]
    assert len(set(names)) == len(names)


def test_every_error_has_its_page() -> None:
    """Each code of the tree is seen in some sample, with its status and a reference."""
    studio, codes = Studio(BrandSettings()), set()
    for sample in samples():
        response = sample.shown(studio, "zh-TW")
        text = bytes(response.body).decode()
        for error in all_errors():
            if f'id="error-code" translate="no">{error.code}<' in text:
                codes.add(error.code)
                assert "01JD8Z4K9Q" in text
    assert codes == {error.code for error in all_errors()}


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ('lang="en"', 'lang="de"', "lang is 'de'"),
        ("Error: Sign in｜", "Service｜Sign in", "title"),
        ("</h1>", "</h1><h1>Again</h1>", "title"),
        ('id="b"', 'id="a"', "ids are there twice: a"),
        ('for="b"', 'for="c"', "nothing has the id c"),
        ('<nav lang="zh">', '<a href="#top" lang="zh">', "nothing has the id top"),
        ('<nav lang="zh">', "<nav>", "not translated: 中文"),
        ("<label", '<p title="圖"><label', "not translated: 圖"),
    ],
)
def test_what_is_wrong_is_found(good: str, bad: str, fault: str) -> None:
    """Each rule bites."""
    assert list(Page(GOOD).faults("en")) == []
    assert good in GOOD
    assert any(line.startswith(fault) for line in Page(GOOD.replace(good, bad)).faults("en"))
