"""docs/quickstart.md: the lines of each tab, as they are printed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients.blocks import Recipe, pasted
from tests.clients.guard_package import ROOT, unpacked
from tests.clients.java import JVM
from tests.clients.lab import Lab, installed, run
from tests.clients.person import STRANGER
from tests.clients.site import BIN, Site, call, program_token
from tests.clients.web import packages
from tests.services.bridge import IDP, environment
from tests.services.fixtures import needs
from tests.services.node import node

PAGE = Recipe("quickstart", ROOT / "docs")
LOGIN = PAGE.within("10 minutes: your own application")
API = PAGE.within("20 minutes: an API behind the guard")


class Tab(Site):
    """The program of one tab, here on a port of its own. `elsewhere` are programs that are no part
    of the Python environment."""

    elsewhere: Mapping[str, str]

    def __init__(self, part: Recipe, tab: str, said: int, **elsewhere: str) -> None:
        super().__init__(part, said)
        self.tab, self.elsewhere = tab, elsewhere
        self.changes |= {f"listen({said}": f"listen({self.port}"}

    def write_files(self, language: str) -> None:
        """The blocks that name their file in their first line, at the ends of these files."""
        for block in self.page.blocks(self.tab, language):
            path = self.folder / block.splitlines()[0].split()[-1]
            path.parent.mkdir(exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(pasted(block, self.filled(block)))

    def serve(self, lab: Lab, *more: str) -> None:
        """Register it and run the last lines of the tab; the very last is to answer from then on,
        with `more` words."""
        self.register(lab)
        block = self.page.blocks(self.tab, "sh")[-1]
        *before, last = block.splitlines()
        for line in before:
            run(self.command(line), self.folder, **self.variables)
        env = environment(**self.variables)
        self.start([*self.command(last), *more], env=env, cwd=self.folder)
        self.wait_until(self.answers, seconds=90)

    def command(self, line: str) -> list[str]:
        program, *words = shlex.split(pasted(line, self.filled(line)))
        return [self.elsewhere.get(program, str(BIN / program)), *words]


class Django(Tab):
    def __init__(self, part: Recipe, said: int) -> None:
        super().__init__(part, "Django", said)
        run([BIN / "django-admin", "startproject", "mysite", "."], self.folder)


def javascript(part: Recipe, said: int) -> Tab:
    modules = packages()
    tab = Tab(part, "Node", said, node=node())
    (tab.folder / "node_modules").symlink_to(modules)
    tab.write_files("js")
    return tab


def login_tab(name: str) -> Tab:
    if name == "Node":
        return javascript(LOGIN, 9000)
    if name == "PHP":
        with needs("clients"):
            installed("native", "/usr/bin/php")
        tab = Tab(LOGIN, name, 9000, php="/usr/bin/php")
        tab.write_files("php")
        return tab
    tab = Django(LOGIN, 9000) if name == "Django" else Tab(LOGIN, name, 9000)
    tab.write_files("python")
    return tab


@pytest.fixture(scope="module", params=["Flask", "Django", "PHP", "Node"])
def application(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Tab]:
    with login_tab(request.param) as tab:
        tab.serve(lab, *(["--noreload"] if request.param == "Django" else []))
        yield tab


def start(application: Tab) -> str:
    """Where a person begins: the link of the first page, or the page itself."""
    return application.url + ("/login" if application.tab in ("Flask", "PHP") else "/")


def test_whoever_logs_in_sees_their_claims(lab: Lab, application: Tab) -> None:
    """Also people who are in no directory, whom the program knows by `sub` alone."""
    for number in ("A100000010", STRANGER):
        page = lab.person(number=number).walk(start(application))
        assert page.status == 200, page.html
        assert page.url.startswith(application.url)
        assert re.search(r'"sub": ?"[a-z][a-z0-9]{26}"', page.html), page.html


def test_whoever_cancels_sees_that(lab: Lab, application: Tab) -> None:
    """A refusal ends at a page of the program, which logs nobody in and does not begin again."""
    page = lab.person().cancel(start(application))
    assert (page.url.startswith(application.url), page.status) == (True, 403)
    assert ("access_denied" in page.html) == (application.tab != "Django")


def api_tab(name: str) -> Tab:
    if name == "Node":
        return javascript(API, 9001)
    tab = Django(API, 9001) if name == "Django" else Tab(API, name, 9001)
    tab.variables["PYTHONPATH"] = unpacked()  # as if installed
    tab.write_files("python")
    return tab


@pytest.mark.parametrize("name", ["Flask", "Django", "Node"])
def test_only_programs_with_a_token_reach_the_api(lab: Lab, name: str) -> None:
    """401 without one or with that of another program, 200 with the one of the page."""
    with api_tab(name) as api:
        api.serve(lab)
        stops = api.url + "/v1/stops"
        good = call(stops, program_token(lab, api.client))
        assert good.status_code == 200, good.text
        assert "asked_by" not in good.text or good.json() == {"asked_by": api.client[0]}
        elsewhere = lab.client("--name", "x", "--scope", "transport:read")
        assert call(stops).status_code == 401
        assert call(stops, program_token(lab, elsewhere)).status_code == 401


def test_the_gate_lets_the_same_in(lab: Lab) -> None:
    """What nginx would ask for an API in PHP."""
    with Tab(API, "PHP", 8300) as gate:
        gate.variables["PYTHONPATH"] = unpacked()  # as if installed
        gate.write_files("python")
        gate.serve(lab)
        assert call(gate.url).status_code == 403  # nothing was asked as nginx asks


def test_the_lines_for_spring_are_those_that_run_elsewhere() -> None:
    """The settings of both tabs are in the application that test_spring.py runs."""
    built = (JVM / "spring-boot/src/main/resources/application.yml").read_text()
    assert LOGIN.block("Spring Boot", "yaml") in built
    here = {"http://127.0.0.1:9001": "https://api.example.gov.tw"}
    assert pasted(API.block("Spring Boot", "yaml"), here) in built


def test_every_tab_is_there_twice() -> None:
    """Whoever took a tab for the login finds it again for the API."""
    tabs = ["Flask", "Django", "Spring Boot", "PHP", "Node", ".NET"]
    for part in (LOGIN, API):
        between = part.text.partition("<!-- tabs -->")[2].partition("<!-- end of tabs -->")[0]
        assert re.findall(r"^### (.+)$", between, re.M) == tabs


def test_the_tokens_of_the_page_are_fetched_as_printed(lab: Lab, tmp_path: Path) -> None:
    """The first of the last lines prints nothing but a token."""
    client = lab.client("--name", "x", "--scope", "transport:read")
    line = API.block("Call it", "sh").splitlines()[0]
    known = {"ISSUER": lab.issuer, "CLIENT_ID": client[0], "CLIENT_SECRET": client[1]}
    known["PATH"] = f"{Path(IDP).parent}{os.pathsep}{os.environ['PATH']}"
    said = run(["sh", "-euc", f'{line}\necho "$TOKEN"'], tmp_path, **known)
    assert said.count(".") == 2
