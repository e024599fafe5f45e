"""Logins by the SP-API: every method, what goes wrong, and both interfaces in one bridge."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from idp.kernel.tables import person_aliases
from idp.registry.registration import Registration
from tests.actors import Browser, Page, Service, log_in
from tests.house import (
    AUTHORITY,
    SUCCESSOR,
    SYSTEM_NAME,
    WITH_SUCCESSOR,
    TestHouse,
    running,
    settings_for,
)
from tests.logins import (
    HAND,
    abroad,
    again,
    chosen,
    land,
    nobody_is_in,
    plain,
    poll,
    rows,
    states,
)

AT_ONCE, DENIES, SILENT = "A100000010", "A100000038", "A100000047"
STRANGER, FAILS, BROKEN, WAITS = "A100000056", "A100000065", "A100000074", "A100000083"
SPOILT, OTHER, EARLY = "A100000092", "A100000109", "A100000127"
LEVELS = {
    "push": ("urn:twfido:push", ["swk", "user", "mca"]),
    "qr": ("urn:twfido:qr", ["swk", "user", "mca"]),
    "web": ("urn:twfido:web", ["swk", "user"]),
}


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    """Both interfaces are there, and the house offers the new one."""
    return {"spapi": WITH_SUCCESSOR, "login": {"schemes": ("spapi",)}}


def asked_for(house: TestHouse) -> int:
    """How often ATH-02 was called."""
    return sum(call.endswith("GETATHORSIGNRESULT") for call in house.line.calls)


async def weather(house: TestHouse, interface: str, **fault: Any) -> None:
    transport = httpx.ASGITransport(house.upstreams["moica.test"])
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as control:
        answer = await control.post("/control", json={"faults": {interface: fault}})
    assert answer.status_code == 200, answer.text


async def later(browser: Browser, seconds: float = 4) -> Page:
    """Asks again when the interface allows it."""
    browser.house.clock.pass_(seconds)
    return await browser.press("check")


# ── every method ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", LEVELS)
async def test_each_method_logs_in(
    house: TestHouse, browser: Browser, service: Service, method: str
) -> None:
    """By the new interface, too, the service gets tokens that say who, how and when; and the
    pretend service has seen no IV and no transaction twice."""
    page = await log_in(browser, service, method, scope="openid profile twid")
    tokens = (await service.redeem(page)).json()
    claims = await service.verified(tokens["id_token"])
    assert (claims["acr"], claims["amr"]) == LEVELS[method]
    assert claims["twid"] == AT_ONCE
    assert {row.event for row in house.successor.ledger} == {"opened", "approved", "polled"}
    assert house.simulator.ledger == []
    assert [row["method"] for row in await rows(house)] == [f"spapi:{method}"]


async def test_the_page_names_what_the_phone_shows(browser: Browser, service: Service) -> None:
    """The person can compare the page with the phone; there is no dongle on the page before."""
    page = await browser.open(service.url())
    assert "method-dongle" not in page.html and "method-qr" in page.html
    page = await browser.press("continue", method="push", pid=HAND)
    assert (page.texts["sysname"], page.texts["masked"]) == (SYSTEM_NAME, "A1****6789")


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_the_app_on_the_same_phone(
    house: TestHouse, browser: Browser, service: Service, decision: str
) -> None:
    """The link beside the QR code opens the app, which leads back to the login that began."""
    page = await chosen(browser, service, "qr", HAND)
    link = html.unescape(page.links["app"])
    assert link.startswith("mobilemoica://moica.moi.gov.tw/a2a/verifySign?")
    before = urlsplit(page.url).path
    await browser.open(f"{SUCCESSOR}/a2a/verifySign?{urlsplit(link).query}")
    page = await browser.press(decision)
    assert urlsplit(page.url).path == before
    if decision == "deny":
        assert page.error_code == "TF-2101"
    else:
        assert "allow" in (await browser.press("check")).buttons()


async def test_the_app_leads_another_browser_nowhere(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Where the app opens another browser, that one gets a page that says so, and no session; the
    one that began goes on."""
    page = await chosen(browser, service, "qr", HAND)
    link = html.unescape(page.links["app"])
    other = Browser(house)
    await other.open(f"{SUCCESSOR}/a2a/verifySign?{urlsplit(link).query}")
    page = await other.press("approve")
    assert (page.status, page.error_code) == (403, "TF-3001")
    assert await nobody_is_in(house)
    assert "allow" in (await later(browser)).buttons()


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────

