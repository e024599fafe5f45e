"""Looking at a page as an inspector would: every fault in one list."""

from __future__ import annotations

import re
from typing import Any, Literal

from playwright.sync_api import Page

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
() => [...document.querySelectorAll(
  "button, .button, select, summary, .choice, nav a, footer a, .link, input[type=text]")]
  .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 43.5)
  .map(e => e.outerHTML.slice(0, 80))
"""
# What has the focus must show it, wherever the keyboard gets to.
_UNSEEN = """
() => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary")]
  .filter(e => e.checkVisibility({visibilityProperty: true}))
  .filter(e => {
    e.focus();
    const ring = getComputedStyle(e);
    return ring.outlineStyle === "none" || parseFloat(ring.outlineWidth) < 3;
  })
  .map(e => e.outerHTML.slice(0, 80))
"""
# WCAG 1.4.12: what a reader may set without losing anything.
_SET_SPACE = """
() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    * { line-height: 1.5 !important; letter-spacing: .12em !important; }
    * { word-spacing: .16em !important; }
    p { margin-bottom: 2em !important; }
  `);
  document.adoptedStyleSheets = [sheet];
}
"""
_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What is read in a voice that cannot read it: Chinese that is not marked on another page.
_WORDS = """
() => [...document.querySelectorAll("title, body, body *")]
  .filter(e => e.closest("[lang]") === document.documentElement && e.localName !== "script")
  .flatMap(e => [
    ...[...e.childNodes].filter(n => n.nodeType === Node.TEXT_NODE).map(n => n.data),
    ...[...e.attributes].filter(a => !["value", "href"].includes(a.name)).map(a => a.value),
  ]).join(" ")
"""
_EMPTY = """
() => [...document.querySelectorAll("ul, ol, dl, p:not([role]), h2")]
  .filter(e => !e.textContent.trim() && !e.querySelector("img")).map(e => e.outerHTML.slice(0, 80))
"""
_HEADINGS = """
() => [...document.querySelectorAll("h1")].map(h => {
  const copy = h.cloneNode(true);
  copy.querySelectorAll("[lang]").forEach(e => e.remove());
  return copy.textContent.trim();
})
"""


def faults(page: Page, axe: str) -> list[str]:
    """Of the page that is open: accessibility in both themes, targets, width, title, focus."""
    page.wait_for_load_state()  # its style sheet too
    page.evaluate(_UNFOLD)
    page.evaluate(axe)
    return [*_said(page), *_seen_by_axe(page), *_targets(page), *_focus(page), *_narrow(page)]


def _seen_by_axe(page: Page) -> list[str]:
    found: list[str] = []
    themes: list[tuple[Literal["light", "dark"], list[str] | None]]
    themes = [("light", None), ("dark", ["color-contrast"])]
    for theme, rules in themes:
        page.emulate_media(color_scheme=theme)
        violations: Any = page.evaluate(_AXE, [WCAG, rules])
        found += [f"{theme} {line}" for line in violations]
    page.emulate_media(color_scheme="light")
    return found


def _targets(page: Page) -> list[str]:
    return [f"small: {html}" for html in page.evaluate(_SMALL)]


def _focus(page: Page) -> list[str]:
    page.keyboard.press("Tab")  # from here on the browser takes us for a keyboard
    return [f"focus not seen: {html}" for html in page.evaluate(_UNSEEN)]


def _narrow(page: Page) -> list[str]:
    """At 320 pixels, with letters twice as large, and with more space around them."""
    found, size = [], page.viewport_size
    page.set_viewport_size({"width": 320, "height": 640})
    found.append(("320 px", page.evaluate(_WIDE)))
    page.evaluate(_SET_SPACE)
    found.append(("320 px, spaced", page.evaluate(_WIDE)))
    page.evaluate("document.adoptedStyleSheets = []")
    page.set_viewport_size({"width": 640, "height": 800})
    page.evaluate("document.documentElement.style.fontSize = '212.5%'")
    found.append(("640 px at 200 %", page.evaluate(_WIDE)))
    if size:
        page.set_viewport_size(size)
    return [f"{wide} px too wide at {where}" for where, wide in found if wide > 0]


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
        words = page.evaluate(_WORDS)
        found += [f"not English: {text}" for text in CHINESE.findall(words)]
    found += [f"nothing to read: {html}" for html in page.evaluate(_EMPTY)]
    return found
