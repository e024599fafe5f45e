"""Who takes part in a story: objects with verbs."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
from bs4 import BeautifulSoup, Tag
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.types import ASGIApp

from tests.house import CALLBACK, HOME, ISSUER, SIMULATOR, Registered, TestHouse


class Form:
    """Where it sends what, and its buttons."""

    def __init__(self, found: Tag) -> None:
        self.action, self.method = _said(found, "action"), _said(found, "method") or "get"
        self.fields: dict[str, str] = {}
        self.buttons = [
            {key: _said(button, key) for key in button.attrs}
            for button in found.select("button:not([type=button])")
        ]
        for field in found.select(_FIELDS):
            chosen = field.select_one("option[selected]") or field.select_one("option") or field
            self.fields[_said(field, "name")] = _said(chosen, "value")


_FIELDS = "select[name], input[name]:not([type=radio]), input[name][checked]"


def _said(found: Tag, attribute: str) -> str:
    return str(found.get(attribute, ""))


class Page:
    """What a browser shows: where it is, the texts and links by id, the buttons."""

    def __init__(self, response: httpx.Response, url: str) -> None:
        self.response, self.url = response, url
        self.status, self.headers, self.html = response.status_code, response.headers, response.text
        found = BeautifulSoup(self.html, "html.parser")
        self.forms = [Form(form) for form in found("form")]
        self.title = found.title.get_text() if found.title else ""
        self.lang = _said(found.html, "lang") if found.html else ""
        self.links = {_said(link, "id"): _said(link, "href") for link in found.select("a[id]")}
        self.texts = {_said(named, "id"): named.get_text().strip() for named in found(id=True)}

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
        apps: dict[str, ASGIApp] = {**house.upstreams, urlsplit(ISSUER).netloc: house.app}
        hosts = {
            host: httpx.ASGITransport(app, client=(address, 4711)) for host, app in apps.items()
        }
        self._begin(hosts, headers)

    def _begin(
        self, hosts: Mapping[str, httpx.AsyncBaseTransport], headers: Mapping[str, str]
    ) -> None:
        self._hosts = hosts
        self._headers = {"accept": "text/html", "accept-language": "zh-TW", **headers}
        self.cookies: dict[str, dict[str, str]] = {}
        self.answers: list[httpx.Response] = []  # redirects too
        self.page = Page(httpx.Response(200, text=""), "about:blank")

    async def open(self, url: str) -> Page:
        return await self._go("GET", urljoin(ISSUER, url), None, "none")

    async def press(self, button: str, **typed: str) -> Page:
        """Presses the button with this id on the page that is open."""
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

    async def arrive(self, path: str, fields: dict[str, str], site: str = SIMULATOR) -> Page:
        """A form of another site sends this browser to the bridge."""
        self.page = Page(httpx.Response(200, text=""), site + "/")
        return await self._go("POST", urljoin(ISSUER, path), fields, "cross-site")

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
        if method == "POST" and site == "cross-site":
            headers["origin"] = _origin(self.page.url)
        headers.update(extra)
        async with httpx.AsyncClient(transport=self._hosts[host]) as client:
            response = await client.request(method, url, data=fields, headers=headers)
        self.answers.append(response)
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
        self.headers: dict[str, str] = {}  # of its calls of /token
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

    async def push(self, **changes: str | None) -> httpx.Response:
        """RFC 9126 §2: the request goes to us, not by way of the browser."""
        form, headers = self.params(**changes), self.headers
        return await self.http.post("/par", data=form, auth=self.auth(), headers=headers)

    async def pushed_url(self, **changes: str | None) -> str:
        """The link for the browser after a request was pushed."""
        answer = await self.push(**changes)
        query = {"client_id": self.registered.id, "request_uri": answer.json()["request_uri"]}
        return f"{ISSUER}/authorize?{urlencode(query)}"

    def auth(self) -> httpx.Auth:
        """HTTP Basic; nothing for a public client."""
        secret = self.registered.secret
        return httpx.BasicAuth(self.registered.id, secret) if secret else httpx.Auth()

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
        if self.registered.secret is None:
            form.setdefault("client_id", self.registered.id)
        return await self.http.post("/token", data=form, auth=self.auth(), headers=self.headers)

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
