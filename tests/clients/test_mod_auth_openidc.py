"""Apache with mod_auth_openidc, as docs/clients/mod_auth_openidc.md tells."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self
from urllib.parse import quote

import httpx
import pytest

from tests.actors import Page
from tests.clients.blocks import Recipe
from tests.clients.lab import Lab
from tests.clients.person import APPROVES
from tests.clients.programs import (
    NATIVE,
    SAID,
    Program,
    assert_both_sessions_end,
    assert_cancel_is_told,
)
from tests.services.chromium import Chromium
from tests.services.nginx import self_signed
from tests.services.process import program as found

MODULES = "/usr/lib/apache2/modules"
BASE = (NATIVE / "mod_auth_openidc" / "httpd.conf").read_text(encoding="utf-8")
FORM_POST = "OIDCResponseMode form_post\nOIDCCookieSameSite Off\n"
SECURE = "/secure/"
TLS = """
LoadModule ssl_module {modules}/mod_ssl.so
SSLEngine on
SSLCertificateFile {folder}/fullchain.pem
SSLCertificateKeyFile {folder}/privkey.pem
"""


class Apache(Program):
    """Apache with some of the page's blocks, and a document that shows what it is given."""

    def __init__(self) -> None:
        super().__init__("mod_auth_openidc", f"{MODULES}/mod_auth_openidc.so")

    def httpd(self, *blocks: str) -> Self:
        for name in ("www", "www/secure", "www/secure/strong"):
            (self.folder / name).mkdir()
            (self.folder / name / "index.shtml").write_text("<!--#printenv -->")
        base = BASE.replace("FOLDER", str(self.folder)).replace("MODULES", MODULES)
        conf = self.folder / "httpd.conf"
        conf.write_text("\n".join([base.replace("PORT", str(self.port)), *blocks]))
        self.serve(found("apache2", "apache2-bin"), "-f", str(conf), "-D", "FOREGROUND")
        return self


@pytest.fixture(scope="module")
def apache(lab: Lab) -> Iterator[Apache]:
    with Apache() as apache:
        apache.register(lab)
        lab.idp(
            "client", "update", apache.variables["CLIENT_ID"], "--set", "access_token_seconds=61"
        )
        yield apache.httpd(
            apache.lines("Configure", "apache"),
            apache.lines("Refresh", "apache"),
            apache.lines("Roles and claims", "apache", "strong"),
        )


def given(page: Page) -> dict[str, str]:
    """The environment that the application got."""
    assert page.status == 200, page.html
    pairs = (line.split("=", 1) for line in page.html.splitlines() if "=" in line)
    return {name: html.unescape(value) for name, value in pairs}


def test_a_person_logs_in(lab: Lab, apache: Apache) -> None:
    """The application is given the claims, and who it is."""
    seen = given(lab.person().walk(apache.url + SECURE))
    assert seen["OIDC_CLAIM_iss"] == lab.issuer
    assert seen["OIDC_CLAIM_acr"] == "urn:twfido:qr"
    assert seen["REMOTE_USER"] == seen["OIDC_CLAIM_sub"]


def test_whoever_cancels_sees_the_modules_own_page(lab: Lab, apache: Apache) -> None:
    """With form_post a refusal is read as one."""
    page = assert_cancel_is_told(lab, apache, SECURE, status=200)
    assert page.url == apache.url + "/secure/redirect_uri"


def test_the_cookie_of_the_state_comes_back_with_a_form_of_another_site(apache: Apache) -> None:
    """No SameSite=Lax, which a browser would not send with the form of the bridge."""
    answer = httpx.get(apache.url + SECURE, trust_env=False)
    (state,) = [c for c in answer.headers.get_list("set-cookie") if "_state_" in c]
    assert "samesite=lax" not in state.lower()


