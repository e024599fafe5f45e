"""Client authentication with a secret: one answer for every failure. Rows TK-10 and TK-11."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from idp.house import organisations_of
from idp.registry.registration import Registration
from tests.deeds import challenged, on_sqlite, refused
from tests.house import CALLBACK, HOME, Registered, TestHouse, alarms

GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
async def program(house: TestHouse) -> Registered:
    return await house.register_program(client_id="program")


async def by_basic(house: TestHouse, client_id: str, secret: str, /, **form: str) -> httpx.Response:
    return await house.http().post("/token", data=GRANT | form, auth=(client_id, secret))


async def by_post(house: TestHouse, client_id: str, secret: str, /, **form: str) -> httpx.Response:
    fields = {"client_id": client_id, "client_secret": secret, **form}
    return await house.http().post("/token", data=GRANT | fields)


async def by_header(house: TestHouse, header: bytes) -> httpx.Response:
    headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"authorization", header)]
    return await house.http().post(
        "/token", content="grant_type=client_credentials", headers=headers
    )


async def ended_keys(house: TestHouse) -> tuple[str, str]:
    """The secrets of a key that has expired, and of one whose organisation was disabled."""
    organisations = organisations_of(house.services)
    metadata = Registration(client_name="程式", grant_types=("client_credentials",))
    for name in ("expired", "stopped"):
        await organisations.create(name, key=name)
    clients = house.registrar
    _, old = await clients.create(metadata, "expired", organisation="expired", life=60)
    _, off = await clients.create(metadata, "stopped", organisation="stopped")
    house.clock.pass_(60)
    await organisations.switch("stopped", enabled=False)
    house.house.clients.forget()
    return str(old), str(off)


@on_sqlite
@pytest.mark.parametrize("how", [by_basic, by_post], ids=["basic", "post"])
async def test_failures_cannot_be_told_apart(
    house: TestHouse, program: Registered, how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TK-10: unknown or disabled client, one of a disabled organisation, an expired key, wrong and
    empty secret: the same bytes after the same work, and each is counted (RFC 6749 §5.2). In
    Authlib 1.9.9 the texts differ, and by post the unknown client is a 400."""
    await house.register_program(client_id="disabled")
    await house.registrar.switch("disabled", enabled=False)
    await house.register_program(
        client_id="signs",
        token_endpoint_auth_method="none",
        grant_types=("authorization_code",),
        redirect_uris=(CALLBACK,),
        scopes=("openid",),
    )
    expired, stopped = await ended_keys(house)
    hashed: list[str] = []
    digest = house.house.clients.digest

    def watched(secret: str) -> str:
        hashed.append(secret)
        return digest(secret)

    monkeypatch.setattr(house.house.clients, "digest", watched)
    before = alarms("client-auth")
    tries = [
        ("program", "wrong"),
        ("nobody", "wrong"),
        ("disabled", "wrong"),
        ("signs", "wrong"),
        ("expired", expired),
        ("stopped", stopped),
        ("nobody", program.secret or ""),
        ("program", ""),
        ("nobody", ""),
    ]
    answers = [await how(house, *pair) for pair in tries]
    for answer in answers:
        challenged(answer)
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1
    with_secret = [secret for _, secret in tries if secret]
    assert [secret for secret in hashed if secret] == with_secret
    assert alarms("client-auth") == before + len(tries)
    assert len(await house.events("client.auth_failed")) == len(tries)


ENCODED = base64.b64encode
HEADERS: dict[str, bytes] = {
    "TK-11-bytes-FF-FE": b"Basic " + ENCODED(b"\xff\xfe"),
    "TK-11-authlib-crash": b"Basic /////w==",
    "TK-11-not-ascii": b"Basic " + ENCODED("程式:密".encode()),
    "TK-11-raw-not-ascii": "Basic 程式".encode(),
    "TK-11-empty": b"Basic ",
    "TK-11-only-the-scheme": b"Basic",
    "TK-11-no-colon": b"Basic " + ENCODED(b"program"),
    "TK-11-no-id": b"Basic " + ENCODED(b":secret"),
    "TK-11-no-secret": b"Basic " + ENCODED(b"program:"),
    "TK-11-bad-base64": b"Basic a",
    "TK-11-base64url": b"Basic cHJvZ3JhbTp_",
    "TK-11-inner-space": b"Basic cHJv Z3JhbTp4",
    "TK-11-two-spaces": b"Basic  cHJvZ3JhbTp4",
    "TK-11-10-KiB": b"Basic " + ENCODED(b"program:" + b"x" * 10_240),
    "TK-11-nul": b"Basic " + ENCODED(b"program\x00:x"),
    "TK-11-newline": b"Basic " + ENCODED(b"program:x\n"),
    "TK-11-another-scheme": b"Bearer abc",
    "TK-11-digest": b'Digest username="program"',
}


