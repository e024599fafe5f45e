"""What clients keep at addresses of their own: keys, request objects, the list of a sector; and
public subjects. Row RG-04."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from idp.house import organisations_of
from idp.registry.admissions import DAY, Admissions
from idp.registry.registration import Registration
from tests import outside as world
from tests.actors import Browser, Service, log_in, verify
from tests.deeds import on_sqlite, refused
from tests.house import CALLBACK, ISSUER, TestHouse
from tests.keys import BEARER, Signer, sign
from tests.outside import Outside
from tests.protocol.test_request_objects import Signing

OTHER = "https://second.example.test/callback"


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    async with world.outside() as running:
        yield running


async def keyed(house: TestHouse, outside: Outside, **fields: Any) -> tuple[Service, Signer]:
    """A client whose keys are at its own address."""
    signer = Signer()
    outside.at["/keys"] = {"keys": [signer.public()]}
    known = {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": outside.url("/keys")}
    return Service(house, await house.register(signer.client_id, **(known | fields))), signer


async def push(service: Service, signer: Signer, **fields: Any) -> httpx.Response:
    proof = {"client_assertion_type": BEARER, "client_assertion": signer.assertion(service.house)}
    return await service.http.post("/par", data=service.params(**proof) | fields)


# ── keys ────────────────────────────────────────────────────────────────────────────────────────


async def test_keys_at_an_address(house: TestHouse, outside: Outside) -> None:
    """RFC 7591 §2 jwks_uri: fetched once, and kept while they are fresh."""
    service, signer = await keyed(house, outside)
    for _ in range(3):
        assert (await push(service, signer)).status_code == 201
    assert [got.path for got in outside.got] == ["/keys"]


async def test_a_new_key(house: TestHouse, outside: Outside) -> None:
    """OIDC Core §10.1.1: a kid that is not known is asked for, but not each time that somebody
    makes one up."""
    service, signer = await keyed(house, outside)
    assert (await push(service, signer)).status_code == 201
    new = Signer(client_id=signer.client_id, kid="k2")
    outside.at["/keys"] = {"keys": [new.public()]}
    for _ in range(5):
        refused(await push(service, new), 401, "invalid_client")
    assert outside.connections == 1
    house.clock.pass_(31)
    assert (await push(service, new)).status_code == 201
    refused(await push(service, signer), 401, "invalid_client")


@on_sqlite
@pytest.mark.parametrize(
    "found",
    [None, b"", b"[]", b'{"keys":7}', b'{"keys":[7,null,{}]}', b"x" * 100_000, b'{"keys":[]}'],
    ids=["404", "empty", "list", "number", "nothing", "large", "none"],
)
async def test_keys_that_cannot_be_read(house: TestHouse, outside: Outside, found: Any) -> None:
    """Nobody is proven by keys that are not there, and nothing breaks."""
    service, signer = await keyed(house, outside)
    outside.at["/keys"] = found
    refused(await push(service, signer), 401, "invalid_client")


@on_sqlite
async def test_keys_that_could_not_be_registered(house: TestHouse, outside: Outside) -> None:
    """RG-07 holds for keys that are fetched: private and symmetric ones are not used."""
    service, signer = await keyed(house, outside)
    private = signer.key.as_dict(private=True) | {"kid": signer.kid}
    outside.at["/keys"] = {"keys": [private, {"kty": "oct", "k": "c2VjcmV0", "kid": signer.kid}]}
    refused(await push(service, signer), 401, "invalid_client")


@on_sqlite
async def test_a_host_that_is_away(house: TestHouse, outside: Outside) -> None:
    """The client's own host decides for the client alone: 401, at once the second time."""
    service, signer = await keyed(house, outside, jwks_uri="https://nobody.outside.test:65000/keys")
    for _ in range(2):
        refused(await push(service, signer), 401, "invalid_client")


# ── request objects ─────────────────────────────────────────────────────────────────────────────


async def objects(house: TestHouse, outside: Outside) -> Signing:
    service, signer = await keyed(
        house,
        outside,
        token_endpoint_auth_method="client_secret_basic",
        request_uris=(outside.url("/object") + "#any",),
    )
    return Signing(service, signer)


async def test_a_request_object_at_an_address(
    house: TestHouse, browser: Browser, outside: Outside
) -> None:
    """RFC 9101 §5.2.2: fetched from a registered address, its fragment aside, and verified with
    the keys at another."""
    rp = await objects(house, outside)
    outside.at["/object"] = rp.object().encode()
    uri = outside.url("/object") + "#digest"
    bare = dict.fromkeys(rp.service.params(), None) | {"client_id": rp.signer.client_id}
    await browser.open(rp.service.url(**bare, request_uri=uri))
    await verify(browser)
    page = await browser.press("allow")
    assert page.query["state"] == rp.service.state
    assert (await rp.service.redeem(page)).status_code == 200


