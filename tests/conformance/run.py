"""Runs plans of the OpenID Foundation's conformance suite against a bridge, by the suite's API.

python -m tests.conformance.run --config config.json [--only REGEX] PLAN[:variant=value,...] ...

Prints a line a module (plan, module, result, and for what is not PASSED the conditions that
failed), then a line a plan. Exit status 1 if a module FAILED or was interrupted.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
import ssl
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.config import Plan

# what stands for a picture that HtmlUnit did not take; a human reviewer would take his own
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"
    "DwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PATIENCE = 25  # seconds for HtmlUnit to take the picture itself
ROTATION = "oidcc-server-rotate-keys"
SETTLED = 5  # seconds until every worker publishes the new keys
GOOD = ("PASSED", "WARNING", "REVIEW", "SKIPPED")
Json = dict[str, Any]


@dataclass(slots=True)
class Suite:
    """The suite's API."""

    http: httpx.Client

    def call(self, method: str, path: str, **more: Any) -> Any:
        for _ in range(3):
            try:
                answer = self.http.request(method, path, **more)
            except httpx.TransportError:
                time.sleep(2)
                continue
            answer.raise_for_status()
            return answer.json() if answer.content else {}
        raise SystemExit(f"the suite does not answer {path}")

    def create(self, plan: Plan, config: Json) -> Json:
        asked = {"planName": plan.name, "variant": json.dumps(plan.variants)}
        made: Json = self.call("POST", "/api/plan", params=asked, json=config)
        return made

    def begin(self, plan_id: str, module: Json) -> str:
        asked = {"test": module["testModule"], "plan": plan_id}
        if module.get("variant"):
            asked["variant"] = json.dumps(module["variant"])
        return str(self.call("POST", "/api/runner", params=asked)["id"])

    def log(self, test: str) -> list[Json]:
        entries: list[Json] = self.call("GET", f"/api/log/{test}")
        return entries


@dataclass(slots=True)
class Run:
    """One module from its creation to its end."""

    suite: Suite
    test: str
    seconds: int
    before: str = ""  # a command, when the suite has looked and waits to be started
    pictures: dict[str, float] = field(default_factory=dict)  # wanted since; infinite: given

    def wait(self) -> str:
        """The result, or the status if it did not come to an end."""
        began, started = time.monotonic(), False
        while time.monotonic() < began + self.seconds:
            info = self.suite.call("GET", f"/api/info/{self.test}")
            if info["status"] == "CONFIGURED" and not started:
                if self.before:
                    subprocess.run(shlex.split(self.before), check=True, capture_output=True)
                    time.sleep(SETTLED)
                self.suite.call("POST", f"/api/runner/{self.test}")
                started = True
            if info["status"] == "FINISHED":
                return str(info["result"])
            if info["status"] == "INTERRUPTED":
                break
            if info["status"] == "WAITING":
                self._give_pictures()
            time.sleep(0.4)
        return str(info["status"])

    def _give_pictures(self) -> None:
        now = time.monotonic()
        for key in {str(e["upload"]) for e in self.suite.log(self.test) if e.get("upload")}:
            if now > self.pictures.setdefault(key, now) + PATIENCE:
                self.pictures[key] = math.inf
                self.suite.http.post(f"/api/log/{self.test}/images/{key}", content=PIXEL)


def faults(log: list[Json]) -> list[str]:
    """A line a condition that failed or warned."""
    lines = []
    for entry in log:
        if entry.get("result") in ("FAILURE", "WARNING", "INTERRUPTED"):
            detail = entry.get("error") or entry.get("missing") or entry.get("actual") or ""
            requirements = " ".join(entry.get("requirements") or ())
            said = f"{str(entry.get('msg'))[:300]} {str(detail)[:160]}".strip()
            lines.append(f"{entry['result']} {entry.get('src')}: {said} {requirements}".rstrip())
    return lines


def run_plan(suite: Suite, plan: Plan, config: Json, asked: argparse.Namespace) -> Counter[str]:
    made, tally = suite.create(plan, config), Counter[str]()
    for module in made["modules"]:
        if not re.search(asked.only, module["testModule"]):
            continue
        test = suite.begin(made["id"], module)
        rotate = asked.rotate if module["testModule"] == ROTATION else ""
        result = Run(suite, test, asked.seconds, rotate).wait()
        tally[result] += 1
        log = suite.log(test)
        if asked.log:
            kept = Path(asked.log) / f"{module['testModule']}.{test}.json"
            kept.write_text(json.dumps(log, indent=1))
        print(f"{plan.name} {module['testModule']} {result} {test}", flush=True)
        for line in faults(log) if result not in ("PASSED", "SKIPPED") else ():
            print(f"    {line}", flush=True)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="https://suite.test:8443")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--only", default="", help="modules whose name this pattern finds")
    parser.add_argument("--seconds", type=int, default=240, help="for one module")
    parser.add_argument("--rotate", default="", help="command that rotates the bridge's keys")
    parser.add_argument("--log", help="folder for each module's full log")
    parser.add_argument("plans", nargs="+", type=Plan.read)
    asked = parser.parse_args()
    trusted = ssl.create_default_context()  # SSL_CERT_FILE names the authority
    bad = 0
    with httpx.Client(base_url=asked.suite, verify=trusted, timeout=120) as http:
        for plan in asked.plans:
            tally = run_plan(Suite(http), plan, json.loads(asked.config.read_text()), asked)
            counts = ", ".join(f"{result} {count}" for result, count in sorted(tally.items()))
            print(f"== {plan.name} {plan.variants}: {counts}", flush=True)
            bad += sum(count for result, count in tally.items() if result not in GOOD)
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
