"""The documents as a web site: whole, with links that lead somewhere, searchable in Chinese."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from bs4 import BeautifulSoup

from idp.demo.documents import create_documents
from tests.agency import served
from tests.services.chromium import Chromium
from tests.services.fixtures import needs
from tests.services.process import LOOPBACK, Missing

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / ".venv-docs/bin/python"
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built anew, by what `make site` runs; a warning of Sphinx is an error there."""
    with needs("clients"):
        if not PROGRAMS.exists():
            raise Missing("the programs that build the site are not installed: `make site`")
    folder = tmp_path_factory.mktemp("site")
    command = [PROGRAMS, ROOT / "docs/site/build.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@cache
def page(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_page_is_there_in_its_language(site: Path) -> None:
    """A page for each Markdown file, in both languages where both exist."""
    chinese = {file.stem for file in (ROOT / "docs/zh-TW").glob("*.md")}
    english = {file.stem for file in (ROOT / "docs").glob("*.md")}
    for folder, names in (("zh-TW", chinese), ("en", english)):
        for name in {*names, "index"}:
            assert page(site / folder / f"{name}.html").html["lang"] == folder  # type: ignore[index]
    assert len(list((site / "en/clients").glob("*.html"))) > 25


def test_links_lead_somewhere(site: Path) -> None:
    """Each link on the site finds its page and its heading, those between the languages too."""
    for file in pages(site):
        for link in page(file).find_all("a", href=True):
            parts = urlsplit(str(link["href"]))
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            assert target.exists(), f"{file.relative_to(site)}: {link['href']}"
            if parts.fragment and target.suffix == ".html":
                found = page(target).find(id=unquote(parts.fragment))
                assert found, f"{file.relative_to(site)}: {link['href']}"


def test_nothing_comes_from_other_hosts(site: Path) -> None:
    """An agency without internet, and one that tells nobody who reads, can serve it."""
    for file in pages(site):
        loaded = [
            str(part[name])
            for kind, name in LOADED.items()
            for part in page(file)(kind)
            if part.get(name)
        ]
        assert [url for url in loaded if re.match(r"(https?:)?//", url)] == [], file
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_tabs_are_tabs(site: Path) -> None:
    """The quick start has each product once for the login and once for the API."""
    for folder in ("zh-TW", "en"):
        labels = [
            tab.get_text().strip()
            for tab in page(site / folder / "quickstart.html")(class_="sd-tab-label")
        ]
        assert labels == 2 * ["Flask", "Django", "Spring Boot", "PHP", "Node", ".NET"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("存取權杖", "介接應用系統"),
        ("主金鑰外洩", "維運"),
        ("次性的綁定", "WeCard"),
        ("keys reseal", "維運"),
    ],
)
async def test_search_in_chinese(site: Path, chromium: Chromium, typed: str, found: str) -> None:
    """Any part of a sentence is found, whether it begins where a word begins or not; a real browser
    asks nobody but this site."""
    asked: set[str] = set()
    async with served(create_documents(site)) as port, chromium.page() as browser:
        browser.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        await browser.goto(f"http://{LOOPBACK}:{port}/docs/zh-TW/search.html?q={typed}")
        results = browser.locator("#search-results li a")
        await results.first.wait_for()
        assert any(found in title for title in await results.all_inner_texts())
    assert asked == {f"{LOOPBACK}:{port}"}


async def test_it_is_served_where_it_was_built(site: Path, tmp_path: Path) -> None:
    """/docs leads to the Chinese front page; where nothing was built, the page says how."""
    async with served(create_documents(site)) as port, httpx.AsyncClient() as http:
        here = f"http://{LOOPBACK}:{port}"
        assert (await http.get(f"{here}/docs")).headers["location"] == "/docs/"
        assert "zh-TW/index.html" in (await http.get(f"{here}/docs/")).text
        assert "快速開始" in (await http.get(f"{here}/docs/zh-TW/quickstart.html")).text
        for away in ("nothing", "../../pyproject.toml", "%2e%2e/%2e%2e/pyproject.toml", "%00"):
            assert (await http.get(f"{here}/docs/{away}")).status_code == 404
    async with served(create_documents(tmp_path)) as port, httpx.AsyncClient() as http:
        answer = await http.get(f"http://{LOOPBACK}:{port}/docs/zh-TW/index.html")
        assert (answer.status_code, "make site" in answer.text) == (404, True)
