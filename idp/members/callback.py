"""POST /wecard/{path}: Tencent asks whether this card belongs to who typed its password.

Whoever may not ask is sent away by HTTP status before anything is decrypted. Everybody else gets
200, and every refusal is the same bytes. Who gets what is decided in verdict.py.
"""

from __future__ import annotations

import functools
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from idp.kernel.caller import Caller, caller_of
from idp.kernel.errors import InvalidRequest, TooLarge, Unavailable
from idp.kernel.forms import parse_urlencoded
from idp.kernel.metrics import CARDS
from idp.kernel.strictjson import NotStrict, read_object
from idp.kernel.throttle import PerMinute, Throttle
from idp.kernel.vault import digest
from idp.kernel.web import no_store, within
from idp.members import envelope
from idp.members.envelope import CardAttempt, Unreadable
from idp.members.settings import MembersSettings, WeCardApplication
from idp.members.verdict import Call, CardCheck

MOST_BYTES = 16 * 1024
NOBODY = CardAttempt("", "")


class CardCallback:
    def __init__(self, throttle: Throttle, settings: MembersSettings, check: CardCheck) -> None:
        self._throttle, self._check = throttle, check
        # by digest: how long a look-up takes must not spell out a path
        self._applications = {digest(a.path): (name, a) for name, a in settings.wecard.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application, because the routing would answer 405 before asking who calls."""
        response = await self._respond(Request(scope, receive))
        await no_store(response)(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            found = self._applications.get(digest(request.path_params["path"]))
            if found is None:
                return _away(404, "not found")
            return await self._turned_away(request, *found) or await self._answer(request, *found)
        except TooLarge:
            return _away(413, "too large")
        except ClientDisconnect:
            return _away(400, "gone")
        except Unavailable as broken:
            return _away(503, "unavailable", {"Retry-After": str(broken.retry_after)})

    async def _turned_away(
        self, request: Request, name: str, application: WeCardApplication
    ) -> Response | None:
        caller = caller_of(request)
        if not within(caller.address, application.allowed_sources):
            return _away(403, "foreign")
        if request.method != "POST":
            return _away(405, "method", {"Allow": "POST"})
        rate = PerMinute(application.requests_per_minute)
        wait = await self._throttle.hit(rate, "wecard", name, caller.source)
        return _away(429, "too many", {"Retry-After": str(wait)}) if wait else None

    async def _answer(
        self, request: Request, name: str, application: WeCardApplication
    ) -> Response:
        body = await _body(request)
        call = _read(name, application, caller_of(request), body, request.headers)
        return _reply(call, await self._check.decide(call))


# ── reading and writing ─────────────────────────────────────────────────────────────────────────


async def _body(request: Request) -> bytes:
    """Raises TooLarge, at the first byte too many."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise TooLarge
    return body


def _read(
    name: str,
    application: WeCardApplication,
    caller: Caller,
    body: bytes,
    headers: Mapping[str, str],
) -> Call:
    """What cannot be read is still a call, so that it is answered after the same work."""
    outer = _outer(body, headers.get("content-type", ""))
    app_key, raw_data = outer.get("app_key"), outer.get("raw_data")
    make = functools.partial(Call, name, application, caller, body, _echo(app_key))
    if not isinstance(app_key, str) or not _same(app_key, application.app_key):
        return make(NOBODY, "hex", "wrong app_key")
    try:
        if not isinstance(raw_data, str):
            raise Unreadable("raw_data must be a text")
        plain, form = envelope.decrypt(raw_data, application.key, application.iv)
        return make(envelope.read_attempt(plain), form, "")
    except Unreadable as broken:
        return make(NOBODY, "hex", f"unreadable: {broken}")


def _outer(body: bytes, content_type: str) -> dict[str, Any]:
    readers: dict[str, Callable[[bytes], dict[str, Any]]] = {
        "application/x-www-form-urlencoded": lambda raw: dict(parse_urlencoded(raw).once())
    }
    try:
        return readers.get(content_type.split(";")[0].strip().lower(), read_object)(body)
    except (NotStrict, InvalidRequest):
        return {}


def _same(theirs: str, ours: str) -> bool:
    return hmac.compare_digest(theirs.encode(), ours.encode())


def _echo(app_key: Any) -> str:
    """Their own text comes back, never ours: the answer to a wrong app_key must not hand out the
    right one, nor tell that it was wrong."""
    plain = isinstance(app_key, str) and len(app_key) <= 64 and app_key.isascii()
    return app_key if plain and app_key.isprintable() else ""


def _reply(call: Call, fields: dict[str, str] | None) -> Response:
    ours = call.application
    content: dict[str, Any] = {"code": ours.refusal_code, "message": ours.refusal_message}
    if fields:
        text = _compact(fields)
        raw_data = envelope.encrypt(text, ours.key, ours.iv, call.form)
        content = {"code": 0, "message": "OK", "raw_data": raw_data}
    return Response(_compact({**content, "app_key": call.echo}), media_type="application/json")


def _compact(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _away(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    CARDS.labels(why.replace(" ", "_")).inc()
    return PlainTextResponse(f"{why}\n", status_code=status, headers=headers)
