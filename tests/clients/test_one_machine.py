"""Bridge, simulator, nginx and an own CA, set up by the lines of docs/clients/one-machine.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.clients.blocks import Recipe, pasted
from tests.clients.lab import HERE, Installation, run
from tests.clients.person import STRANGER
from tests.clients.site import BIN, Site, shown
from tests.services.bridge import IDP, environment
from tests.services.fixtures import needs
from tests.services.process import LOOPBACK, Service, free_port, listening, program

ROOT = HERE.parents[1]
PAGE = Recipe("one-machine")
AS_NGINX = {"host": LOOPBACK, "x-forwarded-for": LOOPBACK, "x-forwarded-proto": "https"}
PORTS = ["8443", "8080", "8000", "8100"]


class Machine:
    """A folder with what the page uses of the checkout. Typed lines get free ports for the page's,
    and the programs where they are here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "deploy").symlink_to(ROOT / "deploy")
        self.ports = {said: str(free_port()) for said in PORTS}
        self.programs = {
            ".venv/bin/idp": str(IDP),
            "/usr/sbin/nginx": program("nginx", "nginx-light"),
        }
        self.bridge, self.state = f"https://{LOOPBACK}:{self.ports['8443']}", folder / "one-machine"
        self.ca = str(self.state / "ca.pem")

    def lines(self, heading: str, containing: str) -> list[str]:
        """What a shell is told to run the only such block of the page."""
        block = PAGE.block(heading, "sh", containing)
        known = self.ports | self.programs
        return ["sh", "-euc", pasted(block, {said: known[said] for said in known if said in block})]

    def type(self, heading: str, containing: str) -> str:
        """Type a block; what its lines printed."""
        return run(self.lines(heading, containing), self.folder)

    def terminal(self, heading: str, containing: str, *ports: str) -> Service:
        """Type a block whose program goes on, until it listens."""
        shell = Service("terminal")
        shell.start(self.lines(heading, containing), env=environment(), cwd=self.folder)
        shell.wait_until(lambda: all(listening(int(self.ports[p])) for p in ports), seconds=60)
        return shell


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Made and configured as printed; nothing runs yet."""
    with needs("nginx"):
        machine = Machine(tmp_path_factory.mktemp("checkout"))
    machine.type("Make the certificate", "openssl")
    machine.type("Configure", "idp.toml")
    machine.type("Start", "edge.conf")
    return machine


@pytest.fixture(scope="module")
def lab(machine: Machine) -> Iterator[Installation]:
    """With everything running, each in a terminal of its own."""
    with ExitStack() as terminals:
        terminals.enter_context(machine.terminal("Start", "simulate", "8100"))
        terminals.enter_context(machine.terminal("Start", "serve", "8000"))
        terminals.enter_context(machine.terminal("Start", "nginx -e", "8443", "8080"))
        yield Installation(machine.bridge, machine.state)


def test_the_lines_to_try_it_work(lab: Installation, machine: Machine) -> None:
    """curl trusts the CA and finds the issuer; a client can be made."""
    printed = machine.type("Try it", "curl")
    assert f'"issuer":"{lab.issuer}"' in printed.replace(" ", "")
    assert "client_secret" in printed


def test_a_person_logs_in_over_tls(lab: Installation, machine: Machine) -> None:
    """The application of flask.md runs with the variables that the page names."""
    with Site(Recipe("flask"), 5000) as site:
        site.register(lab)
        site.write("app.py")
        site.variables["REQUESTS_CA_BUNDLE"] = machine.ca
        site.run("flask")
        person = lab.person(number=STRANGER, ca=machine.ca)
        assert shown(person.walk(site.url + "/login"))["acr"] == "urn:twfido:qr"
        assert person.press(person.pages[-1], "leave").url == site.url + "/"


def test_the_page_names_the_variables_that_programs_need(
    lab: Installation, machine: Machine
) -> None:
    """Each of these programs fails without its variable and succeeds with it."""
    url = f"{lab.issuer}/jwks"
    programs: dict[str, list[str | Path]] = {
        "REQUESTS_CA_BUNDLE": [BIN / "python", "-c", f"import requests; requests.get('{url}')"],
        "SSL_CERT_FILE": [BIN / "python", "-c", f"import httpx; httpx.get('{url}')"],
        "CURL_CA_BUNDLE": ["curl", "-sS", url],
    }
    for variable, argv in programs.items():
        assert f"`{variable}" in PAGE.section("Let programs trust the CA")
        with pytest.raises(AssertionError):
            run(argv, machine.folder)
        run(argv, machine.folder, **{variable: machine.ca})


def test_node_needs_its_own_variable(lab: Installation, machine: Machine, node: str) -> None:
    """NODE_EXTRA_CA_CERTS."""
    argv = [node, "-e", f"await fetch('{lab.issuer}/jwks')", "--input-type=module"]
    with pytest.raises(AssertionError):
        run(argv, machine.folder)
    run(argv, machine.folder, NODE_EXTRA_CA_CERTS=machine.ca)


def test_the_second_file_raises_the_limits(lab: Installation, machine: Machine) -> None:
    """A program may fetch a token more often than the twenty times that are usual."""
    limits = PAGE.block("Automated tests", "toml")
    (machine.state / "limits.toml").write_text(limits)
    machine.ports["8000"] = str(free_port())
    client = lab.client("--name", "x", "--scope", "transport:read")
    with machine.terminal("Automated tests", "limits.toml", "8000"):
        url = f"http://{LOOPBACK}:{machine.ports['8000']}/token"
        form = {"grant_type": "client_credentials"}
        with httpx.Client(trust_env=False, auth=client, headers=AS_NGINX) as http:
            assert {http.post(url, data=form).status_code for _ in range(25)} == {200}