@on_sqlite
async def test_an_address_that_is_not_registered(
    house: TestHouse, browser: Browser, outside: Outside
) -> None:
    """RFC 9101 §10.4.1: never called."""
    rp = await objects(house, outside)
    for uri in (outside.url("/other"), outside.url("/object") + "?a=b", "https://127.0.0.1/"):
        page = await browser.open(rp.service.url(request_uri=uri))
        assert page.query["error"] == "request_uri_not_supported"
    uri = outside.url("/object")
    page = await browser.open(rp.service.url(request_uri=uri) + "&request_uri=https://a.test/")
    assert page.query["error"] == "invalid_request"
    assert outside.connections == 0
    page = await browser.open(rp.service.url(request_uri=uri, request=rp.object()))
    assert page.query["error"] == "request_uri_not_supported"
    assert [got.path for got in outside.got] == ["/keys"]


@on_sqlite
async def test_an_object_that_cannot_be_had(
    house: TestHouse, browser: Browser, outside: Outside
) -> None:
    """OIDC Core §3.1.2.6 invalid_request_uri, on a page: nobody vouches for an address to send
    the error to. What is there but not signed is refused as any other."""
    rp = await objects(house, outside)
    page = await browser.open(rp.service.url(request_uri=outside.url("/object")))
    assert (page.status, page.error_code) == (400, "TF-1005")
    house.clock.pass_(31)
    outside.at["/object"] = sign({"alg": "ES256"}, b"{}", Signer().key).encode()
    page = await browser.open(rp.service.url(request_uri=outside.url("/object")))
    assert page.query["error"] == "invalid_request_object"


# ── sectors ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def initial(house: TestHouse) -> str:
    await organisations_of(house.services).create("國家圖書館", key="library")
    kept = house.services
    admissions = Admissions(kept.database, kept.clock, kept.vault, kept.trail)
    return await admissions.issue("library", 50, DAY)


ON = pytest.mark.parametrize("changed_settings", [{"oidc": {"registration": True}}], ids=["on"])


async def register(house: TestHouse, initial: str, **told: Any) -> httpx.Response:
    known = {"client_name": "a", "redirect_uris": [CALLBACK, OTHER]}
    headers = {"authorization": f"Bearer {initial}"}
    return await house.http().post("/register", json=known | told, headers=headers)


@ON
@on_sqlite
async def test_a_sector_of_several_hosts(house: TestHouse, outside: Outside, initial: str) -> None:
    """OIDC Core §8.1: its host is the sector, if every redirect address is in its list."""
    outside.at["/sector"] = [CALLBACK, OTHER, "https://third.test/"]
    uri = outside.url("/sector")
    answer = await register(house, initial, sector_identifier_uri=uri)
    assert answer.status_code == 201, answer.text
    assert answer.json()["sector_identifier_uri"] == uri
    client = await house.house.clients.find(answer.json()["client_id"])
    assert client is not None
    assert client.metadata.sector == uri.split("/")[2]


@ON
@on_sqlite
async def test_nobody_takes_the_sector_of_others(
    house: TestHouse, outside: Outside, initial: str
) -> None:
    """OIDC Core §8.1: a client has the sector of a host as long as all its addresses are there.
    One that names another's host and then its own would see that one's sub."""

    async def put(**told: Any) -> httpx.Response:
        path = f"/register/{made['client_id']}"
        body = {"client_name": "a", "client_id": made["client_id"]} | told
        headers = {"authorization": f"Bearer {made['registration_access_token']}"}
        return await house.http().put(path, json=body, headers=headers)

    async def sector() -> str:
        client = await house.house.clients.find(made["client_id"])
        assert client is not None
        return client.metadata.sector

    made = (await register(house, initial, redirect_uris=[CALLBACK])).json()
    theirs = await sector()
    assert (await put(redirect_uris=[CALLBACK + "/more"])).status_code == 200
    assert await sector() == theirs
    assert (await put(redirect_uris=[CALLBACK, OTHER])).status_code == 200
    own = await sector()
    assert own.startswith("client/")
    assert (await put(redirect_uris=[CALLBACK])).status_code == 200
    assert await sector() == own
    outside.at["/sector"] = [OTHER]
    listed = outside.url("/sector")
    answer = await put(redirect_uris=[OTHER], sector_identifier_uri=listed)
    assert answer.status_code == 200, answer.text
    assert await sector() == listed.split("/")[2]
    app = {"redirect_uris": ["com.example.app:/cb"], "application_type": "native"}
    assert (await put(**app)).status_code == 200
    assert await sector() == f"client/{made['client_id']}"
    assert (await put(redirect_uris=[OTHER])).status_code == 200
    assert await sector() == OTHER.split("/")[2]


