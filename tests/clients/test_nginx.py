"""nginx with the gate before an API, as docs/clients/nginx.md tells."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.blocks import pasted
from tests.clients.guard_package import unpacked
from tests.clients.lab import Lab, run
from tests.clients.programs import SAID, Echo, Program
from tests.services.fixtures import needs
from tests.services.nginx import GuardedApi

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def caller(lab: Lab) -> Iterator[Program]:
    """A program with its key; at `url` is nginx, behind it the gate and an API that echoes."""
    with Echo() as api, Program("nginx") as gate:
        with needs("nginx"):
            nginx = GuardedApi(gate.port, api.port)
        gate.changes = {SAID: nginx.url, "--port 8300": f"--port {gate.port}"}
        gate.register(lab)
        (gate.folder / "door.py").write_text(gate.lines("Configure", "python"))
        gate.variables["PYTHONPATH"] = unpacked()  # as if installed
        program, *words = gate.lines("Configure", "sh", "uvicorn").split()
        gate.serve(str(BIN / program), *words)
        with nginx:
            gate.url = nginx.url
            yield gate


def test_the_page_fills_in_the_shipped_configuration(caller: Program) -> None:
    """The variables of the page are those of deploy/nginx/guard.conf.template."""
    block = caller.page.block("Configure", "sh", "envsubst")
    shipped = (Path(__file__).parents[2] / "deploy/nginx/guard.conf.template").read_text()
    assert set(re.findall(r"(GUARD_\w+)=", block)) == set(re.findall(r"\$\{(GUARD_\w+)\}", shipped))


def test_a_program_calls(lab: Lab, caller: Program) -> None:
    """The lines of the page: a token, a call, and the API knows who calls and not the token."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    known = {**caller.variables, "PATH": path}
    lines = pasted(caller.page.block("Log in", "sh"), {SAID: caller.url})
    said = run(["sh", "-euc", lines], caller.folder, **known)
    assert f'"x-client-id": "{caller.variables["CLIENT_ID"]}"' in said
    assert '"x-scope": "transport:read"' in said
    assert "authorization" not in said


def test_whoever_has_no_good_token(lab: Lab, caller: Program) -> None:
    """401 and what is missing; a token for another API is none; the open part is open."""
    elsewhere = lab.client(
        "--name", "p", "--grant", "client_credentials", "--scope", "transport:read"
    )
    form = {"grant_type": "client_credentials"}
    got = httpx.post(lab.issuer + "/token", data=form, auth=elsewhere, trust_env=False).json()

    def call(path: str, **headers: str) -> httpx.Response:
        return httpx.get(caller.url + path, headers=headers, trust_env=False)

    for headers in ({}, {"authorization": f"Bearer {got['access_token']}"}):
        refused = call("/v1/stops", **headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
    assert call("/open/hours").status_code == 200
