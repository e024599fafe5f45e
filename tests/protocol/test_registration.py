"""Clients that register themselves (RFC 7591, RFC 7592). Rows RG."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idp.house import organisations_of
from idp.kernel.tables import client_secrets, clients
from idp.oidc.register import SCOPES
from idp.registry.admissions import DAY, Admissions
from idp.registry.wire import Unfit, read
from tests.actors import Browser, Service, log_in
from tests.asking import rows
from tests.deeds import not_allowed, on_sqlite, refused
from tests.house import CALLBACK, ISSUER, Registered, TestHouse
from tests.keys import BEARER, Signer, rsa

ON = pytest.mark.parametrize("changed_settings", [{"oidc": {"registration": True}}], ids=["on"])
SITE = {"client_name": "閱覽證", "redirect_uris": [CALLBACK]}


@pytest.fixture
async def admissions(house: TestHouse) -> Admissions:
    await organisations_of(house.services).create("國家圖書館", key="library")
    kept = house.services
    return Admissions(kept.database, kept.clock, kept.vault, kept.trail)


@pytest.fixture
async def initial(admissions: Admissions) -> str:
    """An initial access token for many clients."""
    return await admissions.issue("library", 50, DAY)


async def register(house: TestHouse, text: str, told: Any = None, **more: Any) -> httpx.Response:
    body = SITE | more if told is None else told
    headers = {"authorization": f"Bearer {text}"} if text else {}
    return await house.http().post("/register", json=body, headers=headers)


async def manage(
    house: TestHouse, method: str, made: dict[str, Any], told: Any = None, token: str | None = None
) -> httpx.Response:
    text = made["registration_access_token"] if token is None else token
    path = urlsplit(made["registration_client_uri"]).path
    headers = {"authorization": f"Bearer {text}"}
    return await house.http().request(method, path, json=told, headers=headers)


# ── what works ──────────────────────────────────────────────────────────────────────────────────


@ON
async def test_a_client_registers_itself_and_logs_somebody_in(
    house: TestHouse, browser: Browser, initial: str
) -> None:
    """§3.2.1: everything that holds is told, and the client works at once."""
    answer = await register(house, initial, scope="openid profile", software_id="unknown to us")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert made["client_secret_expires_at"] == 0
    assert made["client_id_issued_at"] == house.clock.now()
    assert made["registration_client_uri"] == f"{ISSUER}/register/{made['client_id']}"
    assert made["token_endpoint_auth_method"] == "client_secret_basic"
    assert made["grant_types"] == ["authorization_code"]
    assert made["scope"] == "openid profile"
    assert "software_id" not in made
    client = await house.house.clients.find(made["client_id"])
    assert client is not None
    assert (client.organisation, client.metadata.agency) == ("library", "國家圖書館")
    service = Service(house, Registered(client, made["client_secret"]))
    page = await log_in(browser, service)
    assert (await service.redeem(page)).status_code == 200


@ON
@on_sqlite
async def test_what_is_left_out_has_the_defaults_of_the_rfc(house: TestHouse, initial: str) -> None:
    """§2: authorization_code, client_secret_basic; every scope that needs no operator."""
    made = (await register(house, initial, {"redirect_uris": [CALLBACK]})).json()
    assert made["client_name"] == urlsplit(CALLBACK).hostname
    assert made["response_types"] == ["code"]
    assert set(made["scope"].split()) == set(SCOPES)
    assert "twid" not in made["scope"].split()
    assert made["id_token_signed_response_alg"] == "RS256"


@ON
@on_sqlite
async def test_what_holds_where_a_request_does_not_say(house: TestHouse, initial: str) -> None:
    """OIDC Registration §2: told back, an age of 0 too, and gone with a PUT without them.
    `auth_time` is in every ID token, so `require_auth_time` needs no place of its own."""
    said = {"default_max_age": 0, "default_acr_values": ["urn:twfido:qr"]}
    made = (await register(house, initial, **said, require_auth_time=True)).json()
    assert said.items() <= made.items()
    told = SITE | {"client_id": made["client_id"], "default_max_age": None}
    after = (await manage(house, "PUT", made, told)).json()
    assert not said.keys() & after.keys()


@ON
@on_sqlite
async def test_where_a_login_begins(house: TestHouse, initial: str) -> None:
    """OIDC Core §4 (oidcc-3rd_party-init-login and -nohttps): told at registration and after it;
    https alone."""
    begin = "https://app.test/begin"
    made = (await register(house, initial, initiate_login_uri=begin)).json()
    assert made["initiate_login_uri"] == begin
    assert (await manage(house, "GET", made)).json()["initiate_login_uri"] == begin
    plain = await register(house, initial, initiate_login_uri="http://app.test/begin")
    refused(plain, 400, "invalid_client_metadata")


@ON
@on_sqlite
async def test_a_public_client(house: TestHouse, initial: str) -> None:
    """RG-11: it has no secret, and gets none."""
    made = (await register(house, initial, token_endpoint_auth_method="none")).json()
    assert not {"client_secret", "client_secret_expires_at"} & made.keys()
    assert await rows(house, client_secrets) == []


@ON
@on_sqlite
async def test_a_client_with_keys(house: TestHouse, initial: str) -> None:
    """private_key_jwt with registered keys."""
    signer = Signer()
    told = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [signer.public()]}}
    made = (await register(house, initial, **told)).json()
    signer.client_id = made["client_id"]
    form = {"client_assertion_type": BEARER, "client_assertion": signer.assertion(house)}
    known = {"response_type": "code", "redirect_uri": CALLBACK, "scope": "openid", "nonce": "n"}
    answer = await house.http().post("/par", data=form | known)
    assert answer.status_code == 201, answer.text


@ON
@on_sqlite
async def test_read_replace_end(house: TestHouse, initial: str) -> None:
    """RFC 7592 §2: what is left out has its default again, what an operator decided stays, and
    what was ended is gone."""
    made = (await register(house, initial, policy_uri="https://app.test/policy")).json()
    seen = (await manage(house, "GET", made)).json()
    assert seen.items() <= made.items()
    assert "client_secret" not in seen
    client = await house.house.clients.find(made["client_id"])
    assert client is not None

    told = SITE | {"client_id": made["client_id"], "client_name": "新名稱", "scope": "openid"}
    answer = await manage(house, "PUT", made, told)
    assert answer.status_code == 200, answer.text
    assert answer.json()["client_name"] == "新名稱"
    assert "policy_uri" not in answer.json()
    after = await house.house.clients.find(made["client_id"])
    assert after is not None
    assert (after.metadata.agency, after.metadata.sector) == ("國家圖書館", client.metadata.sector)

    answer = await manage(house, "DELETE", made)
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "DELETE"):
        refused(await manage(house, method, made), 401, "invalid_token")
    assert await house.house.clients.active(made["client_id"]) is None
    assert await rows(house, client_secrets) == []
    for event in ("client.registered", "client.updated", "client.withdrawn"):
        assert len(await house.events(event)) == 1


# ── who may not ─────────────────────────────────────────────────────────────────────────────────


@on_sqlite
async def test_off_by_default(house: TestHouse, initial: str) -> None:
    """RG-01: not there, and not in the metadata."""
    assert (await register(house, initial)).status_code == 404
    found = (await house.http().get("/.well-known/openid-configuration")).json()
    assert "registration_endpoint" not in found


@ON
@on_sqlite
async def test_the_metadata_name_it(house: TestHouse) -> None:
    """OpenID Connect Discovery §3."""
    found = (await house.http().get("/.well-known/openid-configuration")).json()
    assert found["registration_endpoint"] == f"{ISSUER}/register"


@ON
@on_sqlite
async def test_tokens_that_admit_nobody(house: TestHouse, admissions: Admissions) -> None:
    """RG-02: none, made up, used up, expired, revoked, of a disabled organisation: the same
    answer, and no client."""
    spent = await admissions.issue("library", 1, DAY)
    assert (await register(house, spent)).status_code == 201
    revoked = await admissions.issue("library", 1, DAY)
    await admissions.revoke(revoked[-4:])
    for text in ("twi_made-up", spent, revoked):
        refused(await register(house, text), 401, "invalid_token")
    assert (await register(house, "")).status_code == 401
    late, disabled = [await admissions.issue("library", 1, DAY) for _ in range(2)]
    await organisations_of(house.services).switch("library", enabled=False)
    refused(await register(house, disabled), 401, "invalid_token")
    await organisations_of(house.services).switch("library", enabled=True)
    house.clock.pass_(DAY + 1)
    refused(await register(house, late), 401, "invalid_token")
    assert len(await rows(house, clients)) == 1


@ON
async def test_of_many_at_once_as_many_as_were_admitted(
    house: TestHouse, admissions: Admissions
) -> None:
    """RG-02: the last use of a token is one client, however many ask at the same moment."""
    text = await admissions.issue("library", 2, DAY)
    answers = await asyncio.gather(*(register(house, text) for _ in range(12)))
    assert sorted(a.status_code for a in answers) == [201, 201] + [401] * 10
    assert len(await rows(house, clients)) == 2


@ON
@on_sqlite
async def test_the_token_of_another_client(house: TestHouse, initial: str) -> None:
    """RFC 7592 §2: each client manages itself alone; whether another exists is not told."""
    one, other = [(await register(house, initial)).json() for _ in range(2)]
    await house.register("by-hand")
    by_hand = one | {"registration_client_uri": f"{ISSUER}/register/by-hand"}
    nobody = one | {"registration_client_uri": f"{ISSUER}/register/nobody"}
    wrong = other["registration_access_token"]
    told = SITE | {"client_id": one["client_id"]}
    for made, token in ((one, wrong), (one, initial), (one, "x"), (by_hand, None), (nobody, None)):
        for method in ("GET", "PUT", "DELETE"):
            refused(await manage(house, method, made, told, token), 401, "invalid_token")
    assert (await manage(house, "GET", one)).status_code == 200


@ON
@on_sqlite
async def test_a_client_that_was_disabled(house: TestHouse, initial: str) -> None:
    """An operator's word is final: it cannot read or change itself back."""
    made = (await register(house, initial)).json()
    await house.registrar.switch(made["client_id"], enabled=False)
    refused(await manage(house, "GET", made), 401, "invalid_token")


