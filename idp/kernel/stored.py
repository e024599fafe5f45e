"""Documents in columns of text, read leniently: during an upgrade a newer version has written some.

A member that this version does not know is ignored, and one that is missing has its default; so
every member of a stored document has one. Strictness stays at the doors where documents come in.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def dump(document: object) -> str:
    """A dataclass or pydantic model as JSON, every member written: a default that changes later
    must not change what was stored before."""
    return _adapter(type(document)).dump_json(document).decode()


def read(kind: type[T], text: str) -> T:
    found: T = _adapter(kind).validate_json(text)
    return found
