"""Tencent's side of the callback, for `idp wecard call` and the tests."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from idp.members import envelope
from idp.members.envelope import Form, Unreadable

TIMEOUT = 3.0  # seconds: what Tencent grants


class NoAnswer(Exception):
    """The server could not be reached, or not in time."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """`sent` and `received` as they travelled, `asked` and `answered` as they read."""

    asked: dict[str, Any] = field(repr=False)
    sent: dict[str, str] = field(repr=False)
    status: int
    received: str
    answered: dict[str, Any] | None
    seconds: float


async def call(
    url: str,
    *,
    app_key: str,
    app_secret: str,
    card_number: str,
    password: str,
    form: Form = "hex",
    encoding: Literal["json", "form"] = "json",
    client: httpx.AsyncClient | None = None,
) -> Exchange:
    """Raises NoAnswer."""
    key, iv = app_key.encode(), app_secret[:16].encode()
    asked = {"card_number": card_number, "password": password}
    text = json.dumps(asked, ensure_ascii=False, separators=(",", ":"))
    sent = {"raw_data": envelope.encrypt(text, key, iv, form), "app_key": app_key}
    body: dict[str, Any] = {"json" if encoding == "json" else "data": sent}
    trusted = ssl.create_default_context()  # the system's certificates, or SSL_CERT_FILE
    try:
        if client is not None:
            response = await client.post(url, **body)
        else:
            async with httpx.AsyncClient(timeout=TIMEOUT, verify=trusted) as own:
                response = await own.post(url, **body)
    except httpx.HTTPError as away:
        raise NoAnswer(f"{type(away).__name__}: {away}") from away
    return Exchange(
        asked,
        sent,
        response.status_code,
        response.text,
        _opened(response, key, iv),
        response.elapsed.total_seconds(),
    )


def _opened(response: httpx.Response, key: bytes, iv: bytes) -> dict[str, Any] | None:
    """The record in the answer, or None if there is none or it cannot be read."""
    try:
        plain, _ = envelope.decrypt(response.json()["raw_data"], key, iv)
        opened = json.loads(plain)
    except (Unreadable, ValueError, KeyError, TypeError):
        return None
    return opened if isinstance(opened, dict) else None
