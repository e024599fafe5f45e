"""Programs in Python, run with the environment of tests/clients/python as their pages tell."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping
from typing import Any, Self

import httpx

from tests.actors import Page
from tests.clients.blocks import Recipe, pasted
from tests.clients.lab import HERE, Installation, installed, run
from tests.services.bridge import environment
from tests.services.fixtures import needs
from tests.services.process import LOOPBACK, Service, free_port

BIN = HERE / "python" / ".venv" / "bin"


class Site(Service):
    """A program that its page puts on port `said` of this machine; here it listens at `url`."""

    def __init__(self, page: Recipe, said: int, *marks: str) -> None:
        with needs("clients"):
            installed("python", ".venv/bin/python", *marks)
        super().__init__(page.name)
        self.page, self.port = page, free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.changes = {f"{LOOPBACK}:{said}": f"{LOOPBACK}:{self.port}"}
        self.changes |= {f"--port {said}": f"--port {self.port}"}
        self.variables: dict[str, str] = {}

    def register(self, lab: Installation, containing: str = "client create") -> None:
        """As the page says; the program finds what came of it in its environment."""
        block = self.page.block("Register", "sh", containing)
        words = self.page.registration(self.filled(block), containing=containing)
        self.client = client_id, secret = lab.client(*words)
        self.variables |= {"ISSUER": lab.issuer, "CLIENT_ID": client_id, "CLIENT_SECRET": secret}

    def filled(self, text: str) -> Mapping[str, str]:
        """What a reader fills in, as far as it is in this text."""
        return {said: here for said, here in self.changes.items() if said in text}

    def write(self, *names: str, heading: str = "Configure") -> None:
        """The page's blocks that begin with a comment which names their file, into these files."""
        for name in names:
            source = self.page.block(heading, "python", f"# {name}\n")
            path = self.folder / name
            with path.open("a", encoding="utf-8") as file:
                file.write(pasted(source, self.filled(source)))

    def command(self, line: str) -> list[str]:
        """A line of a page for the shell, its program taken from the environment."""
        program, *words = shlex.split(pasted(line, self.filled(line)))
        return [str(BIN / program), *words]

    def run(self, containing: str, *more: str, heading: str = "Configure") -> Self:
        """Run the lines of a block to their end, but the last, which is to answer from then on."""
        *before, last = self.page.block(heading, "sh", containing).splitlines()
        for line in before:
            run(self.command(line), self.folder, **self.variables)
        env = environment(**self.variables)
        self.start([*self.command(last), *more], env=env, cwd=self.folder)
        self.wait_until(self.answers, seconds=90)
        return self

    def answers(self) -> bool:
        """Whether the program itself answers, and not only a proxy before it."""
        with contextlib.suppress(httpx.TransportError):
            return call(self.url).status_code < 500
        return False


class Django(Site):
    """A new Django project named mysite, the page's lines pasted to the ends of its files."""

    def __init__(self, page: Recipe, said: int) -> None:
        super().__init__(page, said)
        run([BIN / "django-admin", "startproject", "mysite", "."], self.folder)

    def serve(self, lab: Installation) -> Self:
        self.register(lab)
        return self.run("manage.py", "--noreload")


def shown(page: Page) -> dict[str, Any]:
    """The JSON that a page of the program shows, alone or under the id `claims`."""
    assert page.status == 200, page.html
    found: dict[str, Any] = json.loads(page.texts.get("claims", page.html))
    return found


def program_token(lab: Installation, client: tuple[str, str]) -> str:
    """What the bridge gives a program for its own id and secret."""
    form = {"grant_type": "client_credentials"}
    answer = httpx.post(f"{lab.issuer}/token", data=form, auth=client, trust_env=False)
    return str(answer.raise_for_status().json()["access_token"])


def call(url: str, token: str = "") -> httpx.Response:
    """A call of an API, with a token or without one."""
    headers = {b"authorization": f"Bearer {token}".encode()} if token else {}
    return httpx.get(url, headers=headers, trust_env=False, timeout=20)
