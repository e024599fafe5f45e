"""A person with a browser that has no JavaScript, before a client program: follows links and
redirects, answers the bridge's pages, and ends where the program leaves them."""

from __future__ import annotations

import ssl
from http.cookiejar import Cookie, CookieJar
from urllib.parse import urljoin, urlsplit

import httpx

from tests.actors import Page

APPROVES = "A100000010"  # the simulator's person who has approved at once, with name and e-mail
STRANGER = "A100000127"  # approves at once too, is in no directory: neither name nor e-mail
REJECTS = "A100000038"
STEPS = 25
COOKIE = 4096  # characters of name and value; a browser drops a longer one without a word


class Person:
    """`bridge` is the issuer; cookies are kept per host, as a browser does. `ca` is the file of
    the only authority that this browser trusts."""

    def __init__(
        self, bridge: str, number: str = APPROVES, method: str = "qr", ca: str | None = None
    ) -> None:
        self._bridge, self._number, self._method = urlsplit(bridge).netloc, number, method
        self._http = httpx.Client(
            headers={"accept": "text/html", "accept-language": "en"},
            trust_env=False,
            timeout=30,
            verify=ssl.create_default_context(cafile=ca) if ca else True,
        )
        self.pages: list[Page] = []  # every page seen, the newest last
        self._http.cookies = _LoopbackJar()

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self._http.cookies)

    def open(self, url: str) -> Page:
        """Only follows redirects; presses nothing."""
        return self._send("GET", url)

    def walk(self, url: str) -> Page:
        """Opens an address of the program and logs in where the bridge asks to; the page of the
        program that comes after."""
        return self.go_on(self.open(url))

    def go_on(self, page: Page) -> Page:
        """Presses what a willing person presses until the bridge is left."""
        for _ in range(STEPS):
            if urlsplit(page.url).netloc != self._bridge:
                return page
            buttons = page.buttons()
            wanted = ("continue", "check", "allow", "logout")
            button = next((b for b in wanted if b in buttons), None)
            if button is None:
                return page
            typed = {"method": self._method, "pid": self._number} if button == "continue" else {}
            page = self.press(page, button, **typed)
        raise AssertionError(f"still at {page.url} after {STEPS} steps:\n{page.html}")

    def cancel(self, url: str) -> Page:
        """Opens an address of the program and gives up at the bridge's first page; the page of the
        program that comes after."""
        return self.press(self.open(url), "cancel")

    def press(self, page: Page, button: str, **typed: str) -> Page:
        """Presses the button with this id; `typed` fills in fields of its form."""
        form, pressed = page.form_with(button)
        fields = {**form.fields, **typed}
        if pressed.get("name"):
            fields[pressed["name"]] = pressed.get("value", "")
        url = urljoin(page.url, pressed.get("formaction") or form.action)
        if form.method.lower() == "get":
            return self._send("GET", str(httpx.URL(url, params=fields)))
        return self._send("POST", url, fields)

    def _send(self, method: str, url: str, fields: dict[str, str] | None = None) -> Page:
        for _ in range(STEPS):
            headers = {} if method == "GET" else {"origin": self._origin()}
            answer = self._http.request(method, url, data=fields, headers=headers)
            cookies = answer.headers.get_list("set-cookie")
            assert all(len(c.partition(";")[0]) <= COOKIE for c in cookies), cookies
            if not answer.has_redirect_location:
                page = Page(answer, url)
                self.pages.append(page)
                return page
            url = urljoin(url, answer.headers["location"])
            if answer.status_code != 307 and answer.status_code != 308:
                method, fields = "GET", None
        raise AssertionError(f"redirected {STEPS} times, last to {url}")

    def _origin(self) -> str:
        parts = urlsplit(self.pages[-1].url)
        return f"{parts.scheme}://{parts.netloc}"

    def close(self) -> None:
        self._http.close()


class _LoopbackJar(CookieJar):
    """Sends Secure cookies to loopback addresses without TLS too, as browsers do (W3C Secure
    Contexts): nothing else is visited here."""

    def set_cookie(self, cookie: Cookie) -> None:
        cookie.secure = False
        super().set_cookie(cookie)
