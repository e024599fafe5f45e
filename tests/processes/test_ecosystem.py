"""What integrators and operators use: a client library from elsewhere, curl, and `idp` itself."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest
from jwcrypto.jwk import JWKSet
from jwcrypto.jwt import JWT

from tests.actors import verify
from tests.house import CALLBACK
from tests.processes.people import (
    CARD,
    MEMBERS,
    Browser,
    binding_code,
    code_for,
    web_client,
)
from tests.services.bridge import Bridge, toml
from tests.services.node import relying_party

SCOPE = "openid profile twid offline_access"
NOTICED = 2.5  # seconds until a running bridge knows what another process wrote
PERSON = "A100000010"

# ── openid-client ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["confidential", "public"])
async def test_openid_client_is_satisfied(bridge: Bridge, node: str, kind: str) -> None:
    """openid-client, with all its checks on, discovers us, logs in, refreshes and asks userinfo."""
    flags = ["--public"] if kind == "public" else []
    made = bridge.create_client(
        "--name", "elsewhere", "--redirect-uri", CALLBACK, "--scope", SCOPE, "--trusted", *flags
    )
    assert ("client_secret" in made) == (kind == "confidential")
    wanted = {"issuer": bridge.issuer, "redirect_uri": CALLBACK, "scope": SCOPE, **made}
    async with relying_party(ca=None, **wanted) as party:
        browser = Browser(bridge)
        await browser.open(await party.authorization_url())
        events = await party.finish((await verify(browser)).url)
    claims = events["tokens"]["claims"]
    assert claims["twid"] == PERSON
    assert events["userinfo"]["claims"]["sub"] == claims["sub"]
    assert events["refreshed"]["claims"]["sub"] == claims["sub"]
    before, after = (events[e]["tokens"]["refresh_token"] for e in ("tokens", "refreshed"))
    assert (before != after) == (kind == "public")


# ── curl ────────────────────────────────────────────────────────────────────────────────────────


def curl(*arguments: str) -> Any:
    """The JSON that curl gets."""
    done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "path",
    [
        "/token",
        "/auth/realms/TDXConnect/protocol/openid-connect/token",
        "/realms/TDXConnect/protocol/openid-connect/token",
    ],
)
def test_curl_gets_a_token(bridge: Bridge, path: str) -> None:
    """A program gets a token with curl, in the TDX manner too, and it verifies offline."""
    made = program_client(bridge)
    form = {"grant_type": "client_credentials", **made}
    data = [part for name, value in form.items() for part in ("-d", f"{name}={value}")]
    answer = curl(*data, bridge.url + path)
    assert answer["token_type"] == "Bearer"
    claims = offline(bridge, answer["access_token"])
    assert claims["client_id"] == made["client_id"]
    assert claims["scope"] == "api:read"


def program_client(bridge: Bridge) -> dict[str, str]:
    return bridge.create_client(
        "--name", "program", "--grant", "client_credentials", "--scope", "api:read"
    )


def offline(bridge: Bridge, token: str) -> dict[str, Any]:
    """The claims, as a program sees them that has only the JWKS."""
    keys = JWKSet.from_json(json.dumps(curl(f"{bridge.url}/jwks")))
    checked = JWT(jwt=token, key=keys, algs=["ES256"], check_claims={"iss": bridge.issuer})
    claims: dict[str, Any] = json.loads(checked.claims)
    assert claims["exp"] > time.time()
    return claims


# ── commands beside a running bridge ────────────────────────────────────────────────────────────


def well(done: CompletedProcess[str]) -> str:
    """What a command said that ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def within(seconds: float, holds: Callable[[], bool]) -> None:
    """Wait until it holds, asking one last time at the end."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not holds():
        time.sleep(0.1)
    assert holds()


def granted(bridge: Bridge, made: dict[str, str]) -> set[str | None]:
    """The scopes that the workers grant to a program; None for a refusal."""
    form = {"grant_type": "client_credentials", **made}
    url = f"{bridge.url}/token"
    answers = (httpx.post(url, data=form, trust_env=False, timeout=10) for _ in range(8))
    return {answer.json().get("scope") for answer in answers}


def test_an_organisation_with_its_keys(bridge: Bridge, tmp_path: Path) -> None:
    """`idp org` beside a running bridge: three keys, a fourth is refused with advice, the last use
    of each secret is shown without the secret, and disabling stops all of them: a file that names
    one has nothing to change."""
    made = json.loads(well(bridge.cli("org", "create", "--name", "國家圖書館", "--json")))
    wanted = ["--organisation", made["id"], "--name", "key", "--scope", "api:read"]
    keys = [bridge.create_client(*wanted) for _ in range(3)]
    fourth = bridge.cli("client", "create", *wanted)
    assert (fourth.returncode, fourth.stdout) == (1, "")
    assert "最多 3 組；請先停用一組" in fourth.stderr
    assert "disable one first" in fourth.stderr
    within(NOTICED, lambda: granted(bridge, keys[0]) == {"api:read"})
    new = json.loads(well(bridge.cli("client", "rotate-secret", keys[0]["client_id"], "--json")))
    assert granted(bridge, keys[0]) == {"api:read"}

    def shown() -> str:
        return well(bridge.cli("org", "show", made["id"]))

    within(NOTICED, lambda: "from 127.0.0.1" in shown())
    page = shown()
    for secret in (keys[0]["client_secret"], new["client_secret"]):
        assert f"…{secret[-4:]} created" in page
        assert secret not in page
    assert page.count("expires") == 4
    assert page.count("replaced") == 1
    well(bridge.cli("org", "disable", made["id"]))
    within(NOTICED, lambda: granted(bridge, keys[0]) == granted(bridge, keys[1]) == {None})
    listed = json.loads(well(bridge.cli("org", "show", made["id"], "--json")))["clients"]
    assert [client["state"] for client in listed] == ["disabled"] * 3
    file = tmp_path / "clients.toml"
    fields = {"client_name": "key", "grant_types": ["client_credentials"], "scopes": ["api:read"]}
    file.write_text(toml({"clients": {keys[1]["client_id"]: fields}}), encoding="utf-8")
    assert "unchanged" in well(bridge.cli("client", "apply", "-f", file))
    assert bridge.cli("org", "disable", "nobody").stderr == "there is no organisation nobody\n"


def test_a_client_is_known_when_it_is_made(bridge: Bridge) -> None:
    """`idp client create --json` and `idp token` work beside a running bridge, at once; and a
    client that was disabled is refused by every worker."""
    made = program_client(bridge)
    secret = made["client_secret"]
    ours = bridge.cli("token", "--client-id", made["client_id"], IDP_CLIENT_SECRET=secret)
    assert offline(bridge, well(ours).strip())["sub"] == made["client_id"]
    well(bridge.cli("client", "disable", made["client_id"]))
    within(NOTICED, lambda: granted(bridge, made) == {None})


def test_clients_follow_a_file(bridge: Bridge, tmp_path: Path) -> None:
    """`idp client apply` makes, changes and leaves alone, and the bridge notices."""
    file = tmp_path / "clients.toml"
    lines = '[clients.applied]\nclient_name = "x"\ngrant_types = ["client_credentials"]\n'
    file.write_text(f'{lines}scopes = ["api:read"]\n', encoding="utf-8")
    said = well(bridge.cli("client", "apply", "-f", file))
    made = {"client_id": "applied", "client_secret": said.split()[-1]}
    assert granted(bridge, made) == {"api:read"}
    assert "applied: unchanged" in well(bridge.cli("client", "apply", "-f", file))

    file.write_text(f'{lines}scopes = ["api:write"]\n', encoding="utf-8")
    assert "applied: changed" in well(bridge.cli("client", "apply", "-f", file))
    within(NOTICED, lambda: granted(bridge, made) == {"api:write"})


async def test_a_person_is_barred(bridge: Bridge) -> None:
    """`idp person disable` ends tokens and logins of a person; `enable` lets them in again."""
    service = await web_client(bridge)
    tokens = (await service.redeem(await code_for(bridge, service))).json()
    well(await asyncio.to_thread(bridge.cli, "person", "disable", PERSON))
    try:
        assert (await service.userinfo(tokens["access_token"])).status_code == 401
        refreshed = await service.refresh(tokens["refresh_token"])
        assert refreshed.json()["error"] == "invalid_grant"
        browser = Browser(bridge)
        await browser.open(service.url())
        page = await verify(browser, number=PERSON)
        assert (page.status, page.error_code != "") == (403, True)
    finally:
        well(await asyncio.to_thread(bridge.cli, "person", "enable", PERSON))
    assert await code_for(bridge, service)


async def test_a_card_is_bound(bridge: Bridge, tmp_path: Path) -> None:
    """`idp member import`, a login, a binding code: `idp wecard call` gets the record, once."""
    sheet = tmp_path / "members.csv"
    sheet.write_text(MEMBERS, encoding="utf-8")
    well(bridge.cli("member", "import", sheet))
    code = await binding_code(Browser(bridge))
    call = ["wecard", "call", "--card", CARD, "--password", code]
    first = well(await asyncio.to_thread(bridge.cli, *call))
    answered = json.loads(first.split("answered", 1)[1])
    assert (answered["card_number"], answered["name"]) == (CARD, "王小明")
    assert '"code":0' in first
    second = await asyncio.to_thread(bridge.cli, *call)
    assert second.returncode == 1
    assert '"code":1001' in second.stdout


def test_an_operator_finds_everything_well(bridge: Bridge) -> None:
    """`idp doctor`, `idp healthcheck`, `idp audit verify` and `idp db check` end well."""
    findings = json.loads(well(bridge.cli("doctor", "--json")))
    assert [f for f in findings if f["result"] == "fail"] == []
    assert well(bridge.cli("healthcheck", "--url", bridge.url)) == "ready\n"
    assert "unchanged" in well(bridge.cli("audit", "verify"))
    well(bridge.cli("db", "check"))
