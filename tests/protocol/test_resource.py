"""`resource` on every grant (RFC 8707)."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import select

from idp.kernel.tables import authorizations, grants
from idp.registry.registration import Registration
from tests.actors import Browser, Service, log_in, verify
from tests.agency import Api
from tests.deeds import on_sqlite, refused
from tests.house import ISSUER, TestHouse

ONE, TWO, OTHERS = "https://api.test", "https://more.test/v1", "https://others.test"


@pytest.fixture
async def service(house: TestHouse) -> Service:
    return Service(house, await house.register("service", audience=(ONE, TWO)))


async def token(service: Service, *resources: str, **fields: str) -> httpx.Response:
    """A token request that names several resources."""
    pairs = [*fields.items(), *(("resource", name) for name in resources)]
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return await service.http.post(
        "/token", content=urlencode(pairs), auth=service.auth(), headers=kind
    )


async def redeem(service: Service, code: str, *resources: str) -> httpx.Response:
    return await token(
        service,
        *resources,
        grant_type="authorization_code",
        code=code,
        redirect_uri=service.redirect_uri,
        code_verifier=service.verifier,
    )


async def refresh(service: Service, answer: httpx.Response, *resources: str) -> httpx.Response:
    old = answer.json()["refresh_token"]
    return await token(service, *resources, grant_type="refresh_token", refresh_token=old)


async def audience(service: Service, answer: httpx.Response) -> object:
    assert answer.status_code == 200, answer.text
    return (await service.verified(answer.json()["access_token"]))["aud"]


async def coming_back(service: Service, *resources: str) -> str:
    """The code of a login whose request names these."""
    browser = Browser(service.house)
    named = "".join(f"&{urlencode({'resource': name})}" for name in resources)
    await browser.open(service.url() + named)
    page = await verify(browser)
    if "allow" in page.buttons():
        page = await browser.press("allow")
    return page.query["code"]


async def test_from_the_request_to_the_token(service: Service) -> None:
    """§2.1, §2.2: what was asked for at /authorize is kept with the grant; the token request and
    each refresh name some of it."""
    answer = await redeem(service, await coming_back(service, ONE, TWO), ONE)
    assert await audience(service, answer) == ONE
    (row,) = await service.house.services.database.all(select(grants))
    assert row["resources"] == f'["{ONE}", "{TWO}"]'
    assert await audience(service, await refresh(service, answer, TWO)) == TWO
    assert await audience(service, await refresh(service, answer, TWO, ONE)) == [ONE, TWO]
    assert await audience(service, await refresh(service, answer)) == [ISSUER, ONE, TWO]


@on_sqlite
async def test_less_was_granted(service: Service) -> None:
    """§2.2: the token request cannot ask for more than the grant has; the code is spent, since it
    was a client that presented it."""
    code = await coming_back(service, ONE)
    refused(await redeem(service, code, TWO), 400, "invalid_target")
    answer = await redeem(service, await coming_back(service, ONE))
    assert await audience(service, answer) == [ISSUER, ONE]
    refused(await refresh(service, answer, TWO), 400, "invalid_target")
    refused(await refresh(service, answer, ONE, OTHERS), 400, "invalid_target")
    assert await audience(service, await refresh(service, answer, ONE)) == ONE


@on_sqlite
async def test_named_at_the_token_endpoint_alone(service: Service) -> None:
    """§2.2: a grant that names nothing is for any of the client's own."""
    answer = await redeem(service, await coming_back(service), ONE)
    assert await audience(service, answer) == ONE
    assert await audience(service, await refresh(service, answer)) == ISSUER


@on_sqlite
async def test_an_api_cannot_go_to_userinfo(service: Service) -> None:
    """A token that was cut down to an API opens that API and nothing else."""
    answer = await redeem(service, await coming_back(service, ONE), ONE)
    cut = answer.json()["access_token"]
    refused(await service.userinfo(cut), 401, "invalid_token")
    assert (await Api(service.house, audience=ONE).get("/elsewhere", cut)).status_code == 200
    assert (await Api(service.house, audience=TWO).get("/elsewhere", cut)).status_code == 401
    whole = (await refresh(service, answer)).json()["access_token"]
    assert (await service.userinfo(whole)).status_code == 200
    named = await refresh(service, answer, ISSUER)
    assert await audience(service, named) == ISSUER


@on_sqlite
@pytest.mark.parametrize("name", [OTHERS, f"{ONE}/", "x", f"{ONE}#part"])
async def test_an_unknown_resource(house: TestHouse, service: Service, name: str) -> None:
    """§2: invalid_target by redirect, before anybody's phone rings."""
    page = await Browser(house).open(service.url() + f"&{urlencode({'resource': name})}")
    assert page.query["error"] == "invalid_target"
    assert await house.count(authorizations) == 0


@on_sqlite
async def test_an_operator_takes_a_resource_away(service: Service) -> None:
    """From then on no token is for it, whatever was granted."""
    house = service.house
    answer = await redeem(service, await coming_back(service, ONE, TWO))
    assert await audience(service, answer) == [ISSUER, ONE, TWO]
    known = service.registered.client.metadata
    less = Registration.model_validate({**known.model_dump(), "audience": (TWO,)})
    await house.registrar.update(service.registered.id, less)
    assert await audience(service, await refresh(service, answer)) == [ISSUER, TWO]
    refused(await refresh(service, answer, ONE), 400, "invalid_target")


async def test_a_refused_refresh_rotates_nothing(house: TestHouse) -> None:
    """What a public client gets no answer to leaves its refresh token as it was."""
    fields = {"token_endpoint_auth_method": "none", "audience": (ONE,)}
    app = Service(house, await house.register("app", **fields))
    page = await log_in(Browser(house), app)
    tokens = (await app.redeem(page)).json()
    refused(await app.refresh(tokens["refresh_token"], resource=OTHERS), 400, "invalid_target")
    (row,) = await house.services.database.all(select(grants))
    assert (row["generation"], row["rotated_at"]) == (0, None)
