"""A person at a browser: verbs on the pages as they are."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from tests.browser.dev import Dev

ALICE = "A100000010"  # approves at once
SEEN = "said: "
# What a screen reader would be told, on the console, where a test can read it after the page left.
_LISTEN = """
document.addEventListener("DOMContentLoaded", function () {
  var live = document.getElementById("live");
  if (live) new MutationObserver(function () { console.info("said: " + live.textContent); })
    .observe(live, {childList: true});
});
"""


class Person:
    """One browser profile. `faults` collects what no page may do: break its policy, or crash."""

    def __init__(self, dev: Dev, browser: Browser, **context: Any) -> None:
        self.dev = dev
        self.context = browser.new_context(**({"locale": "zh-TW"} | context))
        self.context.set_default_timeout(30_000)
        self.context.add_init_script(_LISTEN)
        self.scripted = context.get("java_script_enabled", True)
        self.faults: list[str] = []
        self.heard: list[str] = []
        self.source: dict[str, Response] = {}
        self.page = self.tab()

    def tab(self) -> Page:
        """One more tab of the same browser."""
        page = self.context.new_page()
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
        page.on("response", lambda response: self._keep(page, response))
        return page

    def _listen(self, message: ConsoleMessage) -> None:
        if message.text.startswith(SEEN):
            self.heard.append(message.text.removeprefix(SEEN))
        elif message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(f"{message.page and message.page.url}: {message.text}")

    def _keep(self, page: Page, response: Response) -> None:
        if response.request.is_navigation_request() and response.frame == page.main_frame:
            self.source["html"] = response

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    def text(self, name: str) -> str:
        """The text of the element with this id, once it is there."""
        return self.page.locator(f"#{name}").inner_text()

    @property
    def error_code(self) -> str:
        return self.text("error-code")

    @property
    def host(self) -> str:
        return urlsplit(self.page.url).netloc

    def title(self) -> str:
        return self.page.title()

    # ── acting ─────────────────────────────────────────────────────────────────────────────────

    def open(self, url: str) -> None:
        self.page.goto(url)

    def begin(self, **wishes: str) -> None:
        """From the demo application to the chooser; consent is asked for each time."""
        self.open(self.dev.login(**({"prompt": "login consent"} | wishes)))

    def press(self, button: str) -> None:
        self.page.click(f"#{button}")

    def choose(self, method: str, number: str = "") -> None:
        """The first page: a method, a number where it is needed, continue."""
        self.page.check(f"#method-{method}")
        self.page.fill("#pid", number)
        self.press("continue")

    def verify(self, method: str, number: str = ALICE) -> None:
        """From the chooser to the consent page, by the method's own way."""
        self.choose(method, "" if method == "web" else number)
        if method in ("web", "dongle"):
            self._at_the_ministry(method, number)
        elif not self.scripted:
            self.press("check")
        self.page.wait_for_selector("#allow")

    def _at_the_ministry(self, method: str, number: str) -> None:
        if method == "dongle" or not self.scripted:
            self.press("go")
        if method == "web":
            self.page.select_option("#pid", number)
        self.press("approve" if method == "web" else "use-dongle")
        if not self.scripted:
            self.press("return")
        self.page.wait_for_selector("input[name=approval]", state="attached")
        self.press("check")

    def log_in(self, method: str = "qr", number: str = ALICE, **wishes: str) -> None:
        """All the way back to the demo application."""
        self.begin(**wishes)
        self.verify(method, number)
        self.press("allow")
        self.page.wait_for_url(f"{self.dev.demo}/")
