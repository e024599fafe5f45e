"""APIs that verify tokens with jose or express-oauth2-jwt-bearer, as the pages print them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.clients.lab import Lab
from tests.clients.web import Program


@pytest.fixture(scope="module", params=["jose", "express-oauth2-jwt-bearer"])
def app(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Program]:
    with Program(lab, request.param) as running:
        yield running


def program_token(lab: Lab, client: tuple[str, str]) -> str:
    """An access token by client credentials."""
    wanted = {"grant_type": "client_credentials"}
    answer = httpx.post(f"{lab.issuer}/token", data=wanted, auth=client, trust_env=False)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def call(app: Program, token: str = "") -> httpx.Response:
    """What an API answers a program that brings this token, or none."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"{app.url}/stops", headers=headers, trust_env=False)


def bad_tokens(lab: Lab, app: Program) -> dict[str, str]:
    """Tokens that an API must refuse, by what is wrong with each."""
    common = ("--name", "Another program", "--grant", "client_credentials")
    stranger = lab.client(*common, "--scope", "transport:read")
    untyped = lab.client(
        *common, "--scope", "transport:read", "--audience", app.url, "--access-token-typ", "JWT"
    )
    head, body, signature = program_token(lab, app.client).split(".")
    changed = ("B" if signature[0] == "A" else "A") + signature[1:]
    return {
        "the signature does not fit": f"{head}.{body}.{changed}",
        "there is no signature": f"{head}.{body}.",
        "it is no JWT": "x",
        "it is for another audience": program_token(lab, stranger),
        "it is of another type": program_token(lab, untyped),
    }


def without_scope(lab: Lab, app: Program) -> str:
    """A token that is good and not good enough."""
    options = ("--grant", "client_credentials", "--audience", app.url, "--scope", "library:read")
    return program_token(lab, lab.client("--name", "Another program", *options))


def test_a_good_token_passes(lab: Lab, app: Program) -> None:
    """The API knows the program and its roles."""
    answer = call(app, program_token(lab, app.client))
    assert answer.status_code == 200
    assert answer.json() == {"client": app.client[0], "roles": ["basic"]}


def test_without_a_token_nobody_passes(app: Program) -> None:
    """401 with a challenge that names no error (RFC 6750 §3.1)."""
    answer = call(app)
    challenge = answer.headers["www-authenticate"]
    assert (answer.status_code, challenge[:6], "error=" in challenge) == (401, "Bearer", False)


def test_a_bad_token_is_refused(lab: Lab, app: Program) -> None:
    """401 and `invalid_token`, whatever is wrong."""
    for fault, token in bad_tokens(lab, app).items():
        answer = call(app, token)
        assert answer.status_code == 401, fault
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], fault


def test_a_token_without_the_scope_is_refused(lab: Lab, app: Program) -> None:
    """403 and `insufficient_scope`."""
    answer = call(app, without_scope(lab, app))
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
