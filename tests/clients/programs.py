"""Programs that are not Python, each set up and started by the lines of its page, and what is
promised of all of them."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

from tests.actors import Page
from tests.clients.blocks import Recipe, pasted
from tests.clients.lab import HERE, Lab, installed
from tests.services.bridge import environment
from tests.services.fixtures import needs
from tests.services.process import LOOPBACK, Service, free_port, listening

NATIVE = HERE / "native"
SAID = f"http://{LOOPBACK}:9000"  # where the pages put their programs


class Program(Service):
    """The program of docs/clients/NAME.md, here at `url`. `parts` are the files, of this machine
    or of tests/clients/native, without which there is nothing to run."""

    def __init__(self, name: str, *parts: str) -> None:
        if parts:
            with needs("clients"):
                installed("native", *parts)
        super().__init__(name)
        self.page, self.port = Recipe(name), free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.changes = {SAID: self.url}
        self.variables = {"BASE": self.url}

    def register(self, lab: Lab) -> Self:
        """As the page says. What came of it is in `variables`, and in `changes` for the lines that
        have ISSUER, CLIENT_ID and CLIENT_SECRET in capitals."""
        words = self.page.registration(self.filled(self.page.section("Register")))
        client_id, secret = lab.client(*words)
        made = {"ISSUER": lab.issuer, "CLIENT_ID": client_id, "CLIENT_SECRET": secret}
        self.variables |= made
        self.changes |= made
        return self

    def filled(self, text: str) -> dict[str, str]:
        """What a reader of this text fills in."""
        return {said: here for said, here in self.changes.items() if said in text}

    def lines(self, heading: str, language: str, containing: str = "") -> str:
        """A block of the page, filled in."""
        block = self.page.block(heading, language, containing)
        return pasted(block, self.filled(block))

    def serve(self, *argv: str) -> Self:
        """Start it, and wait until it listens."""
        self.start(argv, env=environment(**self.variables))
        self.wait_until(lambda: listening(self.port))
        return self


class Echo:
    """An application that knows nothing of logins: it answers with the headers it was given."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _Headers)
        self.port = self._server.server_port
        self.url = f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Headers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A test's output is not the place for it."""


def shown(page: Page) -> dict[str, Any]:
    """The JSON that a page of the program shows."""
    assert page.status == 200, page.html
    found: dict[str, Any] = json.loads(page.html)
    return found


def assert_cancel_is_told(
    lab: Lab, program: Program, login: str = "/login", status: int = 403
) -> Page:
    """Whoever gives up at the bridge ends at a page of the program that says so."""
    person = lab.person()
    page = person.go_on(person.cancel(program.url + login))
    assert page.url.startswith(program.url)
    assert page.status == status
    assert "access_denied" in page.html
    return page


def assert_both_sessions_end(lab: Lab, program: Program, login: str, logout: str) -> Page:
    """Logout leads through the bridge back to the program, and the next login asks anew."""
    person = lab.person()
    person.walk(program.url + login)
    page = person.go_on(person.open(program.url + logout))
    assert page.url.startswith(program.url)
    assert "continue" in person.open(program.url + login).buttons()
    return page


def untrue_of(source: str, page: Recipe, language: str) -> list[str]:
    """The blocks of the page that are not in the source, word for word but for the indentation."""

    def plain(text: str) -> str:
        return re.sub(r"\s*\n\s*", "\n", text).strip()

    blocks = re.findall(rf"^```{language}\n(.*?)^```", page.text, re.M | re.S)
    assert blocks
    return [block for block in blocks if plain(block) not in plain(source)]


def locked(file: Path, module: str) -> str:
    """The version of a module that a go.mod or a Cargo.lock names, without Go's `v`."""
    found = re.search(
        rf'^(?:name = "{module}"\nversion = "|.*\b{module} v)([^"\s]+)', file.read_text(), re.M
    )
    assert found, f"{file} does not name {module}"
    return found[1]
