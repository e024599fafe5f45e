"""A sandbox for integrators: a public bridge with the simulator behind it, which says so
everywhere."""

from __future__ import annotations

import httpx
import pytest

from idp.verify.schemes import SANDBOX
from idp.verify.simulators import simulator_of
from tests.actors import Browser, Service, log_in
from tests.deeds import on_sqlite
from tests.house import ISSUER, TestHouse

IN_SANDBOX = pytest.mark.parametrize(
    "changed_settings", [{"environment": "sandbox"}], ids=["sandbox"]
)


@IN_SANDBOX
async def test_tokens_say_that_nobody_was_verified(browser: Browser, service: Service) -> None:
    """An application that is content with a real level is content with none of these."""
    page = await log_in(browser, service, "web")
    tokens = (await service.redeem(page)).json()
    for token in (tokens["id_token"], tokens["access_token"]):
        assert (await service.verified(token))["acr"] == f"urn:twfido:web{SANDBOX}"
    found = (await service.http.get("/.well-known/openid-configuration")).json()
    assert found["acr_values_supported"]
    assert all(acr.endswith(SANDBOX) for acr in found["acr_values_supported"])


@IN_SANDBOX
@on_sqlite
async def test_a_real_level_cannot_be_had(browser: Browser, service: Service) -> None:
    """OIDC Core §5.5.1.1: whoever demands a real level is refused."""
    claims = '{"id_token":{"acr":{"essential":true,"values":["urn:twfido:web"]}}}'
    page = await browser.open(service.url(claims=claims))
    assert page.query["error"] == "unmet_authentication_requirements"
    page = await log_in(browser, service, claims=claims.replace(":web", f":web{SANDBOX}"))
    assert "continue" in page.buttons() or "code" in page.query


@IN_SANDBOX
@on_sqlite
async def test_every_page_says_so(house: TestHouse, service: Service) -> None:
    """The banner does not depend on a setting of its own."""
    for path in (service.url(), "/account", "/authorize", "/logout", "/nothing"):
        page = await Browser(house).open(path)
        assert "測試環境" in page.html, path


@IN_SANDBOX
@on_sqlite
async def test_its_simulator_has_no_strings(house: TestHouse) -> None:
    """Many integrators share it: nobody makes it slow or wrong for the others, or reads what they
    did. Its people and its phone are there."""
    section = house.house.settings.upstreams["twfido"]
    app = simulator_of(section, ISSUER, "https://phone.test", sandbox=True)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="https://phone.test"
    ) as http:
        for path in ("/control", "/ledger"):
            assert (await http.get(path)).status_code == 404
            assert (await http.post(path, json={})).status_code == 404
        assert (await http.get("/phone")).status_code == 200
        front = await http.get("/")
        assert front.status_code == 200
        assert "/ledger" not in front.text


@on_sqlite
async def test_elsewhere_there_is_no_simulator_beside_a_public_issuer(house: TestHouse) -> None:
    """In production it would be a skeleton key."""
    section = house.house.settings.upstreams["twfido"]
    with pytest.raises(ValueError, match="production issuer"):
        simulator_of(section, "https://id.gov.example", "https://phone.test")
