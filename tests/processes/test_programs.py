"""Programs as their authors write them, each in a process of its own, against `idp dev`: the
examples of docs/machines.md as they stand, and the habits of TDX programs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.browser.dev import Dev
from tests.clients.guard_package import unpacked
from tests.services.bridge import environment, idp
from tests.services.fixtures import needs
from tests.services.node import node
from tests.test_documents import ROOT, fenced

PAGE = ROOT / "docs" / "machines.md"
HABITS = ROOT / "tests" / "programs"
A_MINUTE = 20  # token calls, as in production


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    """`idp dev`, with production's limits."""
    with Dev("twfido", "--limits") as running:
        yield running


@pytest.fixture
def key(dev: Dev, tmp_path: Path) -> dict[str, str]:
    """The environment of a program that has a key of its own."""
    made = idp(
        "-c", dev.state / "idp.toml", "client", "create", "--json", "--name", "program",
        "--grant", "client_credentials", "--scope", "transport:read", "--role", "basic",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    found: dict[str, str] = json.loads(made.stdout)
    return {
        "ISSUER": dev.bridge,
        "TDX_HOST": dev.bridge,
        "API": dev.demo,
        "CLIENT_ID": found["client_id"],
        "CLIENT_SECRET": found["client_secret"],
        "HOME": str(tmp_path),
    }


def run(arguments: Sequence[str | Path], key: dict[str, str]) -> str:
    """What a program printed that ended well."""
    bare = {k: v for k, v in environment(**key).items() if not k.lower().endswith("_proxy")}
    done = subprocess.run(
        arguments, env=bare, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def issued(dev: Dev) -> float:
    """How many tokens the bridge has given to programs."""
    page = httpx.get(f"{dev.bridge}/metrics", trust_env=False).text
    line = 'idp_token_requests_total{grant="client_credentials",outcome="ok"} '
    return float(next((x.removeprefix(line) for x in page.splitlines() if x.startswith(line)), 0))


def interpreter(suffix: str) -> list[str]:
    """Whatever runs such a file."""
    if suffix in ("js", "mjs"):
        with needs("node"):
            return [node()]
    return {"python": [sys.executable], "py": [sys.executable]}.get(suffix, ["sh"])


# ── docs/machines.md ────────────────────────────────────────────────────────────────────────────

SECTION = PAGE.read_text(encoding="utf-8").partition("## Keep it")[2].partition("\n## ")[0]
EXAMPLES = {
    title: (language, code)
    for title, language, code in re.findall(
        r"^### ([^\n]+)\n.*?^```(\w+)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL
    )
    if language != "r"  # tests/clients/test_httr2.py runs it, where R is installed
}


def test_each_language_has_its_example() -> None:
    """None is forgotten."""
    assert {language for language, _ in EXAMPLES.values()} == {"python", "js", "bash"}


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_keeps_its_token(
    dev: Dev, key: dict[str, str], tmp_path: Path, title: str
) -> None:
    """As it stands on the page it calls the API twice, with one token."""
    language, code = EXAMPLES[title]
    file = tmp_path / f"example.{'mjs' if language == 'js' else language}"
    file.write_text(code, encoding="utf-8")
    before = issued(dev)
    said = run([*interpreter(language), file], key)
    if language == "bash":  # it keeps the token in a file: run it again
        said += run([*interpreter(language), file], key)
    assert said.count("TPE213044") == 2
    assert issued(dev) - before == 1


def test_the_first_commands_of_the_page(dev: Dev, key: dict[str, str]) -> None:
    """curl gets a token, and `idp token` prints one."""
    curls = [b for b in fenced(PAGE, "sh") if "curl -d grant_type" in b]
    plain = curls[0].partition("curl")
    answer = json.loads(run(["sh", "-c", "curl -sS" + plain[2]], key))
    assert answer["token_type"] == "Bearer"
    (told,) = [b for b in fenced(PAGE, "sh") if "idp token" in b]
    folder = str(Path(sys.executable).parent)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    assert run(["sh", "-c", told], {**key, "PATH": path}).count(".") == 2


_CALL = """
import asyncio, httpx
async def call(path, headers):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as http:
        print((await http.get(path, headers=headers)).status_code)
asyncio.run(call(%r, %r))
"""


def test_the_guards_of_the_page() -> None:
    """The FastAPI application and the gate, as they stand, let nobody pass without a token."""
    section = PAGE.read_text(encoding="utf-8").partition("## Guard an API")[2]
    codes = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    heads = [("/v1/whoami", {}), ("/", {"x-original-uri": "/v1/x", "x-real-ip": "203.0.113.1"})]
    assert len(codes) == len(heads)
    for code, head in zip(codes, heads, strict=True):
        program = [sys.executable, "-c", code + _CALL % head]
        assert run(program, {"PYTHONPATH": unpacked()}) == "401\n"  # as if installed


# ── habits ──────────────────────────────────────────────────────────────────────────────────────

PROGRAMS = sorted(f.name for f in HABITS.iterdir() if f.suffix in (".py", ".mjs", ".sh"))


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "every_call.py"])
def test_a_tdx_program_runs_with_the_host_changed(dev: Dev, key: dict[str, str], name: str) -> None:
    """It gets its token and its data, whatever it sends by habit."""
    said = run([*interpreter(name.rpartition(".")[2]), HABITS / name], key)
    assert [stop["StopUID"] for stop in json.loads(said)] == ["TPE213044", "TPE213036"]


def test_a_program_that_fetches_for_every_call(dev: Dev, key: dict[str, str]) -> None:
    """Twenty are let through in a minute, then 429 in clean JSON: when to come back, and to keep
    the token."""
    told = json.loads(run([sys.executable, HABITS / "every_call.py"], key))
    assert A_MINUTE <= told["calls"] <= 2 * A_MINUTE  # the minute may turn meanwhile
    assert told["status"] == 429
    assert 1 <= int(told["retry_after"]) <= 60
    assert told["body"]["error"] == "slow_down"
    assert "reuse the token" in told["body"]["error_description"]
