"""What every answer carries, and what no answer may carry."""

from __future__ import annotations

import base64
import re
from typing import Any

import httpx
import pytest

from idp.kernel.database import Database
from tests.actors import Browser, Page, Service, verify
from tests.asking import ALICE, FORM, SQLITE, Answer, bare, form, logged_in
from tests.house import HOME, ISSUER, TestHouse

pytestmark = SQLITE

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "


def protected(answer: Answer | Page) -> None:
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "max-age=31536000" in headers["strict-transport-security"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


async def pages(house: TestHouse, service: Service) -> dict[str, Page]:
    """One of each kind of page that a person meets here."""
    browser, found = Browser(house), {}
    found["error"] = await browser.open(service.url(client_id="nobody"))
    found["missing"] = await browser.open("/nothing")
    found["method"] = await browser.send("/authorize/x", {})
    found["finished"] = await browser.open("/authorize/x")
    found["choose"] = await browser.open(service.url())
    found["scan"] = await browser.press("continue", method="qr", pid="A100000047")
    found["leave"] = await browser.press("other")
    found["leave"] = await browser.press("continue", method="web")
    await browser.open(service.url())
    found["consent"] = await verify(browser)
    await browser.press("allow")
    found["logout"] = await browser.open("/logout")
    found["bye"] = await browser.press("logout")
    return found


async def test_every_page(house: TestHouse, service: Service) -> None:
    """HD-01: RFC 9700 §4.2, §4.16; not stored, not framed, no script or style but our own."""
    for name, page in (await pages(house, service)).items():
        protected(page)
        assert page.headers["content-type"] == "text/html; charset=utf-8", name
        assert page.headers["cache-control"] == "no-store", name
        policy = page.headers["content-security-policy"]
        assert policy.startswith(POLICY), name
        assert "base-uri 'none'" in policy, name
        assert "unsafe" not in policy, name
        assert "*" not in policy, name
        assert page.html.lstrip().startswith("<!doctype html>"), name
        assert not re.search(r"<[^>]+\son\w+=|javascript:|<style|\sstyle=|<script>", page.html), (
            name
        )


async def test_where_forms_may_lead(house: TestHouse, service: Service) -> None:
    """Only pages whose buttons end at a relying party name it; https beside it (decision 0017)."""
    found = await pages(house, service)

    def targets(name: str) -> str:
        policy = found[name].headers["content-security-policy"]
        return policy.split("form-action ")[1].split(";")[0]

    assert targets("error") == "'self'"
    assert targets("choose") == "'self' https://service.test https:"
    assert targets("consent") == "'self' https://service.test https:"
    assert targets("leave") == "'self' https://service.test https://fido.test https:"


async def test_every_other_answer(house: TestHouse, service: Service) -> None:
    """HD-01, HD-02: redirects, JSON, plain refusals and crashes too."""
    before = [
        await bare(house, "/authorize", query=form(service.params())),
        await bare(house, "/authorize", query=form(service.params(prompt="none"))),
        await bare(house, "/authorize", method="POST", body=form(service.params()), headers=FORM),
        await bare(house, "/token", method="POST"),
        await bare(house, "/token"),
        await bare(house, "/userinfo"),
        await bare(house, "/introspect", method="POST"),
        await bare(house, "/revoke", method="POST"),
        await bare(house, "/login/x/status"),
        await bare(house, "/nothing"),
    ]
    for answer in before:
        protected(answer)
        assert answer.headers["cache-control"] == "no-store"
    for answer in (
        await bare(house, "/jwks"),
        await bare(house, "/static/style.css"),
        await bare(house, "/jwks", host="evil.example"),
        await bare(house, "/jwks", scheme="http"),
        await bare(house, "/\x00"),
    ):
        protected(answer)


async def test_answers_with_tokens_are_not_stored(house: TestHouse, service: Service) -> None:
    """HD-02: token, userinfo and introspection (RFC 6749 §5.1)."""
    browser = await logged_in(house, service)
    answer = await service.redeem(await browser.open(service.url(prompt="none")))
    token = answer.json()["access_token"]
    told = await service.http.post("/introspect", data={"token": token}, auth=service.auth())
    for found in (answer, await service.userinfo(token), told):
        assert found.status_code == 200
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["pragma"] == "no-cache"


# ── other origins ───────────────────────────────────────────────────────────────────────────────

PREFLIGHT = (
    ("origin", "https://evil.test"),
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization"),
)
LISTED = {"oidc": {"cors_origins": ("https://app.test",)}}


@pytest.mark.parametrize("changed_settings", [{}, LISTED], ids=["nobody", "somebody"])
@pytest.mark.parametrize("path", ["/token", "/userinfo", "/revoke"])
async def test_an_unlisted_origin(house: TestHouse, path: str) -> None:
    """HD-04: RFC 9700 §2.6; an answer that allows nothing, to the preflight and to the call."""
    answer = await bare(house, path, method="OPTIONS", headers=PREFLIGHT)
    assert answer.status == 204
    called = await bare(house, path, method="POST", headers=PREFLIGHT[:1])
    for found in (answer, called):
        assert not [name for name in found.headers if name.startswith("access-control")]


@pytest.mark.parametrize("changed_settings", [LISTED], ids=["listed"])
@pytest.mark.parametrize("origin", ["https://app.test.evil.test", "https://APP.test", "null", "*"])
async def test_almost_a_listed_origin(house: TestHouse, origin: str) -> None:
    """HD-04: an origin is compared as a whole."""
    headers = (("origin", origin), *PREFLIGHT[1:])
    answer = await bare(house, "/token", method="OPTIONS", headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("changed_settings", [LISTED], ids=["listed"])
async def test_a_listed_origin(house: TestHouse) -> None:
    """A browser program may call the token endpoint, without cookies, and learn its refusals."""
    headers = (("origin", "https://app.test"), *PREFLIGHT[1:])
    answer = await bare(house, "/token", method="OPTIONS", headers=headers)
    assert answer.headers["access-control-allow-origin"] == "https://app.test"
    assert "authorization" in answer.headers["access-control-allow-headers"]
    called = await bare(house, "/token", method="POST", headers=headers[:1])
    assert called.status == 400
    assert called.headers["access-control-allow-origin"] == "https://app.test"
    assert "Origin" in called.headers["vary"]
    for found in (answer, called):
        assert "access-control-allow-credentials" not in found.headers


@pytest.mark.parametrize("changed_settings", [LISTED], ids=["listed"])
@pytest.mark.parametrize(
    "path", ["/authorize", "/authorize/x/consent", "/login/x/status", "/logout", "/introspect"]
)
@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
async def test_pages_are_for_no_other_origin(house: TestHouse, path: str, method: str) -> None:
    """HD-04: what a browser shows is never readable by another site's script."""
    headers = (("origin", "https://app.test"), *PREFLIGHT[1:])
    answer = await bare(house, path, method=method, headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control")]


# ── the edge ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "headers",
    [(), (("x-forwarded-proto", "https"),), (("forwarded", "proto=https"),)],
    ids=["plain", "claimed", "claimed anew"],
)
@pytest.mark.parametrize("path", ["/authorize", "/token", "/jwks"])
async def test_plain_http(
    house: TestHouse, path: str, headers: tuple[tuple[str, str], ...]
) -> None:
    """HD-13: refused, also when somebody who is no proxy of ours says it was https."""
    answer = await bare(house, path, scheme="http", headers=headers)
    assert (answer.status, answer.text) == (400, "https only\n")


@pytest.mark.parametrize(
    "changed_settings", [{"web": {"trusted_proxies": (f"{HOME}/32",)}}], ids=["proxy"]
)
async def test_behind_our_proxy(house: TestHouse) -> None:
    """HD-13: our own proxy is believed, and only it."""
    https = (("x-forwarded-proto", "https"),)
    assert (await bare(house, "/jwks", scheme="http", headers=https)).status == 200
    plain = (("x-forwarded-proto", "http"),)
    assert (await bare(house, "/jwks", scheme="http", headers=plain)).status == 400
    elsewhere = await bare(house, "/jwks", scheme="http", headers=https, address="203.0.113.8")
    assert elsewhere.status == 400
    odd = (*https, ("x-forwarded-for", "a, 127.0.0.1, x"))
    assert (await bare(house, "/jwks", scheme="http", headers=odd)).status == 400


# ── what may not be said ────────────────────────────────────────────────────────────────────────


async def test_a_crash_tells_nothing(
    house: TestHouse, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PO-10: no trace, SQL, path or version; a short text and a reference to look for."""

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("SELECT number FROM persons -- /srv/idp/secret.py")

    monkeypatch.setattr(type(house.services.database), "one", broken)
    monkeypatch.setattr(type(house.services.database), "all", broken)
    transport = httpx.ASGITransport(house.app, raise_app_exceptions=False)
    http = httpx.AsyncClient(transport=transport, base_url=ISSUER)
    for path in ("/authorize/x", "/login/x", service.url(client_id="other")):
        answer = await http.get(path)
        assert answer.status_code == 500
        assert re.fullmatch(r"系統發生錯誤 / internal error\n[0-9A-Z]{10}\n", answer.text)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"


async def test_a_store_that_is_away(
    house: TestHouse, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail closed and say so: 503 with Retry-After, by page, and never a redirect."""
    from idp.kernel.errors import Unavailable

    async def away(self: Database, *_: Any, **__: Any) -> None:
        raise Unavailable(detail="the cable at /dev/rack7")

    monkeypatch.setattr(type(house.services.database), "one", away)
    monkeypatch.setattr(type(house.services.database), "all", away)
    monkeypatch.setattr(type(house.services.database), "write", away)
    for path in ("/authorize/x", service.url(), service.url(client_id="other")):
        page = await Browser(house).open(path)
        assert (page.status, page.error_code) == (503, "TF-4002")
        assert int(page.headers["retry-after"]) > 0
        assert "rack7" not in page.html


SECRETS = {
    "pid": ALICE,
    "secret": "twf_c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1yZXBlYXQ",
    "code": "twc_Y29kZS10aGF0LW5vYm9keS1tYXktcmVwZWF0",
    "token": "eyJhbGciOiJSUzI1NiJ9.dG9rZW4.bm9ib2R5LW1heS1yZXBlYXQ",
    "password": "correct-horse-battery-staple",
}
PLACES: list[tuple[str, str]] = [
    ("GET", "/authorize"),
    ("POST", "/authorize"),
    ("GET", "/authorize/{}"),
    ("POST", "/authorize/{}/consent"),
    ("GET", "/authorize/{}/cancelled"),
    ("GET", "/login/{}"),
    ("GET", "/login/{}/status"),
    ("POST", "/login/{}/method"),
    ("POST", "/token"),
    ("GET", "/userinfo"),
    ("POST", "/userinfo"),
    ("POST", "/introspect"),
    ("POST", "/revoke"),
    ("POST", "/logout"),
    ("GET", "/logout"),
    ("POST", "/logout/confirm"),
    ("POST", "/twfido/callback"),
    ("GET", "/twfido/return/{}"),
    ("GET", "/{}"),
]
NAMES = (
    *("client_id", "client_secret", "redirect_uri", "code", "code_verifier", "refresh_token"),
    *("token", "id_token_hint", "login_hint", "state", "pid", "csrf", "session", "scope"),
    *("grant_type", "response_type", "prompt", "claims", "client_assertion", "password"),
)


@pytest.mark.parametrize(("method", "path"), PLACES, ids=[f"{m} {p}" for m, p in PLACES])
async def test_a_refusal_repeats_no_secret(
    house: TestHouse,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    method: str,
    path: str,
) -> None:
    """HD-16: whatever is put wherever, neither the body nor the log of a refusal has it."""
    for value in SECRETS.values():
        good = service.params()
        for fields in (
            dict.fromkeys(NAMES, value),
            {**good, **{n: value for n in NAMES if n not in good}, "prompt": value},
            {**good, "id_token_hint": value, "login_hint": value, "redirect_uri": value},
        ):
            encoded = form(fields)
            basic = base64.b64encode(f"{value}:{value}".encode()).decode()
            for authorization in (f"Bearer {value}", f"Basic {basic}"):
                answer = await bare(
                    house,
                    path.format(value),
                    method=method,
                    query=encoded if method == "GET" else b"",
                    body=encoded if method == "POST" else b"",
                    headers=(*FORM, ("authorization", authorization), ("accept", "text/html")),
                )
                if answer.status >= 400:
                    assert value not in answer.text, answer.text
    said = capsys.readouterr()
    for name, value in SECRETS.items():
        assert value not in said.out + said.err, (name, said.out)
