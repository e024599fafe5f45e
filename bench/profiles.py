"""Where the time goes: one row under py-spy where it is installed, otherwise under cProfile."""

from __future__ import annotations

import asyncio
import pstats
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import uvloop

from bench.rows import Effort, Row
from bench.scene import Scene, furnish
from bench.servers import Served
from bench.workloads import bridge_rows

TOP, SECONDS, EFFORT = 25, 10, Effort(2, 40)


class Profiled(Served):
    """A bridge under cProfile, which writes down what it saw at the end."""

    stop_signal = signal.SIGINT

    def start(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        profiled = [sys.executable, "-m", "cProfile", "-o", str(self.profile), *argv]
        super().start(profiled, env, cwd)

    @property
    def profile(self) -> Path:
        return self.folder / "profile"


def profile(name: str, place: str, url: str) -> None:
    """Prints the functions that the row spends most time in."""
    spy = shutil.which("py-spy")
    with (Served if spy else Profiled)(url) as bridge:
        samples = bridge.folder / "samples"
        uvloop.run(_load(name, place, bridge, samples if spy else None))
        if spy:
            print("\n".join(_sampled(samples.read_text().splitlines())))
        elif isinstance(bridge, Profiled):
            bridge.stop(30)
            pstats.Stats(str(bridge.profile)).sort_stats("tottime").print_stats(TOP)


async def _load(name: str, place: str, bridge: Served, samples: Path | None) -> None:
    of: Scene = await furnish(bridge)
    row = next((row for row in bridge_rows(place, of) if row.name == name), None)
    if row is None:
        names = ", ".join(row.name for row in bridge_rows(place, of))
        sys.exit(f"no workload {name}; there are: {names}")
    await (await row.prepare(EFFORT))()  # caches filled, statements compiled
    longer = Effort(SECONDS, 4 * EFFORT.once)  # cProfile sees the start too: let it be the least
    await (_record(row, samples) if samples else (await row.prepare(longer))())


async def _record(row: Row, samples: Path) -> None:
    fire = await row.prepare(Effort(SECONDS + 1, EFFORT.once))
    command = ["py-spy", "record", "--pid", str(row.pid), "--duration", str(SECONDS)]
    command += ["--rate", "250", "--function", "--format", "raw", "--output", str(samples)]
    spy = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        await fire()
        fire = await row.prepare(Effort(1, EFFORT.once))
    await asyncio.wait_for(spy.wait(), 30)


def _sampled(lines: Iterable[str]) -> Iterable[str]:
    """Functions by the share of samples that they were on top of; then ours by the share that
    they were in, with all that they caused."""
    top, within = Counter[str](), Counter[str]()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        top[frames[-1]] += int(count)
        within.update(dict.fromkeys(frames, int(count)))
    ours = Counter({frame: times for frame, times in within.items() if "(idp/" in frame})
    for chosen in (top, ours):
        yield f"{'self':>6} {'total':>6}  function"
        for frame, _ in chosen.most_common(TOP):
            self, total = top[frame] / top.total(), within[frame] / top.total()
            yield f"{self:6.1%} {total:6.1%}  {frame}"
        yield ""
