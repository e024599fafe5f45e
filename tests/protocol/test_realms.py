"""The TDX shape: a program written for TDX works when the host name is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.actors import Service
from tests.deeds import allow, challenged, not_allowed, on_sqlite, refused
from tests.house import Registered, TestHouse
from tests.keys import verified_elsewhere

OLD = "/auth/realms/TDXConnect/protocol/openid-connect"
NEW = "/realms/TDXConnect/protocol/openid-connect"
both = pytest.mark.parametrize("path", [OLD, NEW], ids=["with-auth", "without"])


@pytest.fixture
async def program(house: TestHouse) -> Registered:
    return await house.register_program(client_id="member-1a2b3c4d")


def form(program: Registered, **fields: str) -> dict[str, str]:
    known = {
        "grant_type": "client_credentials",
        "client_id": program.id,
        "client_secret": program.secret or "",
    }
    return known | fields


@on_sqlite
@both
async def test_the_answer_has_keycloaks_members(
    house: TestHouse, program: Registered, path: str
) -> None:
    """All that TDX answers, in its types; a day's life."""
    answer = await house.http().post(f"{path}/token", data=form(program))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    token = body.pop("access_token")
    assert body == {
        "expires_in": 86_400,
        "refresh_expires_in": 0,
        "token_type": "Bearer",
        "not-before-policy": 0,
        "scope": "api:read api:write",
    }
    _, claims = verified_elsewhere(token, await house.http().get(f"{path}/certs"))
    assert claims["realm_access"] == {"roles": ["basic"]}
    assert claims["iss"] == "https://id.test"  # one issuer, whatever the path


@on_sqlite
async def test_the_extras_stay_on_their_paths(house: TestHouse, program: Registered) -> None:
    """The plain token endpoint answers what the standard says and nothing of Keycloak's."""
    body = (await house.http().post("/token", data=form(program))).json()
    assert body.keys() == {"access_token", "token_type", "expires_in", "scope"}


HABITS: dict[str, dict[str, Any]] = {
    "content-type as a field": {"data": {"content-type": "application/x-www-form-urlencoded"}},
    "accepts forms only": {"headers": {"accept": "application/x-www-form-urlencoded"}},
    "accepts pages only": {"headers": {"accept": "text/html"}},
    "accepts nothing": {"headers": {"accept": "*/*;q=0"}},
    "brotli": {"headers": {"accept-encoding": "br,gzip"}},
    "the manual's error": {"headers": {"content-encoding": "br,gzip"}},
    "a charset": {"headers": {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}},
    "openid by habit": {"data": {"scope": "openid"}},
    "no user agent": {"headers": {"user-agent": ""}},
}


@on_sqlite
@pytest.mark.parametrize("habit", HABITS.values(), ids=HABITS)
async def test_habits_of_programs(
    house: TestHouse, program: Registered, habit: dict[str, Any]
) -> None:
    """What real programs send by habit or by error is no reason to refuse; the answer is JSON."""
    answer = await house.http().post(
        f"{OLD}/token",
        data=form(program, **habit.get("data", {})),
        headers=habit.get("headers", {}),
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["token_type"] == "Bearer"


@on_sqlite
async def test_credentials_are_safe_unencoded(house: TestHouse) -> None:
    """Programs paste id and secret into a body without encoding: ours need none."""
    for _ in range(20):
        program = await house.register_program()
        who = f"client_id={program.id}&client_secret={program.secret}"
        body = f"grant_type=client_credentials&{who}"
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = await house.http().post(f"{OLD}/token", content=body, headers=kind)
        assert answer.status_code == 200
        assert httpx.QueryParams(body)["client_secret"] == program.secret


@on_sqlite
@both
async def test_errors_are_the_standards(house: TestHouse, program: Registered, path: str) -> None:
    """RFC 6749 §5.2, as at the plain endpoint."""
    http = house.http()
    wrong = form(program, client_secret="wrong")
    challenged(await http.post(f"{path}/token", data=wrong))
    refused(
        await http.post(f"{path}/token", data=form(program, grant_type="password")),
        400,
        "unsupported_grant_type",
    )
    refused(await http.post(f"{path}/token", json=form(program)), 400, "invalid_request")
    refused(await http.post(f"{path}/token", data=form(program, scope="x")), 400, "invalid_scope")
    not_allowed(await http.get(f"{path}/token"), "POST")
    not_allowed(await http.post(f"{path}/certs"), "GET", "HEAD")


KIND = {"content-type": "application/x-www-form-urlencoded"}
BASIC = {"authorization": "Basic cHJvZ3JhbTp3cm9uZw=="}
WANTED = "grant_type=client_credentials"
REFUSALS: dict[str, tuple[str, dict[str, str], int, str]] = {
    "TK-02-json": (WANTED, {"content-type": "application/json"}, 400, "invalid_request"),
    "TK-02-multipart": (
        WANTED,
        {"content-type": "multipart/form-data; boundary=x"},
        400,
        "invalid_request",
    ),
    "TK-04-absent": ("client_id=x", KIND, 400, "invalid_request"),
    "TK-05-password": ("grant_type=password", KIND, 400, "unsupported_grant_type"),
    "TK-05-chinese": ("grant_type=%E9%9B%BB", KIND, 400, "unsupported_grant_type"),
    "TK-07-twice": (f"{WANTED}&{WANTED}", KIND, 400, "invalid_request"),
    "TK-07-client-id-twice": (f"{WANTED}&client_id=a&client_id=a", KIND, 400, "invalid_request"),
    "TK-08-two-methods": (
        f"{WANTED}&client_id=a&client_secret=b",
        {**KIND, **BASIC},
        400,
        "invalid_request",
    ),
    "TK-10-unknown": (WANTED, {**KIND, **BASIC}, 401, "invalid_client"),
    "TK-10-nothing": (WANTED, KIND, 401, "invalid_client"),
    "TK-11-base64": (WANTED, {**KIND, "authorization": "Basic a"}, 401, "invalid_client"),
    "TK-46-encoding": (f"{WANTED}&client_id=%zz", KIND, 400, "invalid_request"),
}


@on_sqlite
@both
@pytest.mark.parametrize("row", REFUSALS.values(), ids=REFUSALS)
async def test_refusals_are_those_of_the_token_endpoint(
    house: TestHouse, path: str, row: tuple[str, dict[str, str], int, str]
) -> None:
    """Whatever /token refuses is refused here with the same bytes."""
    body, headers, status, error = row
    here, there = [
        await house.http().post(where, content=body, headers=headers)
        for where in (f"{path}/token", "/token")
    ]
    assert (here.status_code, here.json()["error"]) == (status, error)
    assert here.content == there.content
    assert here.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in here.headers) == (status == 401)


