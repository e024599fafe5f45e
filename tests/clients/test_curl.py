"""curl, as docs/clients/curl.md tells."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.clients.blocks import pasted
from tests.clients.lab import Lab, runtime
from tests.clients.programs import SAID, Echo, Program
from tests.services.bridge import environment
from tests.services.fixtures import needs

BEGIN = [("Configure", ""), ("Log in", "challenge")]
STILL_ALIVE = 'curl -sS -H "Authorization: Bearer $access" "$ISSUER/userinfo"'
GO_ON = [("Log in", "read -r code"), ("Refresh", ""), ("Roles and claims", ""), ("Log out", "")]


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[Program]:
    with needs("clients"):
        runtime("curl")
        runtime("openssl")
    with Echo() as nobody, Program("curl") as client:
        client.changes = {SAID: nobody.url}
        yield client.register(lab)


@contextmanager
def shell(client: Program, *parts: tuple[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Blocks of the page in one shell, a line's end after each; the first line that they print."""
    blocks = [client.page.block(part, "sh", containing) for part, containing in parts]
    text = "\necho\n".join([*blocks, STILL_ALIVE if len(parts) > len(BEGIN) else ""])
    script = pasted(text, {SAID: client.changes[SAID]})
    with subprocess.Popen(
        ["sh", "-euc", script], text=True, cwd=client.folder, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env=environment(**client.variables),
    ) as running:  # fmt: skip
        assert running.stdout
        yield running, next(line.strip() for line in running.stdout if line.strip())


def test_a_person_by_hand(lab: Lab, client: Program) -> None:
    """The blocks as a reader takes them: claims, refresh, ID token, the end of both."""
    person = lab.person()
    with shell(client, *BEGIN, *GO_ON) as (running, url):
        code = person.walk(url).query["code"]
        said, _ = running.communicate(code + "\n", timeout=60)
    userinfo, id_token, leave, dead = [line for line in said.splitlines() if line]
    assert json.loads(userinfo)["email"]
    assert json.loads(id_token)["sub"] == json.loads(userinfo)["sub"]
    assert person.go_on(person.open(leave)).url == client.changes[SAID] + "/"
    assert json.loads(dead)["error"] == "invalid_token"


def test_whoever_cancels(lab: Lab, client: Program) -> None:
    """The refusal is in the address at which the browser ends, with the state."""
    with shell(client, *BEGIN) as (_, url):
        page = lab.person().cancel(url)
    assert page.url.startswith(client.changes[SAID] + "/callback?")
    assert page.query["error"] == "access_denied"
    assert page.query["state"] == parse_qs(urlsplit(url).query)["state"][0]
