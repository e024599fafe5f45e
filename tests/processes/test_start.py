"""What must not run does not start, and says why in one line."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idp import __version__
from tests.services.bridge import Bridge, configuration, idp, merged, toml
from tests.services.process import LOOPBACK, free_port

PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "twfido": {
        "base_url": "https://fido.example.test",
        "browser_base_url": "https://fido.example.test",
    },
}
SAMPLE_KEY = "59C55AAD2AEADF8A87EC55317CA148E7"
UNSAFE: dict[str, Any] = {
    "issuer": "http://127.0.0.1:8000",
    "keys": {"master_key": None},
    "twfido": {"api_keys": [SAMPLE_KEY], "base_url": "http://127.0.0.1:8100"},
    "members": {"wecard": {"library": {"allowed_sources": []}}},
}
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "http issuer": ({"issuer": "http://id.example.test"}, "issuer: must be https"),
    "unknown setting": ({"oidc": {"code_second": 5}}, "did you mean code_seconds?"),
    "short master key": ({"keys": {"master_key": "abc"}}, "keys: the master key must be 64"),
    "database away": (
        {"database": {"url": "postgresql://idp:secret@127.0.0.1:1/idp"}},
        "the database cannot be reached",
    ),
    "empty database": ({"database": {"url": "sqlite:///empty.sqlite3"}}, "run `idp db upgrade`"),
}
Write = Callable[..., Path]


@pytest.fixture
def write(fresh_database: Callable[[str], str], tmp_path: Path) -> Write:
    """Writes a configuration that could go into production, but for `changes`."""
    good = merged(configuration("https://id.example.test", "", 1), PRODUCTION)
    good["database"]["url"] = fresh_database("sqlite")

    def written(**changes: Any) -> Path:
        file = tmp_path / "idp.toml"
        file.write_text(toml(merged(good, changes)), encoding="utf-8")
        return file

    return written


def start(config: Path, *arguments: str, **variables: str) -> list[str]:
    """What a start that was refused says."""
    port = ["--port", str(free_port())]
    done = idp("-c", config, "serve", *port, *arguments, cwd=config.parent, **variables)
    print(done.stderr)
    assert done.returncode > 0
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_all_that_is_unsafe_is_told_at_once(write: Write) -> None:
    """FT-55: http, the simulator, the sample key and an open door do not go into production."""
    faults = [line.split(": ")[1] for line in start(write(**UNSAFE))]
    assert faults == [
        "issuer",
        "keys.master_key",
        "twfido.api_keys",
        "twfido.base_url",
        "members.wecard.library.allowed_sources",
    ]


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_bad_start_is_refused(write: Write, fault: str) -> None:
    """FT-55: a fault is told in one line, and nothing runs."""
    changes, reason = REFUSALS[fault]
    (line,) = start(write(**changes))
    assert reason in line
    assert "secret" not in line


def test_a_missing_key_file_is_refused(write: Write, tmp_path: Path) -> None:
    """FT-55: a secret file that is not there is named."""
    missing = str(tmp_path / "no.key")
    (line,) = start(write(), IDP_KEYS__MASTER_KEY_FILE=missing)
    assert missing in line


def test_a_readable_key_file_is_refused(write: Write, tmp_path: Path) -> None:
    """FT-55: a master key that others can read is not used, and the remedy is named."""
    key = tmp_path / "master.key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o644)
    keys = {"master_key": None, "directory": str(tmp_path)}
    (line,) = start(write(environment="development", keys=keys))
    assert f"chmod 600 {key}" in line


def test_another_key_is_refused(write: Write) -> None:
    """FT-55: a database that was sealed under another master key is not used."""
    assert idp("-c", write(), "keys", "list").returncode == 0
    (line,) = start(write(keys={"master_key": secrets.token_hex(32)}))
    assert "another master key" in line


def test_a_taken_port_is_refused(write: Write) -> None:
    """FT-55: a port that somebody else holds is told, also by several workers."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = str(taken.getsockname()[1])
        (line,) = start(write(), "--workers", "2", "--port", port)
    assert "Address already in use" in line


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_is_told(fresh_database: Callable[[str], str], workers: int) -> None:
    """One line says which version serves where, with how many workers and as which issuer; the
    metrics name the version too."""
    with Bridge(fresh_database("sqlite"), workers=workers) as running:
        (line,) = [line for line in running.output().splitlines() if "serve.started" in line]
        for word in (__version__, f"{LOOPBACK}:{running.port}", running.issuer):
            assert word in line
        assert re.search(rf"workers\W+(\S*m)?{workers}\b", line)
        assert f'idp_build_info{{version="{__version__}"}} 1.0' in running.ask("/metrics").text
