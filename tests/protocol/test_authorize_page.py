"""GET and POST /authorize: what is answered with a page, because nobody may be redirected yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.actors import Browser, Page, Service
from tests.asking import FORM, another, bare, form, is_page, stored
from tests.house import CALLBACK, TestHouse
from tests.open_house import LOOP, house, service, shared

__all__ = ["house", "service", "shared"]

pytestmark = LOOP

Query = Callable[[dict[str, str]], bytes]


def changed(**fields: str | None) -> Query:
    def query(params: dict[str, str]) -> bytes:
        return form({k: v for k, v in (params | fields).items() if v is not None})

    return query


def sent_to(uri: str) -> Query:
    return changed(redirect_uri=uri)


def twice(name: str, value: str) -> Query:
    return lambda params: form([*params.items(), (name, value)])


def raw(name: str, value: bytes) -> Query:
    def query(params: dict[str, str]) -> bytes:
        rest = form({k: v for k, v in params.items() if k != name})
        return rest + b"&" + name.encode() + b"=" + value

    return query


LONG = "x" * 2049

# id: (request, error, why)
REFUSALS: dict[str, tuple[Query, str, str]] = {
    "AZ-01": (changed(client_id=None), "invalid_request", "RFC 6749 §4.1.2.1"),
    "AZ-01-empty": (changed(client_id=""), "invalid_request", "RFC 6749 §3.1: empty is absent"),
    "AZ-02": (changed(client_id="nobody"), "invalid_client", "RFC 6749 §4.1.2.1"),
    "AZ-02-quote": (changed(client_id="a'\"<b>"), "invalid_client", "no id of ours"),
    "AZ-02-cjk": (changed(client_id="圖書館"), "invalid_client", "no id of ours"),
    "AZ-02-long": (changed(client_id="x" * 10_000), "invalid_client", "no id of ours"),
    "AZ-04-path": (sent_to("https://service.test/Callback"), "invalid_request", "CVE-2020-15234"),
    "AZ-04-host": (sent_to("https://SERVICE.test/callback"), "invalid_request", "CVE-2020-15234"),
    "AZ-04-scheme": (sent_to("HTTPS://service.test/callback"), "invalid_request", "exact"),
    "AZ-04-port": (sent_to("https://service.test:443/callback"), "invalid_request", "exact"),
    "AZ-05-slash": (sent_to(CALLBACK + "/"), "invalid_request", "OIDC Core §3.1.2.1: exact"),
    "AZ-05-query": (sent_to(CALLBACK + "?a=b"), "invalid_request", "exact"),
    "AZ-05-mark": (sent_to(CALLBACK + "?"), "invalid_request", "exact"),
    "AZ-05-fragment": (sent_to(CALLBACK + "#f"), "invalid_request", "exact"),
    "AZ-05-blank": (sent_to(CALLBACK + " "), "invalid_request", "exact"),
    "AZ-05-tab": (sent_to(CALLBACK + "\t"), "invalid_request", "exact"),
    "AZ-07-dots": (sent_to("https://service.test/callback/../x"), "invalid_request", "exact"),
    "AZ-07-matrix": (sent_to("https://service.test/callback/..;/x"), "invalid_request", "exact"),
    "AZ-07-coded": (sent_to("https://service.test/callback/%2e%2e/x"), "invalid_request", "exact"),
    "AZ-07-slash": (sent_to("https://service.test/callback%2fx"), "invalid_request", "exact"),
    "AZ-08-js": (sent_to("JavaScript:alert(1)"), "invalid_request", "CVE-2026-9086"),
    "AZ-08-data": (sent_to("DATA:text/html,x"), "invalid_request", "CVE-2026-9086"),
    "AZ-08-vbscript": (sent_to("vbscript:x"), "invalid_request", "CVE-2026-9086"),
    "AZ-08-file": (sent_to("file:///etc/passwd"), "invalid_request", "CVE-2026-9086"),
    "AZ-10-web": (sent_to("http://127.0.0.1:1234/callback"), "invalid_request", "CVE-2024-8883"),
    "AZ-11": (changed(redirect_uri=None), "invalid_request", "OIDC Core §3.1.2.1: required"),
    "AZ-13-crlf": (raw("redirect_uri", b"https://service.test/%0d%0ax"), "invalid_request", "RFC"),
    "AZ-13-state": (raw("state", b"a%0d%0aSet-Cookie:x"), "invalid_request", "header injection"),
    "AZ-13-nul": (raw("state", b"%00"), "invalid_request", "PostgreSQL takes no NUL"),
    "AZ-13-nonce": (raw("nonce", b"%00"), "invalid_request", "PostgreSQL takes no NUL"),
    "AZ-13-raw-lf": (raw("state", b"a\nb"), "invalid_request", "header injection"),
    "AZ-13-raw-nul": (raw("nonce", b"a\x00b"), "invalid_request", "PostgreSQL takes no NUL"),
    "AZ-13-utf8": (raw("state", b"%ff%fe"), "invalid_request", "not UTF-8"),
    "AZ-13-surrogate": (raw("state", b"%ed%a0%80"), "invalid_request", "not UTF-8"),
    "AZ-13-bytes": (raw("state", b"\xff"), "invalid_request", "not ASCII on the wire"),
    "AZ-13-escape": (raw("state", b"%zz"), "invalid_request", "bad percent-encoding"),
    "AZ-14-client": (twice("client_id", "service"), "invalid_request", "RFC 6749 §3.1"),
    "AZ-14-other": (twice("client_id", "other"), "invalid_request", "RFC 6749 §3.1"),
    "AZ-14-uri": (twice("redirect_uri", CALLBACK), "invalid_request", "RFC 6749 §3.1"),
    "AZ-14-evil": (twice("redirect_uri", "https://evil.test"), "invalid_request", "RFC 6749 §3.1"),
    **{
        f"AZ-19-{kind}": (
            changed(response_type=kind, redirect_uri="https://evil.test/"),
            "invalid_request",
            "CVE-2026-41479, CVE-2026-44681",
        )
        for kind in ("token", "id_token", "none", "code id_token", 'co"de')
    },
    "AZ-38-state": (changed(state=LONG), "invalid_request", "bounded echo"),
    "AZ-38-nonce": (changed(nonce=LONG), "invalid_request", "bounded echo"),
    # what makes Authlib's own error construction raise (ValueError for such characters)
    "AZ-A1-quote": (sent_to('https://evil.test/"'), "invalid_request", "RFC 6749 §5.2 characters"),
    "AZ-A2-cjk": (sent_to("https://evil.test/圖"), "invalid_request", "RFC 6749 §5.2 characters"),
    "AZ-A3-fields": (
        lambda params: form([*params.items(), *((f"x{n}", "") for n in range(120))]),
        "invalid_request",
        "CVE-2026-54283: bounded work",
    ),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("row", REFUSALS)
async def test_a_refusal_by_page(house: TestHouse, service: Service, row: str, method: str) -> None:
    """Whoever cannot be told by redirect sees a page, and nothing is stored."""
    query, error, _why = REFUSALS[row]
    before, encoded = await stored(house), query(service.params())
    if method == "GET":
        answer = await bare(house, "/authorize", query=encoded)
    else:
        answer = await bare(house, "/authorize", method="POST", body=encoded, headers=FORM)
    is_page(answer, 400, error)
    assert "set-cookie" not in answer.headers
    assert await stored(house) == before


IGNORED: dict[str, Query] = {
    "control character in the name": raw("a%0ab", b"c"),
    "control character in the value": raw("a", b"%00%0d%0a"),
    "Big5": raw("kw", b"%B4%FA"),
    "Big5 in the name": raw("%B4%FA", b"x"),
    "bad escape": raw("a", b"%zz"),
    "bad escape in the name": raw("%zz", b"a"),
    "raw bytes": raw("a", b"\xff\xfe"),
    "name only": lambda params: form(params) + b"&alone&=&=x",
    "twice": lambda params: form([*params.items(), ("a", "1"), ("a", "2")]),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", IGNORED)
async def test_an_unknown_parameter_is_ignored(
    house: TestHouse, service: Service, kind: str, method: str
) -> None:
    """RFC 6749 §3.1: whatever its name and value are; the request goes on as without it."""
    encoded = IGNORED[kind](service.params())
    if method == "GET":
        answer = await bare(house, "/authorize", query=encoded)
    else:
        answer = await bare(house, "/authorize", method="POST", body=encoded, headers=FORM)
    assert answer.status == 303, answer.text
    assert answer.headers["location"].startswith(("/login/", "/authorize/"))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("AZ-40-json", "application/json"),
        ("AZ-40-multipart", "multipart/form-data; boundary=x"),
        ("AZ-40-text", "text/plain"),
        ("AZ-40-absent", ""),
    ],
    ids=lambda value: value if value.startswith("AZ") else "",
)
async def test_only_a_form_is_read(house: TestHouse, service: Service, row: str, kind: str) -> None:
    """OIDC Core §3.1.2.1: a POST carries a form and nothing else."""
    headers = (("content-type", kind),) if kind else ()
    body = form(service.params())
    is_page(
        await bare(house, "/authorize", method="POST", body=body, headers=headers),
        400,
        "invalid_request",
    )


async def test_an_oversized_form(house: TestHouse) -> None:
    """A body is read up to a limit and no further."""
    body = b"client_id=" + b"x" * 70_000
    answer = await bare(house, "/authorize", method="POST", body=body, headers=FORM)
    is_page(answer, 413, "invalid_request")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods(house: TestHouse, method: str) -> None:
    """RFC 6749 §3.1: GET, and POST besides."""
    answer = await bare(house, "/authorize", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")


NATIVE = ("http://127.0.0.1/cb", "http://[::1]/cb", "tw.gov.app:/cb")
LOOPBACK = {
    "AZ-10-path": "http://127.0.0.1:1234/other",
    "AZ-10-query": "http://127.0.0.1:1234/cb?x=y",
    "AZ-10-host": "http://127.0.0.2:1234/cb",
    "AZ-10-name": "http://localhost:1234/cb",  # RFC 8252 §8.3: a hosts file may move it
    "AZ-10-userinfo": "http://127.0.0.1:1234@evil.test/cb",
    "AZ-10-suffix": "http://127.0.0.1:1234.evil.test/cb",
    "AZ-10-port": "http://127.0.0.1:123456/cb",
    "AZ-10-noport": "http://127.0.0.1:/cb",
    "AZ-10-digits": "http://127.0.0.1:１２３/cb",
    "AZ-10-https": "https://127.0.0.1:1234/cb",
    "AZ-10-decimal": "http://2130706433:1234/cb",
    "AZ-10-newline": "http://127.0.0.1:1234/cb\t",
    "AZ-10-scheme": "tw.gov.app:/other",
    "AZ-10-scheme-case": "TW.gov.app:/cb",
}


@pytest.mark.parametrize("row", LOOPBACK)
async def test_a_native_client_may_vary_the_port_only(house: TestHouse, row: str) -> None:
    """RFC 8252 §7.3; everything else is exact (CVE-2020-15233, CVE-2024-8883)."""
    app = await another(
        house, "app", application_type="native", redirect_uris=NATIVE, sector="app.test"
    )
    page = await Browser(house).open(app.url(redirect_uri=LOOPBACK[row]))
    is_page(page, 400, "invalid_request")


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:49152/cb", "http://[::1]:49152/cb", "tw.gov.app:/cb"]
)
async def test_a_native_client_is_answered_where_it_listens(house: TestHouse, uri: str) -> None:
    """RFC 8252 §7.3: the port that the system gave it today."""
    app = await another(
        house, "app", application_type="native", redirect_uris=NATIVE, sector="app.test"
    )
    page = await Browser(house).open(app.url(redirect_uri=uri, prompt="none"))
    assert page.url.startswith(uri + "?error=login_required")


async def test_an_unknown_client_gets_no_details(house: TestHouse, service: Service) -> None:
    """AZ-02: the page says that the service is not registered and links nowhere else."""
    page = await Browser(house).open(service.url(client_id="nobody"))
    is_page(page, 400, "invalid_client")
    assert page.error_code == "TF-1001"
    assert "這個服務尚未完成登記" in page.html
    own = ('<a class="skip"', '<a href="/account">')
    assert "<a " not in page.html.replace(own[0], "").replace(own[1], "")
    assert "service.test" not in page.html


async def test_a_disabled_client_is_an_unknown_one(house: TestHouse, service: Service) -> None:
    """Disabling takes effect at once, and tells nobody."""
    await house.registrar.switch(service.registered.id, enabled=False)
    is_page(await Browser(house).open(service.url()), 400, "invalid_client")


async def _mismatch(house: TestHouse, sandbox: bool) -> Page:
    service = await another(house, "trial", sandbox=sandbox)
    return await Browser(house).open(service.url(redirect_uri="https://trial.test/c<b>"))


async def test_an_integrator_sees_the_difference(house: TestHouse) -> None:
    """A sandbox client's page shows what was sent, what is registered and where they part."""
    page = await _mismatch(house, sandbox=True)
    is_page(page, 400, "invalid_request")
    assert page.error_code == "TF-1002"
    assert "https://trial.test/c&lt;b&gt;" in page.html
    assert "https://trial.test/cb<" in page.html
    assert page.texts["differs-at"] == str(len("https://trial.test/c") + 1)


