"""R with httr2, as docs/clients/httr2.md and docs/machines.md tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.clients.blocks import CLIENTS
from tests.clients.lab import Lab, run
from tests.clients.programs import Program
from tests.services.bridge import environment
from tests.test_documents import fenced

LIBRARY = "/usr/lib/R/site-library/"
BEFORE = """
options(rlang_interactive = TRUE, browser = function(url) cat("OPEN", url, "\\n"))
"""
AFTER = """
cat("FIRST", claims$sub, "\\n")
assignInNamespace("token_has_expired", function(...) TRUE, "httr2")  # as if time had gone by
cat("AGAIN", ask(paste0(issuer, "/userinfo"))$sub, "\\n")
cat("THIRD", ask(paste0(issuer, "/userinfo"))$sub, "\\n")
"""
TOLD = r"^(?:FIRST|AGAIN|THIRD) (\S+) $"


@pytest.fixture(scope="module")
def client(lab: Lab) -> Iterator[Program]:
    with Program("httr2", *[LIBRARY + name for name in ("httr2", "httpuv", "jsonlite")]) as client:
        yield client.register(lab)


@contextmanager
def script(client: Program) -> Iterator[str]:
    """The blocks of the page as one script; the address at which it waits for the person."""
    blocks = [client.page.block(part, "r") for part in ("Configure", "Log in")]
    (client.folder / "script.R").write_text("\n".join([BEFORE, *blocks, AFTER]))
    client.start(["Rscript", "--vanilla", "script.R"], env=environment(**client.variables))
    client.wait_until(lambda: "Waiting for authentication" in client.output())
    (url,) = re.findall(r"^OPEN (\S+)", client.output(), re.M)
    yield url
    client.stop()
    client.log.unlink()


def test_a_person_logs_in_and_the_token_is_refreshed(lab: Lab, client: Program) -> None:
    """The browser says that all is well; R reads the claims, and each refresh gives the next."""
    with script(client) as url:
        assert "Authentication complete" in lab.person().walk(url).html
        client.wait_until(lambda: len(re.findall(TOLD, client.output(), re.M)) == 3)
        assert len(set(re.findall(TOLD, client.output(), re.M))) == 1


def test_whoever_cancels_stops_the_script(lab: Lab, client: Program) -> None:
    """The browser says that the page may be closed, and R stops with the refusal."""
    with script(client) as url:
        assert "Please close this page" in lab.person().cancel(url).html
        client.wait_until(lambda: "OAuth failure [access_denied]" in client.output())
        assert re.findall(TOLD, client.output(), re.M) == []


def test_the_example_for_a_program(lab: Lab, client: Program) -> None:
    """The example of machines.md, as it stands, calls the API twice."""
    (code,) = fenced(CLIENTS.parent / "machines.md", "r")
    client_id, secret = lab.client(
        "--name", "p", "--grant", "client_credentials", "--scope", "transport:read"
    )
    (client.folder / "program.R").write_text(code)
    said = run(
        ["Rscript", "--vanilla", "program.R"], client.folder,
        ISSUER=lab.issuer, API=lab.dev.demo, CLIENT_ID=client_id, CLIENT_SECRET=secret,
    )  # fmt: skip
    assert said.count("TPE213044") == 2
