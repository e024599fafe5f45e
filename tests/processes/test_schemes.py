"""An operator's commands about a scheme, against a running bridge and simulator."""

from __future__ import annotations

import json
import re
from pathlib import Path

from idp.settings import Settings
from tests.processes.people import code_for, web_client
from tests.services.bridge import Bridge, idp, toml

SYSCODE = "20260101000000000002"
NOBODY = "A123456789"


def said(bridge: Bridge, *arguments: str | Path) -> str:
    done = bridge.cli(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_statistics_and_records(bridge: Bridge) -> None:
    """Times are times, nothing is "none", and programs get JSON."""
    assert re.fullmatch(
        r"none from \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d\n", said(bridge, "twfido", "records", NOBODY)
    )
    assert json.loads(said(bridge, "twfido", "records", NOBODY, "--json")) == []
    await code_for(bridge, await web_client(bridge))
    counted = json.loads(said(bridge, "twfido", "statistics", "--json"))
    assert counted["success"] >= 1
    assert set(counted) == {"from", "to", "success", "fail", "unhandled"}
    assert re.search(r"^success +\d+$", said(bridge, "twfido", "statistics"), re.M)
    lines = said(bridge, "twfido", "records", "A100000010").splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\+08:00  success", lines[0])
    first = json.loads(said(bridge, "twfido", "records", "A100000010", "--json"))[0]
    assert first["at"].endswith("+08:00")
    assert first["status"] == "success"


def test_an_own_account(bridge: Bridge, tmp_path: Path) -> None:
    """`client set-account` and its first name, `set-system`, do the same; what cannot be an
    account is refused in a line, and nothing of a key is in the store or on the screen."""
    client = bridge.create_client("--name", "館藏", "--redirect-uri", "https://s.test/cb")
    key = "0F1E2D3C4B5A69788796A5B4C3D2E1F0"
    keys = tmp_path / "keys"
    keys.write_text(key + "\n")
    own = ("--key-file", keys, "--name", "館藏服務")
    by_scheme = ("client", "set-account", client["client_id"], "--scheme", "twfido")
    assert said(bridge, *by_scheme, "--account", SYSCODE, *own).endswith("館藏服務\n")
    old = ("client", "set-system", client["client_id"], "--syscode", SYSCODE, *own)
    assert said(bridge, *old).endswith("館藏服務\n")
    for wrong, reason in (
        ((*by_scheme, "--account", "1", *own), "20 digits"),
        ((*by_scheme[:-1], "passport", "--account", SYSCODE, *own), "configured: twfido"),
        (by_scheme, "--remove"),
        ((*by_scheme[:2], "nobody", *by_scheme[3:], "--account", SYSCODE, *own), "no client"),
    ):
        done = bridge.cli(*wrong)
        assert done.returncode == 1
        assert reason in done.stderr
        assert key not in done.stderr
    assert "settings" in said(bridge, *by_scheme, "--remove")


def test_a_bridge_without_a_scheme_does_not_start(bridge: Bridge, tmp_path: Path) -> None:
    """One clear line, and no trace."""
    file = tmp_path / "idp.toml"
    without = {name: part for name, part in bridge.settings.items() if name != "twfido"}
    file.write_text(toml(without), encoding="utf-8")
    done = idp("-c", file, "serve")
    assert done.returncode == 2
    names = " or ".join(Settings.schemes())
    assert done.stderr.splitlines() == [
        f"settings: {names}: nobody can log in without a scheme, so one section is needed"
    ]
