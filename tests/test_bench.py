"""The bench runs: its times are not tested, only that it measures what is answered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_workload_is_answered(tmp_path: Path) -> None:
    """`python -m bench` prints a row of each workload and keeps it as JSON; no answer of the
    bridge to any of them was an error."""
    results = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--results", results],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(results.read_text())["figures"]
    printed = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert {"floor", "userinfo", "login", "guard-unseen"} <= {row["name"] for row in figures}
    assert {row["name"] for row in figures} <= printed
    assert {row["name"]: row["failed"] for row in figures if row["failed"]} == {}
    assert all(row["median_us"] > 0 for row in figures)
