"""twfido-guard alone, in an environment where nothing of the bridge is installed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import guard_package
from tests.clients.blocks import Recipe, pasted
from tests.clients.guard_package import ROOT, fresh_environment, project, wheel
from tests.clients.lab import Lab, run
from tests.clients.site import call, program_token
from tests.services.bridge import environment
from tests.services.fixtures import needs
from tests.services.process import LOOPBACK, Missing, Service, free_port, listening

PAGE = Recipe("machines", ROOT / "docs")
OURS = "https://api.example.gov.tw"


def test_the_wheel_is_the_guard_and_no_more() -> None:
    """The same files as the bridge's, types and licence; nothing is named `idp`, so that both
    packages can be installed in one place."""
    names = zipfile.ZipFile(wheel()).namelist()
    code = {f"guard/{file.name}" for file in (ROOT / "idp/guard").glob("*.py")}
    code |= {"__init__.py", "dpop.py", "mtls.py", "rates.py", "py.typed"}
    assert {n.removeprefix("twfido_guard/") for n in names if ".dist-info/" not in n} == code
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_asks_for_few_packages() -> None:
    """Whoever adds one weighs it for every agency; server, database and framework are theirs."""
    assert [said.partition(">=")[0] for said in project()["dependencies"]] == [
        "cryptography",
        "httpx",
        "joserfc",
        "limits",
        "prometheus-client",
        "starlette",
    ]


class Agency(Service):
    """The example of docs/machines.md, run by uvicorn of an environment of its own."""

    def __init__(self, lab: Lab, programs: Path) -> None:
        super().__init__("agency")
        self.port, self.programs = free_port(), programs
        self.url = f"http://{LOOPBACK}:{self.port}"
        source = PAGE.block("Guard an API", "python", "FastAPI")
        changes = {"https://id.example.gov.tw": lab.issuer, OURS: self.url}
        (self.folder / "api.py").write_text(pasted(source, changes))
        words = ("--host", LOOPBACK, "--port", str(self.port))
        self.start([str(programs / "uvicorn"), "api:app", *words], environment(), self.folder)
        self.wait_until(lambda: listening(self.port), seconds=60)


@pytest.fixture(scope="module", params=["lowest-direct", "highest"])
def agency(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Agency]:
    folder = tmp_path_factory.mktemp("fresh")
    with needs("clients"):
        programs = fresh_environment(folder, request.param, "fastapi>=0.115", "uvicorn>=0.30")
    with Agency(lab, programs) as agency:
        yield agency


def test_nothing_of_the_bridge_is_there(agency: Agency, tmp_path: Path) -> None:
    """The guard, the gate and the counters in Redis need no module of the bridge."""
    code = (
        "import sys, twfido_guard as g\n"
        "limits = g.Limits(redis_url='redis://127.0.0.1:1')\n"
        "g.gate(issuer='https://id.example', limits=limits)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('idp', 'authlib')])"
    )
    assert run([agency.programs / "python", "-c", code], tmp_path) == "[]\n"


def test_the_example_of_the_page_guards(lab: Lab, agency: Agency) -> None:
    """A program with the scope and the role passes and is known by its client id; nobody else
    does, and the open part is open."""
    options = ("--name", "x", "--scope", "transport:read", "--audience", agency.url)
    client, weak = lab.client(*options, "--role", "basic"), lab.client(*options)
    passed = call(f"{agency.url}/v1/whoami", program_token(lab, client))
    assert passed.json() == {"client": client[0]}
    assert passed.headers["ratelimit-limit"] == "5"
    for token, message in (
        ("", "no Authorization header found"),
        ("nonsense", "invalid token"),
        (program_token(lab, weak), "Missing required realm role"),
    ):
        refused = call(f"{agency.url}/v1/whoami", token)
        assert refused.status_code == 401
        assert message in refused.json()["message"]
    assert call(f"{agency.url}/open/nothing").status_code == 404


def test_a_broken_index_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be installed the tests above are skipped with the reason."""
    monkeypatch.setattr(guard_package, "UV", Path("/bin/false"))
    with pytest.raises(Missing):
        fresh_environment(tmp_path, "highest")
