"""The documents as a web site in two languages: `make site`.

The Markdown stays as GitHub shows it. A copy of it is laid out for Sphinx: one folder for each
language, links between the languages and to files of the repository made good, and the headings
between `<!-- tabs -->` and `<!-- end of tabs -->` made tabs. Sphinx's warnings are errors, so a
link that leads nowhere ends the build.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from sphinx.cmd.build import main as sphinx

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LINK = re.compile(r"\[([^\]\[]*(?:\[[^\]]*\][^\]\[]*)*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```$", re.M | re.S)
TABS = re.compile(r"<!-- tabs -->\n(.*?)<!-- end of tabs -->", re.S)
OWN = {
    "README.en.md": "index",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "weaknesses",
}
INDEXED = ("quickstart", "integrators", "clients/index", "machines", "operators", "wecard")


@dataclass(frozen=True, slots=True)
class Language:
    """`pages`: files of the repository, each with its name on the site."""

    folder: str
    sphinx: str
    pages: dict[Path, str]


def name_on_site(file: Path) -> str:
    """docs/clients/README.md is clients/index, docs/zh-TW/wecard.md is wecard."""
    inside = file.relative_to(ROOT / "docs").with_suffix("").as_posix()
    return re.sub(r"(^|/)README$", r"\1index", inside.removeprefix("zh-TW/"))


def languages() -> list[Language]:
    chinese = sorted((ROOT / "docs/zh-TW").glob("*.md"))
    english = sorted(set((ROOT / "docs").rglob("*.md")) - set(chinese))
    own = {ROOT / file: name for file, name in OWN.items()}
    return [
        Language(
            "zh-TW",
            "zh_TW",
            {ROOT / "README.md": "index", **{file: name_on_site(file) for file in chinese}},
        ),
        Language("en", "en", own | {file: name_on_site(file) for file in english}),
    ]


class Layout:
    """One language's pages, as Sphinx reads them."""

    def __init__(self, folder: Path, language: Language, others: list[Language]) -> None:
        self.folder, self.language = folder, language
        self.elsewhere = {
            file: f"{other.folder}/{name}.html"
            for other in others
            for file, name in other.pages.items()
        }

    def lay(self) -> None:
        for file, name in self.language.pages.items():
            text = self._linked(file, name, file.read_text(encoding="utf-8"))
            text = TABS.sub(tabs, text).replace("```mermaid\n", "```text\n")
            target = self.folder / f"{name}.md"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text + self._contents(name), encoding="utf-8")

    def _linked(self, file: Path, name: str, text: str) -> str:
        """The text with its links made good, outside of code."""
        code: list[str] = FENCE.findall(text)
        prose = FENCE.sub("\x00", text)
        prose = LINK.sub(lambda link: self._link(file, name, link), prose)
        for block in code:
            prose = prose.replace("\x00", block, 1)
        return prose

    def _link(self, file: Path, name: str, link: re.Match[str]) -> str:
        path, hash_, anchor = link[2].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return link[0]
        target = (file.parent / path).resolve()
        up = "../" * name.count("/")
        if target.is_dir():
            target = target / "README.md"
        if target in self.language.pages:
            return f"[{link[1]}]({up}{self.language.pages[target]}.md{hash_}{anchor})"
        if target in self.elsewhere:
            return f'<a href="{up}../{self.elsewhere[target]}{hash_}{anchor}">{link[1]}</a>'
        return f"[{link[1]}]({up}{self._file(target)})"

    def _file(self, target: Path) -> str:
        """A file of the repository that is no page, beside the pages."""
        inside = Path("files") / target.relative_to(ROOT)
        beside = self.folder / inside
        beside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, beside)
        return inside.as_posix()

    def _contents(self, name: str) -> str:
        """The table of contents, at the end of the page that stands for a folder."""
        if name.rpartition("/")[2] != "index":
            return ""
        folder = name.removesuffix("index")
        inside = [
            page.removeprefix(folder)
            for page in self.language.pages.values()
            if page.startswith(folder) and page != name
        ]
        inside = [p for p in inside if "/" not in p or (p.endswith("/index") and p.count("/") == 1)]
        inside.sort(key=lambda page: INDEXED.index(page) if page in INDEXED else len(INDEXED))
        return "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(inside) + "\n```\n"


def tabs(part: re.Match[str]) -> str:
    """Headings of the third level and what stands below them, as tabs that switch together."""
    _, *found = re.split(r"^### (.+)$", part[1], flags=re.M)
    items = [
        f":::{{tab-item}} {name}\n:sync: {name}\n{text}\n:::\n"
        for name, text in zip(found[::2], found[1::2], strict=True)
    ]
    return "::::{tab-set}\n\n" + "\n".join(items) + "\n::::\n"


FRONT = """<!doctype html><html lang="zh-TW"><meta charset="utf-8"><title>twfido-idp</title>
<meta http-equiv="refresh" content="0; url=zh-TW/index.html">
<a href="zh-TW/index.html">中文</a> <a lang="en" href="en/index.html">English</a></html>
"""


def build(folder: Path) -> int:
    """FOLDER/site, by way of FOLDER/site-source. The exit status of Sphinx."""
    source, site = folder / "site-source", folder / "site"
    for before in (source, site):
        shutil.rmtree(before, ignore_errors=True)
    known = languages()
    for language in known:
        pages = source / language.folder
        Layout(pages, language, [other for other in known if other is not language]).lay()
        options = ["-q", "-W", "--keep-going", "-c", HERE, "-d", source / f".{language.folder}"]
        options += ["-D", f"language={language.sphinx}", pages, site / language.folder]
        failed: int = sphinx([str(option) for option in options])
        if failed:
            return failed
    (site / "index.html").write_text(FRONT, encoding="utf-8")
    return 0


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build"
    sys.exit(build(chosen))
