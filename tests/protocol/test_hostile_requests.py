"""A hundred hostile requests at every endpoint: each is answered, and none by a 500."""

from __future__ import annotations

import random
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, urlencode

import pytest
import pytest_asyncio

from tests.actors import Browser, Service, log_in
from tests.asking import Answer, bare, logged_in
from tests.house import CALLBACK, MINISTRY, TestHouse, empty_sqlite, running, settings_for
from tests.logins import chosen, forget_rates, path_of
from tests.open_house import LOOP, house, service
from tests.wecard import PATHS, application

__all__ = ["house", "service"]
pytestmark = LOOP

EACH = 100
WECARD = f"/wecard/{PATHS['both']}"
NAMES: dict[str, tuple[str, ...]] = {
    "/authorize": (
        *("client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "prompt"),
        *("max_age", "code_challenge", "code_challenge_method", "claims", "id_token_hint"),
        *("login_hint", "ui_locales", "acr_values", "response_mode", "request", "lang"),
    ),
    "/token": (
        *("grant_type", "code", "refresh_token", "client_id", "client_secret", "code_verifier"),
        *("client_assertion", "client_assertion_type", "scope", "resource", "redirect_uri"),
    ),
    "/userinfo": ("access_token",),
    "/introspect": ("token", "token_type_hint", "client_id", "client_secret", "client_assertion"),
    "/revoke": ("token", "token_type_hint", "client_id", "client_secret", "client_assertion"),
    "/logout": ("id_token_hint", "client_id", "post_logout_redirect_uri", "state", "lang"),
    "/logout/confirm": ("id_token_hint", "client_id", "csrf", "state"),
    "/twfido/callback": ("qrid", "rcode", "pid", "msg", "syscode", "chksum", "tranSeq"),
    "/twfido/return": ("qrid", "op", "pid", "msg", "rcode", "chksum"),
    "/account": ("before", "client", "done", "lang"),
    "/account/sessions": ("csrf", "session", "which"),
    "/account/withdraw": ("csrf", "session", "client"),
    "/account/push": ("csrf", "session"),
    "/wecard": ("csrf", "session", "card", "once", "done"),
    WECARD: ("app_key", "raw_data"),
    "{login}": ("seen", "still", "soon", "lang"),
    "{login}/status": ("seen",),
    "{login}/method": ("csrf", "method", "pid", "seen"),
    "{login}/check": ("csrf", "approval", "seen"),
    "{authorize}": ("lang", "code"),
    "{authorize}/consent": ("csrf", "session", "decision"),
    "/jwks": ("kid",),
    "/.well-known/openid-configuration": ("x",),
    "/health/ready": ("x",),
    "/nowhere": ("x",),
}
VALUES: tuple[bytes, ...] = (
    *(b"", b" ", b"0", b"-1", b"9" * 400, b"1e999", b"NaN", b"null", b"[]", b"{}", b'{"a":' * 300),
    *(b'"', b"'", b"\\", b"%", b"%%%", b"\x00", b"\r\nX: y", b"\t", b"\x7f", b"\x85", b"\xa0"),
    *(b"\xb4\xfa\xb8\xd5", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"),
    *("圖書館𝟙\u202e\u2028\ufeff".encode(), "１２３".encode(), "İıſK".encode()),
    *(b"<script>alert(1)</script>", b"{{7*7}}", b"${x}", b"../../etc/passwd", b"' OR 1=1 --"),
    *(b"a" * 5000, b"a.b.c", b"eyJhbGciOiJub25lIn0.e30.", b"eyJhbGciOiJIUzI1NiJ9.W10.x", b"..."),
    *(b"code", b"openid", b"refresh_token", b"client_credentials", b"authorization_code", b"query"),
    *(b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer", b"none", b"consent login"),
    *(b"twc_" + b"x" * 43, b"twr_x.y.z", b"A123456789", b"0000", b"allow", b"push", b"qr"),
)
HEADERS: tuple[tuple[str, bytes], ...] = (
    *(
        ("authorization", v)
        for v in (b"Basic", b"Basic \xff", b"Basic Og==", b"Bearer", b"Bearer a.b")
    ),
    *(("authorization", v) for v in (b"bearer \x80", b"Basic " + b"A" * 9000, b"DPoP x", b",")),
    *(
        ("cookie", v)
        for v in (b"__Host-idp_session=\xff", b"=;;=", b"__Host-idp_browser=" + b"x" * 4000)
    ),
    *(("accept-language", v) for v in (b"zh;q=x", b"\xff", b"," * 3000, b"en;q=" + b"9" * 400)),
    *(("accept", v) for v in (b"application/json", b"\xff", b"*/*;q=nan")),
    *(("if-none-match", v) for v in (b'"', b"W/", b"*", b'"' * 999)),
    *(("origin", v) for v in (b"null", b"\xff", b"https://[", b"http://a:99999")),
    *(("user-agent", v) for v in (b"\xff\x00", b"(" * 5000)),
    *(
        ("content-type", v)
        for v in (b"application/json", b"multipart/form-data", b"text/plain", b"\xff")
    ),
    *(("x-forwarded-for", v) for v in (b"\xff", b"a, b", b"::::")),
    *(("sec-fetch-site", v) for v in (b"cross-site", b"\xff")),
    *(("dpop", v) for v in (b"a.b.c", b"\xff")),
)
FORM = ("content-type", b"application/x-www-form-urlencoded")
BODIES: tuple[bytes, ...] = (
    *(
        b"[]",
        b"null",
        b'{"qrid":1}',
        b"[" * 5000,
        b'{"a":"\\ud800"}',
        b"\x00",
        b"&&&&",
        b"=",
        b"a=%",
    ),
    *(b'{"app_key":"x","raw_data":"zz"}', b"&".join(b"f%d=1" % n for n in range(200))),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHouse]:
    """As every open house, with a card application."""
    url = empty_sqlite(tmp_path_factory.getbasetemp())
    login = {"numbered_starts": 10_000, "unfinished_starts": 10_000}
    cards = {"wecard": {"both": application("both", "either")}}
    async with running(settings_for(url, login=login, members=cards)) as found:
        yield found


BOTH = {"/authorize", "/userinfo", "/logout", "/twfido/return", "/wecard"}
POSTED = {
    *("/token", "/introspect", "/revoke", "/logout/confirm", "/twfido/callback", WECARD),
    *("/account/sessions", "/account/withdraw", "/account/push"),
    *("{login}/method", "{login}/check", "{authorize}/consent"),
}


@dataclass
class Shape:
    """One request as it goes over the wire."""

    method: str
    query: bytes
    headers: tuple[tuple[str, bytes], ...]
    body: bytes


def shapes(path: str, good: Mapping[str, str]) -> Iterator[Shape]:
    """The same hundred for a path, whatever the machine; half of them with all that is `good`."""
    dice = random.Random(zlib.crc32(path.encode()))  # noqa: S311 - no secret is made
    for _ in range(EACH):
        usual = ("POST",) if path in POSTED else ("GET", "POST") if path in BOTH else ("GET",)
        method = dice.choice(usual if dice.random() < 0.9 else ("HEAD", "OPTIONS", "PUT"))
        query, body = pairs(dice, path, good), pairs(dice, path, good)
        if dice.random() < 0.2:
            body = dice.choice(BODIES)
        headers = tuple(dice.sample(HEADERS, dice.randrange(3)))
        kind = () if any(name == "content-type" for name, _ in headers) else (FORM,)
        yield Shape(method, query if dice.random() < 0.7 else b"", (*kind, *headers), body)


def pairs(dice: random.Random, path: str, good: Mapping[str, str]) -> bytes:
    """Some of the names that this place reads, some twice, escaped, half escaped or raw."""
    found, right = [], dice.random() < 0.5
    for name in dice.choices(NAMES[path], k=dice.randrange(1, 5)):
        value = dice.choice(VALUES)
        ways: tuple[Callable[[bytes], bytes], ...] = (
            lambda v: quote_from_bytes(v).encode(),
            lambda v: quote_from_bytes(v).encode(),
            lambda v: v.replace(b"&", b"%26"),
        )
        found.append(name.encode() + b"=" + dice.choice(ways)(value))
    given = {piece.partition(b"=")[0].decode() for piece in found}
    rest = {k: v for k, v in good.items() if right and k in NAMES[path] and k not in given}
    return b"&".join([*found, urlencode(rest).encode()])


async def places(house: TestHouse, service: Service, path: str) -> tuple[dict[str, str], str]:
    """(what a good request to this path holds, the path itself), for a browser that may open it:
    its cookies are `cookie`."""
    browser = await logged_in(house, service)
    tokens = (await service.redeem(await browser.open(service.url(prompt="none")))).json()
    other = Service(house, await house.register())
    consent = await browser.open(other.url(scope="openid twid"))
    authorization = consent.forms[0].action.removesuffix("/consent")
    own = await browser.open("/wecard" if path.startswith("/wecard") else "/account")
    good = {
        **service.params(),
        "client_secret": service.registered.secret or "",
        "grant_type": "authorization_code",
    }
    good |= {"token": tokens["access_token"], "refresh_token": tokens["refresh_token"]}
    good |= {"access_token": tokens["access_token"], "id_token_hint": tokens["id_token"]}
    shown = consent if path.startswith("{authorize}") else own
    good |= {k: v for form in shown.forms for k, v in form.fields.items()}
    await chosen(browser, other, "qr", prompt="login")
    good["csrf"] = browser.page.forms[0].fields["csrf"]
    held = browser.cookies["id.test"].items()
    good["cookie"] = "; ".join(f"{name}={value}" for name, value in held)
    return good, path.format(login=path_of(browser.page), authorize=authorization)


@pytest.mark.parametrize("path", NAMES)
async def test_every_request_is_answered(house: TestHouse, service: Service, path: str) -> None:
    """With a session and without one, whatever method, query, headers and body: an answer below
    500, with the headers that every answer has, and nothing that the caller wrote in a header."""
    good, target = await places(house, service, path)
    for number, shape in enumerate(shapes(path, good)):
        await forget_rates(house)
        held = (("cookie", good["cookie"].encode()),) if number % 4 else ()
        answer = await sent(house, target, shape, held)
        assert answer.status < 500, (number, shape, answer.text)
        assert "x" not in answer.headers
        assert answer.headers["x-content-type-options"] == "nosniff"
        location = answer.headers.get("location", "")
        assert location.startswith(("/", CALLBACK)) or not location, (shape, location)


async def sent(
    house: TestHouse, path: str, shape: Shape, held: tuple[tuple[str, bytes], ...]
) -> Answer:
    headers = tuple((name, value.decode("latin-1")) for name, value in (*held, *shape.headers))
    address = MINISTRY if path == "/twfido/callback" else "203.0.113.7"
    return await bare(
        house,
        path,
        method=shape.method,
        query=shape.query,
        headers=headers,
        body=shape.body,
        address=address,
    )


async def test_a_signed_in_person_is_still_served(house: TestHouse, service: Service) -> None:
    """After all that the house works as before."""
    page = await log_in(Browser(house), service)
    assert (await service.redeem(page)).status_code == 200
