"""What a hostile client, visitor or holder of somebody's token tries; and what it costs us."""

from __future__ import annotations

import json
from urllib.parse import unquote_plus, urlencode, urlsplit

import pytest
from sqlalchemy import update
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from idp.kernel import metrics, stored
from idp.kernel.tables import authorizations, client_secrets, clients, grants, logins
from idp.registry.metadata import ClientMetadata
from idp.registry.registration import Registration
from tests.actors import Browser, Service, log_in, verify
from tests.asking import (
    ALICE,
    SQLITE,
    another,
    is_sent_back,
    logged_in,
    open_authorization,
    rows,
)
from tests.deeds import allow, refused
from tests.house import CALLBACK, HOME, Registered, TestHouse
from tests.logins import HAND, forget_rates, people, rung

pytestmark = SQLITE


# ── what an operator takes away is gone ─────────────────────────────────────────────────────────


async def take(service: Service, *scopes: str) -> None:
    """The operator leaves the client these scopes."""
    house, client_id = service.house, service.registered.id
    known = await house.house.clients.find(client_id)
    assert known
    fields = known.metadata.model_dump() | {"scopes": scopes}
    await house.registrar.update(client_id, Registration.model_validate(fields))


async def test_a_scope_that_was_taken_away(house: TestHouse, service: Service) -> None:
    """Neither refresh, nor userinfo, nor introspection, nor the ID token gives it any more."""
    tokens = await (await allow(service, scope="openid profile twid")).tokens()
    before = (await service.userinfo(tokens["access_token"])).json()
    assert before["twid"] == ALICE
    await take(service, "openid", "profile")
    told = (await service.userinfo(tokens["access_token"])).json()
    assert "twid" not in told and told["twid_masked"]
    form = {"token": tokens["access_token"]}
    answer = await service.http.post("/introspect", data=form, auth=service.auth())
    assert answer.json()["scope"] == "openid profile"
    again = (await service.refresh(tokens["refresh_token"])).json()
    assert again["scope"] == "openid profile"
    assert "twid" not in await service.verified(again["id_token"])
    assert "twid" not in (await service.userinfo(again["access_token"])).json()


async def test_a_claim_asked_for_by_itself(house: TestHouse, browser: Browser) -> None:
    """It goes with its scope."""
    service = await another(house, "asker", scopes=("openid", "twid"))
    wish = json.dumps({"userinfo": {"twid": None}})
    tokens = (
        await service.redeem(await log_in(browser, service, scope="openid", claims=wish))
    ).json()
    assert (await service.userinfo(tokens["access_token"])).json()["twid"] == ALICE
    await take(service, "openid")
    assert "twid" not in (await service.userinfo(tokens["access_token"])).json()


async def test_openid_taken_away(service: Service) -> None:
    """Without it nothing about the person is released."""
    tokens = await (await allow(service)).tokens()
    await without_openid(service)
    refused(await service.userinfo(tokens["access_token"]), 403, "insufficient_scope")


async def without_openid(service: Service) -> None:
    """A row of today's store that no registration allows any more."""
    client = await service.house.house.clients.find(service.registered.id)
    assert client
    metadata = client.metadata.model_copy(update={"scopes": ("profile",)})
    change = update(clients).values(metadata=stored.dump(ClientMetadata(**metadata.model_dump())))
    await service.house.services.database.run(change)
    service.house.house.clients.forget()


