"""oauth2-proxy, as docs/clients/oauth2-proxy.md tells."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.clients.blocks import pasted
from tests.clients.lab import Lab
from tests.clients.person import STRANGER
from tests.clients.programs import (
    NATIVE,
    SAID,
    Echo,
    Program,
    assert_both_sessions_end,
    locked,
    shown,
)


@pytest.fixture(scope="module")
def proxy(lab: Lab) -> Iterator[Program]:
    with Echo() as behind, Program("oauth2-proxy", ".installed/oauth2-proxy") as proxy:
        proxy.register(lab)
        proxy.changes |= {
            "127.0.0.1:9000": f"127.0.0.1:{proxy.port}",
            "http://127.0.0.1:9001": behind.url,
            "ISSUER_HOST": urlsplit(lab.issuer).netloc,
            'cookie_refresh = "1h"': 'cookie_refresh = "1s"',
        }
        (proxy.folder / "oauth2-proxy.cfg").write_text(proxy.lines("Configure", "toml"))
        _, *words = proxy.page.block("Configure", "sh").split()
        yield proxy.serve(str(NATIVE / ".installed" / "oauth2-proxy"), *words)


def test_the_page_names_the_version(proxy: Program) -> None:
    """What is pinned is what is said to be tried."""
    version = locked(NATIVE / "oauth2-proxy" / "go.mod", "oauth2-proxy/v7")
    assert f"oauth2-proxy {version}" in proxy.page.section("Tried with")


def test_a_person_logs_in(lab: Lab, proxy: Program) -> None:
    """The application behind is told who it is, and gets a token that UserInfo takes."""
    seen = shown(lab.person().walk(proxy.url + "/somewhere"))
    assert seen["x-forwarded-user"] == seen["x-forwarded-email"]
    token = {"authorization": "Bearer " + seen["x-forwarded-access-token"]}
    told = httpx.get(lab.issuer + "/userinfo", headers=token, trust_env=False).json()
    assert told["sub"] == seen["x-forwarded-user"]


def test_a_person_who_is_in_no_directory(lab: Lab, proxy: Program) -> None:
    """Without an e-mail they are let in all the same."""
    assert shown(lab.person(number=STRANGER).walk(proxy.url))["x-forwarded-user"]


def test_whoever_cancels_sees_the_proxys_own_page(lab: Lab, proxy: Program) -> None:
    """No loop: the proxy says what happened."""
    page = lab.person().cancel(proxy.url)
    assert page.url.startswith(proxy.url + "/oauth2/callback?")
    assert page.status == 403


def test_refresh(lab: Lab, proxy: Program) -> None:
    """After cookie_refresh the application gets another token."""
    person = lab.person()
    first = shown(person.walk(proxy.url))
    time.sleep(2)
    again = shown(person.open(proxy.url))
    assert again["x-forwarded-user"] == first["x-forwarded-user"]
    assert again["x-forwarded-access-token"] != first["x-forwarded-access-token"]


def test_logout_returns_to_the_program(lab: Lab, proxy: Program) -> None:
    """The link of the page ends both sessions."""
    (link,) = re.findall(r'href="(.+?)"', proxy.page.block("Log out", "html"))
    twice = {url: quote(quote(url, safe=""), safe="") for url in (SAID, proxy.url)}
    issuer, client_id = quote(lab.issuer, safe=""), proxy.variables["CLIENT_ID"]
    filled = pasted(link, {"ISSUER": issuer, "CLIENT_ID": client_id, twice[SAID]: twice[proxy.url]})
    assert assert_both_sessions_end(lab, proxy, "/", filled).url == proxy.url + "/left"
