"""Programs in JavaScript, run as their pages print them.

with Program(lab, "openid-client-6") as app:
    page = lab.person().walk(f"{app.url}/login")
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.actors import Page
from tests.clients.blocks import Recipe, pasted
from tests.clients.lab import Lab, installed
from tests.services.bridge import environment
from tests.services.fixtures import needs
from tests.services.node import node
from tests.services.process import LOOPBACK, Service, free_port, listening

BASE = "http://127.0.0.1:3000"  # where the pages say that the program is


def packages() -> Path:
    """The folder of the installed packages; skips the test where they cannot be had."""
    with needs("clients"):
        node()
        return installed("js", "node_modules/express") / "node_modules"
    raise AssertionError("unreachable")


class Program(Service):
    """`app.mjs` of docs/clients/NAME.md, with a client that is registered as that page says.

    `options` are more of `idp client create`, `without` is one fewer; `changes` are texts that a
    reader may change;
    `renamed` are packages that are installed under another name, with `_` for `-`.
    """

    def __init__(
        self,
        lab: Lab,
        name: str,
        *options: str,
        changes: Mapping[str, str] | None = None,
        without: str = "",
        **renamed: str,
    ) -> None:
        modules, page = packages(), Recipe(name)
        source = pasted(page.block("Configure", "js"), changes or {})
        self.port = free_port()
        self.url, self._issuer = f"http://{LOOPBACK}:{self.port}", lab.issuer
        given = [option for option in page.registration({BASE: self.url}) if option != without]
        self.client = lab.client(*given, *options)
        super().__init__(name)
        self._lay(source, modules, renamed)

    def _lay(self, source: str, modules: Path, renamed: Mapping[str, str]) -> None:
        """Node looks beside the program first, where the renamed packages are."""
        (self.folder / "node_modules").symlink_to(modules)
        beside = self.folder / "app" / "node_modules"
        beside.mkdir(parents=True)
        for known, really in renamed.items():
            (beside / known.replace("_", "-")).symlink_to(modules / really)
        (self.folder / "app" / "app.mjs").write_text(source, encoding="utf-8")

    def __enter__(self) -> Self:
        client_id, secret = self.client
        known = {"ISSUER": self._issuer, "BASE_URL": self.url, "CLIENT_ID": client_id}
        hidden = {"CLIENT_SECRET": secret, "SESSION_SECRET": os.urandom(32).hex()}
        self.start([node(), "app.mjs"], env=environment(**known, **hidden), cwd=self.folder / "app")
        try:
            self.wait_until(lambda: listening(self.port))
        except BaseException:
            self.close()
            raise
        return self


def shown(page: Page) -> Any:
    """The JSON that a program shows."""
    assert page.status == 200, page.html
    return json.loads(page.html)


def logged_in(lab: Lab, app: Program, **who: str) -> Any:
    """What the program shows to a person who has just logged in."""
    return shown(lab.person(**who).walk(f"{app.url}/login"))
