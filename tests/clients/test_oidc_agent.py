"""oidc-agent, as docs/clients/oidc-agent.md tells."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.clients.blocks import pasted
from tests.clients.lab import Lab, run
from tests.clients.programs import Program
from tests.services.bridge import environment
from tests.services.process import Service, free_port

QUIET = [
    "--no-url-call",
    "--prompt",
    "none",
    "--confirm-default",
    "--pw-env",
]  # nobody is at the keys
SAID = "http://localhost:4242"


class Agent(Program):
    """The agent in the foreground, and its programs, which find it in their environment."""

    def __init__(self) -> None:
        super().__init__("oidc-agent", "/usr/bin/oidc-agent")
        self.port = next(port for port in iter(free_port, 0) if port < 49152)  # its own rule
        self.url = f"http://localhost:{self.port}"
        self.changes = {SAID: self.url}
        self.variables = {"HOME": str(self.folder), "OIDC_ENCRYPTION_PW": "p"}

    def begin(self) -> None:
        socket = self.folder / "socket"
        self.variables["OIDC_SOCK"] = str(socket)
        where = f"--socket-path={socket}"
        self.start(["oidc-agent", "--console", where], env=environment(**self.variables))
        self.wait_until(socket.exists)

    def line(self) -> str:
        """`oidc-gen` of the page."""
        start, line = self.lines("Configure", "sh").replace("\\\n", " ").split("\n", 1)
        assert start == 'eval "$(oidc-agent)"'
        return line

    def generate(self) -> Service:
        """Run it until it waits for the person."""
        waiting = Service("oidc-gen")
        waiting.start([*shlex.split(self.line()), *QUIET], env=environment(**self.variables))
        waiting.wait_until(lambda: "Polling" in waiting.output())
        return waiting

    def tell(self, *argv: str) -> str:
        return run(argv, self.folder, **self.variables)


@pytest.fixture
def agent(lab: Lab) -> Iterator[Agent]:
    with Agent() as agent:
        agent.register(lab)
        agent.begin()
        yield agent
        agent.kill()  # the web server of a login that was cancelled would not end by itself


def address(waiting: Service) -> str:
    """What the person shall open."""
    (url,) = re.findall(r"^(http\S+/authorize\S+)$", waiting.output(), re.M)
    return str(url)


def test_login_refresh_and_the_end_of_the_grant(lab: Lab, agent: Agent) -> None:
    """UserInfo takes the token, the next one is another, and what is deleted here is over there."""
    with agent.generate() as waiting:
        assert "Success" in lab.person().walk(address(waiting)).html
        waiting.wait_until(lambda: "Everything setup correctly" in waiting.output())
    call = shlex.split(agent.lines("Log in", "sh").replace("$(oidc-token my-account)", "TOKEN"))
    ask = ["curl", "-sS", *call[1:]]

    def told(token: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(
            agent.tell(*[word.replace("TOKEN", token) for word in ask])
        )
        return found

    token = agent.tell("oidc-token", "my-account").strip()
    another = agent.tell("oidc-token", "--force-new", "my-account").strip()
    assert token != another
    assert told(token)["sub"] == told(another)["sub"]
    agent.tell(*shlex.split(agent.lines("Log out", "sh")), "--confirm-yes", "--pw-env")
    assert told(another)["error"] == "invalid_token"


def test_whoever_cancels_sees_the_agents_own_page(lab: Lab, agent: Agent) -> None:
    """The agent's page tells the refusal, and no account is made."""
    with agent.generate() as waiting:
        page = lab.person().cancel(address(waiting))
    assert page.url.startswith(agent.url)
    assert "access_denied" in page.html
    assert httpx.codes.is_client_error(page.status)
    assert "my-account" not in agent.tell("oidc-add", "--loaded")


def test_without_the_flow_the_agent_wants_another_one(lab: Lab, agent: Agent) -> None:
    """What the page warns of."""
    line = pasted(agent.line(), {"--flow code": ""})
    done = subprocess.run(
        [*shlex.split(line), *QUIET], env=environment(**agent.variables), capture_output=True,
        text=True, check=False, timeout=30,
    )  # fmt: skip
    assert "Device Flow not Supported" in done.stdout + done.stderr
