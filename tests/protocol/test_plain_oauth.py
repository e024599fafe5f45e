"""A person lets an application call an agency's API: OAuth 2.0 without OpenID Connect."""

from __future__ import annotations

from typing import Any

import pytest

from idp.registry.registration import Registration
from tests.actors import Browser, Service, verify
from tests.deeds import on_sqlite
from tests.house import ISSUER, TestHouse

API = "https://api.test"
SCOPE = "api:read offline_access"


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    labels = {"api:read": "讀取您的借閱紀錄"}
    return {
        "oidc": {
            "scopes": ["api:read", "api:write"],
            "scope_labels": labels,
            "scope_labels_en": {"api:read": "read what you borrowed"},
        }
    }


@pytest.fixture
async def service(house: TestHouse) -> Service:
    scopes = ("api:read", "api:write", "offline_access")
    return Service(house, await house.register("library-app", scopes=scopes, audience=(API,)))


async def allowed(service: Service, browser: Browser, **wishes: str | None) -> dict[str, Any]:
    await browser.open(service.url(**({"scope": SCOPE} | wishes)))
    await verify(browser)
    page = await browser.press("allow")
    answer = await service.redeem(page)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_token_for_the_api_alone(
    house: TestHouse, service: Service, browser: Browser
) -> None:
    """RFC 6749 §4.1, RFC 9068: no ID token, and the access token is for the API; UserInfo refuses
    it (OIDC Core §5.3), and so it is after a refresh."""
    answer = await allowed(service, browser)
    for _ in range(2):
        assert "id_token" not in answer
        assert answer["scope"] == SCOPE
        claims = await service.verified(answer["access_token"])
        assert (claims["aud"], claims["scope"], claims["acr"]) == (API, SCOPE, "urn:twfido:qr")
        assert claims["sub"] != "A100000010"
        told = await service.userinfo(answer["access_token"])
        assert told.status_code == 403
        answer = (await service.refresh(answer["refresh_token"])).json()
    row = await service.http.post(
        "/introspect", data={"token": answer["access_token"]}, auth=service.auth()
    )
    assert row.json()["active"] is True


@on_sqlite
async def test_what_the_person_reads(service: Service, browser: Browser) -> None:
    """The consent page says what is allowed in the person's name, not that nothing is known."""
    await browser.open(service.url(scope="api:read api:write"))
    page = await verify(browser)
    assert "允許「館藏服務」以您的名義辦理？" in page.html
    assert "這個服務可以您的名義" in page.html
    assert "讀取您的借閱紀錄" in page.html
    assert "api:write" in page.html
    assert "這個服務只會知道您已通過驗證" not in page.html
    await browser.open(service.url(scope="api:read", ui_locales="en"))
    assert "read what you borrowed" in browser.page.html


@on_sqlite
async def test_scopes_beside_openid(house: TestHouse, browser: Browser) -> None:
    """A service that asks for both tells the person both."""
    known = {"scopes": ("openid", "profile", "api:read"), "audience": (API,)}
    service = Service(house, await house.register("both", **known))
    await browser.open(service.url(scope="openid profile api:read"))
    page = await verify(browser)
    assert "讀取您的借閱紀錄" in page.html
    assert "A1****0010" in page.html
    tokens = (await service.redeem(await browser.press("allow"))).json()
    claims = await service.verified(tokens["access_token"])
    assert claims["aud"] == ISSUER
    assert "id_token" in tokens


@on_sqlite
@pytest.mark.parametrize(
    ("wishes", "error"),
    [
        ({"scope": None}, "invalid_scope"),
        ({"scope": "offline_access"}, "invalid_scope"),
        ({"scope": "moon"}, "invalid_scope"),
        ({"scope": "openid api:read"}, "invalid_scope"),
        ({"scope": "profile"}, "invalid_scope"),
        # a nonce protects an ID token, and there is none (RFC 9700 §2.1.1)
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"resource": "https://others.test"}, "invalid_target"),
    ],
)
async def test_refused(
    service: Service, browser: Browser, wishes: dict[str, str | None], error: str
) -> None:
    page = await browser.open(service.url(**({"scope": SCOPE} | wishes)))
    assert page.query["error"] == error


@on_sqlite
async def test_who_has_openid_must_ask_for_it(house: TestHouse, browser: Browser) -> None:
    """OIDC Core §3.1.2.1: a login that forgot it is told so, and gets no token of another kind."""
    known = {"scopes": ("openid", "api:read"), "audience": (API,)}
    service = Service(house, await house.register("forgetful", **known))
    page = await browser.open(service.url(scope="api:read"))
    assert page.query["error"] == "invalid_scope"
    assert "openid" in page.query["error_description"]


@on_sqlite
async def test_scopes_that_are_taken_meanwhile(
    house: TestHouse, service: Service, browser: Browser
) -> None:
    """While the person verifies, an operator takes the scopes away: nobody gets a token."""
    await browser.open(service.url(scope="api:read"))
    client = await house.house.clients.find("library-app")
    assert client is not None
    rest = client.metadata.model_dump() | {"scopes": ("offline_access",)}
    await house.registrar.update("library-app", Registration.model_validate(rest))
    page = await verify(browser)
    assert page.query["error"] == "invalid_scope"


@on_sqlite
async def test_the_resource_that_was_named(service: Service, browser: Browser) -> None:
    """RFC 8707 §2.2: of several, a token is for those that were asked for."""
    more = "https://more.test"
    house = service.house
    two = Service(
        house,
        await house.register("two", scopes=("api:read",), audience=(API, more)),
    )
    tokens = await allowed(two, browser, scope="api:read", resource=more)
    assert (await two.verified(tokens["access_token"]))["aud"] == more
    tokens = await allowed(two, Browser(house), scope="api:read", prompt="consent")
    assert (await two.verified(tokens["access_token"]))["aud"] == [API, more]


@on_sqlite
async def test_a_client_of_nothing_is_not_registered(house: TestHouse) -> None:
    """A code without openid and without an API would be a token for nobody."""
    with pytest.raises(ValueError, match="authorization_code needs the scope openid, or"):
        await house.register("nothing", scopes=("api:read",))
