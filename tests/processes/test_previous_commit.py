"""During an upgrade workers of two versions share one database: the code of the commit before
answers from rows that this one wrote, and the other way round."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from idp.kernel import schema
from tests.clients.person import Person
from tests.services.bridge import Bridge, environment
from tests.services.process import LOOPBACK, Service, free_port, listening

ROOT = Path(__file__).parent.parent.parent
DECIDES = "A123456789"  # on the phone page


def former_code(folder: Path) -> Path:
    """The package of the commit before, as it was."""
    archive = subprocess.run(
        ["git", "archive", "HEAD^", "idp", "templates"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip(f"no commit before this one is here: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


class Former(Service):
    """One worker of the former code, on the configuration and database of a running bridge."""

    def __init__(self, code: Path, bridge: Bridge) -> None:
        super().__init__("former")
        self.port = free_port()
        argv = [sys.executable, "-m", "uvicorn", "--factory", "idp.app:create"]
        variables = {"PYTHONPATH": str(code), "IDP_CONFIG_FILES": str(bridge.config)}
        self.start(
            [*argv, "--host", LOOPBACK, "--port", str(self.port), "--no-proxy-headers"],
            env=environment() | variables,
            cwd=code,
        )
        self.wait_until(lambda: listening(self.port), seconds=60)
        host = httpx.URL(bridge.issuer).netloc.decode()
        self.http = httpx.Client(
            base_url=f"http://{LOOPBACK}:{self.port}", headers={"host": host}, trust_env=False
        )

    def close(self) -> None:
        self.http.close()
        super().close()


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """This commit's code on SQLite."""
    url = f"sqlite:///{tmp_path_factory.mktemp('shared')}/idp.sqlite3"
    schema.upgrade(url)
    with Bridge(url, workers=1) as found:
        yield found


@pytest.fixture(scope="module")
def former(bridge: Bridge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Former]:
    """The commit before, beside it."""
    os.environ.pop("IDP_CONFIG_FILES", None)
    with Former(former_code(tmp_path_factory.mktemp("former")), bridge) as found:
        yield found


def registered(bridge: Bridge) -> tuple[str, tuple[str, str], str]:
    """(redirect_uri, credentials, the URL that begins a login)."""
    callback = f"{bridge.issuer}/health/live"
    made = bridge.create_client(
        "--name", "館藏服務", "--redirect-uri", callback, "--scope", "openid profile offline_access"
    )  # fmt: skip
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636 appendix B
    query = httpx.QueryParams(
        client_id=made["client_id"],
        redirect_uri=callback,
        response_type="code",
        scope="openid profile offline_access",
        nonce="n",
        code_challenge=challenge,
        code_challenge_method="S256",
    )
    credentials = (made["client_id"], made["client_secret"])
    return callback, credentials, f"{bridge.issuer}/authorize?{query}"


def test_a_code_of_this_version_is_redeemed_by_the_former(bridge: Bridge, former: Former) -> None:
    """Login and consent here, tokens there, refresh here, introspection and userinfo there."""
    callback, credentials, begin = registered(bridge)
    code = Person(bridge.issuer).walk(begin).query["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": callback,
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    }
    answer = former.http.post("/token", data=form, auth=credentials)
    assert answer.status_code == 200, answer.text
    again = {"grant_type": "refresh_token", "refresh_token": answer.json()["refresh_token"]}
    with httpx.Client(base_url=bridge.issuer, trust_env=False) as here:
        fresh = here.post("/token", data=again, auth=credentials)
    assert fresh.status_code == 200, fresh.text
    bearer = {"authorization": f"Bearer {fresh.json()['access_token']}"}
    assert former.http.get("/userinfo", headers=bearer).status_code == 200
    asked = former.http.post(
        "/introspect", data={"token": fresh.json()["access_token"]}, auth=credentials
    )
    assert asked.json()["active"] is True


@pytest.mark.parametrize("method", ["push", "qr", "web", "dongle"])
def test_a_login_under_way_is_shown_by_the_former(
    bridge: Bridge, former: Former, method: str
) -> None:
    """A browser that the balancer sends to the other version sees a page, never a crash."""
    _, _, begin = registered(bridge)
    person = Person(bridge.issuer, number=DECIDES, method=method)
    page = person.press(person.open(begin), "continue", method=method, pid=DECIDES)
    path = httpx.URL(page.url).path
    for there in (path, f"{path}/status"):
        answer = former.http.get(there, cookies=person.cookies)
        assert answer.status_code in (200, 303, 429), (there, answer.text)


def test_what_the_former_wrote_is_read_here(bridge: Bridge, former: Former) -> None:
    """A request, its login and its attempt that began there go on here."""
    _, _, begin = registered(bridge)
    asked = former.http.get(httpx.URL(begin).raw_path.decode())
    assert asked.status_code == 303, asked.text
    cookies = dict(asked.cookies)
    with httpx.Client(base_url=bridge.issuer, trust_env=False, cookies=cookies) as here:
        page = here.get(asked.headers["location"])
        assert page.status_code == 200
        assert 'id="continue"' in page.text
