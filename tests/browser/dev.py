"""A real `idp dev`, started as its reader would start it."""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import urlencode

import httpx

from tests.services.bridge import IDP, environment
from tests.services.process import LOOPBACK, Service, free_port


class Dev(Service):
    """`with Dev() as dev:` — everything on one machine, its state in a folder of its own."""

    def __init__(self, scheme: str = "twfido", *more: str) -> None:
        super().__init__("idp-dev")
        self.scheme, self.more = scheme, more
        self.state = self.folder / "state"
        self.ports = [free_port() for _ in range(3)]
        bridge, simulator, demo = self.ports
        self.bridge, self.demo = f"http://{LOOPBACK}:{bridge}", f"http://{LOOPBACK}:{demo}"
        self.simulator = f"http://localhost:{simulator}"  # another site than the bridge

    def __enter__(self) -> Self:
        names = ("--port", "--simulator-port", "--demo-port")
        ports = [x for name, port in zip(names, self.ports, strict=True) for x in (name, str(port))]
        command = [str(IDP), "dev", *ports, "--state", str(self.state), "--scheme", self.scheme]
        self.start([*command, *self.more], env=environment())
        self.wait_until(lambda: "Ctrl-C" in self.output(), seconds=60)
        return self

    def login(self, **wishes: str) -> str:
        """The link of the demo application that begins a login."""
        return f"{self.demo}/login?{urlencode(wishes)}"

    def control(self, **wanted: Any) -> None:
        """Pull the simulator's strings."""
        httpx.post(f"{self.simulator}/control", json=wanted, trust_env=False).raise_for_status()
