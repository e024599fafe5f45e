"""Pushed authorization requests (RFC 9126). Rows PR."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from idp.kernel.tables import authorizations, spent_assertions
from tests.actors import Browser, Page, Service, log_in, verify
from tests.asking import bare, rows
from tests.deeds import on_sqlite, refused, stored
from tests.house import CALLBACK, ISSUER, TestHouse
from tests.keys import BEARER, Holder, Signer

PAR = f"{ISSUER}/par"


@pytest.fixture
async def app(house: TestHouse) -> Service:
    """A public client."""
    return Service(house, await house.register("app", token_endpoint_auth_method="none"))


async def through(browser: Browser, url: str) -> Page:
    """From a link to wherever the login leads."""
    await browser.open(url)
    page = await verify(browser)
    return await browser.press("allow") if "allow" in page.buttons() else page


def stale(page: Page) -> None:
    """A page, nobody is sent anywhere (OIDC Core §3.1.2.6)."""
    assert (page.status, page.error_code) == (400, "TF-1005")
    assert page.url.startswith(ISSUER)


# ── what works ──────────────────────────────────────────────────────────────────────────────────


async def test_a_login_by_a_pushed_request(browser: Browser, service: Service) -> None:
    """§2, §4: the browser carries a reference, the answer is the one that was asked for."""
    answer = await service.push(state="only here")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["expires_in"] == 60
    assert body["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    query = {"client_id": service.registered.id, "request_uri": body["request_uri"]}
    page = await through(browser, f"/authorize?{urlencode(query)}")
    assert page.query["state"] == "only here"
    tokens = (await service.redeem(page)).json()
    claims = await service.verified(tokens["id_token"])
    assert claims["nonce"] == service.nonce


async def test_a_public_client_pushes(browser: Browser, app: Service) -> None:
    """§2: whoever may use the token endpoint may push, a public client with its client_id."""
    page = await through(browser, await app.pushed_url())
    assert (await app.redeem(page)).status_code == 200


@on_sqlite
async def test_by_an_assertion(house: TestHouse, browser: Browser) -> None:
    """§2: any way of client authentication, and an assertion is good once."""
    signer = Signer()
    fields = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [signer.public()]}}
    service = Service(house, await house.register(signer.client_id, **fields))
    proof = {"client_assertion_type": BEARER, "client_assertion": signer.assertion(house)}
    form = service.params(**proof)
    assert (await service.http.post("/par", data=form)).status_code == 201
    refused(await service.http.post("/par", data=form), 401, "invalid_client")


@on_sqlite
async def test_only_what_was_pushed_counts(browser: Browser, service: Service) -> None:
    """§4: parameters beside the reference change nothing."""
    url = await service.pushed_url(scope="openid")
    beside = {"scope": "openid twid", "redirect_uri": "https://evil.test/", "state": "other"}
    page = await through(browser, f"{url}&{urlencode(beside)}")
    assert page.url.startswith(CALLBACK)
    assert page.query["state"] == service.state
    claims = (await service.userinfo((await service.redeem(page)).json()["access_token"])).json()
    assert set(claims) == {"sub"}


@on_sqlite
async def test_a_session_is_enough(browser: Browser, service: Service) -> None:
    """Who is logged in already, and has consented, comes straight back."""
    await log_in(browser, service)
    page = await browser.open(await service.pushed_url())
    assert page.url.startswith(CALLBACK)
    assert "code" in page.query
    page = await browser.open(await service.pushed_url(prompt="none", scope="openid twid"))
    assert page.query["error"] in ("consent_required", "invalid_scope")


@on_sqlite
async def test_the_reference_by_post(browser: Browser, service: Service) -> None:
    """OIDC Core §3.1.2.1: a form of another site brings no cookie, and works all the same."""
    query = {k: v[0] for k, v in parse_qs(urlsplit(await service.pushed_url()).query).items()}
    await browser.arrive("/authorize", query, CALLBACK)
    page = await verify(browser)
    assert "allow" in page.buttons()


@on_sqlite
async def test_the_same_browser_may_reload(browser: Browser, service: Service) -> None:
    """FAPI 2.0 §5.3.2.2 note 3: a reload of the page is no second use."""
    url = await service.pushed_url()
    await browser.open(url)
    await browser.open(url)
    page = await verify(browser)
    assert "allow" in page.buttons()
    assert len(await rows(service.house, authorizations)) == 1


@on_sqlite
async def test_a_login_may_take_longer_than_the_reference(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """The minute is for the way to the browser, not for the person."""
    await browser.open(await service.pushed_url())
    house.clock.pass_(150)
    page = await verify(browser)
    assert "code" in (await browser.press("allow")).query, page.html


async def test_the_reference_is_kept_as_a_digest(house: TestHouse, service: Service) -> None:
    """Who reads the database can follow nobody's request."""
    reference = (await service.push()).json()["request_uri"]
    assert reference.rpartition(":")[2] not in str(await stored(house))