@on_sqlite
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
async def test_headers_that_say_nothing(house: TestHouse, header: bytes) -> None:
    """TK-11: whatever cannot be read is a failed authentication (RFC 7617 §2). Three of these
    raise in Authlib 1.9.9, which also decodes base64 leniently."""
    challenged(await by_header(house, header))


@on_sqlite
async def test_no_authentication_at_all(house: TestHouse, program: Registered) -> None:
    """RFC 6749 §5.2: nothing given, or only a client_id that needs a secret."""
    challenged(await house.http().post("/token", data=GRANT))
    challenged(await house.http().post("/token", data={**GRANT, "client_id": "program"}))
    challenged(await house.http().post("/token", data={**GRANT, "client_id": ""}))


@on_sqlite
async def test_basic_is_form_encoded_inside(house: TestHouse) -> None:
    """RFC 6749 §2.3.1: both halves are form-encoded, so `+` is a space and `%2B` a plus. Authlib
    1.9.9 leaves `+` alone."""
    secret = "a b+c%d:e"
    program = await house.register_program(client_id="early.bird~1")
    registration = Registration.model_validate(program.client.metadata.model_dump())
    await house.registrar.update(program.id, registration)
    made, _ = await house.registrar.create(registration, "other~id", secret)
    for encoded in (quote(secret, safe=""), quote(secret, safe="").replace("%20", "+")):
        pair = ENCODED(f"other%7Eid:{encoded}".encode())
        assert (await by_header(house, b"Basic " + pair)).status_code == 200
    raw = ENCODED(f"{made.client_id}:{secret}".encode())
    challenged(await by_header(house, b"Basic " + raw))


@on_sqlite
@pytest.mark.parametrize("scheme", [b"Basic", b"basic", b"BASIC", b"bAsIc"])
async def test_schemes_have_no_case(house: TestHouse, program: Registered, scheme: bytes) -> None:
    """RFC 9110 §11.1."""
    pair = ENCODED(f"{program.id}:{program.secret}".encode())
    assert (await by_header(house, scheme + b" " + pair)).status_code == 200


@on_sqlite
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_secret_may_come_either_way(house: TestHouse, method: str) -> None:
    """TDX's programs send the secret in the body, others in the header: both are one secret.
    Authlib 1.9.9 takes only the header for this grant, unless told otherwise."""
    program = await house.register_program(token_endpoint_auth_method=method)
    assert (await by_basic(house, program.id, program.secret or "")).status_code == 200
    assert (await by_post(house, program.id, program.secret or "")).status_code == 200
    same = await by_basic(house, program.id, program.secret or "", client_id=program.id)
    assert same.status_code == 200


@on_sqlite
async def test_two_ids_in_one_request(house: TestHouse, program: Registered) -> None:
    """RFC 6749 §3.2.1: client_id in the body, if sent, is that of the header."""
    other = await house.register_program(client_id="other")
    answer = await by_basic(house, program.id, program.secret or "", client_id=other.id)
    challenged(answer)


@on_sqlite
async def test_a_public_client_has_no_secret(house: TestHouse) -> None:
    """RFC 6749 §2.3.1: a secret that a public client sends is not overlooked."""
    await house.register("public", token_endpoint_auth_method="none")
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "public"}
    challenged(await house.http().post("/token", data={**form, "client_secret": "x"}))
    challenged(await house.http().post("/token", data=form, auth=("public", "x")))
    refused(await house.http().post("/token", data=form), 400, "invalid_grant")


@on_sqlite
async def test_two_secrets_overlap_for_a_while(house: TestHouse, program: Registered) -> None:
    """A rotated secret lives on for its overlap, and no longer; the newest always counts."""
    old, clients = program.secret or "", house.registrar
    new = await clients.rotate_secret("program", 3600)
    for secret in (old, new):
        assert (await by_post(house, "program", secret)).status_code == 200
    house.clock.pass_(3600)
    challenged(await by_post(house, "program", old))
    assert (await by_post(house, "program", new)).status_code == 200


@pytest.mark.parametrize("changed_settings", [{"oidc": {"failed_auth_per_minute": 3}}])
@on_sqlite
async def test_guessing_is_slowed_down(house: TestHouse, program: Registered) -> None:
    """After so many failures a minute from one address, failures are answered 429 and no longer
    fill the audit trail; the right secret, and other addresses, are not held up."""
    for _ in range(3):
        challenged(await by_post(house, "program", "wrong"))
    for who in ("program", "nobody"):
        refused(await by_post(house, who, "wrong"), 429, "slow_down")
    assert (await by_post(house, "program", program.secret or "")).status_code == 200
    form = {**GRANT, "client_id": "program", "client_secret": "wrong"}
    challenged(await house.http("203.0.113.99").post("/token", data=form))
    failures = await house.events("client.auth_failed")
    assert [e["address"] for e in failures] == [HOME] * 3 + ["203.0.113.99"]
