"""The token endpoint reads its form strictly: what is malformed changes nothing and never crashes.

Rows TK-01 to TK-08 and TK-46 of the refusals.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from idp.oidc import request, token
from tests.actors import Service
from tests.deeds import allow, challenged, not_allowed, on_sqlite, refused, stored
from tests.house import CALLBACK, Registered, TestHouse

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def program(house: TestHouse) -> Registered:
    return await house.register_program(client_id="program")


async def send(house: TestHouse, body: bytes | str, **headers: str) -> httpx.Response:
    return await house.http().post("/token", content=body, headers={**FORM, **headers})


def asking(program: Registered, **fields: str) -> dict[str, str]:
    """A request that succeeds as it is."""
    known = {"grant_type": "client_credentials", "client_id": program.id}
    return known | {"client_secret": program.secret or ""} | fields


@on_sqlite
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "PATCH"])
async def test_only_post_is_allowed(house: TestHouse, method: str) -> None:
    """TK-01: any other method is told which one is allowed (RFC 6749 §3.2)."""
    not_allowed(await house.http().request(method, "/token"), "POST")


@on_sqlite
@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", "", None]
)
async def test_only_forms_are_read(house: TestHouse, program: Registered, kind: str | None) -> None:
    """TK-02: another content type, or none, is a malformed request, whatever the body."""
    body = urlencode(asking(program)).encode()
    headers = {} if kind is None else {"content-type": kind}
    answer = await house.http().post("/token", content=body, headers=headers)
    refused(answer, 400, "invalid_request")


GRANT_TYPES = {
    "TK-04-absent": (None, "invalid_request"),
    "TK-04-empty": ("", "invalid_request"),
    "TK-05-password": ("password", "unsupported_grant_type"),  # OAuth 2.1 §10.1: gone
    "TK-05-implicit": ("implicit", "unsupported_grant_type"),
    "TK-05-unknown": ("urn:ietf:params:oauth:grant-type:saml2-bearer", "unsupported_grant_type"),
    "TK-05-chinese": ("授權碼", "unsupported_grant_type"),
    "TK-05-quote": ('client"credentials', "unsupported_grant_type"),
    "TK-05-backslash": ("client\\credentials", "unsupported_grant_type"),
    "TK-05-case": ("Client_Credentials", "unsupported_grant_type"),
    "TK-05-list": ("client_credentials refresh_token", "unsupported_grant_type"),
}


@on_sqlite
@pytest.mark.parametrize(("grant", "error"), GRANT_TYPES.values(), ids=GRANT_TYPES)
async def test_grant_types(
    house: TestHouse, program: Registered, grant: str | None, error: str
) -> None:
    """TK-04, TK-05: a missing grant type is malformed, a foreign one is not supported (RFC 6749
    §5.2)."""
    form = asking(program)
    form.pop("grant_type")
    if grant is not None:
        form["grant_type"] = grant
    refused(await house.http().post("/token", data=form), 400, error)


TWICE = [
    "grant_type",
    "code",
    "client_id",
    "client_secret",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
    "scope",
]


@on_sqlite
@pytest.mark.parametrize("name", TWICE)
@pytest.mark.parametrize("grant", ["authorization_code", "refresh_token", "client_credentials"])
async def test_nothing_comes_twice(
    house: TestHouse, program: Registered, name: str, grant: str
) -> None:
    """TK-07: a repeated parameter is refused, also with the same value twice (RFC 6749 §3.2).
    Authlib 1.9.9 does not look and takes the first."""
    form = asking(program, grant_type=grant)
    form[name] = form.get(name, "x")
    body = f"{urlencode(form)}&{name}={quote(form[name])}"
    refused(await send(house, body), 400, "invalid_request")


@on_sqlite
async def test_a_repeated_parameter_burns_no_code(service: Service) -> None:
    """TK-07: refused before anything is looked at, so the honest client can still redeem."""
    deed = await allow(service)
    before = await stored(service.house)
    body = urlencode({"grant_type": "authorization_code", "code": deed.code})
    answer = await service.http.post(
        "/token", content=f"{body}&code={deed.code}", headers=FORM, auth=service.auth()
    )
    refused(answer, 400, "invalid_request")
    assert await stored(service.house) == before
    await deed.tokens()


TWO_METHODS = {
    "TK-08-basic-and-post": {"client_secret": "x"},
    "TK-08-basic-and-assertion": {
        "client_assertion": "x",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    },
    "TK-08-basic-and-half-an-assertion": {"client_assertion": "x"},
}


@on_sqlite
@pytest.mark.parametrize("more", TWO_METHODS.values(), ids=TWO_METHODS)
async def test_one_client_authentication_method(
    house: TestHouse, program: Registered, more: dict[str, str]
) -> None:
    """TK-08: two methods in one request are refused, though one is right (RFC 6749 §2.3).
    Authlib 1.9.9 accepts whichever fits first."""
    form = {"grant_type": "client_credentials", **more}
    answer = await house.http().post("/token", data=form, auth=(program.id, program.secret or ""))
    refused(answer, 400, "invalid_request")


@on_sqlite
async def test_secret_and_assertion_in_one_body(house: TestHouse, program: Registered) -> None:
    """TK-08: nor two methods in one body."""
    refused(
        await house.http().post("/token", data=asking(program, client_assertion="x")),
        400,
        "invalid_request",
    )


@on_sqlite
async def test_two_authorization_headers(house: TestHouse, program: Registered) -> None:
    """TK-08: two Authorization headers are two methods: no proxy may choose between them."""
    pair = base64.b64encode(f"{program.id}:{program.secret}".encode()).decode()
    headers = [*FORM.items(), ("authorization", f"Basic {pair}"), ("authorization", "Basic eDp5")]
    answer = await house.http().post(
        "/token", content="grant_type=client_credentials", headers=headers
    )
    refused(answer, 400, "invalid_request")


BODIES: dict[str, tuple[bytes, int]] = {
    "TK-46-1500-fields": (b"&".join(b"f%d=" % n for n in range(1500)), 400),
    "TK-46-1.1-MiB-field": (b"grant_type=" + b"x" * 1_150_000, 413),
    "TK-46-20-MiB": (b"x" * 20_971_520, 413),
    "TK-46-bad-escape": (b"grant_type=client%zzcredentials", 400),
    "TK-46-half-an-escape": (b"grant_type=client_credentials&scope=%4", 400),
    "TK-46-bad-utf-8": (b"grant_type=%ff%fe", 400),
    "TK-46-overlong-utf-8": (b"grant_type=%c0%80", 400),
    "TK-46-raw-bytes": (b"grant_type=\xff\xfe", 400),
    "TK-46-utf-16": ("grant_type=client_credentials".encode("utf-16"), 400),
}


@on_sqlite
@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
async def test_bodies_out_of_bounds(house: TestHouse, body: bytes, status: int) -> None:
    """TK-46: too many fields, too many bytes, or bytes that are no form."""
    refused(await send(house, body), status, "invalid_request")


UNKNOWN = {
    "Big5": "kw=%B4%FA",
    "Big5 in the name": "%B4%FA=1",
    "bad escape": "kw=100%",
    "bad escape in the name": "%=1",
    "NUL": "kw=%00",
    "twice": "kw=1&kw=2",
}


@on_sqlite
@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
@pytest.mark.parametrize("where", ["query", "body"])
async def test_what_is_unknown_is_not_read(
    house: TestHouse, program: Registered, kind: str, path: str, where: str
) -> None:
    """RFC 6749 §3.2: an unrecognized parameter is ignored, whatever its name and value hold."""
    body = urlencode(asking(program, token="x"))
    query = UNKNOWN[kind] if where == "query" else ""
    sent = body if where == "query" else f"{body}&{UNKNOWN[kind]}"
    answer = await house.http().post(f"{path}?{query}", content=sent, headers=FORM)
    assert answer.status_code == 200, answer.text


def test_what_is_read_is_known() -> None:
    """Every field that the endpoints for programs read stands in the list of what is known, or it
    would be ignored without a word."""
    reads = re.compile(r"""(?:form|payload)(?:\.get\(|\.all\(|\[)"(\w+)\"""")
    folder = Path(token.__file__).parent
    elsewhere = {"consent", "authorize", "logout"}  # forms of browsers
    files = [file for file in folder.glob("*.py") if file.stem not in elsewhere]
    pushed = set(reads.findall((folder / "pushed.py").read_text("utf-8")))
    assert pushed <= token.PARAMETERS | request.PARAMETERS
    files.remove(folder / "pushed.py")
    found = {name for file in files for name in reads.findall(file.read_text("utf-8"))}
    assert {"grant_type", "code_verifier", "resource"} <= found
    assert found - {"access_token"} <= token.PARAMETERS  # RFC 6750 §2.2: at UserInfo


@on_sqlite
async def test_unknown_parameters_are_ignored(house: TestHouse, program: Registered) -> None:
    """RFC 6749 §3.2: what is not known is ignored, once it is well-formed."""
    form = asking(program, whatever="x", 參數="值", nonce='"\\')
    assert (await house.http().post("/token", data=form)).status_code == 200


CRASHES = {  # raise ValueError, UnicodeDecodeError or KeyError in Authlib 1.9.9
    "response_type-quote": {"response_type": 'co"de'},
    "redirect_uri-quote": {"redirect_uri": CALLBACK + '"授權'},
    "response_mode-quote": {"response_mode": 'form"post'},
    "scope-quote": {"scope": 'api"read'},
    "grant_type-of-a-list": {"grant_type": "['client_credentials']"},
}


@on_sqlite
@pytest.mark.parametrize("fields", CRASHES.values(), ids=CRASHES)
@pytest.mark.parametrize("grant", ["authorization_code", "refresh_token", "client_credentials"])
async def test_what_makes_authlib_crash_is_answered(
    house: TestHouse, service: Service, fields: dict[str, str], grant: str
) -> None:
    """Characters outside RFC 6749 §5.2's set, which Authlib puts into its error texts and then
    refuses, are answered like any other wrong value."""
    deed = await allow(service)
    form = {"grant_type": grant, "code": deed.code, "refresh_token": "x", **fields}
    answer = await service.http.post("/token", data=form, auth=service.auth())
    assert answer.status_code == 400
    refused(answer, 400, answer.json()["error"])


@on_sqlite
async def test_a_basic_header_that_is_no_text_is_answered(house: TestHouse) -> None:
    """Authlib 1.9.9 raises UnicodeDecodeError for these bytes."""
    answer = await send(house, "grant_type=client_credentials", authorization="Basic /////w==")
    challenged(answer)


@on_sqlite
async def test_an_assertion_with_a_quote_in_its_kid_is_answered(house: TestHouse) -> None:
    """Authlib 1.9.9 puts the kid into an error text that may not hold a quote."""
    header = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"a\\"b"}').decode().rstrip("=")
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": f"{header}.e30.AAAA",
    }
    challenged(await house.http().post("/token", data=form))


# ── anything at all ─────────────────────────────────────────────────────────────────────────────

NAMES = st.sampled_from(
    [
        *TWICE,
        "client_assertion",
        "client_assertion_type",
        "resource",
        "audience",
        "token",
        "access_token",
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "program",
            "service",
            "openid",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "twc_" + "A" * 43,
            "twr_" + "A" * 22 + ".0." + "A" * 43,
            "e30.e30.e30",
        ]
    ),
    st.text(max_size=60),
)
FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def no_crash(answer: httpx.Response, logs: Sequence[Mapping[str, Any]]) -> None:
    assert answer.status_code in (200, 400, 401, 413), answer.text
    # the net under Authlib is there, but nothing may need it
    assert not [entry for entry in logs if "in the core" in str(entry.get("detail"))], logs


