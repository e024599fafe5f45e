"""Sphinx, for both languages; docs/site/build.py says which."""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.search import SearchLanguage, languages

project = "twfido-idp"
extensions = ["myst_parser", "sphinx_design"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 6
html_theme = "furo"
html_title = "twfido-idp"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {
        "font-stack": "system-ui, 'Noto Sans TC', 'PingFang TC', 'Microsoft JhengHei', sans-serif"
    }
}

HAN = "㐀-鿿"


class Pairs(SearchLanguage):  # type: ignore[misc]
    """Chinese is written without blanks: every two neighbours are a word, here and in what a reader
    types, so that any part of a sentence is found."""

    lang, language_name = "zh", "Chinese"
    js_splitter_code = rf"""
var splitQuery = (query) => (query.match(/[{HAN}]+|[^\W{HAN}]+/gu) || []).flatMap((run) =>
  /[{HAN}]/u.test(run) && run.length > 1
    ? Array.from({{ length: run.length - 1 }}, (_, at) => run.slice(at, at + 2))
    : [run]);
"""

    def split(self, input: str) -> list[str]:
        found: list[str] = []
        for run in re.findall(rf"[{HAN}]+|[^\W{HAN}]+", input):
            pairs = [run[at : at + 2] for at in range(len(run) - 1)]
            found += pairs if re.match(f"[{HAN}].", run) else [run]
        return found


def setup(app: Sphinx) -> None:
    languages["zh"] = Pairs
