"""Debian's Chromium, started once; each test opens a page with nothing remembered."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Self

from tests.services.process import LOOPBACK, Service, program

if TYPE_CHECKING:
    from playwright.async_api import Page
    from playwright.sync_api import Page as SyncPage

# It must not phone home: its own services are out of reach and of no use to a test.
FLAGS = [
    "--headless=new",
    "--no-sandbox",  # the tests may run as root, in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--metrics-recording-only",
]


class Chromium(Service):
    """`with Chromium() as browser:` then `async with browser.page() as page:`.

    `page()` takes what Playwright's `new_context` takes: `java_script_enabled=False`,
    `viewport={"width": 320, "height": 640}`, `color_scheme="dark"`, `locale="zh-TW"`,
    `ignore_https_errors=True`. `sync_page()` is the same for a test that is not async.
    """

    def __init__(self) -> None:
        self.program = program("chromium", "chromium")
        super().__init__("chromium")
        self.endpoint = ""

    def __enter__(self) -> Self:
        self.start([self.program, *FLAGS, f"--user-data-dir={self.folder / 'profile'}",
                    f"--remote-debugging-address={LOOPBACK}", "--remote-debugging-port=0",
                    "about:blank"])  # fmt: skip
        self.wait_until(self._announced, seconds=60)
        return self

    @asynccontextmanager
    async def page(self, **context: Any) -> AsyncIterator[Page]:
        """A page in a fresh profile, closed at the end."""
        from playwright.async_api import async_playwright

        async with async_playwright() as playwright:
            browser = await playwright.chromium.connect_over_cdp(self.endpoint)
            fresh = await browser.new_context(**context)
            try:
                yield await fresh.new_page()
            finally:
                await fresh.close()
                await browser.close()

    @contextmanager
    def sync_page(self, **context: Any) -> Iterator[SyncPage]:
        """The same without a running event loop."""
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.connect_over_cdp(self.endpoint)
            fresh = browser.new_context(**context)
            try:
                yield fresh.new_page()
            finally:
                fresh.close()
                browser.close()

    def _announced(self) -> bool:
        said = re.search(r"DevTools listening on (ws://\S+)", self.output())
        self.endpoint = said[1] if said else ""
        return said is not None
