"""A client of the FAPI 2.0 Security Profile, from registration to UserInfo."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import select

from idp.kernel.tables import codes
from tests.actors import Browser, Service
from tests.asking import answered
from tests.deeds import on_sqlite, refused
from tests.house import CALLBACK, ISSUER, TestHouse
from tests.keys import BEARER, Holder, Signer, sign, verified_elsewhere

from .test_pushed import through


class FapiClient(Service):
    """Signs its assertions, pushes its requests, and holds a key."""

    signer: Signer
    holder: Holder

    def proofs(self, path: str, alg: str = "", **claims: Any) -> dict[str, str]:
        """The form fields that say who it is; the header says what it holds."""
        signer = Signer(self.registered.id, alg) if alg else self.signer
        signer.client_id = self.registered.id
        proof = self.holder.proof(self.house.clock.now(), f"{ISSUER}{path}")
        self.headers = {"dpop": proof}
        assertion = signer.assertion(self.house, **claims)
        return {"client_assertion_type": BEARER, "client_assertion": assertion}

    async def send(self, path: str, **fields: str) -> httpx.Response:
        return await self.http.post(path, data=fields, headers=self.headers)

    async def pushed(self, **changes: str | None) -> httpx.Response:
        return await self.send("/par", **self.params(**changes, **self.proofs("/par")))

    async def code(self, browser: Browser, **changes: str | None) -> str:
        answer = await self.pushed(**changes)
        assert answer.status_code == 201, answer.text
        reference = answer.json()["request_uri"]
        query = f"client_id={self.registered.id}&request_uri={reference}"
        page = await through(browser, f"{ISSUER}/authorize?{query}")
        assert answered(page)["iss"] == ISSUER  # RFC 9207
        return page.query["code"]

    async def tokens(self, code: str) -> httpx.Response:
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        proofs = self.proofs("/token")
        return await self.send("/token", code_verifier=self.verifier, **fields, **proofs)


@pytest.fixture
def changed_settings() -> dict[str, Any]:
    """An operator may let codes of others live longer."""
    return {"oidc": {"code_seconds": 600}}


@pytest.fixture
async def client(house: TestHouse) -> FapiClient:
    signer = Signer()
    registered = await house.register("fapi", profile="fapi2", jwks={"keys": [signer.public()]})
    found = FapiClient(house, registered)
    found.signer, found.holder = signer, Holder()
    return found


async def test_a_login(browser: Browser, client: FapiClient) -> None:
    """§5.3: everything that the profile asks for, and a refresh token that stays the same."""
    answer = await client.tokens(await client.code(browser, scope="openid offline_access"))
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert tokens["token_type"] == "DPoP"
    claims = await client.verified(tokens["access_token"])
    assert claims["cnf"] == {"jkt": client.holder.jkt}
    await client.verified(tokens["id_token"])
    fields = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    fresh = (await client.send("/token", **fields, **client.proofs("/token"))).json()
    assert fresh["refresh_token"] == tokens["refresh_token"]
    now, access = client.house.clock.now(), fresh["access_token"]
    proof = client.holder.proof(now, f"{ISSUER}/userinfo", method="GET", token=access)
    headers = {"authorization": f"DPoP {access}", "dpop": proof}
    assert (await client.http.get("/userinfo", headers=headers)).status_code == 200


@on_sqlite
async def test_a_request_that_was_not_pushed(browser: Browser, client: FapiClient) -> None:
    """§5.3.2.2: requests come by PAR and in no other way."""
    page = await browser.open(client.url())
    assert page.query["error"] == "invalid_request"


@on_sqlite
@pytest.mark.parametrize("without", ["code_challenge", "redirect_uri"])
async def test_an_incomplete_request(client: FapiClient, without: str) -> None:
    """§5.3.2.2: PKCE and the redirect URI are required at PAR, whatever nonce is sent."""
    changes = {without: None} | (
        {"code_challenge_method": None} if without == "code_challenge" else {}
    )
    refused(await client.pushed(**changes), 400, "invalid_request")


@on_sqlite
async def test_plain_is_no_method(client: FapiClient) -> None:
    """§5.3.2.2: S256."""
    refused(await client.pushed(code_challenge_method="plain"), 400, "invalid_request")


@on_sqlite
async def test_a_code_lives_a_minute(browser: Browser, client: FapiClient) -> None:
    """§5.3.2.1, whatever the operator chose for others."""
    code = await client.code(browser)
    (row,) = await client.house.services.database.all(select(codes))
    assert row["expires_at"] == client.house.clock.now() + 60
    client.house.clock.pass_(61)
    refused(await client.tokens(code), 400, "invalid_grant")


@on_sqlite
async def test_tokens_without_a_key(browser: Browser, client: FapiClient) -> None:
    """§5.3.2.1: only sender-constrained access tokens are issued."""
    code = await client.code(browser)
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    proofs = client.proofs("/token")
    client.headers = {}
    answer = await client.send("/token", code_verifier=client.verifier, **fields, **proofs)
    refused(answer, 400, "invalid_dpop_proof")
    assert (await client.tokens(code)).status_code == 200


@on_sqlite
async def test_an_assertion_for_the_endpoint(client: FapiClient) -> None:
    """§5.3.2.1: the audience is the issuer as a string, nothing else."""
    for audience in (f"{ISSUER}/par", f"{ISSUER}/token", [ISSUER], [ISSUER, f"{ISSUER}/par"]):
        proofs = client.proofs("/par", aud=audience)
        refused(await client.send("/par", **client.params(**proofs)), 401, "invalid_client")


async def test_an_assertion_in_rs256(house: TestHouse) -> None:
    """§5.4.1: PS256 of the same RSA key is taken, RS256 is not."""
    signer = Signer(alg="PS256")
    registered = await house.register("rsa", profile="fapi2", jwks={"keys": [signer.public()]})
    client = FapiClient(house, registered)
    client.signer, client.holder = signer, Holder()
    assert (await client.pushed()).status_code == 201
    proofs = client.proofs("/par", "RS256")
    refused(await client.send("/par", **client.params(**proofs)), 401, "invalid_client")


@on_sqlite
async def test_a_secret_is_no_proof(client: FapiClient) -> None:
    """§5.3.2.1: a client of the profile has none."""
    assert client.registered.secret is None
    auth = httpx.BasicAuth(client.registered.id, "guess")
    answer = await client.http.post("/par", data=client.params(), auth=auth)
    refused(answer, 401, "invalid_client")


# ── message signing ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def signing(house: TestHouse) -> FapiClient:
    signer = Signer()
    jwks = {"keys": [signer.public()]}
    registered = await house.register("signing", profile="fapi2-message-signing", jwks=jwks)
    found = FapiClient(house, registered)
    signer.client_id = registered.id
    found.signer, found.holder = signer, Holder()
    return found


def request_object(client: FapiClient, **changes: Any) -> str:
    now = client.house.clock.now()
    times = {"iss": client.registered.id, "aud": ISSUER, "nbf": now, "exp": now + 300}
    text = json.dumps(client.params(response_mode="jwt") | times | changes)
    header = {"alg": client.signer.alg, "typ": "oauth-authz-req+jwt", "kid": client.signer.kid}
    return sign(header, text, client.signer.key)


async def test_a_login_that_is_signed_both_ways(browser: Browser, signing: FapiClient) -> None:
    """The request is signed, and so is the answer; nothing stands beside them."""
    form = {"client_id": signing.registered.id, "request": request_object(signing)}
    answer = await signing.send("/par", **form, **signing.proofs("/par"))
    assert answer.status_code == 201, answer.text
    query = urlencode({"client_id": signing.registered.id} | answer.json())
    page = await through(browser, f"{ISSUER}/authorize?{query}")
    assert set(page.query) == {"response"}
    header, claims = verified_elsewhere(page.query["response"], await signing.http.get("/jwks"))
    assert header["alg"] == "ES256"
    assert (claims["iss"], claims["aud"]) == (ISSUER, signing.registered.id)
    assert (await signing.tokens(claims["code"])).json()["token_type"] == "DPoP"


@on_sqlite
async def test_an_unsigned_request(signing: FapiClient) -> None:
    """Message Signing §5.3: refused, also when it is pushed by the client itself."""
    refused(await signing.pushed(response_mode="jwt"), 400, "invalid_request")


@on_sqlite
async def test_a_plain_answer(signing: FapiClient) -> None:
    """Message Signing §5.4: whoever asks for one is refused."""
    form = {"client_id": signing.registered.id}
    for mode in ("query", "form_post"):
        text = request_object(signing, response_mode=mode)
        answer = await signing.send("/par", **form, request=text, **signing.proofs("/par"))
        refused(answer, 400, "invalid_request")
