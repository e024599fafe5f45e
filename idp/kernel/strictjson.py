"""A JSON reader that believes nothing: for bodies from outside, before any checksum. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Never

MOST_BYTES = 64 * 1024
DEEPEST = 8
_LONGEST_INT = 15  # digits; every such integer is exact in every language
# a string (also one that never ends: no second look, so the scan stays linear), or a bracket
_TOKEN = re.compile(r'"(?:[^"\\]|\\.?)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


class NotStrict(ValueError):
    """The body is not JSON as we accept it. The text names the rule, never the content."""


def read_object(body: bytes, most: int = MOST_BYTES) -> dict[str, Any]:
    """`body` as one JSON object. Raises NotStrict for more than `most` bytes, bad UTF-8, duplicate
    keys (two readers would see two values), NaN, depth over 8, lone surrogates, huge numbers."""
    if len(body) > most:
        raise NotStrict("too long")
    try:
        text = body.decode("utf-8-sig")  # some servers write a byte order mark
        _check_depth(text)
        value = _DECODER.decode(text)
        # a lone surrogate would crash whoever writes the text later
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except NotStrict:
        raise
    except (ValueError, RecursionError):  # its message would quote the body
        raise NotStrict("not JSON") from None
    if not isinstance(value, dict):
        raise NotStrict("not an object")
    return value


def _check_depth(text: str) -> None:
    depth = 0
    for token in _TOKEN.findall(text):
        depth += (token in ("[", "{")) - (token in ("]", "}"))
        if depth > DEEPEST:
            raise NotStrict("nested too deeply")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("duplicate key")
    return found


def _small_int(digits: str) -> int:
    if len(digits.lstrip("-")) > _LONGEST_INT:
        raise NotStrict("number too large")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if abs(number) == float("inf"):
        raise NotStrict("number too large")
    return number


def _no_constant(name: str) -> Never:
    raise NotStrict("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_duplicates,
    parse_int=_small_int,
    parse_float=_finite,
    parse_constant=_no_constant,
)
