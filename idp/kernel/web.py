"""Small parts of HTTP that every room uses: cookies, policies, addresses, answers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp.rates import parse_address

_OPAQUE = re.compile(r"\A[A-Za-z0-9_-]{22,86}\Z", re.ASCII)

BROWSER = "idp_browser"  # the cookie that tells one browser from another


@dataclass(frozen=True, slots=True)
class Cookies:
    """Opaque random values; the store only knows their digests."""

    secure: bool

    def name(self, plain: str) -> str:
        # some clients never send Secure cookies to http loopback, so they are plain there
        return f"__Host-{plain}" if self.secure else plain

    def read(self, request: Request, plain: str) -> str | None:
        """None if absent, malformed, or there twice (somebody planted a second one)."""
        name, found = self.name(plain), []
        for header in request.headers.getlist("cookie"):
            for part in header.split(";"):
                key, _, value = part.strip().partition("=")
                if key == name:
                    found.append(value)
        return found[0] if len(found) == 1 and _OPAQUE.match(found[0]) else None

    def write(self, response: Response, plain: str, value: str, max_age: int | None = None) -> None:
        response.set_cookie(
            self.name(plain),
            value,
            max_age=max_age,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def erase(self, response: Response, plain: str) -> None:
        response.delete_cookie(
            self.name(plain), path="/", secure=self.secure, httponly=True, samesite="lax"
        )


def preference(request: Request, name: str) -> str:
    """What the browser keeps of a person's taste: never a secret, never trusted."""
    return request.cookies.get(_preference_name(request, name), "")


def prefer(
    request: Request, response: Response, name: str, value: str, max_age: int | None = None
) -> None:
    response.set_cookie(
        _preference_name(request, name),
        value,
        max_age=max_age,
        path="/",
        secure=request.state.https,
        httponly=True,
        samesite="lax",
    )


def forget(request: Request, response: Response, name: str) -> None:
    """Of a browser that somebody else will use next."""
    response.delete_cookie(
        _preference_name(request, name),
        path="/",
        secure=request.state.https,
        httponly=True,
        samesite="lax",
    )


def _preference_name(request: Request, name: str) -> str:
    return f"__Host-{name}" if request.state.https else name


def page_policy(form_targets: Iterable[str] = (), frames: Iterable[str] = ()) -> str:
    """The CSP of a page. Chromium holds every redirect after a form to form-action, also those
    that a relying party makes on its own sites afterwards: a page whose buttons lead to one names
    its origin, and https altogether where that is https. `frames` are the origins of its frames."""
    beyond = ["https:"] if any(t.startswith("https://") for t in form_targets) else []
    targets = " ".join(["'self'", *form_targets, *beyond])
    framed = f"frame-src {' '.join(frames)}; " if frames else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'; {framed}form-action {targets}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )


def origin_of(uri: str) -> str:
    """scheme://host[:port], or the bare scheme for an app's own one."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def within(address: str, networks: Iterable[str]) -> bool:
    """Whether an address is in one of the networks (CIDR); what cannot be read holds nobody."""
    try:
        parsed = parse_address(address)
        return any(parsed in ipaddress.ip_network(network) for network in networks)
    except ValueError:
        return False


def no_store(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return response


def see_other(path: str, **query: str) -> RedirectResponse:
    """303: the answer to a form is a page of its own (RFC 9700 §4.12: never 307)."""
    response = RedirectResponse(path + ("?" + urlencode(query) if query else ""), status_code=303)
    no_store(response)
    return response
