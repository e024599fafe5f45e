"""Request objects (RFC 9101), by value and pushed."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

from idp.kernel.tables import authorizations
from idp.registry.registration import Registration
from tests.actors import Browser, Service, verify
from tests.asking import rows
from tests.deeds import on_sqlite, refused
from tests.house import CALLBACK, ISSUER, TestHouse
from tests.keys import BEARER, Signer, rsa, sign

TYPE = "oauth-authz-req+jwt"


@dataclass
class Signing:
    """A relying party that signs what it asks for."""

    service: Service
    signer: Signer

    def object(self, header: dict[str, Any] | None = None, /, **changes: Any) -> str:
        """A change to None leaves a claim out."""
        now = self.service.house.clock.now()
        known = {"iss": self.signer.client_id, "aud": ISSUER, "nbf": now, "exp": now + 300}
        claims = self.service.params() | known | changes
        text = json.dumps({k: v for k, v in claims.items() if v is not None})
        return sign({"alg": self.signer.alg, "typ": TYPE} | (header or {}), text, self.signer.key)

    def url(self, text: str, **beside: str | None) -> str:
        """Nothing but the client_id and the object."""
        bare = dict.fromkeys(self.service.params(), None) | {"client_id": self.signer.client_id}
        return self.service.url(**(bare | {"request": text} | beside))


async def registered(house: TestHouse, signer: Signer | None = None, **fields: Any) -> Signing:
    signer = signer or Signer()
    known = await house.register(signer.client_id, jwks={"keys": [signer.public()]}, **fields)
    return Signing(Service(house, known), signer)


@pytest.fixture
async def rp(house: TestHouse) -> Signing:
    return await registered(house)


@on_sqlite
@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "EdDSA"])
@pytest.mark.parametrize("typ", [TYPE, "JWT", "Application/OAuth-AuthZ-Req+JWT"])
async def test_each_algorithm(house: TestHouse, browser: Browser, alg: str, typ: str) -> None:
    """§6.2: one of four algorithms, with the kind of token that it is."""
    rp = await registered(house, Signer(alg=alg))
    await browser.open(rp.url(rp.object({"typ": typ})))
    assert "allow" in (await verify(browser)).buttons()


async def test_a_login_by_a_request_object(browser: Browser, rp: Signing) -> None:
    """§5: all that the client wants is inside, state and nonce too."""
    await browser.open(rp.url(rp.object(max_age=600, claims={"id_token": {"acr": None}})))
    await verify(browser)
    page = await browser.press("allow")
    assert page.query["state"] == rp.service.state
    tokens = (await rp.service.redeem(page)).json()
    assert (await rp.service.verified(tokens["id_token"]))["nonce"] == rp.service.nonce


@on_sqlite
async def test_what_stands_beside_it_does_not_count(browser: Browser, rp: Signing) -> None:
    """§6.3: parameters in the query were not signed."""
    beside = {"scope": "openid twid", "state": "forged", "redirect_uri": "https://evil.test/"}
    await browser.open(rp.url(rp.object(scope="openid"), **beside))
    await verify(browser)
    page = await browser.press("allow")
    assert page.url.startswith(CALLBACK)
    assert page.query["state"] == rp.service.state
    tokens = (await rp.service.redeem(page)).json()
    assert tokens["scope"] == "openid"


@on_sqlite
async def test_a_pushed_request_object(browser: Browser, rp: Signing) -> None:
    """RFC 9126 §3: signed and pushed; the client authenticates beside it."""
    bare = dict.fromkeys(rp.service.params(), None)
    await browser.open(await rp.service.pushed_url(**bare, request=rp.object()))
    assert "allow" in (await verify(browser)).buttons()


FAULTS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "somebody"},
    "another audience": {"aud": "https://other.test"},
    "other audiences": {"aud": ["https://other.test"]},
    "another client": {"client_id": "somebody"},
    "no client": {"client_id": None},
    "over": {"exp": 1},
    "no date": {"exp": "tomorrow"},
    "a date that is true": {"exp": True},
    "not yet": {"nbf": 4_000_000_000},
    "issued in the future": {"iat": 4_000_000_000},
    "an object inside": {"request": "x"},
    "a reference inside": {"request_uri": "https://a.test/"},
    "a list": {"scope": ["openid"]},
    "null": {"max_age": {"a": 1}},
    "true": {"prompt": True},
    "a control character": {"state": "a\x00b"},
}


@on_sqlite
@pytest.mark.parametrize("row", FAULTS)
async def test_claims_that_are_wrong(browser: Browser, rp: Signing, row: str) -> None:
    """§6.3: told where the request itself says, and nobody is asked to log in."""
    page = await browser.open(rp.url(rp.object(**FAULTS[row]), redirect_uri=CALLBACK, state="s"))
    assert page.url.startswith(CALLBACK)
    assert (page.query["error"], page.query["state"]) == ("invalid_request_object", "s")
    assert page.query["error_description"].startswith("request object: ")
    assert await rows(rp.service.house, authorizations) == []


def unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none"}, claims)
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*coded, ""])


@on_sqlite
async def test_not_signed_by_this_client(house: TestHouse, browser: Browser, rp: Signing) -> None:
    """§6.2: another key, another algorithm, a header that brings a key, no token at all."""
    other = Signer()
    good = rp.object()
    head, _, rest = good.partition(".")
    for text in (
        Signing(rp.service, other).object(),
        sign({"alg": "RS256"}, json.dumps(rp.service.params()), rsa("client")),
        rp.object({"jwk": other.public()}),
        rp.object({"kid": "unknown"}),
        rp.object({"typ": "at+jwt"}),
        rp.object({"typ": "dpop+jwt"}),
        *(good[:-4], head, f"{head}.{rest}.x", "x", "..", "\u4e2d", "a" * 6000),
        rp.signer.assertion(house),
    ):
        page = await browser.open(rp.url(text, redirect_uri=CALLBACK))
        assert page.query["error"] == "invalid_request_object", text
    assert await rows(house, authorizations) == []


@on_sqlite
async def test_without_an_address_beside_it_the_error_is_a_page(
    browser: Browser, rp: Signing
) -> None:
    """RFC 9700 §4.11: an address that nobody vouches for is not redirected to."""
    page = await browser.open(rp.url(Signing(rp.service, Signer()).object()))
    assert (page.status, page.error_code) == (400, "TF-1003")


@on_sqlite
async def test_an_address_inside_that_is_not_registered(browser: Browser, rp: Signing) -> None:
    """OIDC Core §3.1.2.1 holds inside too, also where the one beside it is registered."""
    text = rp.object(redirect_uri="https://evil.test/")
    page = await browser.open(rp.url(text, redirect_uri=CALLBACK))
    assert (page.status, page.error_code) == (400, "TF-1002")


@on_sqlite
async def test_one_without_a_signature(browser: Browser, rp: Signing) -> None:
    """AZ-32: refused, in the mode that it names itself."""
    text = unsigned(rp.service.params(response_mode="form_post"))
    page = await browser.open(rp.url(text))
    (form,) = page.forms
    assert form.action == CALLBACK
    assert form.fields["error"] == "request_not_supported"
    assert form.fields["state"] == rp.service.state
    answer = await rp.service.push(request=text)
    refused(answer, 400, "request_not_supported")


@on_sqlite
async def test_an_error_goes_back_as_the_object_says(browser: Browser, rp: Signing) -> None:
    """OAuth 2.0 Form Post Response Mode §2: a wrong parameter inside is told by form_post."""
    text = rp.object(response_mode="form_post", prompt="none login")
    page = await browser.open(rp.url(text))
    (form,) = page.forms
    assert (form.action, form.fields["error"]) == (CALLBACK, "invalid_request")


@on_sqlite
async def test_the_registered_algorithm(house: TestHouse, browser: Browser) -> None:
    """OpenID Connect Registration §2 request_object_signing_alg: this one only."""
    rp = await registered(house, Signer(alg="PS256"), request_object_signing_alg="PS256")
    await browser.open(rp.url(rp.object()))
    assert "allow" in (await verify(browser)).buttons()
    page = await browser.open(rp.url(rp.object({"alg": "RS256"}), redirect_uri=CALLBACK))
    assert page.query["error"] == "invalid_request_object"


@on_sqlite
async def test_a_client_that_has_to_sign(house: TestHouse, browser: Browser) -> None:
    """§10.5, FAPI 2.0 Message Signing §5.3.1: nothing without a signature, no claim left out, and
    an hour at most."""
    rp = await registered(house, require_signed_request_object=True)
    page = await browser.open(rp.service.url())
    assert page.query["error"] == "invalid_request"
    refused(await rp.service.push(), 400, "invalid_request")
    now, bare = house.clock.now(), dict.fromkeys(rp.service.params(), None)
    text = unsigned(rp.service.params())
    refused(await rp.service.push(**bare, request=text), 400, "invalid_request_object")
    missing: list[dict[str, Any]] = [{name: None} for name in ("iss", "aud", "exp", "nbf")]
    for changes in [*missing, {"exp": now + 3700}, {"nbf": now - 3700, "exp": now + 60}]:
        answer = await rp.service.push(**bare, request=rp.object(**changes))
        refused(answer, 400, "invalid_request_object")
    assert (await rp.service.push(**bare, request=rp.object())).status_code == 201


@on_sqlite
async def test_claims_that_may_be_left_out(browser: Browser, rp: Signing) -> None:
    """§4: where nobody demands them, iss, aud and exp may be missing; aud may be a list."""
    await browser.open(rp.url(rp.object(iss=None, exp=None, nbf=None, aud=[ISSUER, "other"])))
    assert "allow" in (await verify(browser)).buttons()


@on_sqlite
async def test_an_object_and_a_reference(browser: Browser, rp: Signing) -> None:
    """§5: one or the other."""
    beside = {"redirect_uri": CALLBACK, "request_uri": "https://a.test/"}
    page = await browser.open(rp.url(rp.object(), **beside))
    assert page.query["error"] == "request_uri_not_supported"


@on_sqlite
async def test_an_object_is_no_assertion(house: TestHouse) -> None:
    """RFC 9101 §10.8: what was signed for one thing proves nothing for another."""
    signer = Signer()
    rp = await registered(house, signer, token_endpoint_auth_method="private_key_jwt")
    text = rp.object(sub=signer.client_id, jti="1", client_id=None)
    form = rp.service.params(client_assertion_type=BEARER, client_assertion=text)
    answer = await rp.service.http.post("/par", data=form)
    assert answer.status_code == 401
    answer = await rp.service.http.post(
        "/par",
        data={
            "client_assertion_type": BEARER,
            "client_assertion": signer.assertion(house),
            "request": signer.assertion(house),
        },
    )
    refused(answer, 400, "invalid_request_object")


def test_keys_that_may_be_registered() -> None:
    """Who has to sign needs keys; nothing private is taken, whatever they are for."""
    known = {"client_name": "a", "redirect_uris": ("https://a.test/",)}
    private = {"keys": [Signer().key.as_dict(private=True)]}
    wrongs: list[dict[str, Any]] = [
        *({"require_signed_request_object": True}, {"jwks": private}, {"jwks": {}}),
    ]
    for wrong in wrongs:
        with pytest.raises(ValidationError, match="jwks"):
            Registration.model_validate(known | wrong)
