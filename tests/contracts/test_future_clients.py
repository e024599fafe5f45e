"""Rows of clients that a newer version wrote, while this version still serves beside it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from idp.cli.clients import summary
from idp.kernel import stored
from idp.kernel.tables import clients
from idp.registry.metadata import ClientMetadata
from idp.registry.registration import Registration
from idp.registry.secrets import HeldCredentials
from tests.actors import Browser, Service
from tests.deeds import allow, on_sqlite
from tests.house import Registered, TestHouse

_WRITE = (
    update(clients)
    .where(clients.c.client_id == bindparam("id"))
    .values(metadata=bindparam("document"))
)
_READ = select(clients.c.metadata).where(clients.c.client_id == bindparam("id"))

# what a future version may write: (members to set, members to leave out)
FUTURE: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a member unknown here": ({"dpop_bound_access_tokens": True, "tls": {"a": [1]}}, ()),
    "a grant type": ({"grant_types": ["authorization_code", "urn:future", "refresh_token"]}, ()),
    "a response mode": ({"response_modes": ["jwt", "query"]}, ()),
    "an authentication method": ({"token_endpoint_auth_method": "tls_client_auth"}, ()),
    "an algorithm of ID tokens": ({"id_token_signed_response_alg": "ML-DSA-44"}, ()),
    "an algorithm of access tokens": ({"access_token_alg": "ML-DSA-44"}, ()),
    "a kind of application": ({"application_type": "appliance"}, ()),
    "a level and a method": ({"minimum_acr": "urn:future:acr", "methods": ["palm:scan"]}, ()),
    "a kind of key": (
        {
            "jwks": {"keys": [{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}]},
            "token_endpoint_auth_method": "private_key_jwt",
        },
        (),
    ),
    "no key at all": ({"jwks": None, "token_endpoint_auth_method": "private_key_jwt"}, ()),
    "rules that we would refuse": (
        {"client_name": "\u202e", "sector": "", "access_token_seconds": 5, "scopes": ["a b"]},
        (),
    ),
    "nothing but a redirect URI": (
        {},
        tuple(m for m in ClientMetadata.model_fields if m != "redirect_uris"),
    ),
    "nothing": ({}, tuple(ClientMetadata.model_fields)),
}
future = pytest.mark.parametrize(("members", "without"), FUTURE.values(), ids=FUTURE)


async def becomes(
    house: TestHouse, client_id: str, members: dict[str, Any], without: tuple[str, ...]
) -> None:
    """Writes the client's row as another version would."""
    row = await house.services.database.one(_READ, id=client_id)
    document = json.loads(row["metadata"]) | members
    text = json.dumps({k: v for k, v in document.items() if k not in without})
    await house.services.database.run(_WRITE, id=client_id, document=text)
    house.house.clients.forget()


def assert_answered(statuses: list[int]) -> None:
    """Whatever the answer is, it is one that was meant: refused, or not able to for now."""
    assert all(status < 500 or status == 503 for status in statuses), statuses


@on_sqlite
@future
async def test_every_endpoint_answers(
    house: TestHouse, members: dict[str, Any], without: tuple[str, ...]
) -> None:
    """No endpoint crashes on such a client: what is unknown is ignored, or matches nothing."""
    service = Service(house, await house.register("service"))
    before = await allow(service)
    tokens = await (await allow(service)).tokens()
    await becomes(house, "service", members, without)
    browser, http = Browser(house), service.http
    assertion = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": _unsigned("service"),
    }
    page = await browser.open(service.url())
    asked = [
        await service.redeem(before.code),
        await service.token(grant_type="client_credentials", scope="api:read"),
        await service.token(grant_type="refresh_token", refresh_token="twr_x"),
        await http.post("/token", data={"grant_type": "client_credentials"} | assertion),
        await http.post("/introspect", data={"token": "x"}, auth=service.auth()),
        await http.post("/revoke", data={"token": "x"}, auth=service.auth()),
        await service.userinfo(tokens["access_token"]),
        await http.get("/logout", params={"id_token_hint": tokens["id_token"]}),
        await http.get("/account"),
    ]
    assert_answered([page.status, *(answer.status_code for answer in asked)])


def _unsigned(client_id: str) -> str:
    import base64

    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    claims = {"iss": client_id, "sub": client_id, "aud": "https://id.test", "jti": "x"}
    return f"{part({'alg': 'ES256'})}.{part(claims)}.AAAA"


@on_sqlite
@future
async def test_the_operator_sees_it(
    house: TestHouse, members: dict[str, Any], without: tuple[str, ...]
) -> None:
    """It is listed; its organisation's keys are still counted; a secret can be changed."""
    made: Registered = await house.register_program(client_id="program")
    await becomes(house, "program", members, without)
    (client,) = await house.house.clients.all()
    shown = summary(client, HeldCredentials(), house.clock.now(), as_json=False)
    assert shown["client_id"] == made.id
    assert await house.registrar.rotate_secret("program", 0)
    await house.registrar.switch("program", enabled=False)


@on_sqlite
async def test_what_is_known_still_counts(house: TestHouse) -> None:
    """A new member beside the known ones changes nothing: the client gets its token."""
    program = await house.register_program(client_id="program")
    await becomes(house, "program", {"future": {"x": 1}}, ())
    answer = await house.http().post(
        "/token", data={"grant_type": "client_credentials"}, auth=("program", program.secret or "")
    )
    assert answer.status_code == 200, answer.text


def test_every_member_has_a_default_and_a_description() -> None:
    """A row may lack any member, and the documents explain each."""
    assert stored.read(ClientMetadata, "{}") == ClientMetadata()
    for name, field in ClientMetadata.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name


def test_a_registration_describes_what_is_stored() -> None:
    """Reader and registration have the same members, defaults and descriptions."""
    assert list(Registration.model_fields) == list(ClientMetadata.model_fields)
    for name, field in ClientMetadata.model_fields.items():
        strict = Registration.model_fields[name]
        assert strict.description == field.description
        assert strict.is_required() or strict.default == field.default