@on_sqlite
@both
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
async def test_only_post_is_allowed(house: TestHouse, path: str, method: str) -> None:
    """TK-01: also under a realm (RFC 6749 §3.2)."""
    not_allowed(await house.http().request(method, f"{path}/token"), "POST")


@on_sqlite
@pytest.mark.parametrize("changed_settings", [{"oidc": {"token_calls_per_minute": 20}}])
async def test_fetching_a_token_for_every_call(house: TestHouse, program: Registered) -> None:
    """Twenty a minute are let through, on whichever path; then clean JSON, when to come back, and
    the hint to keep the token."""
    http = house.http()
    paths = [f"{OLD}/token", f"{NEW}/token", "/token", f"{OLD}/token"] * 5
    answers = [await http.post(path, data=form(program)) for path in paths]
    assert {a.status_code for a in answers} == {200}
    refusal = await http.post(f"{OLD}/token", data=form(program))
    refused(refusal, 429, "slow_down")
    assert 1 <= int(refusal.headers["retry-after"]) <= 60
    assert "reuse the token" in refusal.json()["error_description"]


UNKNOWN: list[Callable[[str], str]] = [
    lambda p: p.replace("TDXConnect", "Another"),
    lambda p: p.replace("TDXConnect", "tdxconnect"),
    lambda p: p.replace("TDXConnect", "TDXConnect%2f"),
    lambda p: p.replace("TDXConnect", "電"),
    lambda p: p + "/",
    lambda p: p.replace("/realms", "//realms"),
]


@on_sqlite
@pytest.mark.parametrize("path", [change(f"{OLD}/token") for change in UNKNOWN])
async def test_realms_are_configured_names(
    house: TestHouse, program: Registered, path: str
) -> None:
    """Another realm is not there, in JSON for programs."""
    answer = await house.http().post(path, data=form(program))
    assert answer.status_code == 404
    assert answer.json()["error"] == "not_found"


@on_sqlite
async def test_a_realm_has_no_issuer_of_its_own(house: TestHouse) -> None:
    """There is one issuer, so no discovery document under a realm."""
    for base in ("/auth/realms/TDXConnect", "/realms/TDXConnect"):
        answer = await house.http().get(f"{base}/.well-known/openid-configuration")
        assert answer.status_code == 404


@on_sqlite
async def test_the_keys_are_those_of_the_house(house: TestHouse) -> None:
    """certs and jwks are one document."""
    keys = [await house.http().get(p) for p in (f"{OLD}/certs", f"{NEW}/certs", "/jwks")]
    assert len({k.content for k in keys}) == 1
    assert '"d"' not in keys[0].text


@on_sqlite
async def test_other_grants_on_the_realm_path(service: Service) -> None:
    """The path is the whole token endpoint, not a part of it."""
    deed = await allow(service)
    fields = {
        "grant_type": "authorization_code",
        "code": deed.code,
        "redirect_uri": service.redirect_uri,
        "code_verifier": service.verifier,
    }
    answer = await service.http.post(f"{NEW}/token", data=fields, auth=service.auth())
    assert answer.status_code == 200
    assert answer.json()["not-before-policy"] == 0
