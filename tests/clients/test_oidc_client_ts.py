"""oidc-client-ts in Chromium, as docs/clients/oidc-client-ts.md prints it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.clients.blocks import Recipe, pasted
from tests.clients.lab import Lab
from tests.clients.person import APPROVES
from tests.clients.web import BASE, packages
from tests.services.chromium import Chromium
from tests.services.process import LOOPBACK


class Files(SimpleHTTPRequestHandler):
    """Any web server would do; the program needs nothing of it."""

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder, and the address where it is served."""
    modules, folder = packages(), tmp_path_factory.mktemp("oidc-client-ts")
    (folder / "node_modules").symlink_to(modules)
    with ThreadingHTTPServer((LOOPBACK, 0), partial(Files, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def url(lab: Lab, served: tuple[Path, str]) -> str:
    """Where the program is."""
    page, (folder, address) = Recipe("oidc-client-ts"), served
    client_id, _ = lab.client(*page.registration({BASE: address}))
    filled_in = pasted(
        page.block("Configure", "js"), {"ISSUER": lab.issuer, "CLIENT_ID": client_id}
    )
    (folder / "app.js").write_text(filled_in, encoding="utf-8")
    (folder / "index.html").write_text(page.block("Configure", "html"), encoding="utf-8")
    return f"{address}/"


@pytest.fixture
def tab(chromium: Chromium, url: str) -> Iterator[Page]:
    """A browser with nothing remembered, at the program."""
    with chromium.sync_page() as page:
        page.set_default_timeout(15_000)
        page.goto(url)
        assert read(page) == "nobody"
        yield page


def read(tab: Page) -> str:
    """What the program shows, once it shows something."""
    shown = tab.locator("#shown:not(:empty)")
    return shown.inner_text()


def log_in(tab: Page) -> dict[str, Any]:
    """As a willing person; the claims that the program shows then."""
    tab.click("#login")
    tab.fill("#pid", APPROVES)
    tab.check("#method-qr")
    tab.click("#continue")
    tab.locator("#allow, #shown:not(:empty)").wait_for()
    if tab.locator("#allow").count():  # a person is asked once
        tab.click("#allow")
    claims: dict[str, Any] = json.loads(read(tab))
    return claims


def test_a_person_logs_in(tab: Page, url: str) -> None:
    """Code, tokens and claims come to a program of the origin of its redirect address; a reload
    keeps them, and the address bar no code."""
    claims = log_in(tab)
    assert (claims["name"], claims["acr"]) == ("王小明", "urn:twfido:qr")
    assert tab.url == url
    tab.reload()
    assert json.loads(read(tab)) == claims


def test_a_person_cancels(tab: Page, url: str) -> None:
    """The program says so, and stays."""
    tab.click("#login")
    tab.click("#cancel")
    assert read(tab) == "Login failed: access_denied"
    assert tab.url == url


def test_tokens_are_refreshed(tab: Page) -> None:
    """Twice, for a public client's refresh token is another one each time."""
    first = log_in(tab)["sub"]
    for _ in range(2):
        tab.evaluate("document.getElementById('shown').textContent = ''")
        with tab.expect_response("**/token") as answer:
            tab.click("#refresh")
        assert answer.value.status == 200
        assert json.loads(read(tab))["sub"] == first


def test_a_person_logs_out(tab: Page, url: str) -> None:
    """The tokens are revoked, and neither the program nor the bridge knows them any more."""
    log_in(tab)
    with tab.expect_response("**/revoke") as answer, tab.expect_navigation(url=url):
        tab.click("#logout")
    assert answer.value.status == 200
    assert read(tab) == "nobody"
    tab.click("#login")
    tab.locator("#continue").wait_for()
