"""What was measured, as a table for people and as JSON for later."""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.load import Sent
from bench.rows import Row

LIBRARIES = ("authlib", "starlette", "uvicorn", "uvloop", "httptools", "joserfc", "asyncpg")
HEAD = ("workload", "on", "µs CPU", "±", "floor", "rps", "p50 ms", "p99 ms", "goal", "")
WIDTHS = (26, 9, 8, 5, 6, 7, 8, 8, 22, 9)


@dataclass
class Figure:
    """One row's measurements, a round each: microseconds of CPU per request, and what was sent."""

    row: Row
    costs: list[float] = field(default_factory=list)
    runs: list[Sent] = field(default_factory=list)

    def add(self, cost: float, sent: Sent) -> None:
        self.costs.append(cost)
        self.runs.append(sent)

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)

    @property
    def spread(self) -> float:
        """Half of what lies between the best and the worst round, as a share of the median."""
        return (max(self.costs) - min(self.costs)) / 2 / self.cost

    @property
    def rate(self) -> float:
        return statistics.median(run.answers / run.seconds for run in self.runs)

    @property
    def failed(self) -> float:
        """Share of the answers that were errors."""
        return sum(run.failed for run in self.runs) / max(1, sum(run.answers for run in self.runs))

    def latency(self, name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in self.runs))


@dataclass
class Report:
    """All of one run. `signatures`: what one RSA signature cost, once for each round."""

    signatures: list[float] = field(default_factory=list)
    figures: dict[tuple[str, str], Figure] = field(default_factory=dict)
    facts: list[tuple[str, float, str]] = field(default_factory=list)  # what, how much, unit

    @property
    def signature(self) -> float:
        return statistics.median(self.signatures)

    def of(self, row: Row) -> Figure:
        return self.figures.setdefault((row.name, row.place), Figure(row))

    def fact(self, what: str, value: float, unit: str) -> None:
        self.facts.append((what, round(value, 3), unit))

    def beside(self, name: str) -> float | None:
        """The cost of the row that another is compared with."""
        if name == "signature":
            return self.signature
        return next((f.cost for (found, _), f in self.figures.items() if found == name), None)

    def verdict(self, figure: Figure) -> str:
        goal = figure.row.goal
        other = self.beside(goal.than) if goal and goal.than else 0.0
        if goal is None or other is None:
            return ""
        return "met" if goal.met(figure.cost, other) else "missed"

    def lines(self) -> Iterable[str]:
        yield _line(HEAD)
        for figure in self.figures.values():
            yield self.line(figure)
            if figure.failed > 0.001:
                status = max(run.error for run in figure.runs)
                yield f"  ! {figure.failed:.1%} of these answers were errors {status or ''}"
        yield ""
        if self.signatures:
            yield f"one RSA signature: {self.signature:.0f} µs"
        yield from (f"{what}: {value:g} {unit}" for what, value, unit in self.facts)

    def line(self, figure: Figure) -> str:
        return _line(self._cells(figure))

    def _cells(self, figure: Figure) -> tuple[str, ...]:
        floor = self.beside("floor")
        return (
            figure.row.name,
            figure.row.place,
            f"{figure.cost:.0f}",
            f"{figure.spread:.0%}",
            f"{floor / figure.cost:.2f}" if floor else "",
            f"{figure.rate:.0f}",
            f"{figure.latency('p50'):.1f}",
            f"{figure.latency('p99'):.1f}",
            str(figure.row.goal or ""),
            self.verdict(figure),
        )

    def document(self) -> dict[str, Any]:
        floor = self.beside("floor")
        return {
            "machine": machine(),
            "rsa_signature_us": self.signatures,
            "figures": [
                {
                    "name": name,
                    "on": place,
                    "cpu_us": figure.costs,
                    "median_us": figure.cost,
                    "share_of_floor": floor and floor / figure.cost,
                    "rps": figure.rate,
                    "p50_ms": figure.latency("p50"),
                    "p99_ms": figure.latency("p99"),
                    "failed": figure.failed,
                    "goal": str(figure.row.goal or ""),
                    "verdict": self.verdict(figure),
                }
                for (name, place), figure in self.figures.items()
            ],
            "facts": [{"what": w, "value": v, "unit": u} for w, v, u in self.facts],
        }

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n")


def _line(cells: Iterable[str]) -> str:
    aligned = (
        cell.ljust(width) if number in (0, 1, 8, 9) else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    )
    return "  ".join(aligned).rstrip()


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "processor": model,
        "python": sys.version.split()[0],
        "libraries": {name: version(name) for name in LIBRARIES},
    }
