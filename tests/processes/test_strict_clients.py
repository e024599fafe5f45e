"""Client libraries that were not written for this bridge, by its strict ways and with all their
checks on: PAR, private_key_jwt, DPoP, signed requests and answers, logout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.actors import Page, verify
from tests.house import CALLBACK
from tests.processes.people import Browser
from tests.services.bridge import Bridge
from tests.services.node import RelyingParty, relying_party

SCOPE, HOME = "openid profile offline_access", "https://service.test/"


def made(bridge: Bridge, folder: Path, profile: str) -> dict[str, Any]:
    """A client of this profile, registered by the one documented option, and its private key."""
    key = ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256"}, auto_kid=False)
    file = folder / "keys.json"
    file.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    client = bridge.create_client(
        "--name", profile, "--redirect-uri", CALLBACK, "--scope", SCOPE, "--trusted",
        "--post-logout-redirect-uri", HOME, "--profile", profile, "--jwks", str(file),
    )  # fmt: skip
    assert "client_secret" not in client
    known = {"issuer": bridge.issuer, "redirect_uri": CALLBACK, "scope": SCOPE}
    return {**known, **client, "private_jwk": key.as_dict(private=True)}


async def through(bridge: Bridge, party: RelyingParty) -> tuple[Browser, dict[str, Any]]:
    browser = Browser(bridge)
    await browser.open(await party.authorization_url())
    return browser, await party.finish((await verify(browser)).url)


def assert_bound(events: dict[str, Any]) -> None:
    """§5.3: tokens are bound, the person is the same, the refresh token has not changed."""
    tokens, fresh = (events[name]["tokens"] for name in ("tokens", "refreshed"))
    assert tokens["token_type"].lower() == fresh["token_type"].lower() == "dpop"
    assert events["userinfo"]["claims"]["sub"] == events["tokens"]["claims"]["sub"]
    assert tokens["refresh_token"] == fresh["refresh_token"]


@pytest.mark.parametrize("profile", ["fapi2", "fapi2-message-signing"])
async def test_openid_client(bridge: Bridge, node: str, tmp_path: Path, profile: str) -> None:
    """openid-client 6 logs in by either profile, refreshes, asks userinfo, and logs out."""
    signed = profile == "fapi2-message-signing"
    wanted = made(bridge, tmp_path, profile) | {
        "auth_method": "private_key_jwt", "pushed": True, "dpop": True,
        "signed_request": signed, "signed_answer": signed, "post_logout_redirect_uri": HOME,
        "metadata": {
            "id_token_signed_response_alg": "ES256",
            "authorization_signed_response_alg": "ES256",
        },
    }  # fmt: skip
    async with relying_party(**wanted) as party:
        browser, events = await through(bridge, party)
    assert_bound(events)
    page: Page = await browser.open(events["logout"]["url"])
    assert page.url.startswith(HOME)


@pytest.mark.parametrize("profile", ["fapi2", "fapi2-message-signing"])
async def test_oauth4webapi(bridge: Bridge, node: str, tmp_path: Path, profile: str) -> None:
    """oauth4webapi finds the issuer by the resource (RFC 9728), checks every answer, and reads
    introspection as a JWT (RFC 9701)."""
    wanted = made(bridge, tmp_path, profile) | {"signed": profile == "fapi2-message-signing"}
    async with relying_party(script="oauth.mjs", **wanted) as party:
        _, events = await through(bridge, party)
    assert_bound(events)
    told = events["introspected"]["claims"]
    assert told["active"] is True
    assert "jkt" in told["cnf"]


async def test_authlib(bridge: Bridge, tmp_path: Path) -> None:
    """Authlib's client knows neither PAR nor DPoP: it signs its assertions for the issuer."""
    key = ECKey.generate_key("P-256", {"kid": "k1"}, auto_kid=False)
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    client = bridge.create_client(
        "--name", "authlib", "--redirect-uri", CALLBACK, "--scope", SCOPE, "--trusted",
        "--auth-method", "private_key_jwt", "--jwks", str(file), "--require-pkce",
    )  # fmt: skip
    session = AsyncOAuth2Client(
        client["client_id"], key, "private_key_jwt",
        scope=SCOPE, redirect_uri=CALLBACK, code_challenge_method="S256", trust_env=False,
        token_endpoint=f"{bridge.url}/token",
    )  # fmt: skip
    session.register_client_auth_method(
        PrivateKeyJWT(bridge.issuer, headers={"kid": "k1"}, alg="ES256")
    )
    async with session:
        verifier = "v" * 43
        url, state = session.create_authorization_url(
            f"{bridge.url}/authorize", code_verifier=verifier, nonce="n"
        )
        browser = Browser(bridge)
        await browser.open(url)
        back = (await verify(browser)).url
        tokens = await session.fetch_token(
            f"{bridge.url}/token", authorization_response=back, state=state, code_verifier=verifier
        )
        keys = KeySet.import_key_set((await session.get(f"{bridge.url}/jwks")).json())
        read = jwt.decode(tokens["id_token"], keys, ["RS256"])
        claims = CodeIDToken(
            read.claims, read.header, params={"nonce": "n", "client_id": client["client_id"]}
        )
        claims.validate()
        person = (await session.get(f"{bridge.url}/userinfo")).json()
        assert person["sub"] == claims["sub"]
        fresh = await session.refresh_token(f"{bridge.url}/token")
        assert fresh["access_token"] != tokens["access_token"]
        assert (await session.get(f"{bridge.url}/userinfo")).json() == person
