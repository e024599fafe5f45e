"""FEXCH-02: TW FidO calls us with a result. The slides print neither its format nor its checksum.

Read as JSON or as a form, checked with the configured fields, and believed only so far: it says
which transaction to ask for. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl

from idp.kernel.errors import Disagreement
from idp.kernel.strictjson import MOST_BYTES, NotStrict, read_object
from idp.verify.twfido import wire

# What an allowed peer is answered whatever it said: 9000 means that it waits for this.
ACKNOWLEDGEMENT: Mapping[str, str] = MappingProxyType({"rcode": "0000", "msg": "OK"})

_MOST_FIELDS = 50


@dataclass(frozen=True, slots=True)
class Callback:
    """`pid` is full, masked or "": the usual checksum does not cover it."""

    rcode: str
    qrid: str
    pid: str = field(repr=False)


def read_body(body: bytes) -> dict[str, str]:
    """The fields of a callback, whatever its Content-Type claims. Raises Disagreement."""
    if len(body) > MOST_BYTES:
        raise Disagreement(detail="FEXCH-02: over 64 KiB")
    body = _utf8(body)
    is_json = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"
    try:
        pairs = list(read_object(body).items()) if is_json else _form(body)
    except NotStrict as fault:
        raise Disagreement(detail=f"FEXCH-02: {fault}") from None
    fields = {name: value for name, value in pairs if isinstance(value, str)}
    if len({name for name, _ in pairs}) != len(pairs):
        raise Disagreement(detail="FEXCH-02: a field stands there twice")
    return fields


def _utf8(body: bytes) -> bytes:
    """The message of another age may be in Big5; nothing under the checksum is, and nothing of the
    message is believed."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("cp950", "replace").encode()
    return body


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="replace",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:  # its message would quote the body
        raise NotStrict("not a form") from None


def read(
    folded: Mapping[str, object], keys: Sequence[str], summed: Sequence[str], syscode: str
) -> Callback:
    """The callback, if its checksum fits; `syscode` is the one it named, or ours. Every field
    under the checksum must be there."""
    values = {
        "qrid": wire.required(folded, "qrid"),
        "rcode": wire.required(folded, "rcode"),
        "tranSeq": wire.optional(folded, "tranSeq"),
        "pid": wire.optional_pid(folded),
        "syscode": syscode,
    }
    if not all(values[name] for name in summed):
        raise Disagreement(detail="FEXCH-02: a field under the checksum is missing")
    wire.check(keys, values, summed, wire.required(folded, "chksum"))
    return Callback(values["rcode"], values["qrid"], pid=values["pid"])