ENDINGS = [
    (DENIES, "TF-2101"),
    (FAILS, "TF-2102"),
    (BROKEN, "TF-2202"),
    (SPOILT, "TF-2201"),
    (OTHER, "TF-2201"),
]


@pytest.mark.parametrize(("number", "code"), ENDINGS)
@pytest.mark.parametrize("method", ["push", "qr"])
async def test_how_it_can_end(
    house: TestHouse, browser: Browser, service: Service, method: str, number: str, code: str
) -> None:
    """A denial, a failure, a service that is away and a contradiction are pages that lead on."""
    await chosen(browser, service, method, number)
    page = await browser.press("check")
    assert (page.error_code, await nobody_is_in(house)) == (code, True)
    alarms = await house.events("login.alarm")
    assert bool(alarms) is (code == "TF-2201")


async def test_the_time_is_the_tickets(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A ticket that nobody confirms ends with its time."""
    await chosen(browser, service, "push", SILENT)
    house.clock.pass_(180)
    assert (await again(browser)).error_code == "TF-2103"


@pytest.mark.parametrize(("number", "questions"), [(WAITS, 3), (EARLY, 2)])
async def test_patience(
    house: TestHouse, browser: Browser, service: Service, number: str, questions: int
) -> None:
    """Who is not heard yet, or has no record yet, is asked about again."""
    await chosen(browser, service, "push", number)
    page = await browser.press("check")
    while "allow" not in page.buttons() and asked_for(house) < 9:
        page = await later(browser)
    assert asked_for(house) == questions


async def test_four_seconds_between_two_questions(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """However often a page asks us, we ask the service every four seconds at most."""
    await chosen(browser, service, "push", HAND)
    for _ in range(20):
        await poll(browser)
        house.clock.pass_(1)
    assert asked_for(house) == 5


@pytest.mark.parametrize("method", ["push", "qr"])
async def test_nobody_learns_who_is_registered_from_the_words(
    house: TestHouse, service: Service, method: str
) -> None:
    """Not enrolled, a phone that cannot be reached and an unknown refusal give the same bytes."""
    interface = {"push": "ATH-03", "qr": "ATH-01"}[method]
    pages = [plain(await chosen(Browser(house), service, method, STRANGER))]
    for code in ("PS_FCM_NOT_FOUND: x", "IDNUM_USERPROF_NF", "SOMETHING_NEW"):
        await weather(house, interface, code=code, unsigned=True)
        house.clock.pass_(601)  # three notifications in ten minutes
        pages.append(plain(await chosen(Browser(house), service, method, STRANGER)))
    assert len(set(pages)) == 1
    assert STRANGER not in pages[0]


@pytest.mark.parametrize(
    "fault", [{"huge": True}, {"garbage": True}, {"status": 503}, {"cut": True}], ids=str
)
async def test_accidents_are_survived(
    house: TestHouse, browser: Browser, service: Service, fault: dict[str, Any]
) -> None:
    """An answer of 20 MB, HTML or half of one is no answer: the next one counts."""
    await chosen(browser, service, "push", AT_ONCE)
    await weather(house, "ATH-02", **fault)
    assert (await browser.press("check")).texts["still"]
    await weather(house, "ATH-02")
    assert "allow" in (await later(browser)).buttons()


# ── redirects ───────────────────────────────────────────────────────────────────────────────────


async def carried(victim: Browser, page: Page, number: str) -> dict[str, str]:
    """What the ministry's page would send back, had it not been caught before."""
    victim.page = page
    await victim.press("go")
    back = await victim.press("approve", pid=number)
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', back.html)
    return {name: html.unescape(value) for name, value in found}


async def return_to(browser: Browser, fields: dict[str, str]) -> Page:
    return await browser.arrive("/spapi/return", fields, SUCCESSOR)


async def test_a_victim_who_is_lured_to_the_page_of_anothers_login(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A victim who approves there, and whose browser comes back to us, lets nobody in: not the
    attacker who waits, and not themselves. It is an alarm."""
    page = await chosen(browser, service, "web")
    victim = Browser(house)
    fields = await carried(victim, page, HAND)
    landed = await return_to(victim, fields)
    assert (landed.status, landed.error_code) == (403, "TF-3001")
    for _ in range(5):
        house.clock.pass_(4)
        assert (await poll(browser))["state"] == "pending"
    assert asked_for(house) == 0
    assert (await nobody_is_in(house), await states(house)) == (True, ["pending"])
    (alarm,) = await house.events("login.alarm")
    assert alarm["detail"]["alarm"] == "result in another browser than began"


async def test_a_result_replayed_in_another_login(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """A result of one's own, brought into the browser of a victim who has a login under way, does
    not log the victim in as the attacker."""
    attacker = Browser(house)
    fields = await carried(attacker, await chosen(attacker, service, "web"), AT_ONCE)
    await chosen(browser, service, "web")
    page = await return_to(browser, fields)
    assert (page.status, page.error_code) == (403, "TF-3001")
    assert await nobody_is_in(house)


async def test_a_result_twice(house: TestHouse, browser: Browser, service: Service) -> None:
    """Brought a second time, a result shows what became of the login and opens nothing new."""
    page = await chosen(browser, service, "web")
    fields = await carried(browser, page, AT_ONCE)
    first = await return_to(browser, fields)
    assert "allow" in first.buttons() or "check" in first.buttons()
    second = await return_to(browser, fields)
    assert second.url == first.url
    changed = fields | {"id_num": HAND}
    assert (await return_to(Browser(house), changed)).status == 403
    assert await states(house) in (["approved"], ["used"])


async def test_a_denial_there(house: TestHouse, browser: Browser, service: Service) -> None:
    """Who denies on the ministry's page comes back to a page that says so and leads on."""
    await chosen(browser, service, "web")
    page = await abroad(browser, "web", HAND, "deny")
    assert page.error_code == "TF-2101"
    assert "regenerate" in page.buttons()


async def test_nonsense_at_the_return(house: TestHouse, browser: Browser, service: Service) -> None:
    """Whatever a site sends a browser back with, it is a page and never a crash."""
    await chosen(browser, service, "web")
    for fields in (
        {"a": "b"},
        {"rtn_val": "§"},
        {"transaction_id": "x"},
        {"idp_checksum": "0" * 184},
    ):
        page = await return_to(browser, fields)
        assert (page.status, page.error_code) == (403, "TF-3001")
    assert (await land(browser, {"transaction_id": "x"})).status == 403  # the other's address


# ── evidence ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def verifying(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[TestHouse]:
    """A house that knows who issues citizens' certificates."""
    file = tmp_path_factory.mktemp("issuers") / "issuers.pem"
    file.write_bytes(AUTHORITY.pem)
    section = {**WITH_SUCCESSOR, "issuing_certificates": str(file)}
    settings = settings_for(database_url, spapi=section, login={"schemes": ("spapi",)})
    async with running(settings) as found:
        yield found


@pytest.mark.parametrize(
    ("fault", "signature"), [({}, "verified"), ({"bad_signature": True}, "failed")]
)
async def test_the_audit_trail_says_what_was_verified(
    verifying: TestHouse, fault: dict[str, Any], signature: str
) -> None:
    """Of the citizen's own signature: whether it is over our words, and whose the certificate is.
    The level of the login is the same."""
    service = Service(verifying, await verifying.register("service"))
    await weather(verifying, "ATH-02", **fault)
    page = await log_in(Browser(verifying), service, "push")
    claims = await service.verified((await service.redeem(page)).json()["id_token"])
    assert claims["acr"] == "urn:twfido:push"
    (event,) = await verifying.events("login.verified")
    assert (event["detail"]["signature"], event["detail"]["chain"]) == (signature, "verified")


# ── what the service calls a person ─────────────────────────────────────────────────────────────

CALLED = "the upstream calls this person by another name than before"


async def test_a_person_who_is_called_otherwise(house: TestHouse, service: Service) -> None:
    """A hashed_id_num that changes for a person is an alarm, and nobody is let in, whatever the
    method; when it is the old one again, so is everything."""
    for method in ("push", "web"):
        assert "code=" in (await log_in(Browser(house), service, method)).url
    house.successor.salt = "another"
    for method in ("push", "qr", "web"):
        browser = Browser(house)
        await browser.open(service.url())
        page = await chosen(browser, service, method, AT_ONCE)
        if method == "web":
            page = await abroad(browser, method, AT_ONCE)
        if "check" in page.buttons():
            page = await browser.press("check")
        assert page.error_code == "TF-2201"
    assert [e["detail"]["alarm"] for e in await house.events("login.alarm")] == [CALLED] * 3
    house.successor.salt = ""
    assert "code=" in (await log_in(Browser(house), service, "qr")).url


async def test_a_new_name_is_followed_where_the_operator_says_so(database_url: str) -> None:
    """With `follow` a person who is called otherwise is let in, with an alarm, once; and keeps
    the same sub."""
    section = {**WITH_SUCCESSOR, "hashed_id_num": "follow"}
    settings = settings_for(database_url, spapi=section, login={"schemes": ("spapi",)})
    async with running(settings) as house:
        service = Service(house, await house.register("service"))
        subjects = []
        for salt in ("", "another", "another"):
            house.successor.salt = salt
            subjects.append(await subject(service, Browser(house)))
        assert len(set(subjects)) == 1
        (alarm,) = await house.events("login.alarm")
        assert alarm["detail"]["alarm"] == CALLED
        assert len(await house.events("login.verified")) == 3


async def test_only_where_we_named_the_person_is_a_name_remembered(
    house: TestHouse, service: Service
) -> None:
    """A redirect, whose number came by the browser, remembers no name; and no name is stored as
    it is."""
    await log_in(Browser(house), service, "web")
    assert await rows(house, person_aliases) == []
    await log_in(Browser(house), service, "push")
    (row,) = await rows(house, person_aliases)
    assert house.successor.hashed(AT_ONCE) not in row.values()


# ── both in one bridge ──────────────────────────────────────────────────────────────────────────


async def switched(house: TestHouse, client_id: str, *schemes: str) -> None:
    """As `idp client update CLIENT --set schemes=…` does it."""
    client = await house.house.clients.find(client_id)
    assert client is not None
    registration = Registration.model_validate(client.metadata.model_dump() | {"schemes": schemes})
    await house.registrar.update(client_id, registration)


async def subject(service: Service, browser: Browser, method: str = "push") -> str:
    page = await log_in(browser, service, method, prompt="login")
    tokens = (await service.redeem(page)).json()
    return str((await service.verified(tokens["id_token"]))["sub"])


@pytest.fixture
async def both(database_url: str) -> AsyncIterator[TestHouse]:
    """The house stays on the first interface; the second is there for those that name it."""
    settings = settings_for(database_url, spapi=WITH_SUCCESSOR, login={"schemes": ("twfido",)})
    async with running(settings) as found:
        yield found


@pytest.mark.parametrize("method", LEVELS)
async def test_there_and_back_again(both: TestHouse, method: str) -> None:
    """A client goes to the new interface and back; its people keep their `sub` by each."""
    service = Service(both, await both.register("service"))
    subjects = [await subject(service, Browser(both), method)]
    await switched(both, "service", "spapi")
    subjects.append(await subject(service, Browser(both), method))
    await switched(both, "service")
    subjects.append(await subject(service, Browser(both), method))
    assert len(set(subjects)) == 1
    used = [row["method"] for row in sorted(await rows(both), key=lambda row: row["opened_at"])]
    assert sorted(used) == sorted([f"twfido:{method}", f"spapi:{method}", f"twfido:{method}"])


async def test_two_clients_on_two_interfaces(both: TestHouse) -> None:
    """At the same time one client's people are verified by the first and another's by the second;
    who was logged in by one is logged in for the other."""
    old = Service(both, await both.register("old"))
    new = Service(both, await both.register("new", schemes=("spapi",)))
    browser = Browser(both)
    await log_in(browser, old, "push")
    page = await browser.open(new.url())
    assert "continue" not in page.buttons(), "the session of the other interface counts"
    await log_in(Browser(both), new, "push")
    assert {row["method"] for row in await rows(both)} == {"twfido:push", "spapi:push"}


async def test_a_login_ends_where_it_began(both: TestHouse) -> None:
    """A switch in the middle of a login leaves it with the interface that opened it."""
    service, browser = Service(both, await both.register("service")), Browser(both)
    await chosen(browser, service, "push", HAND)
    await switched(both, "service", "spapi")
    both.simulator.approve(next(iter(both.simulator.transactions)))
    assert "allow" in (await later(browser)).buttons()
    assert both.successor.ledger == []


async def test_the_house_prefers_one_and_keeps_the_others_dongle(database_url: str) -> None:
    """Offered both, the new one first: push, QR and redirect are its own, the dongle is the old
    one's."""
    settings = settings_for(
        database_url, spapi=WITH_SUCCESSOR, login={"schemes": ("spapi", "twfido")}
    )
    async with running(settings) as house:
        service, browser = Service(house, await house.register("service")), Browser(house)
        await log_in(browser, service, "dongle")
        await log_in(Browser(house), service, "qr")
        assert {row["method"] for row in await rows(house)} == {"twfido:dongle", "spapi:qr"}


async def test_levels_are_published_once(both: TestHouse) -> None:
    """Discovery lists each level once, though two interfaces have it."""
    answer = await both.http().get("/.well-known/openid-configuration")
    levels = answer.json()["acr_values_supported"]
    assert levels == [f"urn:twfido:{name}" for name in ("push", "qr", "web", "dongle")]
