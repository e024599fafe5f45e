"""Back-channel logout: who is told when a session ends, by which token, and how often."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import pytest
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from idp.kernel.tables import outbox, session_parties
from idp.registry.registration import Registration
from tests import outside as world
from tests.actors import Browser, Service, log_in, verify
from tests.asking import (
    ALICE,
    BOB,
    SQLITE,
    another,
    code_in,
    disable,
    live_sessions,
    logged_in,
    rows,
)
from tests.house import ISSUER, TestHouse
from tests.outside import Got, Outside

EVENT = "http://schemas.openid.net/event/backchannel-logout"
HOUR, DAY = 3600, 86_400


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with world.outside() as found:
        found.at["/logout"] = b""
        yield found


@pytest.fixture
async def service(house: TestHouse, outside: Outside) -> Service:
    """A relying party that wants to be told."""
    return await told(house, outside, "service")


async def told(house: TestHouse, outside: Outside, name: str, **fields: Any) -> Service:
    uri = outside.url("/logout", f"{name}.{world.DOMAIN}")
    return await another(house, name, **({"backchannel_logout_uri": uri, "trusted": True} | fields))


async def until(true: Callable[[], Any], seconds: float = 8.0) -> None:
    """What follows a commit comes soon, and by itself."""
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come"
        await asyncio.sleep(0.01)


async def signed_in(house: TestHouse, service: Service, number: str = ALICE) -> Browser:
    return await logged_in(house, service, number)


async def id_token(browser: Browser, service: Service, **params: str) -> dict[str, Any]:
    """The claims of a fresh ID token, by single sign-on."""
    page = await browser.open(service.url(prompt="none", **params))
    answer = (await service.redeem(page)).json()
    return await read(service, answer["id_token"]) | {"raw": answer["id_token"]}


async def read(service: Service, token: str) -> dict[str, Any]:
    keys = KeySet.import_key_set((await service.http.get("/jwks")).json())
    return dict(jwt.decode(token, keys, ["RS256", "ES256", "PS256", "EdDSA"]).claims)


def sent(got: Got) -> str:
    """The logout token of a call, which carries nothing else."""
    fields = parse_qs(got.body.decode(), strict_parsing=True)
    assert (got.method, set(fields)) == ("POST", {"logout_token"})
    assert got.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "cookie" not in got.headers
    return fields["logout_token"][0]


async def log_out(browser: Browser) -> None:
    await browser.open("/logout")
    assert (await browser.press("logout")).status == 200


async def deliveries(service: Service) -> list[dict[str, Any]]:
    """What the relying party reads about its own."""
    answer = await service.http.get("/logout/deliveries", auth=service.auth())
    assert answer.status_code == 200, answer.text
    return list(answer.json()["deliveries"])


# ── the token ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("alg", ["RS256", "ES256", "PS256", "EdDSA"])
async def test_the_logout_token(house: TestHouse, outside: Outside, alg: str) -> None:
    """Back-Channel §2.4, §2.6: all that is required and no nonce, signed as the client's ID tokens
    are, two minutes good; `sub` and `sid` are those of the ID token."""
    service = await told(house, outside, "own", id_token_signed_response_alg=alg)
    browser = await signed_in(house, service)
    known = await id_token(browser, service)
    await browser.open("/logout?" + urlencode({"id_token_hint": known["raw"]}))
    await until(lambda: outside.got)
    (got,) = outside.got
    token = sent(got)
    claims = await read(service, token)
    header = jws.extract_compact(token.encode()).headers()
    assert (header["typ"], header["alg"]) == ("logout+jwt", alg)
    now = house.clock.now()
    assert claims == {
        "iss": ISSUER,
        "aud": service.registered.id,
        "sub": known["sub"],
        "sid": known["sid"],
        "iat": now,
        "exp": now + 120,
        "jti": claims["jti"],
        "events": {EVENT: {}},
    }
    await until_ended(house)
    (log,) = await deliveries(service)
    assert log == {
        "jti": claims["jti"], "sid": known["sid"], "state": "delivered", "tries": 1,
        "answer": "HTTP 200", "created_at": now, "ended_at": now,
    }  # fmt: skip


async def until_ended(house: TestHouse) -> None:
    for _ in range(500):
        if all(row["due_at"] is None for row in await rows(house, outbox)):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("still waiting")


@SQLITE
async def test_a_logout_token_is_nothing_else(house: TestHouse, outside: Outside) -> None:
    """It opens nothing here: neither as a hint nor as an access token (RFC 8725 §3.11)."""
    service = await told(house, outside, "own")
    browser = await signed_in(house, service)
    await log_out(browser)
    await until(lambda: outside.got)
    token = sent(outside.got[0])
    answer = await service.http.get("/logout", params={"id_token_hint": token})
    assert answer.status_code == 400
    assert (await service.userinfo(token)).status_code == 401


@SQLITE
async def test_two_services(house: TestHouse, outside: Outside) -> None:
    """Each is told once and knows the session and the person by names of its own; one that has
    registered no address is not called and gets no sid."""
    one, two = await told(house, outside, "one"), await told(house, outside, "two")
    quiet = await another(house, "quiet", trusted=True)
    browser = await signed_in(house, one)
    known = [await id_token(browser, service) for service in (one, one, two)]
    assert "sid" not in await id_token(browser, quiet)
    assert known[0]["sid"] == known[1]["sid"]
    await log_out(browser)
    await until(lambda: len(outside.got) == 2)
    await until_ended(house)
    by_client = {c["aud"]: c for c in [await read(one, sent(got)) for got in outside.got]}
    assert len(outside.got) == 2
    for service, claims in ((one, known[0]), (two, known[2])):
        found = by_client[service.registered.id]
        assert (found["sub"], found["sid"]) == (claims["sub"], claims["sid"])
    assert len({c["sid"] for c in by_client.values()}) == 2
    assert await deliveries(quiet) == []


# ── every way in which a session ends ───────────────────────────────────────────────────────────


async def by_logout(_house: TestHouse, browser: Browser, _service: Service) -> None:
    await log_out(browser)


async def by_ending_this(_house: TestHouse, browser: Browser, _service: Service) -> None:
    await browser.open("/account")
    await browser.press("end-1")


async def by_ending_others(house: TestHouse, _browser: Browser, _service: Service) -> None:
    other = await logged_in(house, await another(house, "elsewhere", trusted=True))
    await other.open("/account")
    await other.press("end-others")


async def by_not_me(_house: TestHouse, browser: Browser, _service: Service) -> None:
    await browser.open("/account/not-me")
    await browser.press("stop-all")


async def by_operator(house: TestHouse, _browser: Browser, _service: Service) -> None:
    await disable(house, ALICE)


async def by_somebody_else(house: TestHouse, browser: Browser, _service: Service) -> None:
    other = await another(house, "other", trusted=True)
    await browser.open(other.url(prompt="login"))
    code_in(await verify(browser, "dongle", BOB), other.redirect_uri)


async def by_disuse(house: TestHouse, _browser: Browser, _service: Service) -> None:
    house.clock.pass_(1801)
    await house.house.login.sessions.run_out()


async def by_age(house: TestHouse, browser: Browser, service: Service) -> None:
    for _ in range(16):
        house.clock.pass_(1750)
        assert "code" in (await browser.open(service.url(prompt="none"))).query
        await house.house.login.sessions.run_out()
        assert await rows(house, session_parties) != []
    house.clock.pass_(28_800 - 16 * 1750)
    await house.house.login.sessions.run_out()


Way = Callable[[TestHouse, Browser, Service], Awaitable[None]]
WAYS: list[Way] = [
    by_logout,
    by_ending_this,
    by_ending_others,
    by_not_me,
    by_operator,
    by_somebody_else,
    by_disuse,
    by_age,
]


@pytest.mark.parametrize("way", WAYS)
async def test_a_session_ends(
    house: TestHouse, outside: Outside, service: Service, way: Way
) -> None:
    """Whoever ends it, and however: the relying parties of this session are told, once, and those
    of another person are not."""
    bystander = await logged_in(house, service, BOB)
    browser = await logged_in(house, service)
    known = await id_token(browser, service)
    others = await id_token(bystander, service)
    if way is by_disuse or way is by_age:
        await log_out(bystander)
        await until(lambda: outside.got)
        await until_ended(house)  # or its lease runs out with the clock, and it comes again
        outside.got.clear()
    await way(house, browser, service)
    await until(lambda: outside.got)
    await until_ended(house)
    claims = [await read(service, sent(got)) for got in outside.got]
    assert [(c["sub"], c["sid"]) for c in claims] == [(known["sub"], known["sid"])]
    assert known["sid"] != others["sid"]


async def test_a_session_that_goes_on(
    house: TestHouse, outside: Outside, browser: Browser, service: Service
) -> None:
    """The same person logs in again in the same browser: nobody is told, since nobody left. The
    logout that comes later names the session as each token did."""
    await log_in(browser, service)
    first = await id_token(browser, service)
    await browser.open(service.url(prompt="login"))
    await service.redeem(code_in(await verify(browser), service.redirect_uri))
    second = await id_token(browser, service)
    assert first["sid"] != second["sid"]
    assert await rows(house, outbox) == []
    await log_out(browser)
    await until(lambda: len(outside.got) == 2)
    claims = [await read(service, sent(got)) for got in outside.got]
    assert {c["sid"] for c in claims} == {first["sid"], second["sid"]}


async def test_a_login_after_the_end(
    house: TestHouse, outside: Outside, browser: Browser, service: Service
) -> None:
    """A session that was over is told of, and the next one has another name: a call that comes
    late does not end it."""
    await log_in(browser, service)
    first = await id_token(browser, service)
    house.clock.pass_(1801)
    await browser.open(service.url())
    await service.redeem(code_in(await verify(browser), service.redirect_uri))
    second = await id_token(browser, service)
    await until(lambda: outside.got)
    await until_ended(house)
    (claims,) = [await read(service, sent(got)) for got in outside.got]
    assert claims["sid"] == first["sid"] != second["sid"]


@SQLITE
async def test_what_ends_no_session(house: TestHouse, outside: Outside, service: Service) -> None:
    """A client that is disabled is not told: the session goes on, and it is not called."""
    browser = await logged_in(house, service)
    await house.registrar.switch(service.registered.id, enabled=False)
    assert len(await live_sessions(house)) == 1
    await log_out(browser)
    await until_ended(house)
    assert outside.got == []
    (row,) = await rows(house, outbox)
    assert (row["state"], row["answer"]) == ("failed", "the client is disabled")


@SQLITE
async def test_an_address_that_was_taken_back(
    house: TestHouse, outside: Outside, service: Service
) -> None:
    """The client decides until the last moment whether it is called."""
    browser = await logged_in(house, service)
    metadata = service.registered.client.metadata
    changed = metadata.model_dump(exclude={"sector"}) | {"backchannel_logout_uri": ""}
    await house.registrar.update(service.registered.id, Registration.model_validate(changed))
    await log_out(browser)
    await until_ended(house)
    (log,) = await deliveries(service)
    assert (log["state"], log["answer"]) == ("failed", "no backchannel_logout_uri is registered")
    assert outside.got == []


# ── a receiver that does not take it ────────────────────────────────────────────────────────────


def answering(status: str, *headers: str) -> world.Handler:
    async def handler(_got: Got, writer: asyncio.StreamWriter) -> None:
        head = "\r\n".join((f"HTTP/1.1 {status}", "Content-Length: 0", *headers))
        writer.write(head.encode() + b"\r\n\r\n")
        await writer.drain()

    return handler


AGAIN = {
    "HTTP 500": answering("500 Oops"),
    "HTTP 503": answering("503 Later", "Retry-After: 1"),
    "HTTP 404": None,
    "HTTP 429": answering("429 Slow"),
    "HTTP 302": answering("302 Found", "Location: https://rp.outside.test/other"),
    "HTTP 308": answering("308 There", "Location: https://169.254.169.254/"),
}


@SQLITE
@pytest.mark.parametrize("heard", AGAIN)
async def test_it_is_tried_again(
    house: TestHouse, outside: Outside, service: Service, heard: str
) -> None:
    """LO-10: whatever may pass is tried again, each time later, with the same jti in a fresh token;
    redirects are not followed. The relying party reads what was heard."""
    outside.at["/logout"] = AGAIN[heard]
    browser = await logged_in(house, service)
    await log_out(browser)
    await until(lambda: outside.got)
    await until_tried(house, 1)
    (log,) = await deliveries(service)
    assert (log["state"], log["answer"], log["tries"]) == ("waiting", heard, 1)
    assert 0 < log["next_try_at"] - house.clock.now() <= 11
    house.clock.pass_(2 * HOUR)
    outside.at["/logout"] = b""
    await house.services.outbox.look()
    await until_ended(house)
    first, second = [await read(service, sent(got)) for got in outside.got]
    assert first["jti"] == second["jti"] == log["jti"]
    assert second["iat"] == house.clock.now() == second["exp"] - 120
    assert (await deliveries(service))[0]["state"] == "delivered"


async def until_tried(house: TestHouse, tries: int) -> None:
    for _ in range(800):
        (row,) = await rows(house, outbox)
        if row["tries"] == tries and row["answer"]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(row)


@SQLITE
@pytest.mark.parametrize("kind", ["refused", "hangs", "forbidden"])
async def test_nobody_waits_for_it(
    house: TestHouse, outside: Outside, service: Service, kind: str
) -> None:
    """LO-10: a receiver that hangs or is away does not hold up the person; an address inside is
    never called (SSRF), and that is final."""

    async def hang(_got: Got, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    outside.at["/logout"] = hang
    uri = {
        "refused": "https://rp.outside.test:65001/logout",
        "forbidden": "https://127.0.0.1:8443/x",
    }
    if kind in uri:
        service = await told(house, outside, "other", backchannel_logout_uri=uri[kind])
    browser = await logged_in(house, service)
    began = time.monotonic()
    await log_out(browser)
    assert time.monotonic() - began < 2
    await until_tried(house, 1)
    (log,) = await deliveries(service)
    said = {
        "refused": ("waiting", "rp.outside.test:65001: connection refused (ConnectError)"),
        "hangs": ("waiting", f"service.outside.test:{outside.port}: timed out"),
        "forbidden": ("failed", "127.0.0.1 leads to an address that must not be called"),
    }
    assert (log["state"], log["answer"]) == said[kind]


@SQLITE
async def test_a_refusal_is_final(house: TestHouse, outside: Outside, service: Service) -> None:
    """Back-Channel §2.8: 400 says that it was understood and cannot be done."""
    outside.at["/logout"] = answering("400 No")
    await log_out(await logged_in(house, service))
    await until_ended(house)
    (log,) = await deliveries(service)
    assert (log["state"], log["answer"], log["tries"]) == ("failed", "HTTP 400", 1)


@SQLITE
async def test_after_a_day_it_is_given_up(
    house: TestHouse, outside: Outside, service: Service
) -> None:
    """Some thirty tries, then no more: the clock moves from try to try."""
    outside.at["/logout"] = None
    await log_out(await logged_in(house, service))
    began = house.clock.now()
    await until_tried(house, 1)
    waits = []
    for tries in range(2, 60):
        (row,) = await rows(house, outbox)
        if row["due_at"] is None:
            break
        waits.append(row["due_at"] - house.clock.now())
        house.clock.pass_(waits[-1])
        await house.services.outbox.look()
        await until_tried(house, tries)
    (log,) = await deliveries(service)
    assert (log["state"], log["tries"]) == ("failed", len(outside.got))
    assert 20 < log["tries"] < 60
    assert DAY - HOUR <= log["ended_at"] - began <= DAY
    assert waits[0] < 12 and 1800 < max(waits) <= HOUR + 1
    assert (await rows(house, outbox))[0]["content_sealed"] is None


# ── the log ─────────────────────────────────────────────────────────────────────────────────────


@SQLITE
async def test_who_reads_the_log(house: TestHouse, outside: Outside, service: Service) -> None:
    """Its own relying party by its own credentials, and nobody else; nothing there is secret."""
    public = await another(house, "app", token_endpoint_auth_method="none")
    other = await told(house, outside, "other")
    await log_out(await logged_in(house, service))
    await until(lambda: outside.got)
    await until_ended(house)
    assert len(await deliveries(service)) == 1
    assert await deliveries(other) == []
    wrong = httpx.BasicAuth(service.registered.id, "wrong")
    path, anybody = "/logout/deliveries", {"client_id": public.registered.id}
    for answer in (
        await service.http.get(path, auth=wrong),
        await service.http.get(path),
        await service.http.get(path, params=anybody),
        await service.http.post(path, data=anybody),
    ):
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    text = json.dumps(await deliveries(service))
    assert ALICE not in text and sent(outside.got[0]) not in text and "https:" not in text