def test_a_level_can_be_demanded(lab: Lab, apache: Apache) -> None:
    """A login by notification is not offered there, and one from elsewhere is refused."""
    strong = apache.url + "/secure/strong/"
    assert "method-push" not in lab.person().open(strong).html
    assert given(lab.person().walk(strong))["OIDC_CLAIM_acr"] == "urn:twfido:qr"
    weak = lab.person(method="push")
    assert given(weak.walk(apache.url + SECURE))["OIDC_CLAIM_acr"] == "urn:twfido:push"
    assert weak.open(strong).status == 401


def test_refresh(lab: Lab, apache: Apache) -> None:
    """A token that is about to end is replaced when the person comes again."""
    person = lab.person()
    first = given(person.walk(apache.url + SECURE))
    time.sleep(2)  # a minute before its end
    again = given(person.open(apache.url + SECURE))
    assert again["OIDC_access_token"] != first["OIDC_access_token"]
    assert again["OIDC_CLAIM_sub"] == first["OIDC_CLAIM_sub"]


def test_logout_returns_to_the_program(lab: Lab, apache: Apache) -> None:
    """The link of the page ends both sessions."""
    (link,) = re.findall(r'href="(.+?)"', apache.page.block("Log out", "html"))
    link = link.replace(quote(SAID, safe=""), quote(apache.url, safe=""))
    assert assert_both_sessions_end(lab, apache, SECURE, link).url == apache.url + "/"


@pytest.fixture
def by_query(lab: Lab) -> Iterator[Callable[..., Apache]]:
    """Apache with answers in the query, as the module asks for them by itself."""
    with ExitStack() as started:

        def start(*more: str) -> Apache:
            apache = started.enter_context(Apache()).register(lab)
            main = apache.lines("Configure", "apache")
            assert FORM_POST in main
            default = f"OIDCDefaultURL {apache.url}{SECURE}"
            return apache.httpd(main.replace(FORM_POST, ""), default, *more)

        yield start


def test_without_form_post_a_refusal_begins_the_login_anew(
    lab: Lab, by_query: Callable[..., Apache]
) -> None:
    """What the page warns of."""
    page = lab.person().cancel(by_query().url + SECURE)
    assert page.url.startswith(lab.issuer)
    assert "continue" in page.buttons()


def test_refusals_without_iss(lab: Lab, by_query: Callable[..., Apache]) -> None:
    """With the lines for rewriting a refusal is read as one, and a login still works."""
    page = Recipe("mod_auth_openidc")
    apache = by_query(page.block("What goes wrong", "apache", "RewriteRule"))
    assert_cancel_is_told(lab, apache, SECURE, status=200)
    assert given(lab.person().walk(apache.url + SECURE))["OIDC_CLAIM_sub"]


@pytest.fixture
def over_tls(lab: Lab) -> Iterator[Apache]:
    """Another site than the bridge, as between two hosts: https, and another name."""
    with Apache() as apache:
        apache.url = f"https://localhost:{apache.port}"
        apache.changes[SAID] = apache.url
        self_signed("localhost").write(apache.folder / "tls")
        tls = TLS.format(modules=MODULES, folder=apache.folder / "tls")
        yield apache.register(lab).httpd(apache.lines("Configure", "apache"), tls)


def test_a_browser_brings_the_answers_of_another_site(
    lab: Lab, over_tls: Apache, chromium: Chromium
) -> None:
    """Chromium sends the cookie of the state along with the bridge's form, at a login and at a
    refusal."""
    back = re.compile(re.escape(over_tls.url))
    with chromium.sync_page(ignore_https_errors=True) as page:
        page.goto(over_tls.url + SECURE)
        page.click("#cancel")
        page.wait_for_url(back)
        assert "access_denied" in page.inner_text("body")
        page.goto(over_tls.url + SECURE)
        page.check("#method-qr")
        page.fill("#pid", APPROVES)
        page.click("#continue")
        page.click("#allow")
        page.wait_for_url(back)
        assert f"OIDC_CLAIM_iss={lab.issuer}" in page.inner_text("body")
