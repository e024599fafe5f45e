"""Who takes part, over real connections: the actors of the stories, and many requests at once."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

from tests import actors, wecard
from tests.actors import Page
from tests.house import CALLBACK, Registered
from tests.services.bridge import APPLICATION, Bridge


class Browser(actors.Browser):
    """Without JavaScript; `door` replaces the network to the bridge."""

    def __init__(
        self, bridge: Bridge, door: httpx.AsyncBaseTransport | None = None, **headers: str
    ) -> None:
        self.issuer = bridge.issuer
        network = httpx.AsyncHTTPTransport()
        ours, theirs = (urlsplit(url).netloc for url in (self.issuer, bridge.simulator.url))
        self._begin({ours: door or network, theirs: network}, headers)

    async def open(self, url: str) -> Page:
        return await self._go("GET", urljoin(self.issuer, url), None, "none")

    @property
    def login_id(self) -> str:
        """Of the login page that is open."""
        return urlsplit(self.page.url).path.split("/")[2]

    def pressing(self, button: str) -> httpx.Request:
        """The request that a press would send, for somebody else to send."""
        form, pressed = self.page.form_with(button)
        url = urljoin(self.page.url, pressed.get("formaction") or form.action)
        jar = self.cookies[urlsplit(url).netloc]
        cookies = "; ".join(f"{name}={value}" for name, value in jar.items())
        headers = {**self._headers, "sec-fetch-site": "same-origin", "cookie": cookies}
        return httpx.Request("POST", url, data=form.fields, headers=headers)


class Service(actors.Service):
    """A relying party of a running bridge."""

    def __init__(self, bridge: Bridge, registered: Registered, **options: Any) -> None:
        self.issuer = bridge.issuer
        self.registered, self.redirect_uri = registered, CALLBACK
        self.http = bridge.http(**options)
        self.verifier = secrets.token_urlsafe(48)
        self.headers = {}
        self.state, self.nonce = secrets.token_urlsafe(8), secrets.token_urlsafe(8)

    def url(self, **changes: str | None) -> str:
        return f"{self.issuer}/authorize?{urlencode(self.params(**changes))}"

    def redemption(self, code: str) -> httpx.Request:
        """The request that redeems a code, not sent yet."""
        fields = {"code": code, "code_verifier": self.verifier, "redirect_uri": self.redirect_uri}
        return self.token_request(grant_type="authorization_code", **fields)

    def token_request(self, **fields: str) -> httpx.Request:
        """A token request that is not sent yet."""
        public = {} if self.registered.secret else {"client_id": self.registered.id}
        request = self.http.build_request("POST", "/token", data=fields | public)
        return next(self.auth().auth_flow(request))


async def web_client(bridge: Bridge, **fields: Any) -> Service:
    """A confidential relying party with everything, unless told otherwise."""
    known: dict[str, Any] = {
        "client_name": "館藏服務",
        "redirect_uris": (CALLBACK,),
        "grant_types": ("authorization_code", "refresh_token"),
        "scopes": ("openid", "profile", "twid", "offline_access"),
        "trusted": True,
    }
    return Service(bridge, await bridge.register(**(known | fields)))


async def program(bridge: Bridge, **fields: Any) -> Service:
    """A program that gets its tokens by client credentials."""
    known: dict[str, Any] = {
        "client_name": "程式",
        "grant_types": ("client_credentials",),
        "scopes": ("api:read", "api:write"),
    }
    return Service(bridge, await bridge.register(**(known | fields)))


async def code_for(bridge: Bridge, service: Service, **params: str) -> str:
    """A code that a person just brought back."""
    known = {"scope": "openid offline_access"} | params
    page = await actors.log_in(Browser(bridge), service, **known)
    assert "code" in page.query, f"{page.url} ({page.status}): {page.html}"
    return page.query["code"]


# ── the electronic card ─────────────────────────────────────────────────────────────────────────

CARD, MEMBER = "07302590", "A100000010"
OTHER_CARD = "07302591"
MEMBERS = f"""card_number,name,gender,identity_type,organization,national_id
{CARD},王小明,男,用户,國家圖書館/讀者服務組,{MEMBER}
{OTHER_CARD},林美麗,女,用户,國家圖書館/館藏發展組,A100000029
"""


async def binding_code(browser: Browser) -> str:
    """The code that the member gets on the page /wecard."""
    await browser.open("/wecard")
    await actors.verify(browser, "qr", MEMBER)
    page = await browser.press("get-code")
    return page.texts["code"]


def card_request(bridge: Bridge, card: str, code: str) -> httpx.Request:
    """Tencent's call, not sent yet."""
    url = f"{bridge.url}/wecard/{APPLICATION['path']}"
    sealed = wecard.sealed(wecard.plaintext(card, code))
    headers = {"content-type": "application/json"}
    return httpx.Request("POST", url, content=wecard.body(sealed), headers=headers)


# ── many at once ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Answer:
    """What came back on one connection."""

    status: int
    head: str
    body: str

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        found = re.search(r"(?mi)^location: (\S+)", self.head)
        return found[1] if found else ""

    def json(self) -> Any:
        return json.loads(self.body)


async def volley(requests: Sequence[httpx.Request], delays: Sequence[float] = ()) -> list[Answer]:
    """All at once: each request, complete but for its last byte, waits until all of them stand.
    `delays` in seconds, for those that are to come a little later."""
    together = asyncio.Barrier(len(requests))

    async def shoot(host: str, port: int, data: bytes, delay: float) -> Answer:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(data[:-1])
        await writer.drain()
        await together.wait()
        await asyncio.sleep(delay)
        writer.write(data[-1:])
        answer = _read(await asyncio.wait_for(reader.read(), 60))
        writer.close()
        return answer

    shots = zip(map(_wire, requests), delays or [0.0] * len(requests), strict=True)
    return await asyncio.gather(*(shoot(*wire, delay) for wire, delay in shots))


@asynccontextmanager
async def withheld(request: httpx.Request) -> AsyncIterator[Callable[[], Awaitable[Answer]]]:
    """A request that lacks its last byte until `release()`, which gives the answer."""
    host, port, data = _wire(request)
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(data[:-1])
    await writer.drain()
    await asyncio.sleep(0.3)  # the bridge has read what there is

    async def release() -> Answer:
        writer.write(data[-1:])
        return _read(await asyncio.wait_for(reader.read(), 60))

    yield release
    writer.close()


async def crowd(request: httpx.Request, size: int) -> list[Answer]:
    """The same request `size` times at once. Who hears that the house is full (503, the database
    is bounded) comes again; whatever the machine, everybody gets a real answer."""
    answers = await volley([request] * size)
    for _ in range(10):
        full = sum(a.status == 503 for a in answers)
        if not full:
            break
        print(f"full: {full} of {size} come again")
        await asyncio.sleep(1)
        answers = [a for a in answers if a.status != 503] + await volley([request] * full)
    return answers


def _wire(request: httpx.Request) -> tuple[str, int, bytes]:
    """Where to, and the request as it travels."""
    headers = {**request.headers, "connection": "close"}
    lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode()
    return request.url.host, request.url.port or 80, head + request.read()


def _read(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    return Answer(int(head[9:12]), head.decode("latin-1"), body.decode())


def statuses(answers: Iterable[Answer | httpx.Response]) -> dict[int, int]:
    """How often each status came."""
    found = [a.status if isinstance(a, Answer) else a.status_code for a in answers]
    return {status: found.count(status) for status in sorted(set(found))}