@on_sqlite
@given(pairs=st.lists(st.tuples(NAMES, VALUES), max_size=8), proven=st.booleans())
@FUZZ
async def test_no_form_crashes_the_endpoint(
    service: Service, pairs: list[tuple[str, str]], proven: bool
) -> None:
    """Whatever is in the form, with or without a known client, the answer is an OAuth answer."""
    body = urlencode(pairs, errors="surrogatepass")
    auth = service.auth() if proven else httpx.Auth()
    with capture_logs() as logs:
        answer = await service.http.post("/token", content=body, headers=FORM, auth=auth)
    no_crash(answer, logs)


@on_sqlite
@given(body=st.binary(max_size=300))
@FUZZ
async def test_no_bytes_crash_the_endpoint(house: TestHouse, body: bytes) -> None:
    """Bodies that are no forms at all."""
    with capture_logs() as logs:
        no_crash(await send(house, body), logs)


HEADERS = st.one_of(
    st.binary(max_size=60).map(lambda b: b"Basic " + base64.b64encode(b)),
    st.binary(max_size=60).map(lambda b: b"Basic " + b),
    st.tuples(st.text(max_size=20), st.text(max_size=20)).map(
        lambda p: b"Basic " + base64.b64encode(f"{p[0]}:{p[1]}".encode("utf-8", "surrogatepass"))
    ),
    st.binary(max_size=40),
)


@on_sqlite
@given(header=HEADERS)
@FUZZ
async def test_no_authorization_header_crashes_the_endpoint(
    house: TestHouse, header: bytes
) -> None:
    """Whatever is in the Authorization header, it is a failed authentication at worst."""
    headers = [*((k.encode(), v.encode()) for k, v in FORM.items()), (b"authorization", header)]
    with capture_logs() as logs:
        answer = await house.http().post(
            "/token", content="grant_type=client_credentials", headers=headers
        )
    no_crash(answer, logs)
    assert answer.status_code == 401
