"""A relying party with an account of its own at TW FidO holds the key of that account."""

from __future__ import annotations

from idp.verify.twfido.simulator import SimulatedSystem
from tests.actors import Browser, Service, log_in
from tests.house import API_KEY, CALLBACK, ISSUER, TestHouse

THEIRS = "20200820100951260001"


async def test_what_its_account_verifies_counts_for_it_alone(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """Whoever holds the key of that account can obtain approvals outside of us, so a session from
    it opens no other service, no binding code, and not what the person did elsewhere."""
    owner = Service(house, await house.register("owner"))
    account = {"syscode": THEIRS, "keys": [API_KEY], "name": "自己的服務"}
    await house.house.accounts.set("owner", "twfido", THEIRS, account)
    house.simulator.systems[THEIRS] = SimulatedSystem(
        THEIRS, API_KEY, "自己的服務", f"{ISSUER}/twfido/return", None
    )
    assert (await log_in(browser, owner)).url.startswith(CALLBACK)
    again = await browser.open(owner.url())
    assert again.url.startswith(CALLBACK)  # its own sessions are good for it

    elsewhere = await browser.open(service.url())
    assert "continue" in elsewhere.buttons()
    silent = await browser.open(service.url(prompt="none"))
    assert silent.query["error"] == "login_required"
    await log_in(browser, owner)
    assert "continue" in (await browser.open("/wecard")).buttons()
    assert "continue" in (await browser.open("/account")).buttons()


async def test_logging_out_reaches_what_came_before_a_second_login(
    house: TestHouse, browser: Browser, service: Service
) -> None:
    """prompt=login makes a new session; logging out of it ends the refresh tokens of the first."""
    first = (await service.redeem(await log_in(browser, service))).json()
    again = await log_in(browser, service, prompt="login")
    second = (await service.redeem(again)).json()
    await browser.open(f"/logout?id_token_hint={second['id_token']}")
    for tokens in (first, second):
        answer = await service.refresh(tokens["refresh_token"])
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
