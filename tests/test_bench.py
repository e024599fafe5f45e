"""The bench runs: what `make bench` prints is not tested, only that it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_bench_measures_its_floor(tmp_path: Path) -> None:
    """`python -m bench` prints a row of its table and keeps it as JSON."""
    results = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--only", "floor", "--results", results],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert any(line.startswith("floor ") for line in done.stdout.splitlines())
    (figure,) = json.loads(results.read_text())["figures"]
    assert figure["name"] == "floor"
    assert figure["median_us"] > 0
    assert figure["failed"] == 0
