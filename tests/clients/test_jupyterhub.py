"""JupyterHub with oauthenticator, as docs/clients/jupyterhub.md sets it up."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.actors import Page
from tests.clients.blocks import Recipe
from tests.clients.lab import HERE, Lab
from tests.clients.person import STRANGER, Person
from tests.clients.site import BIN, Site, call, shown
from tests.services.process import free_port

PROXY = "proxy/node_modules/.bin/configurable-http-proxy"
# What a second hub on the same machine needs, and what root needs.
ELSEWHERE = """
c.JupyterHub.hub_port = {hub}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.SimpleLocalProcessSpawner.home_dir_template = "{homes}/{{username}}"
c.Spawner.args = ["--allow-root"]
c.Authenticator.auth_refresh_age = 1
"""


class Hub(Site):
    def answers(self) -> bool:
        """The proxy answers earlier, with 404."""
        return super().answers() and call(self.url + "/hub/health").status_code == 200


@pytest.fixture(scope="module")
def hub(lab: Lab, node: str) -> Iterator[Site]:
    with Hub(Recipe("jupyterhub"), 8010, PROXY) as hub:
        hub.register(lab)
        hub.write("jupyterhub_config.py")
        with (hub.folder / "jupyterhub_config.py").open("a") as config:
            config.write(ELSEWHERE.format(hub=free_port(), api=free_port(), homes=hub.folder))
        places = [BIN, (HERE / "python" / PROXY).parent, Path(node).parent]
        hub.variables["PATH"] = os.pathsep.join([*map(str, places), os.environ["PATH"]])
        yield hub.run("jupyterhub")


def login(hub: Site) -> str:
    return hub.url + "/hub/oauth_login?next=/hub/home"


def user(page: Page) -> str:
    """Whom the hub shows in its head."""
    return page.texts["login_widget"].split()[0]


def server(person: Person, hub: Site) -> dict[str, Any]:
    """What the person's own server says of who they are, once it has started."""
    page = person.open(hub.url + "/hub/spawn")
    deadline = time.monotonic() + 60
    while "/user/" not in page.url and time.monotonic() < deadline:
        time.sleep(0.5)
        page = person.open(page.url)
    root = page.url[: page.url.index("/", page.url.index("/user/") + 6)]
    person.open(root + "/files/")  # a page, not a call: so the server asks the hub who comes
    return shown(person.open(root + "/api/me"))


def test_a_person_without_name_and_email_works_on_their_own_server(lab: Lab, hub: Site) -> None:
    """The subject, in lower case, names the user and is good enough for a server's address."""
    person = lab.person(number=STRANGER)
    page = person.walk(login(hub))
    assert page.url == hub.url + "/hub/home", hub.output()
    name = user(page)
    assert len(name) > 20
    assert server(person, hub)["identity"]["username"] == name


def test_whoever_cancels_sees_the_hubs_own_page(lab: Lab, hub: Site) -> None:
    """A refusal is told by the hub, and nobody is logged in."""
    person = lab.person()
    page = person.cancel(login(hub))
    assert page.url.startswith(hub.url + "/hub/oauth_callback?")
    assert page.status == 400
    assert "OAuth error" in page.html
    assert person.open(hub.url + "/hub/home").url.startswith(hub.url + "/hub/login")


def test_who_leaves_the_bridge_leaves_the_hub_at_its_next_look(lab: Lab, hub: Site) -> None:
    """The hub asks UserInfo again, then tries the refresh token, then wants a new login."""
    person = lab.person()
    name = user(person.walk(login(hub)))
    time.sleep(1.1)
    assert user(person.open(hub.url + "/hub/home")) == name
    person.go_on(person.open(lab.issuer + "/logout"))
    time.sleep(1.1)
    assert person.open(hub.url + "/hub/home").url.startswith(hub.url + "/hub/login")


def test_logout_ends_both_sessions_and_returns(lab: Lab, hub: Site) -> None:
    """The person is back at the hub, and the next login asks them again."""
    person = lab.person()
    person.walk(login(hub))
    page = person.go_on(person.open(hub.url + "/hub/logout"))
    assert page.url.startswith(hub.url + "/hub/login")
    assert "continue" in person.open(login(hub)).buttons()
