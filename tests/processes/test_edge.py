"""The shipped nginx configuration in front of the real bridge: what a citizen's browser meets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.actors import log_in
from tests.contracts.test_nginx import ask, exchange, tls
from tests.processes.people import Browser, Service, web_client
from tests.services.bridge import Bridge
from tests.services.nginx import Edge
from tests.services.process import LOOPBACK

HOST = "Host: localhost"
DISCOVERY = "/.well-known/openid-configuration"


class Door(httpx.AsyncHTTPTransport):
    """The name of the issuer leads to the edge, as it does on port 443 in production."""

    def __init__(self, edge: Edge) -> None:
        super().__init__(verify=edge.trust())
        self.port = edge.https

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(port=self.port)
        return await super().handle_async_request(request)


@dataclass
class Site:
    bridge: Bridge
    edge: Edge

    def browser(self) -> Browser:
        return Browser(self.bridge, Door(self.edge))

    async def service(self) -> Service:
        plain = await web_client(self.bridge, trusted=False)
        return Service(self.bridge, plain.registered, transport=Door(self.edge))


@pytest.fixture(scope="module")
def site(fresh_database: Callable[[str], str], start_edge: Callable[..., Edge]) -> Iterator[Site]:
    """https://localhost: nginx as shipped, a bridge that believes it and nobody else."""
    web = {"trusted_proxies": ["127.0.0.1/32"]}
    with Bridge(fresh_database("sqlite"), issuer="https://localhost", web=web) as bridge:
        yield Site(bridge, start_edge(f"{LOOPBACK}:{bridge.port}"))


def answers(browser: Browser) -> list[httpx.Response]:
    """What the bridge answered: the simulator is reached by http."""
    return [answer for answer in browser.answers if answer.url.scheme == "https"]


@pytest.mark.parametrize("method", ["qr", "web"])
async def test_a_login_over_https(site: Site, method: str) -> None:
    """A whole login passes through the edge, over https from the first byte to the last."""
    browser, service = site.browser(), await site.service()
    page = await log_in(browser, service, method)
    answer = await service.redeem(page)
    assert answer.status_code == 200, answer.text
    claims = await service.verified(answer.json()["id_token"])
    assert (claims["iss"], claims["nonce"]) == ("https://localhost", service.nonce)
    assert (await service.userinfo(answer.json()["access_token"])).status_code == 200


async def test_every_cookie_is_bound_to_the_host(site: Site) -> None:
    """Every cookie is Secure, HttpOnly, SameSite=Lax, and of no wider domain."""
    browser, service = site.browser(), await site.service()
    await log_in(browser, service)
    cookies = [c for answer in answers(browser) for c in answer.headers.get_list("set-cookie")]
    assert {c.split("=")[0] for c in cookies} >= {"__Host-idp_browser", "__Host-idp_session"}
    for cookie in cookies:
        flags = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= flags, cookie
        assert "domain" not in cookie.lower()


async def test_every_answer_is_guarded(site: Site) -> None:
    """HD-01, HD-02: each page has its security headers, and nothing of a login is ever stored."""
    browser, service = site.browser(), await site.service()
    page = await log_in(browser, service)
    await browser.open("/login/no-such-login")
    tokens = await service.redeem(page)
    bearer = tokens.json()["access_token"]
    more = [
        tokens,
        await service.userinfo(bearer),
        await service.http.post("/introspect", data={"token": bearer}, auth=service.auth()),
        await service.redeem("twc_bad"),
    ]
    seen = answers(browser)
    for answer in [*seen, *more]:
        assert "no-store" in answer.headers["cache-control"], answer.url
        assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
        assert answer.headers["x-content-type-options"] == "nosniff"
    pages = [a for a in seen if a.headers.get("content-type", "").startswith("text/html")]
    assert len(pages) > 2
    for answer in pages:
        guarded(answer.headers)


def guarded(headers: httpx.Headers) -> None:
    """HD-01: what every page carries."""
    policy = headers["content-security-policy"]
    for rule in ("default-src 'none'", "script-src 'self'", "style-src 'self'"):
        assert rule in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"


REFUSED = {
    "no host": ([], {400}),
    "two hosts": ([HOST, "Host: evil.test"], {400}),
    "userinfo": (["Host: localhost@evil.test"], {400}),
    "another host": (["Host: evil.test"], {421}),
    "two lengths": ([HOST, "Content-Length: 3", "Content-Length: 5"], {400}),
    "negative length": ([HOST, "Content-Length: -1"], {400}),
    "huge header": ([HOST, "X-Big: " + "a" * 2**20], {400, 431}),
    "many headers": ([HOST, *(f"X-{n}: 1" for n in range(10_000))], {400, 431}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_head_is_refused(site: Site, what: str) -> None:
    """HD-05, HD-07, HD-08: what two readers might read differently reaches no handler."""
    lines, expected = REFUSED[what]
    assert ask(site.edge, *lines, path=DISCOVERY)[0] in expected


def test_a_long_url_is_refused(site: Site) -> None:
    """HD-11: a URL of 64 KiB is refused, and an ordinary one is answered after it."""
    assert ask(site.edge, HOST, path="/authorize?state=" + "a" * 65_536)[0] == 414
    assert ask(site.edge, HOST, path=DISCOVERY)[0] == 200


def test_http_1_0_with_the_right_host_works(site: Site) -> None:
    """An old program may ask by HTTP/1.0, if it says whom."""
    head = f"GET {DISCOVERY} HTTP/1.0\r\n{HOST}\r\n\r\n"
    status, document = exchange(tls(site.edge), head.encode())
    assert (status, document["issuer"]) == (200, "https://localhost")


async def test_a_stranger_cannot_claim_https(site: Site) -> None:
    """HD-13: X-Forwarded-Proto is believed from the edge alone."""
    claim = {"host": "localhost", "x-forwarded-proto": "https"}
    stranger = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(transport=stranger, base_url=site.bridge.url) as http:
        assert (await http.get(DISCOVERY, headers=claim)).status_code == 400
    edge = f"http://{LOOPBACK}:{site.edge.http}"
    async with httpx.AsyncClient(base_url=edge) as http:
        assert (await http.get(DISCOVERY, headers=claim)).status_code == 400
        sent_on = await http.get(DISCOVERY, headers={"host": "localhost"})
    assert sent_on.headers["location"] == f"https://localhost{DISCOVERY}"
