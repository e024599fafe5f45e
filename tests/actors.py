"""Who takes part in a story: objects with verbs."""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.house import CALLBACK, HOME, ISSUER, Registered, TestHouse


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.ids: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self._open: list[tuple[str, str]] = []
        self._select = ""
        self.title = ""
        self.lang = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {k: v or "" for k, v in attrs}
        if tag == "html":
            self.lang = found.get("lang", "")
        if tag == "a" and found.get("id"):
            self.links[found["id"]] = found.get("href", "")
        if tag == "form":
            self.forms.append(Form(found.get("action", ""), found.get("method", "get")))
        elif tag == "input" and self.forms and found.get("name"):
            self._input(found)
        elif tag == "select" and self.forms:
            self._select = found.get("name", "")
        elif tag == "option" and self.forms and self._select:
            first = self._select not in self.forms[-1].fields
            if first or "selected" in found:
                self.forms[-1].fields[self._select] = found.get("value", "")
        elif tag == "button" and self.forms and found.get("type") != "button":
            self.forms[-1].buttons.append(found)
        if tag not in ("input", "meta", "link", "br", "img"):
            self._open.append((tag, found.get("id", "")))
            if found.get("id"):
                self.ids[found["id"]] = ""

    def _input(self, found: dict[str, str]) -> None:
        if found.get("type") == "radio" and "checked" not in found:
            return
        self.forms[-1].fields[found["name"]] = found.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            if self._open.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        for tag, name in self._open:
            if name:
                self.ids[name] += data
            if tag == "title":
                self.title += data