# ── what does not ───────────────────────────────────────────────────────────────────────────────


@on_sqlite
async def test_a_reference_that_is_too_old(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """PR-08: after its minute it leads nowhere."""
    url = await service.pushed_url()
    house.clock.pass_(61)
    stale(await browser.open(url))


@on_sqlite
async def test_a_reference_of_another_client(
    house: TestHouse, browser: Browser, service: Service, app: Service
) -> None:
    """PR-07: and the right one can still use it."""
    url = await service.pushed_url()
    stale(await browser.open(url.replace("client_id=service", "client_id=app")))
    assert "allow" in (await _verified(browser, url)).buttons()


async def _verified(browser: Browser, url: str) -> Page:
    await browser.open(url)
    return await verify(browser)


@on_sqlite
async def test_a_reference_that_was_used(browser: Browser, service: Service) -> None:
    """§7.3: one request, one answer."""
    url = await service.pushed_url()
    await through(browser, url)
    stale(await browser.open(url))


@on_sqlite
async def test_another_browser_with_the_reference(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """The first browser owns it: what a second one finds is no login of its own."""
    url = await service.pushed_url()
    await browser.open(url)
    page = await Browser(house, "203.0.113.99").open(url)
    assert (page.status, page.error_code) == (403, "TF-3001")


@on_sqlite
@pytest.mark.parametrize("reference", ["", "x", "../login", "A" * 43, "\u4e2d", "%00", "a" * 5000])
async def test_references_that_nobody_gave(
    browser: Browser, service: Service, reference: str
) -> None:
    """Made up, empty, long, or strange: the same page."""
    uri = f"urn:ietf:params:oauth:request_uri:{reference}"
    query = {"client_id": "service", "request_uri": uri}
    stale(await browser.open(f"/authorize?{urlencode(query)}"))


@on_sqlite
async def test_the_reference_twice(browser: Browser, service: Service) -> None:
    """Which of two was meant nobody can know."""
    url = await service.pushed_url()
    again = urlsplit(url).query.partition("request_uri=")[2]
    stale(await browser.open(f"{url}&request_uri={again}"))


async def test_the_stored_id_is_no_way_around(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """The reference itself is no path of a login, with which its end could be evaded."""
    token = (await service.push()).json()["request_uri"].rpartition(":")[2]
    page = await browser.open(f"/authorize/{token}")
    assert page.error_code == "TF-3002"


REFUSED: dict[str, tuple[dict[str, str | None], int, str]] = {
    "PR-02": ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, 400, "invalid_request"),
    "another address": ({"redirect_uri": "https://evil.test/"}, 400, "invalid_request"),
    "no address": ({"redirect_uri": None}, 400, "invalid_request"),
    "no scope": ({"scope": None}, 400, "invalid_scope"),
    "without openid": ({"scope": "profile"}, 400, "invalid_scope"),
    "another type": ({"response_type": "token"}, 400, "unsupported_response_type"),
    "no type": ({"response_type": None}, 400, "invalid_request"),
    "a plain challenge": ({"code_challenge_method": "plain"}, 400, "invalid_request"),
    "prompts": ({"prompt": "none login"}, 400, "invalid_request"),
    "max_age": ({"max_age": "-1"}, 400, "invalid_request"),
    "claims": ({"claims": "{"}, 400, "invalid_request"),
    "a long state": ({"state": "s" * 3000}, 400, "invalid_request"),
    "resource": ({"resource": "https://elsewhere.test/"}, 400, "invalid_target"),
    "request": ({"request": "x.y.z"}, 400, "invalid_request_object"),
    "a hint": ({"id_token_hint": "x"}, 400, "login_required"),
    "another client": ({"client_id": "somebody"}, 401, "invalid_client"),
}


@on_sqlite
@pytest.mark.parametrize("row", REFUSED)
async def test_what_cannot_be_pushed(house: TestHouse, service: Service, row: str) -> None:
    """§2.3: the client is told at once, in JSON, and nothing is kept."""
    changes, status, error = REFUSED[row]
    before = await stored(house)
    refused(await service.push(**changes), status, error)
    assert await stored(house) == before


@on_sqlite
async def test_without_client_authentication(house: TestHouse, service: Service) -> None:
    """PR-01: nobody pushes in another's name."""
    for auth in (None, ("service", "wrong"), ("nobody", "x")):
        answer = await service.http.post("/par", data=service.params(), auth=auth or ("", ""))
        refused(answer, 401, "invalid_client")
    assert await rows(house, authorizations) == []


@on_sqlite
async def test_bodies_that_are_no_request(house: TestHouse, service: Service) -> None:
    """PR-04, PR-05: too large, another method, another type, a parameter twice, a secret in the
    query."""
    http, auth = service.http, service.auth()
    assert (await http.post("/par", data={"a": "x" * 70_000}, auth=auth)).status_code == 413
    answer = await http.get("/par")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    refused(await http.post("/par", json=service.params(), auth=auth), 400, "invalid_request")
    twice = urlencode([*service.params().items(), ("state", "2")])
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answer = await http.post("/par", content=twice, headers=kind, auth=auth)
    refused(answer, 400, "invalid_request")
    answer = await http.post("/par?client_secret=x", data=service.params(), auth=auth)
    refused(answer, 400, "invalid_request")
    assert await rows(house, authorizations) == []


# ── who has to ──────────────────────────────────────────────────────────────────────────────────


@on_sqlite
async def test_a_client_that_has_to_push(house: TestHouse, browser: Browser) -> None:
    """PR-10, §6: whoever asks directly is sent back with an error, with state and iss."""
    known = await house.register("strict", require_pushed_authorization_requests=True)
    strict = Service(house, known)
    page = await browser.open(strict.url())
    assert page.url.startswith(CALLBACK)
    assert page.query["error"] == "invalid_request"
    assert (page.query["state"], page.query["iss"]) == (strict.state, ISSUER)
    page = await through(browser, await strict.pushed_url())
    assert (await strict.redeem(page)).status_code == 200


@on_sqlite
@pytest.mark.parametrize(
    "changed_settings", [{"oidc": {"require_pushed_authorization_requests": True}}]
)
async def test_a_house_where_everybody_has_to(browser: Browser, service: Service) -> None:
    """§5: the metadata say so, and it is so."""
    found = (await service.http.get("/.well-known/openid-configuration")).json()
    assert found["require_pushed_authorization_requests"] is True
    assert (await browser.open(service.url())).query["error"] == "invalid_request"
    assert "code" in (await through(browser, await service.pushed_url())).query


# ── with a key ──────────────────────────────────────────────────────────────────────────────────


@on_sqlite
async def test_a_proof_with_the_pushed_request(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """RFC 9449 §10.1: the code is for the holder of the key that was shown here."""
    holder = Holder()
    service.headers = {"dpop": holder.proof(house.clock.now(), PAR)}
    page = await through(browser, await service.pushed_url())
    service.headers = {}
    refused(await service.redeem(page), 400, "invalid_grant")


@on_sqlite
async def test_a_proof_of_another_key_than_dpop_jkt(house: TestHouse, service: Service) -> None:
    """RFC 9449 §10.1: both are there and differ; the proof is spent all the same."""
    service.headers = {"dpop": Holder().proof(house.clock.now(), PAR)}
    refused(await service.push(dpop_jkt=Holder().jkt), 400, "invalid_dpop_proof")
    assert await rows(house, authorizations) == []
    assert len(await rows(house, spent_assertions)) == 1
    refused(await service.push(), 400, "invalid_dpop_proof")


@on_sqlite
async def test_a_proof_for_another_address(house: TestHouse, service: Service) -> None:
    """RFC 9449 §4.3: a proof for the token endpoint is none for this one."""
    service.headers = {"dpop": Holder().proof(house.clock.now())}
    refused(await service.push(), 400, "invalid_dpop_proof")


# ── limits, races ───────────────────────────────────────────────────────────────────────────────


@on_sqlite
@pytest.mark.parametrize("changed_settings", [{"oidc": {"pushed_requests_per_minute": 3}}])
async def test_a_client_that_pushes_too_often(service: Service) -> None:
    """What is kept of a client's requests has an end."""
    answers = [await service.push() for _ in range(4)]
    assert [a.status_code for a in answers] == [201, 201, 201, 429]
    assert int(answers[3].headers["retry-after"]) > 0


@on_sqlite
@pytest.mark.parametrize("changed_settings", [{"login": {"starts_per_minute": 3}}])
async def test_anybody_who_pushes_for_a_public_client(app: Service) -> None:
    """A public client is whoever names it: counted by where it comes from."""
    answers = [await app.push() for _ in range(4)]
    assert [a.status_code for a in answers] == [201, 201, 201, 429]


async def test_many_browsers_at_once(house: TestHouse, service: Service) -> None:
    """§7.3: of fifty who follow one reference, one begins a login."""
    url = urlsplit(await service.pushed_url())
    answers = await asyncio.gather(
        *(
            bare(house, url.path, query=url.query.encode(), address=f"203.0.113.{n}")
            for n in range(50)
        )
    )
    assert sorted(answer.status for answer in answers) == [303] + [403] * 49


@on_sqlite
async def test_what_was_pushed_and_never_followed_goes(house: TestHouse, service: Service) -> None:
    """Nothing is left after its minute."""
    await service.push()
    (row,) = await rows(house, authorizations)
    kept: dict[str, Any] = dict(row)
    assert kept["expires_at"] - kept["created_at"] == 60
