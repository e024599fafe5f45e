"""Looking at a page as an inspector would: every fault in one list."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Page

from tests.browser.person import Person

CHINESE = re.compile(r"[\u3400-\u9fff]+")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

_AXE = """
async ([tags, rules]) => {
  const only = rules ? {type: "rule", values: rules} : {type: "tag", values: tags};
  const found = await axe.run({resultTypes: ["violations"], runOnly: only});
  return found.violations.map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 120)).join(" "));
}
"""
# What is folded, or appears only when something goes wrong, must be readable too.
_UNFOLD = """
() => {
  document.querySelectorAll("p[hidden]").forEach(p => { p.hidden = false; });
  document.querySelectorAll("details").forEach(d => { d.open = true; });
}
"""
# WCAG asks for 24 px; what a thumb must hit is larger here. A link within a sentence is exempt.
_SMALL = """
() => [...document.querySelectorAll("button, select, summary, .choice, nav a, input[type=text]")]
  .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 43.5)
  .map(e => e.outerHTML.slice(0, 80))
"""
_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_WORDS = """
() => {
  const copy = document.body.cloneNode(true);
  copy.querySelectorAll("[translate=no], nav, script").forEach(e => e.remove());
  return document.title + copy.textContent + [...copy.querySelectorAll("*")].flatMap(
    e => [...e.attributes].filter(a => !["value", "href"].includes(a.name)).map(a => a.value)
  ).join(" ");
}
"""
_HEADINGS = """
() => [...document.querySelectorAll("h1")].map(h => {
  const copy = h.cloneNode(true);
  copy.querySelectorAll("[lang]").forEach(e => e.remove());
  return copy.textContent.trim();
})
"""
AGENCY = "示範機關"  # has no English name


def faults(person: Person, axe: str) -> list[str]:
    """Of the page that is open: accessibility in both themes, targets, width, title, focus."""
    page = person.page
    page.wait_for_load_state()  # its style sheet too
    page.evaluate(_UNFOLD)
    page.evaluate(axe)
    return [*_seen_by_axe(page), *_targets(page), *_narrow(page), *_said(page)]


def _seen_by_axe(page: Page) -> list[str]:
    found: list[str] = []
    for theme, rules in (("light", None), ("dark", ["color-contrast"])):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        violations: Any = page.evaluate(_AXE, [WCAG, rules])
        found += [f"{theme} {line}" for line in violations]
    page.emulate_media(color_scheme="light")
    return found


def _targets(page: Page) -> list[str]:
    return [f"small: {html}" for html in page.evaluate(_SMALL)]


def _narrow(page: Page) -> list[str]:
    size = page.viewport_size
    page.set_viewport_size({"width": 320, "height": 640})
    wide = page.evaluate(_WIDE)
    if size:
        page.set_viewport_size(size)
    return [f"{wide} px too wide for 320"] if wide > 0 else []


def _said(page: Page) -> list[str]:
    """The title begins with the state, which is also the heading; nothing grabs the focus."""
    found = []
    state = page.title().removeprefix("錯誤：").removeprefix("Error: ")
    headings = page.evaluate(_HEADINGS)
    if len(headings) != 1 or not f"{state}｜".startswith(headings[0] + "｜"):
        found.append(f"title {page.title()!r} over {headings}")
    if not page.evaluate("document.activeElement === document.body"):
        found.append("something has the focus")
    if page.get_attribute("html", "lang") == "en":
        words = page.evaluate(_WORDS).replace(AGENCY, "")
        found += [f"not English: {text}" for text in CHINESE.findall(words)]
    return found
