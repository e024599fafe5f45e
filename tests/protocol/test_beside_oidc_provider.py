"""The same bad requests, sent to the bridge and to oidc-provider (npm): the same error, or the
difference stands with its reason in docs/protocol.md."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
import pytest_asyncio

from tests.actors import Browser, verify
from tests.house import CALLBACK, ISSUER, TestHouse
from tests.keys import Signer, rsa
from tests.open_house import LOOP, house, shared
from tests.protocol.provider import RESOURCE, Known, Provider
from tests.protocol.refusals import Case
from tests.protocol.refusals_authorize import AUTHORIZE
from tests.protocol.refusals_par import PAR
from tests.protocol.refusals_token import DPOP, TOKEN
from tests.services.oidc_provider import oidc_provider

__all__ = ["house", "shared"]
pytestmark = LOOP

PROTOCOL = Path(__file__).parents[2] / "docs/protocol.md"
NAMES = ("web", "other", "app", "program")
ALL = (*AUTHORIZE, *PAR, *TOKEN, *DPOP)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(shared: TestHouse) -> Provider:
    web, other = await shared.register(), await shared.register()
    app = await shared.register(token_endpoint_auth_method="none")
    program = await shared.register_program(audience=(RESOURCE,))
    signer = Signer("signer")
    await shared.register_program(
        client_id="signer",
        token_endpoint_auth_method="private_key_jwt",
        jwks={"keys": [signer.public()]},
    )

    async def code(request: dict[str, str]) -> str:
        browser = Browser(shared)
        await browser.open(f"{ISSUER}/authorize?{urlencode(request)}")
        page = await verify(browser)
        if "allow" in page.buttons():
            page = await browser.press("allow")
        return page.query["code"]

    known = {
        n: Known(r.id, r.secret) for n, r in zip(NAMES, (web, other, app, program), strict=True)
    }
    return Provider(shared.http(), ISSUER, shared.clock.precise, signer, code, **known)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(node: str) -> AsyncIterator[Provider]:
    signer = Signer("signer")
    jwks = {"keys": [rsa("oidc-provider").as_dict(private=True)]}
    clients = _clients(signer)
    async with (
        oidc_provider(clients=clients, jwks=jwks, resource=RESOURCE) as issuer,
        httpx.AsyncClient() as http,
    ):

        async def code(request: dict[str, str]) -> str:
            """It logs in whoever comes, by redirects alone."""
            async with httpx.AsyncClient() as browser:
                url = f"{issuer}/authorize?{urlencode(request)}"
                while not url.startswith(CALLBACK):
                    answer = await browser.get(url)
                    url = str(answer.url.join(answer.headers["location"]))
            return parse_qs(urlsplit(url).query)["code"][0]

        known = {n: Known(n, None if n == "app" else f"{n}-secret") for n in NAMES}
        yield Provider(http, issuer, time.time, signer, code, **known)


def _clients(signer: Signer) -> list[dict[str, Any]]:
    """Those of `ours`, in that provider's words."""
    person = {
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid profile offline_access",
    }
    program = {
        "redirect_uris": [],
        "response_types": [],
        "grant_types": ["client_credentials"],
        "scope": "api:read api:write",
    }
    signs = {
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": {"keys": [signer.public()]},
    }
    return [
        {"client_id": "web", "client_secret": "web-secret", **person},
        {"client_id": "other", "client_secret": "other-secret", **person},
        {"client_id": "app", "token_endpoint_auth_method": "none", **person},
        {"client_id": "program", "client_secret": "program-secret", **program},
        {"client_id": "signer", **signs, **program},
    ]


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.row} {case.what}")
async def test_both_refuse(ours: Provider, theirs: Provider, case: Case) -> None:
    """Each answer is what the table says; where they differ it says why."""
    assert await case.send(ours) == case.ours
    assert await case.send(theirs) == (case.theirs or case.ours)
    assert bool(case.theirs) == bool(case.why)


async def test_each_difference_is_documented() -> None:
    """docs/protocol.md lists the differences, and no other."""
    _, _, after = PROTOCOL.read_text("utf-8").partition("## Beside another provider\n")
    table, _, _ = after.partition("\n## ")
    told = [line for line in table.splitlines() if line.startswith("| `")]
    lines = [_line(case) for case in ALL if case.why]
    assert told == lines, "\n".join(lines)


def _line(case: Case) -> str:
    return f"| `{case.row}` | {case.what} | {case.ours} | {case.theirs} | {case.why} |"
