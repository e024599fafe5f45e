"""Queries and forms, read strictly; and forms of our own, which only our pages can send.

Every input is hostile: whatever does not parse is refused here with a clear error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request

from idp.kernel.caller import caller_of
from idp.kernel.clock import token
from idp.kernel.errors import ForgedRequest, InvalidRequest
from idp.kernel.vault import digest
from idp.kernel.web import Cookies

MAX_FIELDS = 100
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # tab is left to the owner of the field


class Params(dict[str, str]):
    """Each parameter once. `repeated` has all the values of those that came more than once."""

    repeated: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def once(self, *but: str) -> Params:
        """Raises InvalidRequest if anything was repeated (RFC 6749 §3.1), but for these names."""
        if found := self.repeated.keys() - set(but):
            raise InvalidRequest("a parameter is repeated: " + ", ".join(sorted(found)))
        return self

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a parameter that may be repeated."""
        values = self.repeated.get(name) or (self.get(name, ""),)
        return tuple(value for value in values if value)

    def given(self) -> Params:
        """Those with a value: one without was not sent (RFC 6749 §3.1, §3.2)."""
        params = Params({name: value for name, value in self.items() if value})
        params.repeated = self.repeated
        return params


def parse_urlencoded(
    raw: bytes, opaque: Collection[str] = (), known: Collection[str] | None = None
) -> Params:
    """Raises InvalidRequest for bad escapes, bad UTF-8, too many fields, and control characters
    but in the `opaque` fields, whose owner has a grammar of its own. Where the `known` names are
    told, any other parameter is ignored, whatever it holds (RFC 6749 §3.1)."""
    pieces = [piece for piece in raw.split(b"&") if piece]
    if len(pieces) > MAX_FIELDS:
        raise InvalidRequest("too many parameters")
    if known is not None:
        pieces = [piece for piece in pieces if _name(piece) in known]
    pairs = [_pair(piece) for piece in pieces]
    if CONTROL.search("".join(k if k in opaque else k + v for k, v in pairs)):
        raise InvalidRequest("control characters are not allowed")
    return params_of(pairs)


def params_of(pairs: list[tuple[str, str]]) -> Params:
    params = Params(reversed(pairs))  # the first of several stays
    values = {name: tuple(v for k, v in pairs if k == name) for name, _ in pairs}
    params.repeated = {name: several for name, several in values.items() if len(several) > 1}
    return params


def _name(piece: bytes) -> str:
    return unquote_plus(piece.partition(b"=")[0].decode("ascii", "replace"))


def _pair(piece: bytes) -> tuple[str, str]:
    if _BAD_ESCAPE.search(piece):
        raise InvalidRequest("bad percent-encoding")
    try:
        name, _, value = piece.decode("ascii").partition("=")
        return unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
    except UnicodeDecodeError as broken:
        raise InvalidRequest("the parameters cannot be read", detail=str(broken)) from None


def plain_names(request: Request) -> set[str]:
    """The names in the query as somebody may have meant them: in any case, and with the brackets
    that PHP and Rails write (`client_secret[]`)."""
    pieces = request.scope["query_string"].split(b"&")
    return {_name(piece).lower().partition("[")[0].strip() for piece in pieces}


def read_query(request: Request, known: Collection[str] | None = None) -> Params:
    return parse_urlencoded(request.scope["query_string"], known=known)


def _check_kind(request: Request) -> None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidRequest("the body must be application/x-www-form-urlencoded")


async def read_form(
    request: Request, opaque: Collection[str] = (), known: Collection[str] | None = None
) -> Params:
    """The urlencoded body. Raises InvalidRequest for any other content type."""
    _check_kind(request)
    return parse_urlencoded(await request.body(), opaque, known)


async def read_tolerantly(request: Request) -> Params:
    """Query or form of a machine that we cannot correct, and whose words are not believed anyway:
    what is not UTF-8 is kept as replacement characters. Raises InvalidRequest."""
    if request.method == "GET":
        return _tolerant(request.scope["query_string"])
    _check_kind(request)
    return _tolerant(await request.body())


def _tolerant(raw: bytes) -> Params:
    try:
        pairs = parse_qsl(
            raw.decode("ascii", "replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise InvalidRequest("too many parameters") from None
    return params_of([(CONTROL.sub("\ufffd", k), CONTROL.sub("\ufffd", v)) for k, v in pairs])


# ── forms of our own ────────────────────────────────────────────────────────────────────────────

FORM_LIFE = 4 * 3600  # seconds a page may lie open before its buttons are stale


class Forms:
    """Which browser is this, and did this form come from a page we gave it?"""

    def __init__(self, cookies: Cookies, issuer: str, secrets: list[bytes]) -> None:
        """`secrets`: the newest signs and stands last, all are accepted."""
        self.cookies = cookies
        parts = urlsplit(issuer)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._signer = URLSafeTimedSerializer(secrets, salt="form")

    def greet(self, request: Request) -> tuple[str, str | None]:
        """(browser, cookie value to set or None if it has one)."""
        known = caller_of(request).browser
        if known:
            return known, None
        value = token()
        return digest(value), value

    def sign(self, value: str) -> str:
        """A hidden field that only we can write; `csrf` of every form is the browser's."""
        return self._signer.dumps(value)

    def signed(self, text: str) -> str:
        """What was signed. Raises ForgedRequest: not by us, or too long ago."""
        try:
            return str(self._signer.loads(text, max_age=FORM_LIFE))
        except BadSignature:
            raise ForgedRequest from None

    def check(self, request: Request, form: Mapping[str, str]) -> str:
        """The browser that sent this form. Raises ForgedRequest: another site may not press our
        buttons, and a stale page may not either."""
        browser = caller_of(request).browser
        if not browser or not self._from_here(request):
            raise ForgedRequest
        if self.signed(form.get("csrf", "")) != browser:
            raise ForgedRequest
        return browser

    def _from_here(self, request: Request) -> bool:
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        if origin not in (None, "null", self._origin):
            return False
        return site in (None, "same-origin", "none")