class Page:
    """What a browser shows: where it is, the texts and links by id, the buttons."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        self.response, self.url = response, url
        self.status, self.headers, self.html = response.status_code, response.headers, response.text
        reader = _Reader()
        reader.feed(self.html)
        self.forms, self.title, self.lang = reader.forms, reader.title, reader.lang
        self.links = reader.links
        self.texts = {key: html.unescape(text).strip() for key, text in reader.ids.items()}

    @property
    def error_code(self) -> str:
        return self.texts.get("error-code", "")

    def buttons(self) -> list[str]:
        return [b.get("id", "") for form in self.forms for b in form.buttons]

    @property
    def query(self) -> dict[str, str]:
        return {k: v[0] for k, v in parse_qs(urlsplit(self.url).query).items()}

    def form_with(self, button: str) -> tuple[Form, dict[str, str]]:
        for form in self.forms:
            for found in form.buttons:
                if found.get("id", "") == button:
                    return form, found
        raise AssertionError(f"no button {button} on {self.url} ({self.status}): {self.html}")


class Browser:
    """Follows redirects, keeps cookies per host, presses buttons. Without JavaScript."""

    def __init__(self, house: TestHouse, address: str = HOME, **headers: str) -> None:
        self.house = house
        self.cookies: dict[str, dict[str, str]] = {}
        self._headers = {"accept": "text/html", "accept-language": "zh-TW", **headers}
        apps = {**house.upstreams, urlsplit(ISSUER).netloc: house.app}
        self._hosts: dict[str, httpx.AsyncBaseTransport] = {
            host: httpx.ASGITransport(app, client=(address, 4711)) for host, app in apps.items()
        }
        self.page: Page | None = None

    async def open(self, url: str) -> Page:
        return await self._go("GET", urljoin(ISSUER, url), None, "none")

    async def press(self, button: str, **typed: str) -> Page:
        """Presses the button with this id on the page that is open."""
        assert self.page is not None
        form, pressed = self.page.form_with(button)
        fields = {**form.fields, **typed}
        if pressed.get("name"):
            fields[pressed["name"]] = pressed.get("value", "")
        url = urljoin(self.page.url, pressed.get("formaction") or form.action)
        site = "same-origin" if _origin(url) == _origin(self.page.url) else "cross-site"
        if form.method.lower() == "get":
            return await self._go("GET", f"{url}?{urlencode(fields)}", None, site)
        return await self._go("POST", url, fields, site)

    async def send(self, path: str, fields: dict[str, str], **headers: str) -> Page:
        """A POST that no page offered."""
        return await self._go("POST", urljoin(ISSUER, path), fields, "same-origin", headers)

    async def _go(
        self,
        method: str,
        url: str,
        fields: dict[str, str] | None,
        site: str,
        extra: dict[str, str] | None = None,
    ) -> Page:
        for _ in range(12):
            host = urlsplit(url).netloc
            if host not in self._hosts:  # left for the relying party
                self.page = Page(httpx.Response(200, text=""), url)
                return self.page
            response = await self._send(method, url, fields, site, extra or {})
            if response.status_code not in (302, 303, 307):
                self.page = Page(response, url)
                return self.page
            target = urljoin(url, response.headers["location"])
            site = site if site == "cross-site" or _origin(target) == _origin(url) else "cross-site"
            method, fields, url = "GET", None, target
        raise AssertionError(f"too many redirects at {url}")

    async def _send(
        self, method: str, url: str, fields: dict[str, str] | None, site: str, extra: dict[str, str]
    ) -> httpx.Response:
        host = urlsplit(url).netloc
        headers = {**self._headers, "sec-fetch-site": site}
        # SameSite=Lax: a cross-site POST brings no cookies
        jar = {} if (site == "cross-site" and method == "POST") else self.cookies.get(host, {})
        if jar:
            headers["cookie"] = "; ".join(f"{k}={v}" for k, v in jar.items())
        if method == "POST" and site == "cross-site" and self.page:
            headers["origin"] = _origin(self.page.url)
        headers.update(extra)
        async with httpx.AsyncClient(transport=self._hosts[host]) as client:
            response = await client.request(method, url, data=fields, headers=headers)
        self._remember(host, response)
        return response

    def _remember(self, host: str, response: httpx.Response) -> None:
        jar = self.cookies.setdefault(host, {})
        for header in response.headers.get_list("set-cookie"):
            name, _, rest = header.partition("=")
            value = rest.split(";")[0]
            if "Max-Age=0" in header or "expires=Thu, 01 Jan 1970" in header:
                jar.pop(name, None)
            else:
                jar[name] = value


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class Service:
    """A relying party: builds requests, redeems codes, verifies what it gets."""

    def __init__(self, house: TestHouse, registered: Registered, redirect_uri: str = CALLBACK):
        self.house, self.registered, self.redirect_uri = house, registered, redirect_uri
        self.http = house.http(address="198.51.100.20")
        self.verifier = secrets.token_urlsafe(48)
        self.state, self.nonce = secrets.token_urlsafe(8), secrets.token_urlsafe(8)

    def params(self, **changes: str | None) -> dict[str, str]:
        challenge = hashlib.sha256(self.verifier.encode()).digest()
        known: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.registered.id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid profile",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        return {k: v for k, v in (known | changes).items() if v is not None}

    def url(self, **changes: str | None) -> str:
        return f"{ISSUER}/authorize?{urlencode(self.params(**changes))}"

    def auth(self) -> tuple[str, str] | None:
        secret = self.registered.secret
        return (self.registered.id, secret) if secret else None

    async def redeem(self, page: Page | str, **changes: str | None) -> httpx.Response:
        """Answers the token response for the code that a browser brought."""
        code = page if isinstance(page, str) else page.query["code"]
        known: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return await self.token(**(known | changes))

    async def refresh(self, refresh_token: str, **changes: str | None) -> httpx.Response:
        known: dict[str, str | None] = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        }
        return await self.token(**(known | changes))

    async def token(self, **fields: str | None) -> httpx.Response:
        form = {k: v for k, v in fields.items() if v is not None}
        auth = self.auth()
        if auth is None:
            form.setdefault("client_id", self.registered.id)
        return await self.http.post("/token", data=form, auth=auth)

    async def userinfo(self, access_token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {access_token}"}
        return await self.http.get("/userinfo", headers=headers)

    async def verified(self, token: str) -> dict[str, Any]:
        """The claims of a token, checked against the published keys."""
        keys = KeySet.import_key_set((await self.http.get("/jwks")).json())
        return dict(jwt.decode(token, keys, ["RS256", "ES256"]).claims)


async def log_in(
    browser: Browser,
    service: Service,
    method: str = "qr",
    number: str = "A100000010",
    **params: str | None,
) -> Page:
    """From the service's link back to the service, with whatever pages come between."""
    page = await browser.open(service.url(**params))
    if "continue" in page.buttons():
        page = await verify(browser, method, number)
    if "allow" in page.buttons():
        page = await browser.press("allow")
    return page


async def verify(browser: Browser, method: str = "qr", number: str = "A100000010") -> Page:
    """From the chooser to whatever comes after the verification."""
    number = "" if method == "web" else number
    page = await browser.press("continue", method=method, pid=number)
    if "go" in page.buttons():
        await browser.press("go")
        page = await browser.press("approve" if method == "web" else "use-dongle")
        page = await browser.press("return")
    for _ in range(2):  # what a browser brought back is confirmed on a page of its own
        if "check" in page.buttons():
            page = await browser.press("check")
    return page