@ON
@on_sqlite
@pytest.mark.parametrize("more", [OTHER, "http://127.0.0.1/cb", "com.example.app:/cb"])
async def test_several_places_without_a_list(house: TestHouse, initial: str, more: str) -> None:
    """OIDC Core §8.1, oidcc-ensure-redirect-uri-in-authorization-request: such a client shares its
    sector with nobody, neither with a host nor with another client of the same addresses."""
    both = {"redirect_uris": [CALLBACK, more], "application_type": "native"}
    sectors = set()
    for _ in range(2):
        answer = await register(house, initial, **both)
        assert answer.status_code == 201, answer.text
        client = await house.house.clients.find(answer.json()["client_id"])
        assert client is not None
        sectors.add(client.metadata.sector)
    assert len(sectors) == 2
    assert all(sector.startswith("client/") for sector in sectors)


@ON
@on_sqlite
async def test_a_list_that_changed(house: TestHouse, outside: Outside, initial: str) -> None:
    """OpenID Connect Registration §5, oidcc-registration-sector-bad: the list of today counts, not
    the one that was read for the client before."""
    outside.at["/sector"] = [CALLBACK, OTHER]
    uri = outside.url("/sector")
    assert (await register(house, initial, sector_identifier_uri=uri)).status_code == 201
    outside.at["/sector"] = [OTHER]
    answer = await register(house, initial, sector_identifier_uri=uri)
    refused(answer, 400, "invalid_client_metadata")


@ON
@on_sqlite
async def test_kinds_of_subjects(house: TestHouse, initial: str) -> None:
    """OpenID Connect Registration §2 subject_type: as the client asks, pairwise if it does not."""
    one = {"redirect_uris": [CALLBACK]}
    for told in ({}, {"subject_type": "pairwise"}, {"subject_type": "public"}):
        made = (await register(house, initial, **(one | told))).json()
        assert made["subject_type"] == told.get("subject_type", "pairwise")


@ON
@on_sqlite
@pytest.mark.parametrize(
    "found", [[CALLBACK], [], {"a": 1}, b"[", [1, None], None, b'["' + b"x" * 70_000 + b'"]']
)
async def test_a_list_that_lacks_an_address(
    house: TestHouse, outside: Outside, initial: str, found: Any
) -> None:
    """OpenID Connect Registration §5: or is no list, or is not there."""
    outside.at["/sector"] = found
    answer = await register(house, initial, sector_identifier_uri=outside.url("/sector"))
    refused(answer, 400, "invalid_client_metadata")


@ON
@on_sqlite
@pytest.mark.parametrize("member", ["jwks_uri", "sector_identifier_uri", "request_uris"])
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]", "inside.test"],
)
async def test_addresses_that_lead_inside(
    house: TestHouse, initial: str, member: str, host: str
) -> None:
    """RG-04: refused at the registration, and nothing is called."""
    uri = f"https://{host}/x"
    told: dict[str, Any] = {member: [uri] if member == "request_uris" else uri}
    told |= {"jwks": {"keys": [Signer().public()]}} if member == "request_uris" else {}
    answer = await register(house, initial, redirect_uris=[CALLBACK], **told)
    refused(answer, 400, "invalid_client_metadata")


# ── public subjects ─────────────────────────────────────────────────────────────────────────────


async def subject(browser: Browser, service: Service) -> str:
    page = await log_in(browser, service)
    tokens = (await service.redeem(page)).json()
    return str((await service.verified(tokens["id_token"]))["sub"])


@on_sqlite
async def test_public_subjects(house: TestHouse, browser: Browser) -> None:
    """OIDC Core §8: public clients see one sub, whatever their sector; pairwise ones another."""
    found = [
        await subject(browser, Service(house, await house.register(name, **fields)))
        for name, fields in {
            "one": {"subject_type": "public"},
            "two": {"subject_type": "public", "sector": "elsewhere.test"},
            "three": {},
        }.items()
    ]
    assert found[0] == found[1] != found[2]
    metadata = (await house.http().get("/.well-known/openid-configuration")).json()
    assert metadata["subject_types_supported"] == ["pairwise", "public"]
    assert metadata["issuer"] == ISSUER


@pytest.mark.parametrize(
    "wrong",
    [
        {"jwks_uri": "http://app.test/keys"},
        {"jwks_uri": "https://app.test/keys", "jwks": {"keys": [Signer().public()]}},
        {"request_uris": ("ftp://app.test/",)},
        {"request_uris": ("#",)},
        {"request_uris": tuple(f"https://app.test/{n}" for n in range(21))},
        {"request_uris": ("https://app.test/object",)},
        {"subject_type": "private"},
        {"sector_identifier_uri": "http://app.test/"},
    ],
)
def test_what_cannot_be_registered(wrong: dict[str, Any]) -> None:
    """https, one place of keys, keys for objects, and an end."""
    known = {"client_name": "a", "redirect_uris": ("https://a.test/",)}
    with pytest.raises(ValidationError):
        Registration.model_validate(known | wrong)
