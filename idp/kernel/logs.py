"""Logs: one line an event, JSON in production, readable in development.

What must never be written is cut out here, whoever tries to write it.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.types import EventDict

SECRET_FIELDS = {
    "pid",
    "number",
    "secret",
    "client_secret",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "code",
    "password",
    "raw_data",
    "code_verifier",
    "client_assertion",
    "cookie",
    "authorization",
}
_NUMBER = re.compile(r"\b[A-Z][A-D1289]\d{8}\b")  # what looks like a person's number
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")


def hide(*names: str) -> None:
    """A room that has secret fields of its own names them."""
    SECRET_FIELDS.update(names)


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if key in SECRET_FIELDS:
            event[key] = "[redacted]"
        elif isinstance(value, str):
            event[key] = _JWT.sub("[token]", _NUMBER.sub("[number]", value))
    return event


def configure(*, production: bool) -> None:
    """Log to standard error. Levels are fixed here: libraries would print tokens at DEBUG."""
    shape: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if production
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    for name in ("authlib", "httpx", "httpcore", "asyncio", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
