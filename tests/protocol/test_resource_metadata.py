"""Protected resources tell who issues tokens for them (RFC 9728): UserInfo, and a guarded API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from idp.guard import gate
from tests.actors import Service
from tests.agency import Api
from tests.deeds import on_sqlite
from tests.house import HOME, ISSUER, TestHouse

PLACE = "/.well-known/oauth-protected-resource"


@on_sqlite
async def test_userinfo(house: TestHouse) -> None:
    """§2, §5.1: from the refusal to the metadata, which lead to the issuer."""
    http = house.http()
    refusals = [
        await http.get("/userinfo"),
        await http.get("/userinfo", headers={"authorization": "Bearer x"}),
        await http.get("/userinfo", headers={"authorization": "DPoP x"}),
    ]
    for answer in refusals:
        assert answer.status_code == 401
        named = f'resource_metadata="{ISSUER}{PLACE}"'
        assert named in answer.headers["www-authenticate"]
    answer = await http.get(PLACE)
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document["resource"] == ISSUER
    assert document["authorization_servers"] == [ISSUER]
    assert document["bearer_methods_supported"] == ["header", "body"]
    assert "openid" in document["scopes_supported"]
    again = await http.get(PLACE, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


@on_sqlite
async def test_its_name_is_that_of_the_tokens(house: TestHouse, service: Service) -> None:
    """§2: `resource` may be asked for (RFC 8707)."""
    document = (await house.http().get(PLACE)).json()
    answer = await service.push(resource=document["resource"])
    assert answer.status_code == 201


@on_sqlite
@pytest.mark.parametrize(
    ("audience", "path"),
    [
        ("https://api.test", ""),
        ("https://api.test/", ""),
        ("https://api.test/v1", "/v1"),
        ("https://api.test:8443/v1/", "/v1"),
    ],
)
async def test_an_api(house: TestHouse, audience: str, path: str) -> None:
    """§3.1: between host and path of its name; public, also for programs in browsers."""
    api = Api(house, audience=audience)
    refusal = await api.http.get("/v1/x")
    origin = audience.rstrip("/").removesuffix("/v1")
    named = f'resource_metadata="{origin}{PLACE}{path}"'
    assert named in refusal.headers["www-authenticate"]
    answer = await api.http.get(PLACE + path, headers={"origin": "https://app.test"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json() == {
        "resource": audience,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["api:read", "api:write"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256", "PS256", "EdDSA", "Ed25519"],
        "tls_client_certificate_bound_access_tokens": False,
    }
    assert (await api.http.post(PLACE + path)).status_code == 405
    assert (await api.http.get(f"{PLACE}/other")).status_code == 401


@on_sqlite
async def test_an_api_that_tells_of_certificates(house: TestHouse) -> None:
    """§2: who is told of certificates takes tokens that are bound to them."""
    api = Api(house, audience="https://api.test", certificate=lambda _scope: "")
    assert (await api.http.get(PLACE)).json()["tls_client_certificate_bound_access_tokens"] is True


@on_sqlite
@pytest.mark.parametrize("audience", ["", "urn:api", "api", "https://api.test/?x=1"])
async def test_an_api_whose_name_is_no_address(house: TestHouse, audience: str) -> None:
    """§1.2: without an address there is no place for metadata, and nothing is open there."""
    api = Api(house, audience=audience)
    answer = await api.http.get(PLACE)
    assert answer.status_code == 401
    assert "resource_metadata" not in answer.headers["www-authenticate"]


@on_sqlite
async def test_behind_nginx(house: TestHouse) -> None:
    """The gate serves it, and points at it."""
    options: dict[str, Any] = Api(house, audience="https://api.test").options
    http = httpx.AsyncClient(transport=httpx.ASGITransport(gate(**options)), base_url="http://gate")
    assert (await http.get(PLACE)).json()["resource"] == "https://api.test"
    answer = await http.get("/", headers={"x-original-uri": "/v1", "x-real-ip": HOME})
    assert "resource_metadata=" in answer.headers["www-authenticate"]
