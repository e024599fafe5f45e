"""`idp dev`: everything from an empty folder, and again."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.person import Person
from tests.services.bridge import IDP, environment, idp
from tests.services.process import LOOPBACK, Service, free_port, signal_if_there


class Dev(Service):
    """`idp dev` in a folder of the test, on three free ports."""

    def __init__(self, state: Path, *more: str) -> None:
        super().__init__("dev")
        self.state, self.more = state, more
        self.ports = [free_port() for _ in range(3)]

    @property
    def options(self) -> list[str]:
        names = ("--port", "--simulator-port", "--demo-port")
        ports = [part for pair in zip(names, map(str, self.ports), strict=True) for part in pair]
        return ["dev", "--state", str(self.state), *ports, *self.more]

    def serve(self) -> float:
        """Start it; the seconds until it told what to open."""
        began = time.monotonic()
        self.start([str(IDP), *self.options], env=environment())
        self.wait_until(lambda: "Ctrl-C" in self.output(), seconds=120)
        return time.monotonic() - began

    def table(self) -> str:
        """What it printed to open and to type."""
        return self.output().partition("Ctrl-C")[0]

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        assert self._child is not None
        signal_if_there(self.pid, signal.SIGINT)
        return self._child.wait(10)

    def ask(self, number: int, path: str) -> int:
        url = f"http://{LOOPBACK}:{self.ports[number]}{path}"
        return httpx.get(url, trust_env=False, timeout=10).status_code


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """A running `idp dev` that began with nothing."""
    with Dev(tmp_path_factory.mktemp("empty") / ".idp-dev") as running:
        print(f"first start: {running.serve():.2f} s on {os.cpu_count()} cores")
        yield running


def token(config: Path, made: dict[str, str]) -> str:
    """An access token by `idp token` with this configuration."""
    secret = made["client_secret"]
    done = idp("-c", config, "token", "--client-id", made["client_id"], IDP_CLIENT_SECRET=secret)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_tells_what_to_open(dev: Dev) -> None:
    """From an empty folder it comes up and prints every address, and each of them answers."""
    table = dev.output()
    for port in dev.ports:
        assert str(port) in table
    for word in ("A100000010", "wecard call", str(dev.state / "idp.toml")):
        assert word in table
    assert "Traceback" not in table
    assert "Warning" not in table
    assert dev.ask(0, "/.well-known/openid-configuration") == 200
    assert dev.ask(1, "/phone") == 200
    assert dev.ask(2, "/") == 200


def test_the_printed_command_works(dev: Dev) -> None:
    """The curl line of the table gets a token as it stands."""
    form = dict(re.findall(r"-d (\w+)=(\S+)", dev.output()))
    (url,) = re.findall(r"^\s+(http\S+/protocol/openid-connect/token)$", dev.output(), re.MULTILINE)
    assert httpx.post(url, data=form, trust_env=False).json()["token_type"] == "Bearer"


def test_clients_are_made_beside_it(dev: Dev) -> None:
    """`idp -c STATE/idp.toml client create` beside it makes a client that works at once."""
    config = dev.state / "idp.toml"
    made = idp("-c", config, "client", "create", "--name", "mine", "--json",
               "--grant", "client_credentials", "--scope", "library:read")  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert token(config, json.loads(made.stdout)).count(".") == 2


def test_limits_are_off_and_said_to_be(dev: Dev) -> None:
    """Who tries things out meets no limit; the table says so, and how to meet the real ones."""
    assert "off; `idp dev --limits` turns them on" in dev.output()
    known = json.loads((dev.state / "clients.json").read_text())
    made = {"client_id": "demo-program", "client_secret": known["program"]}
    form = {"grant_type": "client_credentials", **made}
    url = f"http://{LOOPBACK}:{dev.ports[0]}/token"
    with httpx.Client(trust_env=False) as http:
        assert {http.post(url, data=form).status_code for _ in range(30)} == {200}


def test_a_person_in_no_directory(dev: Dev) -> None:
    """Most people have neither name nor e-mail here: one of them approves at once, and is named."""
    assert "A100000083 approves, is in no directory" in dev.output()
    bridge, _, demo = (f"http://{LOOPBACK}:{port}" for port in dev.ports)
    page = Person(bridge, number="A100000083").walk(f"{demo}/login")
    assert "A1****0083" in page.html
    assert "陳大文" not in page.html


def test_https_and_the_real_limits(tmp_path: Path) -> None:
    """With --tls the bridge has a certificate that the named authority signed, and the demo, its
    API and the simulator get along with it; with --limits the limits are those of production."""
    with Dev(tmp_path / "state", "--tls", "--limits") as running:
        running.serve()
        bridge, simulator, demo = running.ports
        authority = running.state / "tls" / "ca.pem"
        assert f"trust {authority}" in running.output()
        assert (running.state / "tls" / "server.pem").stat().st_mode & 0o077 == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://{LOOPBACK}:{bridge}/health/live", trust_env=False)
        known = json.loads((running.state / "clients.json").read_text())
        made = {"client_id": "demo-program", "client_secret": known["program"]}
        form = {"grant_type": "client_credentials", **made}
        trusted = ssl.create_default_context(cafile=str(authority))
        with httpx.Client(verify=trusted, trust_env=False) as http:
            assert http.get(f"https://localhost:{bridge}/health/live").status_code == 200
            answers = [http.post(f"https://{LOOPBACK}:{bridge}/token", data=form)
                       for _ in range(30)]  # fmt: skip
        assert {answer.status_code for answer in answers} == {200, 429}
        bearer = {"authorization": f"Bearer {answers[0].json()['access_token']}"}
        api = f"http://{LOOPBACK}:{demo}/api/transport/whoami"
        assert httpx.get(api, headers=bearer, trust_env=False).status_code == 200
        person = Person(f"https://{LOOPBACK}:{bridge}", ca=str(authority))
        assert "王小明" in person.walk(f"http://{LOOPBACK}:{demo}/login").html
        ledger = httpx.get(f"http://localhost:{simulator}/ledger", trust_env=False).json()
        assert {row["result"] for row in ledger if row["event"] == "callback"} == {"0000"}, ledger
        done = idp("-c", running.state / "idp.toml", "token", "--client-id", made["client_id"],
                   IDP_CLIENT_SECRET=made["client_secret"], SSL_CERT_FILE=str(authority),
                   cwd=tmp_path)  # fmt: skip
        assert done.returncode in (0, 1)  # 1: the limit of the minute
        assert "certificate" not in done.stderr
        assert httpx.get(f"http://localhost:{simulator}/phone", trust_env=False).status_code == 200


def test_its_state_is_private(dev: Dev) -> None:
    """What it writes down holds secrets, and nobody else can read it."""
    assert dev.state.stat().st_mode & 0o077 == 0
    assert (dev.state / "idp.toml").stat().st_mode & 0o077 == 0


def test_only_loopback_is_served(tmp_path: Path) -> None:
    """It refuses any other address: its people and keys are known to everybody."""
    done = idp("dev", "--host", "0.0.0.0", cwd=tmp_path)  # noqa: S104
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "loopback only" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [0, 2])
def test_a_taken_port_is_told(tmp_path: Path, number: int) -> None:
    """A port that somebody holds is named in one line, before anything is written."""
    with Dev(tmp_path / "state") as other, socket.create_server((LOOPBACK, 0)) as taken:
        other.ports[number] = taken.getsockname()[1]
        done = idp(*other.options, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"port {other.ports[number]} on {LOOPBACK} is taken" in line
    assert not (tmp_path / "state").exists()


def test_it_ends_and_begins_again(dev: Dev) -> None:
    """Ctrl-C ends it cleanly; a second start finds its clients, secrets and members again."""
    table = dev.table()
    assert dev.interrupt() == 0
    assert "Traceback" not in dev.output()
    dev.log.unlink()
    print(f"second start: {dev.serve():.2f} s")
    assert dev.table() == table
    known = json.loads((dev.state / "clients.json").read_text())
    made = {"client_id": "demo-program", "client_secret": known["program"]}
    assert token(dev.state / "idp.toml", made)
