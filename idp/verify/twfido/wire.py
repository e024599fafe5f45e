"""The papers' fields: read tolerantly, written exactly. Pure.

Names are read in any letter case, with stray blanks and the slides' two misspellings. Values are
held to a strict ASCII grammar before any checksum: E(x) signs a plain concatenation, so without
fixed lengths a forger could move bytes from one field to the next under the same checksum.
Every fault is a Disagreement whose text names the field, never its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from idp.kernel.errors import Disagreement
from idp.verify import numbers
from idp.verify.twfido.checksum import chksum, matches


@dataclass(frozen=True, slots=True)
class Interface:
    """One row of the slides' table. `sends` in the papers' order; the two sums name the fields
    under the checksum of request and answer. `resend`: asking twice does no harm."""

    name: str
    sends: tuple[str, ...]
    request_sum: tuple[str, ...]
    answer_sum: tuple[str, ...]
    resend: bool = False


_PERSON = ("pid", "syscode", "tranSeq")
_RESULT = ("rcode", "tranSeq")
_RANGE = ("startdate", "enddate", "tranSeq")

# TW FidO slides: inputs and checksums of the interfaces that we call or send the browser to
INTERFACES: Mapping[str, Interface] = MappingProxyType(
    {
        row.name: row
        for row in (
            Interface("FWEB-01", ("syscode", "tranSeq"), ("syscode", "tranSeq"), ("pid", "rcode")),
            Interface("CTAP-01", _PERSON, _PERSON, ("pid", "rcode")),
            Interface("FEXCH-01", ("syscode", "pid", "tranSeq"), _PERSON, ("qrid", "tranSeq")),
            Interface("FATH-01", ("syscode", "pid", "tranSeq"), _PERSON, ("qrid", "tranSeq")),
            Interface(
                "FATH-02",
                ("syscode", "qrid", "tranSeq"),
                ("qrid", "syscode", "tranSeq"),
                _RESULT,
                resend=True,
            ),
            Interface("REG-01", ("syscode", "pid", "tranSeq"), _PERSON, _RESULT, resend=True),
            Interface("QUE-01", ("syscode", *_RANGE), ("syscode", "tranSeq"), _RESULT, resend=True),
            Interface("QUE-02", ("syscode", "pid", *_RANGE), _PERSON, _RESULT, resend=True),
        )
    }
)

TRANSEQ_LENGTH = 20  # of ours; fixed, so that nothing can move between it and its neighbour
_GRAMMAR = {
    "syscode": r"[0-9]{20}",
    "qrid": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "tranSeq": r"[0-9]{1,20}",
    "rcode": r"[0-9]{4}",
    "chksum": r"[0-9A-Fa-f]{16}",
    "startdate": r"[0-9]{8}",
    "enddate": r"[0-9]{8}",
    "txnDate": r"[0-9]{8}",
    "txnTime": r"[0-9]{9}",
    "isDevice": r"[YN]",
    "status": r"success|fail|unhandled",
}
_PATTERNS = {name: re.compile(rf"\A(?:{g})\Z", re.ASCII) for name, g in _GRAMMAR.items()}
_PROPER = {
    name.lower(): name
    for name in (*_GRAMMAR, "op", "pid", "msg", "sysaction", "sysname", "data", "result")
} | {"grid": "qrid"}  # the slides write grid for qrid, and transeq for tranSeq
_LONGEST_TEXT = 100


def fits(name: str, value: str) -> bool:
    """Whether `value` has the grammar of the field `name`. A masked pid does not."""
    return numbers.valid(value) if name == "pid" else bool(_PATTERNS[name].match(value))


def transeq(now: int, chance: int) -> str:
    """A sequence number of ours: 10 digits of UTC seconds, 10 digits of chance."""
    return f"{now % 10**10:010d}{chance % 10**10:010d}"


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def emit(
    interface: Interface,
    values: Mapping[str, str],
    key: str,
    summed: Sequence[str] | None = None,
) -> dict[str, str]:
    """The request, in the papers' names and order, signed. Nothing unclean is ever signed."""
    fields = {name: values[name] for name in interface.sends}
    for name, value in fields.items():
        if not fits(name, value):
            raise Disagreement(detail=f"{interface.name}: our {name} is not well-formed")
    return {**fields, "chksum": chksum(key, joined(fields, summed or interface.request_sum))}


def joined(fields: Mapping[str, str], names: Sequence[str]) -> str:
    return "".join(fields.get(name, "") for name in names)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def fold(raw: Mapping[str, object]) -> dict[str, object]:
    """Field names as the papers mean them. The same name twice is refused: one reader would take
    the first, another the last."""
    folded: dict[str, object] = {}
    for name, value in raw.items():
        bare = "".join(name.split()).lower()
        proper = _PROPER.get(bare, bare)
        if proper in folded:
            raise Disagreement(detail="a field stands there twice")
        folded[proper] = value
    return folded


def required(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not fits(name, value):
        raise Disagreement(detail=f"{name} is missing or not well-formed")
    return value


def optional(fields: Mapping[str, object], name: str) -> str:
    """The field, or "" where it is absent, null or empty."""
    return "" if fields.get(name) in (None, "") else required(fields, name)


def optional_pid(fields: Mapping[str, object]) -> str:
    """A valid number, a mask, or "". Who may answer a mask is for the caller to decide."""
    value = fields.get("pid")
    masked = isinstance(value, str) and numbers.is_mask(value)
    return str(value) if masked else optional(fields, "pid")


def text(fields: Mapping[str, object], name: str) -> str:
    """Words for people: printable, at most 100 characters (no bidi tricks on our pages)."""
    value = fields.get(name)
    clean = "".join(c for c in value if c.isprintable()) if isinstance(value, str) else ""
    return clean[:_LONGEST_TEXT]


def check(keys: Sequence[str], fields: Mapping[str, str], names: Sequence[str], given: str) -> None:
    """Raises Disagreement unless `given` is the checksum of these fields under one of `keys`."""
    if not matches(keys, joined(fields, names), given):
        raise Disagreement(detail="wrong checksum")
