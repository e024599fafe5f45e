"""`python -m bench`: starts the servers, measures in rounds, prints a table."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import uvloop

from bench import load, peer, servers
from bench.growth import grow
from bench.profiles import profile
from bench.report import Report
from bench.rows import Effort, Row, measure
from bench.scene import furnish
from bench.servers import LOAD, Bare, Dev, Served, memory, pinned
from bench.workloads import ENDPOINTS, bridge_rows, floor_rows, guard_rows
from tests.house import empty_database
from tests.services.postgres import Postgres
from tests.services.process import Missing

RESULTS = Path(__file__).with_name("results") / "latest.json"
GUARD = ("api", "guard-seen", "guard-unseen", "guard-seen-plan")
BRIDGE = (
    *(name for name, *_ in ENDPOINTS),
    "poll-upstream",
    "card-disclosed",
    "login",
    "login-alone",
)


def read(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="one short round, to see that it runs")
    add("--only", default="", metavar="NAME", help="workloads whose name has this in it, and floor")
    add("--rounds", type=int, default=3, help="interleaved rounds (3)")
    add("--database", choices=("sqlite", "postgres", "both"), help="(both; quick: sqlite)")
    add("--growth", action="store_true", help="many clients, people, waiting logins instead")
    add("--profile", metavar="NAME", help="where one workload spends its time instead")
    add("--results", type=Path, default=RESULTS, metavar="FILE", help="where the JSON goes")
    return parser.parse_args(arguments)


class Stage:
    """What has been started for this run; all of it ends with the run."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options, self._stack = options, stack
        self.bridges: dict[str, Served] = {}
        self.bare: Bare | None = None
        self.peer: peer.Peer | None = None
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))

    def wanted(self, name: str) -> bool:
        return self.options.only in name

    def places(self) -> list[str]:
        chosen = self.options.database or ("sqlite" if self.options.quick else "both")
        return ["sqlite", "postgres"] if chosen == "both" else [chosen]

    def databases(self) -> dict[str, str]:
        """Empty ones by their kinds; says which cannot be had."""
        found = {}
        for place in self.places():
            try:
                found[place] = empty_database(place, self._folder, self._postgres)
            except Missing as reason:
                print(f"skipped: {place}: {reason}")
        return found

    def _postgres(self) -> Postgres:
        with pinned(LOAD):
            return self._stack.enter_context(Postgres(durable=True))

    def open(self) -> None:
        """Starts what the wanted rows need."""
        if any(map(self.wanted, (*BRIDGE, *GUARD))):
            for place, url in self.databases().items():
                self.bridges[place] = self._stack.enter_context(Served(url))
        issuer = next((bridge.issuer for bridge in self.bridges.values()), "")
        self.bare = self._stack.enter_context(Bare(issuer))
        if not self.options.quick and any(map(self.wanted, peer.NAMES)):
            try:
                self.peer = self._stack.enter_context(peer.Peer())
            except Missing as reason:
                print(f"skipped: peer: {reason}")

    async def rows(self) -> list[Row]:
        """Those that are wanted, and always the floor."""
        bare = self.bare
        assert bare is not None
        rows = floor_rows(bare.pid, bare.port)
        for place, bridge in self.bridges.items():
            scene = await furnish(bridge)
            rows += bridge_rows(place, scene)
            if place == next(iter(self.bridges)):
                rows += guard_rows(bare.pid, bare.port, scene)
        rows += list(peer.rows(self.peer)) if self.peer else []
        return [row for row in rows if self.wanted(row.name) or row.name in self._needed()]

    def _needed(self) -> tuple[str, ...]:
        return ("floor", "api") if any(map(self.wanted, GUARD)) else ("floor",)


async def compare(stage: Stage, report: Report) -> None:
    """Every row in every round, so that a busy minute hits all of them alike."""
    quick = stage.options.quick
    rows = await stage.rows()
    efforts = [Effort(1, 5)] if quick else [Effort(2, 30)] * stage.options.rounds
    if not quick:
        for row in rows:
            await measure(row, Effort(1, 3))  # caches filled, statements compiled
    for number, effort in enumerate(efforts, start=1):
        report.signatures.append(servers.signature())
        for row in rows:
            _tell(f"round {number} of {len(efforts)}: {row.name} ({row.place})")
            report.of(row).add(*await measure(row, effort))
    _tell("")
    for place, bridge in stage.bridges.items():
        report.fact(f"memory of a worker after the load, {place}", memory(bridge.pid), "MiB")
        report.fact(f"start of idp serve, {place}", bridge.took, "s")


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def _starts(report: Report) -> None:
    with Dev() as dev:
        report.fact("start of idp dev in an empty folder", dev.took, "s")


def run(options: argparse.Namespace, stack: ExitStack) -> Report | None:
    """None after a profile, which has printed itself."""
    stage = Stage(options, stack)
    if options.profile:
        for place, url in stage.databases().items():
            profile(options.profile, place, url)
        return None
    report = Report()
    if options.growth:
        for place, url in stage.databases().items():
            uvloop.run(grow(report, place, url, options.rounds))
        return report
    stage.open()
    uvloop.run(compare(stage, report))
    if not options.quick:
        _starts(report)
    return report


def main() -> None:
    options = read()
    if not options.quick:
        load.install_wrk()
    os.sched_setaffinity(0, LOAD)
    with ExitStack() as stack:
        report = run(options, stack)
    if report:
        print("\n".join(report.lines()))
        report.save(options.results)


main()
