"""FastAPI with Authlib and with the guard, as docs/clients/fastapi.md sets them up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.blocks import Recipe
from tests.clients.guard_package import unpacked
from tests.clients.lab import Lab
from tests.clients.logs_in import LogsIn
from tests.clients.site import Site, call, program_token

PAGE = Recipe("fastapi")


@pytest.fixture(scope="module")
def site(lab: Lab) -> Iterator[Site]:
    with Site(PAGE, 9000) as site:
        site.register(lab, "--redirect-uri")
        site.write("app.py")
        yield site.run("app:app")


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Site]:
    with Site(PAGE, 9001) as api:
        api.register(lab, "--audience")
        api.variables["PYTHONPATH"] = unpacked()  # as if installed
        api.write("api.py")
        yield api.run("api:app")


class TestFastApi(LogsIn):
    """It logs people in, renews and lets them go."""


def test_a_program_with_the_scope_passes(lab: Lab, api: Site) -> None:
    """The guard lets a token in that is for this API, and the API sees whose it is."""
    answer = call(api.url + "/v1/whoami", program_token(lab, api.client))
    assert answer.json() == {"client": api.client[0]}


def test_whoever_has_no_token_for_this_api_stays_outside(lab: Lab, api: Site) -> None:
    """Only what a rule opens to all answers without one; a token for elsewhere opens nothing."""
    assert call(api.url + "/v1/whoami").status_code == 401
    assert call(api.url + "/openapi.json").status_code == 401
    assert call(api.url + "/open/hours").json() == {"hours": "9-17"}
    elsewhere = program_token(lab, lab.client("--name", "x", "--scope", "transport:read"))
    assert call(api.url + "/v1/whoami", elsewhere).status_code == 401
