"""An API that asks for a stronger or more recent login (RFC 9470), from the refusal to the login
that answers it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from idp.guard import Rule, gate
from idp.guard.answers import STRONGER
from tests.actors import Browser, Service, log_in, verify
from tests.agency import Api
from tests.house import HOME, TestHouse, empty_sqlite, running, settings_for

API = "https://api.test/v1"
WEB, QR = "urn:twfido:dongle", "urn:twfido:qr"
RULES = [
    Rule("/v1/strong", acr=(WEB, "urn:twfido:web")),
    Rule("/v1/fresh", max_age=300),
    Rule("/v1/both", acr=(QR, WEB), max_age=0),
]


@pytest.fixture
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHouse]:
    """The guard does not touch the store: one kind is enough."""
    url = empty_sqlite(tmp_path_factory.getbasetemp())
    async with running(settings_for(url)) as found:
        yield found


@pytest.fixture
async def service(house: TestHouse) -> Service:
    return Service(house, await house.register("service", audience=(API,)))


async def access(service: Service, browser: Browser, method: str = "qr", **params: str) -> str:
    number = "A100000010" if method == "qr" else "A123456789"
    page = await log_in(browser, service, method, number, resource=API, **params)
    return str((await service.redeem(page, resource=API)).json()["access_token"])


def guarded(house: TestHouse) -> Api:
    return Api(house, audience=API, rules=RULES)


def asks(answer: httpx.Response) -> dict[str, str]:
    """The parameters of the challenge (RFC 9470 §3)."""
    assert (answer.status_code, answer.json()) == (401, {"message": STRONGER})
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="api", error="insufficient_user_authentication"')
    return dict(re.findall(r'(acr_values|max_age|resource_metadata)="([^"]*)"', challenge))


async def test_a_stronger_login(house: TestHouse, service: Service) -> None:
    """§3, §4: refused with the levels that would do, and let in after a login of one of them."""
    api, browser = guarded(house), Browser(house)
    weak = await access(service, browser)
    assert (await api.get("/v1/else", weak)).status_code == 200
    wanted = asks(await api.get("/v1/strong", weak))
    assert wanted["acr_values"] == f"{WEB} urn:twfido:web"
    assert "max_age" not in wanted
    strong = await access(service, Browser(house), "dongle", acr_values=wanted["acr_values"])
    assert (await api.get("/v1/strong", strong)).status_code == 200


async def test_a_more_recent_login(house: TestHouse, service: Service) -> None:
    """§3: too old is not expired; whoever logs in anew with max_age gets in."""
    api, browser = guarded(house), Browser(house)
    token = await access(service, browser)
    assert (await api.get("/v1/fresh", token)).status_code == 200
    house.clock.pass_(310)
    assert asks(await api.get("/v1/fresh", token))["max_age"] == "300"
    page = await browser.open(service.url(resource=API, max_age="300"))
    page = await verify(browser)
    fresh = (await service.redeem(page, resource=API)).json()["access_token"]
    assert (await api.get("/v1/fresh", fresh)).status_code == 200


async def test_a_refreshed_token_is_no_newer_login(house: TestHouse, service: Service) -> None:
    """auth_time is that of the verification, however young the token."""
    page = await log_in(Browser(house), service, resource=API)
    tokens = (await service.redeem(page, resource=API)).json()
    house.clock.pass_(310)
    token = (await service.refresh(tokens["refresh_token"], resource=API)).json()["access_token"]
    asks(await guarded(house).get("/v1/fresh", token))


async def test_a_program_has_no_login(house: TestHouse) -> None:
    """Its token can never be enough, and is told so."""
    program = await house.register_program(audience=(API,))
    auth = (program.id, program.secret or "")
    form = {"grant_type": "client_credentials"}
    token = (await house.http().post("/token", data=form, auth=auth)).json()["access_token"]
    api = guarded(house)
    assert (await api.get("/v1/else", token)).status_code == 200
    for path in ("/v1/strong", "/v1/fresh", "/v1/both"):
        asks(await api.get(path, token))


async def test_behind_nginx(house: TestHouse, service: Service) -> None:
    """The gate answers the same, for nginx to hand on."""
    token = await access(service, Browser(house))
    options: dict[str, Any] = guarded(house).options
    http = httpx.AsyncClient(transport=httpx.ASGITransport(gate(**options)), base_url="http://gate")
    told = {"x-original-uri": "/v1/strong", "x-real-ip": HOME, "authorization": f"Bearer {token}"}
    answer = await http.get("/", headers=told)
    assert answer.status_code == 401
    assert "insufficient_user_authentication" in answer.headers["www-authenticate"]