async def test_anybody_else_does_not(house: TestHouse) -> None:
    """A live client's page repeats nothing of what an attacker sent."""
    page = await _mismatch(house, sandbox=False)
    assert page.error_code == "TF-1002"
    assert "trial.test" not in page.html


REGISTERED = [
    "JavaScript:alert(1)",
    "JAVASCRIPT://service.test/%0aalert(1)",
    "DATA:text/html,x",
    "VBScript:x",
    "FILE:///etc/passwd",
    "blob:https://service.test/x",
    "about:blank",
    "ftp://service.test/cb",
    "http://service.test/cb",
    "https://service.test/cb#f",
    "https://service.test/*",
    "https://user@service.test/cb",
    "https://service.test/a/../cb",
    "https://service.test/\r\ncb",
    "//service.test/cb",
    "/cb",
    "",
]


@pytest.mark.parametrize("uri", REGISTERED, ids=[quote(uri) or "empty" for uri in REGISTERED])
@pytest.mark.parametrize("kind", ["web", "native"])
async def test_a_bad_uri_is_never_registered(house: TestHouse, uri: str, kind: str) -> None:
    """AZ-08: what may be called is checked when it is written down (CVE-2026-9086)."""
    fields: dict[str, Any] = {"redirect_uris": (uri,), "application_type": kind}
    with pytest.raises(ValueError, match=r"redirect_uri|URI|https"):
        await house.register("bad", **fields)