@ON
@on_sqlite
async def test_methods_and_places_of_the_token(house: TestHouse, initial: str) -> None:
    """RFC 6750: in the header, never in the address; other methods are not there."""
    not_allowed(await house.http().get("/register"), "POST")
    not_allowed(await house.http().post("/register/x"), "DELETE", "GET", "HEAD", "PUT")
    answer = await house.http().post(f"/register?access_token={initial}", json=SITE)
    refused(answer, 400, "invalid_request")


# ── what cannot be registered ───────────────────────────────────────────────────────────────────

META, URI = "invalid_client_metadata", "invalid_redirect_uri"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "RG-05 client_credentials": ({"grant_types": ["client_credentials"]}, META),
    "RG-05 a foreign scope": ({"scope": "openid admin"}, META),
    "RG-05 the national ID": ({"scope": "openid twid"}, META),
    "RG-05 trusted": ({"trusted": True}, META),
    "RG-05 roles": ({"roles": ["admin"]}, META),
    "RG-05 audience": ({"audience": ["https://api.test/"]}, META),
    "RG-05 agency": ({"agency": "內政部"}, META),
    "RG-05 sector": ({"sector": "library.test"}, META),
    "RG-05 sandbox": ({"sandbox": True}, META),
    "RG-05 scopes": ({"scopes": ["twid"]}, META),
    "RG-07 both": ({"jwks": {"keys": []}, "jwks_uri": "https://app.test/keys"}, META),
    "RG-07 private": ({"jwks": {"keys": [Signer().key.as_dict(private=True)]}}, META),
    "RG-07 symmetric": ({"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}, META),
    "RG-07 a list": ({"jwks": []}, META),
    "RG-04 jwks_uri": ({"jwks_uri": "https://127.0.0.1/keys"}, META),
    "RG-04 sector": ({"sector_identifier_uri": "https://[::1]/s"}, META),
    "RG-08 turned": ({"client_name": "a\u202eb"}, META),
    "RG-08 long": ({"client_name": "a" * 10_000}, META),
    "RG-08 invisible": ({"client_name": "\u200b"}, META),
    "RG-08 a number": ({"client_name": 7}, META),
    "no address": ({"redirect_uris": []}, URI),
    "http": ({"redirect_uris": ["http://app.test/"]}, URI),
    "a fragment": ({"redirect_uris": ["https://app.test/#a"]}, URI),
    "a script": ({"redirect_uris": ["javascript:alert(1)"]}, URI),
    "no list": ({"redirect_uris": CALLBACK}, URI),
    "numbers": ({"redirect_uris": [1]}, URI),
    "another's state": ({"redirect_uris": ["https://app.test/?state=x"]}, URI),
    "implicit": ({"response_types": ["id_token"]}, META),
    "no type": ({"response_types": []}, META),
    "grants as text": ({"grant_types": "authorization_code"}, META),
    "grants of lists": ({"grant_types": [[]]}, META),
    "none": ({"id_token_signed_response_alg": "none"}, META),
    "HS256": ({"id_token_signed_response_alg": "HS256"}, META),
    "encryption": ({"id_token_encrypted_response_alg": "RSA-OAEP"}, META),
    "subjects of no kind": ({"subject_type": "private"}, META),
    "a method": ({"token_endpoint_auth_method": "client_secret_jwt"}, META),
    "no keys": ({"token_endpoint_auth_method": "private_key_jwt"}, META),
    "an age as a text": ({"default_max_age": "60"}, META),
    "an age of yes": ({"default_max_age": True}, META),
    "an age below 0": ({"default_max_age": -1}, META),
    "an endless age": ({"default_max_age": 2**63}, META),
    "half a second": ({"default_max_age": 0.5}, META),
    "levels as a text": ({"default_acr_values": "urn:twfido:qr"}, META),
    "two levels in one": ({"default_acr_values": ["urn:twfido:qr urn:twfido:web"]}, META),
    "an empty level": ({"default_acr_values": [""]}, META),
    "a long level": ({"default_acr_values": ["a" * 256]}, META),
    "many levels": ({"default_acr_values": ["a"] * 11}, META),
    "scope as a list": ({"scope": ["openid"]}, META),
    "without openid": ({"scope": "profile"}, META),
    "a statement": ({"software_statement": "a.b.c"}, "invalid_software_statement"),
}


@ON
@on_sqlite
async def test_metadata_that_are_refused(house: TestHouse, admissions: Admissions) -> None:
    """§3.2.2: the word of the RFC, what is wrong, no client, and the token is not used up."""
    text = await admissions.issue("library", 1, DAY)
    for row, (changes, error) in WRONG.items():
        answer = await register(house, text, **changes)
        assert (answer.status_code, answer.json().get("error")) == (400, error), row
    assert await rows(house, clients) == []
    assert (await register(house, text)).status_code == 201


@ON
@on_sqlite
async def test_bodies_that_are_no_metadata(house: TestHouse, initial: str) -> None:
    """RG-10: null, a list, a text, a key twice, too much, another type, broken characters."""
    headers = {"authorization": f"Bearer {initial}", "content-type": "application/json"}
    for body in (
        *(b"null", b"[]", b'"x"', b"", b"{", b'{"client_name":"a","client_name":"b"}'),
        *(b'{"a":' * 50, b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":NaN}'),
        json.dumps({"a": "x" * 40_000}).encode(),
    ):
        answer = await house.http().post("/register", content=body, headers=headers)
        refused(answer, 400, META)
    answer = await house.http().post("/register", content=b"x" * 1_048_576, headers=headers)
    assert answer.status_code == 413
    form = await house.http().post(
        "/register", data={"client_name": "a"}, headers={"authorization": f"Bearer {initial}"}
    )
    refused(form, 400, META)
    assert await rows(house, clients) == []


@ON
@on_sqlite
async def test_updates_that_are_refused(house: TestHouse, initial: str) -> None:
    """RFC 7592 §2.2: another's id or secret, what only we say, a secret out of nothing."""
    made = (await register(house, initial, token_endpoint_auth_method="none")).json()
    own = SITE | {"client_id": made["client_id"], "token_endpoint_auth_method": "none"}
    for changes in (
        *({"client_id": None}, {"client_id": "other"}, {"client_secret": "wrong"}),
        *({"client_secret": 7}, {"registration_access_token": "x"}, {"client_id_issued_at": 1}),
        *({"token_endpoint_auth_method": "client_secret_basic"}, {"trusted": True}),
        {"redirect_uris": ["http://app.test/"]},
    ):
        answer = await manage(house, "PUT", made, own | changes)
        assert answer.status_code == 400, changes
        assert answer.json()["error"] in (META, URI)
    seen = (await manage(house, "GET", made)).json()
    assert seen.items() <= made.items()


@on_sqlite
@pytest.mark.parametrize(
    "changed_settings", [{"oidc": {"registration": True, "registrations_per_minute": 3}}]
)
async def test_calls_are_counted(house: TestHouse) -> None:
    """A flood of guesses is stopped before it costs anything."""
    answers = [await register(house, "x") for _ in range(4)]
    assert [a.status_code for a in answers] == [401, 401, 401, 429]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_NAMES = sorted({
    *SITE, "scope", "jwks", "grant_types", "response_types", "client_uri", "application_type",
    "token_endpoint_auth_method", "post_logout_redirect_uris", "response_modes", "client_name#en",
    "require_signed_request_object", "subject_type", "trusted", "sector",
    "default_max_age", "default_acr_values",
})  # fmt: skip


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(_NAMES), _JSON))
def test_no_metadata_crash_the_reader(told: dict[str, Any]) -> None:
    """Any JSON is a registration or Unfit, and never more than a client may say of itself."""
    try:
        made = read(told, SCOPES, {})
    except Unfit:
        return
    assert not made.trusted and not made.roles and set(made.scopes) <= set(SCOPES)


def test_a_weak_key() -> None:
    """RG-07: RSA under 2048 bits."""
    with pytest.raises(Unfit):
        read(SITE | {"jwks": {"keys": [_weak()]}}, SCOPES, {})
    assert read(SITE | {"jwks": {"keys": [rsa("r").as_dict(private=False)]}}, SCOPES, {}).jwks


def _weak() -> dict[str, Any]:
    known = rsa("r").as_dict(private=False)
    return {**known, "n": known["n"][: len(known["n"]) // 2]}
