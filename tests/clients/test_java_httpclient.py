"""Java's own HttpClient, as docs/clients/java-httpclient.md uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.blocks import Recipe
from tests.clients.java import QUICK
from tests.clients.lab import Lab, run, runtime
from tests.services.fixtures import needs

PAGE = Recipe("java-httpclient")


@pytest.fixture
def java() -> str:
    with needs("clients"):
        return runtime("java")


def test_a_tdx_program_with_the_default_client(lab: Lab, java: str, tmp_path: Path) -> None:
    """The client asks for HTTP/2 with its POST, on plain http, and gets its token all the same;
    the API is called twice with it."""
    client_id, secret = lab.client(*PAGE.registration({}))
    (tmp_path / "Stops.java").write_text(PAGE.block("Configure", "java", "// Stops.java"))
    _program, *words = PAGE.block("Configure", "sh").split()
    variables = {"ISSUER": lab.issuer, "API": lab.dev.demo}
    variables |= {"CLIENT_ID": client_id, "CLIENT_SECRET": secret}
    printed = run([java, *QUICK, *words], tmp_path, **variables).splitlines()
    assert len(printed) == 2
    assert all("國家圖書館" in line for line in printed)