async def test_taken_away_while_the_person_decides(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """The consent page is already open: it is shown again with what the client may have now, and
    nothing but that is granted."""
    await log_in(browser, service, scope="openid")
    await browser.open(service.url(scope="openid profile email"))
    await take(service, "openid", "profile")
    page = await browser.press("allow")
    assert "claim-email" not in page.texts
    answer = await service.redeem(await browser.press("allow"))
    assert answer.json()["scope"] == "openid profile"


async def test_offline_access_taken_away(house: TestHouse, service: Service) -> None:
    """The grant ends with its session again (OIDC Core §11)."""
    browser = await logged_in(house, service)
    await browser.open(service.url(scope="openid offline_access"))
    tokens = (await service.redeem(await browser.press("allow"))).json()
    hint = {"id_token_hint": tokens["id_token"]}
    await browser.open("/logout?" + urlencode(hint))
    assert (await service.refresh(tokens["refresh_token"])).status_code == 200
    await take(service, "openid", "profile")
    refused(await service.refresh(tokens["refresh_token"]), 400, "invalid_grant")


async def test_an_address_taken_away(house: TestHouse, browser: Browser, service: Service) -> None:
    """A redirect URI that is not registered any more gets no answer, not even an error."""
    await browser.open(service.url())
    authorization = await open_authorization(house)
    known = service.registered.client.metadata.model_dump()
    fields = known | {"redirect_uris": ("https://service.test/new",)}
    await house.registrar.update("service", Registration.model_validate(fields))
    for path in (f"/authorize/{authorization}", f"/authorize/{authorization}/cancelled"):
        page = await browser.open(path)
        assert (page.status, page.url) == (400, f"https://id.test{path}")


async def test_apps_do_not_share_people(house: TestHouse) -> None:
    """Every app has http://127.0.0.1: it makes no sector, so two of them see two subjects."""
    subjects = set()
    for name in ("one", "two"):
        registered = await house.register(
            name,
            token_endpoint_auth_method="none",
            application_type="native",
            redirect_uris=("http://127.0.0.1/callback", "com.example.app:/cb"),
        )
        assert registered.client.metadata.sector == f"client/{name}"
        service = Service(house, registered, "http://127.0.0.1/callback")
        tokens = await (await allow(service)).tokens()
        subjects.add((await service.verified(tokens["id_token"]))["sub"])
    assert len(subjects) == 2
    shared = await house.register("web", redirect_uris=("http://localhost/cb", "https://a.test/cb"))
    assert shared.client.metadata.sector == "a.test"


async def test_an_app_that_is_called_like_a_host(house: TestHouse) -> None:
    """OIDC Core §8.1: a client without a host has a sector of its own, whatever its id; it does not
    meet the people of the site that has this host."""
    redirect = "http://127.0.0.1/callback"
    for number, host in enumerate(("www.moi.test", "service")):
        own = f"https://{host}/cb"
        web = await house.register(f"site{number}", redirect_uris=(own,))
        kinds = ("native", "web")
        known = {"redirect_uris": (redirect,), "application_type": kinds[number]}
        app = await house.register(host, **known)
        subjects = {
            await subject_at(Service(house, web, own)),
            await subject_at(Service(house, app, redirect)),
        }
        assert len(subjects) == 2


async def subject_at(service: Service) -> str:
    tokens = await (await allow(service)).tokens()
    return str((await service.verified(tokens["id_token"]))["sub"])


async def test_a_person_is_the_same_after_a_move(house: TestHouse) -> None:
    """The service moves to another host, by a registration that names no sector: its people keep
    their subject."""
    service = await another(house, "before")
    known = service.registered.client.metadata
    moved = {"redirect_uris": ("https://after.test/cb",), "sector": ""}
    registration = Registration.model_validate(known.model_dump() | moved)
    client = await house.registrar.update(service.registered.id, registration)
    assert client.metadata.redirect_uris == ("https://after.test/cb",)
    assert client.metadata.sector == known.sector == "before.test"


# ── secrets in addresses, tokens of others ──────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
@pytest.mark.parametrize(
    "name",
    [
        *("client_secret", "client_assertion", "code", "refresh_token", "token", "code_verifier"),
        # not our names, but somebody's secret in every log all the same
        *("CLIENT_SECRET", "client_secret[]", "client_secret%5B0%5D", "Client%5Fsecret", "+token"),
    ],
)
async def test_secrets_in_the_query(house: TestHouse, path: str, name: str) -> None:
    """RFC 6749 §2.3.1: refused however it is spelt, so that whoever does it notices before the
    logs are read."""
    registered = await house.register_program(client_id="bus")
    form = {"grant_type": "client_credentials", "token": "x"}
    auth = ("bus", registered.secret or "")
    http = house.http()
    answer = await http.post(f"{path}?{name}=x", data=form, auth=auth)
    refused(answer, 400, "invalid_request")
    plain = unquote_plus(name).lower().partition("[")[0].strip()
    assert plain in answer.json()["error_description"]
    assert (await http.post(f"{path}?tenant=x", data=form, auth=auth)).status_code == 200


async def test_a_spent_code_again_and_again(service: Service) -> None:
    """The first replay ends the family and is audited; three hundred more are not written."""
    deed = await allow(service)
    await deed.tokens()
    for _ in range(30):
        refused(await service.redeem(deed.code), 400, "invalid_grant")
    assert len(await service.house.events("token.code_reused")) == 1
    assert await deed.revoked()


async def test_a_refresh_token_of_another_client(service: Service) -> None:
    """It leaves a trace: somebody has a token that was not given to them."""
    deed = await allow(service)
    tokens = await deed.tokens()
    other = Service(deed.house, await deed.house.register("other"))
    refused(await other.refresh(tokens["refresh_token"]), 400, "invalid_grant")
    (event,) = await deed.house.events("token.refresh_of_another")
    assert (event["client_id"], event["person_id"]) == ("other", deed.person_id)
    for _ in range(50):
        refused(await other.refresh(tokens["refresh_token"]), 400, "invalid_grant")
    # ten in a minute of the real clock, which may have ended meanwhile
    assert len(await deed.house.events("token.refresh_of_another")) <= 20
    left_out = {"event": "token.refresh_of_another"}
    assert (metrics.registry.get_sample_value("idp_audit_left_out_total", left_out) or 0) >= 31
    assert (await service.refresh(tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize("changed_settings", [{"oidc": {"refresh_calls_per_minute": 5}}])
@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
async def test_refreshing_for_ever(house: TestHouse, method: str) -> None:
    """One login is refreshed so often in a minute and then 429; another login of the client, from
    the same address, goes on, and nobody else's calls count."""
    service = Service(house, await house.register("app", token_endpoint_auth_method=method))
    other = Service(house, await house.register("other"))
    busy = await (await allow(service)).tokens()
    for _ in range(20):
        assert (await other.refresh(busy["refresh_token"])).status_code in (400, 429)
    answers = []
    for _ in range(15):
        answers.append(await service.refresh(busy["refresh_token"]))
        if answers[-1].status_code == 200:
            busy = answers[-1].json()
    statuses = [answer.status_code for answer in answers]
    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    assert statuses.count(200) <= 10  # the minute may have ended meanwhile
    slow = next(answer for answer in answers if answer.status_code == 429)
    assert slow.json()["error"] == "slow_down"
    assert 0 < int(slow.headers["retry-after"]) <= 60
    fresh = await (await allow(service)).tokens()
    assert (await service.refresh(fresh["refresh_token"])).status_code == 200


@pytest.mark.parametrize("changed_settings", [{"login": {"starts_per_minute": 5}}])
async def test_what_a_session_can_write(house: TestHouse) -> None:
    """A request that is answered from the session, without a page, leaves a grant, a code and two
    entries: so many in a minute for each session, and another session goes on."""
    service = await another(house, "own", trusted=True)
    browser, beside = await logged_in(house, service), await logged_in(house, service)
    before = await house.count(grants)
    pages = [await browser.open(service.url(prompt="none")) for _ in range(15)]
    assert all("code" in page.query for page in pages[:5])
    assert any(page.status == 429 for page in pages)
    assert await house.count(grants) <= before + 10
    assert "code" in (await beside.open(service.url(prompt="none"))).query


@pytest.mark.parametrize("changed_settings", [{"login": {"starts_per_minute": 1}}])
async def test_many_sources_of_one_network_fill_the_store(
    house: TestHouse, service: Service
) -> None:
    """The /64s of one /48 leave no more rows in a minute than twenty of them may."""
    statuses = []
    for source in range(60):
        page = await Browser(house, f"2001:db8:5:{source:x}::1").open(service.url())
        statuses.append(page.status)
    assert 429 in statuses
    assert await house.count(logins) <= 40  # the minute may have ended meanwhile
    assert (await Browser(house, "2001:db8:6::1").open(service.url())).status == 200


async def test_presses_that_are_refused(house: TestHouse, service: Service) -> None:
    """A button that a budget refuses is pressed again and again: the trail has a few of it."""
    browser = Browser(house)
    await browser.open(service.url())
    for number in people(3):
        await browser.press("continue", method="qr", pid=number)
        await browser.press("other")
    chooser = browser.page
    for _ in range(40):
        await forget_rates_of_presses(house)
        browser.page = chooser
        await browser.press("continue", method="qr", pid=HAND)
    assert 1 <= len(await house.events("login.limited")) <= 20


async def forget_rates_of_presses(house: TestHouse) -> None:
    """The presses of one login are limited too; this is as if they came by many logins."""
    windows = house.windows
    for key in [key for key in getattr(windows, "storage", {}) if "login-" in key]:
        await windows.clear(key)


# ── what a visitor can make us store ────────────────────────────────────────────────────────────


async def test_what_is_kept_of_a_request_has_an_end(house: TestHouse, service: Service) -> None:
    """Every parameter as long as a request can be: what is stored stays small."""
    long, many = "x" * 8_000, " ".join("urn:" + "y" * 300 for _ in range(100))
    fields = {
        "acr_values": many,
        "login_hint": long,
        "ui_locales": long,
        "claims": json.dumps({"id_token": {"sub": {"value": "x" * 7000}}}),
        "display": long,
    }
    http = house.http(HOME)
    answer = await http.post("/authorize", data=service.params(**fields))
    assert answer.status_code == 303
    wishes = json.dumps({"id_token": {"acr": {"values": [v + "z" for v in many.split()[:20]]}}})
    answer = await http.post("/authorize", data=service.params(claims=wishes, acr_values=None))
    assert answer.status_code == 303
    for row in await rows(house, authorizations):
        assert len(row["request"]) < 2000


@pytest.mark.parametrize("changed_settings", [{"login": {"starts_per_minute": 10}}])
@pytest.mark.parametrize("way", ["login", "post", "consent", "post with a session"])
async def test_how_fast_a_visitor_fills_the_store(
    house: TestHouse, service: Service, way: str
) -> None:
    """By GET or POST, with a session or without: so many rows in a minute, and then 429, which
    leaves none."""
    most = house.settings.login.starts_per_minute
    browser = (
        await logged_in(house, service) if "with" in way or way == "consent" else Browser(house)
    )
    before, trail = await house.count(authorizations), len(await house.events())
    await forget_rates(house)
    answers = []
    for _ in range(3 * most):
        if way.startswith("post"):
            page = await browser.send("/authorize", service.params(prompt="consent"))
        else:
            page = await browser.open(
                service.url(prompt="consent" if way == "consent" else "login")
            )
        answers.append(page)
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) <= 60
    # the windows are those of the real clock: the loop may have met the end of one
    assert await house.count(authorizations) <= before + 2 * most
    assert len(await house.events()) == trail


async def test_a_client_whose_secret_has_expired(house: TestHouse) -> None:
    """Nobody's phone rings for a code that cannot be redeemed; the developer of a test client is
    told why."""
    for name, told in (("old", False), ("test", True)):
        registration = Registration(client_name=name, redirect_uris=(CALLBACK,), sandbox=told)
        client, secret = await house.registrar.create(registration, name, life=60)
        service = Service(house, Registered(client, secret))
        house.clock.pass_(61)
        calls = rung(house)
        page = await Browser(house).open(service.url())
        assert page.status == 400
        assert ("every secret of the client has expired" in page.html) == told
        assert rung(house) == calls
        assert await house.count(logins) == 0


@pytest.mark.parametrize("fate", ["expired", "disabled"])
@pytest.mark.parametrize("step", ["choose", "regenerate", "scan", "other method"])
async def test_a_client_that_ends_while_a_page_is_open(
    house: TestHouse, service: Service, fate: str, step: str
) -> None:
    """Every step that opens a verification looks at the client again: nobody's phone rings, and no
    code is drawn, for a login that cannot be finished."""
    browser = Browser(house)
    await browser.open(service.url())
    if step != "choose":
        await browser.press("continue", method="push", pid=HAND)
    if step == "other method":
        await browser.press("other")
    await ends(service, fate)
    house.clock.pass_(61)  # the phone may ring again
    calls = len(house.line.calls)
    form = browser.page.forms[0]
    fields = {**form.fields, "method": "push", "pid": HAND}
    path = {"choose": "method", "other method": "method"}.get(step, step)
    page = await browser.send(f"{login_path(browser)}/{path}", fields)
    assert (page.status, page.error_code) == (400, "TF-1001" if fate == "disabled" else "TF-1004")
    assert [call for call in house.line.calls[calls:] if call != "FATH-02"] == []


@pytest.mark.parametrize("fate", ["expired", "disabled"])
@pytest.mark.parametrize("when", ["waiting", "consent"])
async def test_a_client_that_ends_before_the_code(
    house: TestHouse, service: Service, fate: str, when: str
) -> None:
    """Whoever has approved by then gets the page that says so, and no code is made."""
    browser = Browser(house)
    await browser.open(service.url())
    if when == "consent":
        await verify(browser)
        await ends(service, fate)
        page = await browser.press("allow")
    else:
        await ends_while_verifying(browser, service, fate)
        page = browser.page
    assert (page.status, page.error_code) == (400, "TF-1001" if fate == "disabled" else "TF-1004")
    assert await house.count(grants) == 0


async def ends_while_verifying(browser: Browser, service: Service, fate: str) -> None:
    await browser.press("continue", method="qr", pid=ALICE)
    await ends(service, fate)
    await browser.press("check")


async def ends(service: Service, fate: str) -> None:
    """The operator disables the client, or its only secret expires."""
    house = service.house
    if fate == "disabled":
        await house.registrar.switch(service.registered.id, enabled=False)
        return
    soon = update(client_secrets).values(expires_at=house.clock.now() - 1)
    await house.services.database.write(lambda tx: tx.run(soon))
    house.house.clients.forget()


def login_path(browser: Browser) -> str:
    return "/".join(urlsplit(browser.page.url).path.split("/")[:3])


# ── time, and what the log says ─────────────────────────────────────────────────────────────────


async def test_a_login_that_grew_old_on_the_consent_page(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """max_age is met by the login at the moment of the code, not at that of the page."""
    page = await browser.open(service.url(max_age="300"))
    assert "continue" in page.buttons()
    await verify(browser, "qr", ALICE)
    house.clock.pass_(301)
    page = await browser.press("allow")
    assert "code" not in page.query
    assert "continue" in page.buttons()


async def test_refusals_are_logged_with_their_client(house: TestHouse, service: Service) -> None:
    """One line, with client and description, for whoever looks after the client."""
    with capture_logs(processors=[merge_contextvars]) as lines:
        page = await Browser(house).open(service.url(response_type="token"))
    is_sent_back(page.url, "unsupported_response_type", service.state)
    (line,) = [line for line in lines if line["event"] == "refused"]
    assert line["client"] == "service"
    assert line["description"] == page.query["error_description"]
