"""Rows of clients that something else has written: an old import, a hand in the database, a broken
disk. Whatever a member holds, nothing crashes on it, for this client or for any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from idp.cli.applying import plan
from idp.cli.clients import summary
from idp.kernel.tables import clients
from idp.registry.metadata import ClientMetadata
from idp.registry.registration import Registration
from idp.registry.rows import read_metadata
from idp.registry.secrets import HeldCredentials
from tests.actors import Browser, Service
from tests.asking import logged_in
from tests.deeds import allow, on_sqlite
from tests.house import TestHouse
from tests.logins import forget_rates

MEMBERS = tuple(ClientMetadata.model_fields)
_WRITE = (
    update(clients)
    .where(clients.c.client_id == bindparam("id"))
    .values(metadata=bindparam("document"))
)
_READ = select(clients.c.metadata).where(clients.c.client_id == bindparam("id"))

# JSON texts, because some of them are no value that Python would write
TEXTS = {
    "null": "null", "true": "true", "zero": "0", "negative": "-5", "huge": "9" * 400,
    "fraction": "1.5", "exponent": "1e999", "nan": "NaN", "empty": '""', "list": "[]",
    "nulls": "[null]", "numbers": "[1,2]", "lists": '[["openid"]]', "object": "{}",
    "keys": '{"keys":[null,5,{}]}', "key": '{"keys":5}', "nul": r'"a\u0000b"',
    "newline": r'"a\r\nSet-Cookie: x=1"', "surrogate": r'"\ud800"', "surrogates": r'["\udfff"]',
    "bracket": '"https://["', "brackets": '["https://["]', "port": '["https://a.test:99999/"]',
    "zone": '["https://[fe80::1%25eth0]/"]', "markup": '"</script>\'\\""',
    "template": '"{{ 7*7 }}"', "long": '"' + "x" * 100_000 + '"',
    "idna": '["https://\u2100.test/"]', "deep": "[" * 90 + "]" * 90,
}  # fmt: skip
DOCUMENTS = {
    "nothing": "", "null": "null", "list": "[]", "text": '"x"', "half": '{"client_name": "x',
    "nul": "\x01", "deep": "[" * 100_000, "number": "9" * 10_000,
    "twice": '{"kiosk":true,"kiosk":null}',
}  # fmt: skip


def documents(before: str) -> Iterator[tuple[str, str]]:
    """(what it is, the row): every member with every text, and what is no document."""
    known = json.loads(before)
    for member in MEMBERS:
        rest = json.dumps({k: v for k, v in known.items() if k != member})[1:]
        for what, text in TEXTS.items():
            yield f"{member}: {what}", f'{{"{member}": {text}, {rest}'
    yield from DOCUMENTS.items()


async def write(house: TestHouse, client_id: str, document: str) -> None:
    await house.services.database.run(_WRITE, id=client_id, document=document)
    house.house.clients.forget()


async def stored_of(house: TestHouse, client_id: str) -> str:
    return str((await house.services.database.one(_READ, id=client_id))["metadata"])


@pytest.mark.parametrize("member", MEMBERS)
def test_null_is_left_out(member: str) -> None:
    """RFC 7591 §2: a member that is null is one that is not there."""
    found, unreadable = read_metadata(json.dumps({"client_name": "x", member: None}))
    name = "" if member == "client_name" else "x"
    assert (found, unreadable) == (ClientMetadata(client_name=name), ())


@pytest.mark.parametrize("member", MEMBERS)
def test_what_is_lost_switches_off(member: str) -> None:
    """A rule (PKCE, a proof, a level) that cannot be read must not be one that is not there."""
    found, unreadable = read_metadata(json.dumps({member: {"a": [1]}}))
    if member == "jwks":  # an object is what it holds
        assert found.jwks == {"a": [1]}
    else:
        assert (found, unreadable) == (ClientMetadata(), (member,))


@on_sqlite
@pytest.mark.parametrize("part", range(6))
async def test_every_endpoint_answers(house: TestHouse, part: int) -> None:
    """Every member with every text, at every endpoint: an answer that was meant. Each document in
    one of six parts, so that workers can share them."""
    service = Service(house, await house.register("service", trusted=True))
    tokens, browser = await (await allow(service)).tokens(), Browser(house)
    before = await stored_of(house, "service")
    for what, document in [*documents(before)][part::6]:
        await write(house, "service", document)
        await forget_rates(house)
        statuses = await asked(service, browser, tokens)
        assert all(status < 500 or status == 503 for status in statuses), (what, statuses)


async def asked(service: Service, browser: Browser, tokens: dict[str, Any]) -> list[int]:
    http, token = service.http, tokens["access_token"]
    cors = {"origin": "https://app.test", "access-control-request-method": "POST"}
    assertion = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "e30.eyJzdWIiOiJzZXJ2aWNlIn0.AAAA",
        "grant_type": "client_credentials",
    }
    odd = {"redirect_uri": "https://["}
    pages = [await browser.open(service.url()), await browser.open(service.url(**odd))]
    answers = [
        await service.push(),
        await service.redeem("twc_x"),
        await service.token(grant_type="client_credentials"),
        await service.refresh(tokens["refresh_token"]),
        await http.post("/token", data=assertion),
        await http.post("/introspect", data={"token": token}, auth=service.auth()),
        await service.userinfo(token),
        await http.options("/token", headers=cors),
        await http.get("/logout", params={"id_token_hint": tokens["id_token"]}),
    ]
    return [*(page.status for page in pages), *(answer.status_code for answer in answers)]


@on_sqlite
async def test_a_person_still_gets_in(house: TestHouse) -> None:
    """With each text at one member, the login runs to its end or is refused with a page; another
    client is not touched by it."""
    service = Service(house, await house.register("service", trusted=True))
    other = Service(house, await house.register("other", trusted=True))
    browser = await logged_in(house, other)
    before = await stored_of(house, "service")
    for member in ("redirect_uris", "kiosk", "methods", "minimum_acr", "access_token_seconds"):
        rest = json.dumps({k: v for k, v in json.loads(before).items() if k != member})[1:]
        for what, text in TEXTS.items():
            await write(house, "service", f'{{"{member}": {text}, {rest}')
            await forget_rates(house)
            page = await browser.open(service.url())
            assert page.status < 500, (member, what)
            if "code" in page.query:
                answer = await service.redeem(page.query["code"])
                assert answer.status_code == 200, (member, what, answer.text)
    assert "code" in (await browser.open(other.url())).query


@on_sqlite
async def test_the_operator_sees_and_mends_it(house: TestHouse) -> None:
    """It is listed with what is wrong; it is off however often it is enabled, and a registration
    that is whole brings it back."""
    made = await house.register("service")
    whole = Registration.model_validate(made.client.metadata.model_dump())
    before = await stored_of(house, "service")
    for what, document in documents(before):
        await write(house, "service", document)
        (client,) = await house.house.clients.all()
        shown = summary(client, HeldCredentials(), house.clock.now(), as_json=True)
        assert (shown["state"] == "unreadable") == bool(client.unreadable), what
        assert client.disabled == bool(client.unreadable), what
        assert [change.what for change in plan([client], {"service": whole}, prune=True)]
    await write(house, "service", '{"kiosk": {}}')
    await house.registrar.switch("service", enabled=True)
    assert await house.house.clients.active("service") is None
    await house.registrar.update("service", whole)
    mended = await house.house.clients.active("service")
    assert mended is not None and mended.unreadable == ()


@on_sqlite
async def test_origins_of_all_the_others(house: TestHouse) -> None:
    """One address that cannot be read would have closed every browser program's door."""
    for name in ("damaged", "app"):
        await house.register(
            name, token_endpoint_auth_method="none", redirect_uris=(f"https://{name}.test/cb",)
        )
    text = (await stored_of(house, "damaged")).replace("https://damaged.test/cb", "https://[")
    await write(house, "damaged", text)
    assert await house.house.clients.browser_origins() == {"https://app.test"}
