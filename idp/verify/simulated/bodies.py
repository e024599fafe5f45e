"""Requests in: from bytes to fields."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

MAX_BODY = 64 * 1024


class Unreadable(Exception):
    """Too large, incomplete, or neither JSON nor a form nor a query."""


async def read_body(request: Request) -> bytes:
    """Raises Unreadable over 64 KiB, and if the peer hangs up before the end."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise Unreadable
    except ClientDisconnect:
        raise Unreadable from None
    return bytes(body)


async def read_document(request: Request) -> dict[str, Any]:
    """The query of a GET, else JSON or a form. Raises Unreadable."""
    if request.method == "GET":
        return dict(pairs(request.url.query))
    body = await read_body(request)
    try:
        if media_type(request) == "application/x-www-form-urlencoded":
            return dict(pairs(body.decode()))
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable from None
    if not isinstance(fields, dict):
        raise Unreadable
    return fields


async def read_fields(request: Request) -> dict[str, str]:
    """Those fields that are texts. Raises Unreadable."""
    found = await read_document(request)
    return {name: value for name, value in found.items() if isinstance(value, str)}


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def pairs(text: str) -> dict[str, str]:
    """Raises Unreadable."""
    try:
        found = parse_qsl(text, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise Unreadable from None
    fields = dict(found)
    if len(fields) != len(found):  # the same field twice: two readers, two meanings
        raise Unreadable
    return fields
