"""Every page in every state, both languages and both themes, in a real browser: the samples of
`idp pages check`, served as the bridge would, with its headers and without its scripts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Route

from idp.kernel.settings import BrandSettings
from idp.kernel.templates import template_directory
from idp.samples import REFERENCE, Sample, Studio, samples
from tests.browser.look import faults
from tests.services.node import axe, html_faults_of

AT = "http://pages.test"
Show = Callable[[Sample, str], Page]

pytestmark = pytest.mark.usefixtures("node")


def looked_at() -> list[Sample]:
    """All but those that differ in one technical line."""
    return [s for s in samples() if s.page != "TF-1003" or s.state == "InvalidRequest"]


def named(name: str) -> Sample:
    return next(sample for sample in samples() if sample.name == name)


@pytest.fixture
def brand(tmp_path: Path) -> dict[str, Any]:
    """What an agency might configure; the colours are the example of the manual."""
    manual = Path(__file__).parents[2] / "docs" / "branding.md"
    example = re.findall(r"```css\n(.*?)```", manual.read_text(encoding="utf-8"), re.S)
    (tmp_path / "own.css").write_text(example[0])
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 40"/>'
    (tmp_path / "own.svg").write_text(drawing)
    return {"stylesheet": tmp_path / "own.css", "logo": tmp_path / "own.svg", "name": "圖書館"}


@pytest.fixture
def studio(request: pytest.FixtureRequest) -> Studio:
    known = {"help_phone": "0800-000-000", "help_email": "help@agency.gov.tw"}
    own = request.getfixturevalue("brand") if "brand" in request.fixturenames else {}
    return Studio(BrandSettings.model_validate(known | own))


# Chromium says so of every frame with both words; those of the logout page are of other origins,
# and a client's page needs its own storage to forget somebody
ESCAPES = "both allow-scripts and allow-same-origin"


@pytest.fixture
def show(browser_program: Browser, studio: Studio) -> Iterator[Show]:
    """Opens a sample in a language. What a page says on the console is a fault of its policy."""
    context = browser_program.new_context(locale="zh-TW", viewport={"width": 1280, "height": 800})
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(f"{page.url}: {message.text}"))

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix(AT)
        if path.endswith(".js"):
            route.fulfill(body="", content_type="text/javascript")
        elif path.startswith("/static/"):
            route.fulfill(path=template_directory() / path.lstrip("/"))
        elif path.startswith("/brand/"):
            route.fulfill(path=studio.templates.brand.files[path.removeprefix("/brand/")])
        else:
            _, language, name = path.split("/")
            response = named(name).shown(studio, language)
            headers = {k: v for k, v in response.headers.items() if k != "content-length"}
            route.fulfill(body=bytes(response.body), headers=headers)

    context.route("**/*", serve)

    def open_(sample: Sample, language: str) -> Page:
        page.goto(f"{AT}/{language}/{sample.name}")
        return page

    yield open_
    context.close()
    assert [words for words in said if ESCAPES not in words] == []


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("language", ["zh-TW", "en"])
def test_every_sample(show: Show, studio: Studio, language: str, part: int) -> None:
    """Nothing to complain about: for axe in both themes, for the HTML checker, for a thumb, for a
    keyboard, at 320 pixels, with letters twice as large, with more space between them."""
    source, found, sent = axe(), dict[str, list[str]](), dict[str, str]()
    for sample in looked_at()[part::4]:
        found[sample.name] = faults(show(sample, language), source)
        sent[sample.name] = bytes(sample.shown(studio, language).body).decode()
    for name, wrong in html_faults_of(sent).items():
        found[name] += [f"html {line}" for line in wrong]
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.usefixtures("brand")
def test_an_agency_s_colours(show: Show) -> None:
    """The example of the manual is what is seen, and as readable as ours in both themes."""
    page = show(named("choose"), "zh-TW")
    logo = page.get_by_role("img", name="圖書館").bounding_box()
    assert logo and logo["height"] > 40
    button = "getComputedStyle(document.querySelector('#continue')).backgroundColor"
    assert page.evaluate(button) == "rgb(29, 92, 63)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(button) == "rgb(143, 216, 177)"
    for name in ("choose", "choose-fault-number", "push", "scan", "TF-2202"):
        assert faults(show(named(name), "zh-TW"), axe()) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_of_the_system(show: Show, theme: Literal["light", "dark"]) -> None:
    """With forced colours the code stays black on white, the chosen method differs by more than
    colour, and every button has a line around it."""
    for name in ("choose", "choose-fault-number", "push-later", "scan", "TF-2202", "consent"):
        page = show(named(name), "zh-TW")
        page.emulate_media(forced_colors="active", color_scheme=theme)
        lines = page.evaluate(
            "() => [...document.querySelectorAll('button:not(.quiet), .choice:has(:checked)')]"
            ".map(e => parseFloat(getComputedStyle(e).borderTopWidth))"
        )
        assert all(line >= 1 for line in lines)
        if name == "choose":
            assert max(lines) == 3
        if name == "scan":
            paint = "getComputedStyle(document.querySelector('#qr')).backgroundColor"
            assert page.evaluate(paint) == "rgb(255, 255, 255)"
        page.emulate_media(forced_colors="none", color_scheme="light")


def test_on_paper(show: Show) -> None:
    """What cannot be used on paper is not printed; what must be read is."""
    for name in ("push", "scan", "TF-2202", "app"):
        page = show(named(name), "zh-TW")
        page.emulate_media(media="print")
        for part in ("nav", ".skip", ".actions", "#qr", ".clock", ".button"):
            assert not page.locator(f"{part} >> visible=true").count(), part
        assert page.locator("h1").is_visible()
        assert page.get_by_text(REFERENCE).is_visible()
        page.emulate_media(media="screen")


def test_an_inspector_finds_faults(show: Show) -> None:
    """Each look bites: a page with one fault of each kind has them all named."""
    page = show(named("choose"), "zh-TW")
    page.evaluate(
        """() => {
          document.title = "Something else";
          const worse = document.createElement("div");
          worse.innerHTML = `<img src="/static/style.css"><p class="wide">too pale</p>
            <button type="button" class="bad">too small</button>`;
          document.querySelector("main").append(worse);
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(`.bad { min-height: 0 !important; height: 20px; padding: 0;
            outline: none !important; } .wide { width: 900px; color: #ccc; }`);
          document.adoptedStyleSheets = [sheet];
        }"""
    )
    kinds = "\n".join(faults(page, axe()))
    for part in ("title", "image-alt", "color-contrast", "small: ", "focus not", "wide at 320 px"):
        assert part in kinds
