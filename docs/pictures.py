"""Draws docs/images/ anew from the catalogue of pages: `python -m docs.pictures`.

Needs the Chromium of the tests (`make services`). Not part of `make docs`: pictures differ a
little from one machine to the next, so no test compares them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

from idp.cli import app
from tests.services.chromium import Chromium

IMAGES = Path(__file__).parent / "images"
Theme = Literal["light", "dark"]
# (file, sample, language, theme, width in CSS pixels)
PICTURES: tuple[tuple[str, str, str, Theme, int], ...] = (
    ("choose", "choose", "zh-TW", "light", 768),
    ("choose-dark", "choose", "en", "dark", 1440),
    ("wait", "push", "zh-TW", "light", 768),
    ("wait-narrow", "push", "en", "dark", 320),
    ("qr", "scan", "zh-TW", "dark", 768),
    ("problem", "TF-2202", "zh-TW", "light", 768),
    ("consent", "consent", "zh-TW", "light", 768),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Chromium() as chromium, sync_playwright() as play:
        CliRunner().invoke(app, ["pages", "check", "--out", folder], catch_exceptions=False)
        browser = play.chromium.connect_over_cdp(chromium.endpoint)
        for file, sample, language, theme, width in PICTURES:
            page = browser.new_page(
                viewport={"width": width, "height": 640}, color_scheme=theme, locale=language
            )
            page.route("**/wait.js", lambda route: route.abort())
            page.goto(f"file://{folder}/{language}/{sample}.html")
            page.screenshot(path=IMAGES / f"{file}.png", full_page=True)
            page.close()


if __name__ == "__main__":
    main()
