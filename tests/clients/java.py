"""Programs for the JVM, built by tests/clients/jvm/install.sh."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import httpx

from tests.clients.blocks import Recipe, pasted
from tests.clients.lab import HERE, Lab, installed, run
from tests.services.bridge import environment
from tests.services.fixtures import needs
from tests.services.process import LOOPBACK, Service, free_port, listening

JVM = HERE / "jvm"
QUICK = ["-XX:TieredStopAtLevel=1", "-Xshare:auto"]  # these programs live for seconds


class SpringBoot(Service):
    """The application of the pages spring-*.md on one version of Spring Boot, at `url`."""

    def __init__(self, version: int) -> None:
        jar = f"target/spring-boot-{version}/app.jar"
        with needs("clients"):
            installed("jvm", jar)
        super().__init__(f"spring-boot-{version}")
        self.jar, self.port = JVM / jar, free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.changes = {"http://127.0.0.1:8080": self.url}
        self.variables: dict[str, str] = {}

    def make_key(self, page: Recipe) -> None:
        """The key pair of this folder, by the commands of the page."""
        self.variables["KEY_PASSWORD"] = "open sesame"
        made = pasted(page.block("Register", "sh", "keytool"), {"app.jar": str(self.jar)})
        run(["sh", "-ec", made], self.folder, **self.variables)
        self.changes["keys.json"] = str(self.folder / "keys.json")

    def serve(self, lab: Lab, page: Recipe, *more: str, **variables: str) -> Self:
        """Register it as its page says, with `more` options, and start it."""
        client_id, secret = lab.client(*page.registration(self.changes), *more)
        self.variables |= {"ISSUER": lab.issuer, "CLIENT_ID": client_id, "CLIENT_SECRET": secret}
        here = [f"--server.address={LOOPBACK}", f"--server.port={self.port}"]
        env = environment(**self.variables, **variables)
        self.start(["java", *QUICK, "-jar", str(self.jar), *here], env=env)
        self.wait_until(lambda: listening(self.port), seconds=90)
        return self


def unlike_the_source(page: Recipe) -> list[str]:
    """The code blocks of a Spring page that do not stand in the file which their first line
    names."""
    found = []
    for heading in ("Configure", "What goes wrong"):
        for block in page.blocks(heading, "java") + page.blocks(heading, "yaml"):
            name = block.splitlines()[0].lstrip("/# ")
            if block not in (JVM / "spring-boot" / name).read_text(encoding="utf-8"):
                found.append(name)
        for block in page.blocks(heading, "xml"):
            version = 3 if "3.5" in block.splitlines()[0] else 4
            pom = (JVM / f"spring-boot-{version}" / "pom.xml").read_text(encoding="utf-8")
            if _words(block.partition("\n")[2]) not in _words(pom):
                found.append(block)
    return found


def _words(text: str) -> str:
    """The text whatever its indentation."""
    return " ".join(text.split())


class Keycloak(Service):
    """The server, with an empty database in memory, at `url`."""

    admin = "admin"

    def __init__(self) -> None:
        with needs("clients"):
            folder = installed("jvm", "target/keycloak")
        super().__init__("keycloak")
        self.program = next(folder.glob("target/keycloak/keycloak-*/bin/kc.sh"))
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        here = ["--http-enabled=true", f"--http-host={LOOPBACK}", f"--http-port={self.port}"]
        alone = ["--hostname-strict=false", "--cache=local"]
        env = environment(
            JAVA_OPTS_APPEND=" ".join(QUICK),
            KC_BOOTSTRAP_ADMIN_USERNAME=self.admin,
            KC_BOOTSTRAP_ADMIN_PASSWORD=self.admin,
        )
        self.start([str(self.program), "start", "--optimized", *here, *alone], env=env)
        self.wait_until(lambda: listening(self.port), seconds=120)
        return self

    def administer(self, lines: str, folder: Path) -> None:
        """Commands of a page, with the programs of the server, in a folder that is a home too."""
        run(
            ["sh", "-ec", lines],
            folder,
            HOME=str(folder),
            PATH=f"{self.program.parent}:{os.environ['PATH']}",
            KC_OPTS=" ".join(QUICK),
            KC_CLI_PASSWORD=self.admin,
        )

    def form(self, realm: str, endpoint: str, **fields: str) -> dict[str, Any]:
        """A form to an endpoint of a realm; the JSON that comes back."""
        url = f"{self.url}/realms/{realm}/protocol/openid-connect/{endpoint}"
        answer = httpx.post(url, data=fields, trust_env=False, timeout=60)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found
