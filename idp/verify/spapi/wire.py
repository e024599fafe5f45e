"""The fields of the SP-API: read tolerantly, written exactly. Pure.

A checksum is over a plain concatenation, so a strict ASCII grammar comes first, and where two
fields meet either the first has one length, or its value is known before it is read:
transaction_id is a UUID of ours, success is the one digit 0 (no other code begins with it), id_num
has ten characters, and hashed_id_num must be that of our ticket (`rules`).
Every fault is a Disagreement whose text names the field, never its value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from idp.kernel.errors import Disagreement
from idp.verify import numbers
from idp.verify.spapi import checksum


@dataclass(frozen=True, slots=True)
class Interface:
    """One row of the table. `sends` in its order; the two sums name the fields under the checksum
    of request and answer. `resend`: asking twice does no harm."""

    name: str
    sends: tuple[str, ...]
    request_sum: tuple[str, ...]
    answer_sum: tuple[str, ...]
    resend: bool = False


_ANSWER = ("transaction_id", "error_code")
_SIGNING = ("sign_type", "sign_data", "tbs_encoding", "hash_algorithm")
_US = ("transaction_id", "sp_service_id")
_TICKET = (*_ANSWER, "sp_ticket")

# SP-API: inputs and checksums of the interfaces that we call or send the browser to. ATH-03 has
# device_user_def_desc behind id_num: we never name a device, and what is unused counts as empty.
INTERFACES: Mapping[str, Interface] = MappingProxyType(
    {
        row.name: row
        for row in (
            Interface(
                "ATH-01",
                (*_US, "id_num", "op_code", "op_mode", "hint", "time_limit", *_SIGNING),
                (*_US, "id_num", "op_code", "op_mode", "hint", "sign_data"),
                _TICKET,
            ),
            Interface(
                "ATH-02",
                (*_US, "sp_ticket_id"),
                (*_US, "sp_ticket_id"),
                (*_ANSWER, "hashed_id_num", "signed_response"),
                resend=True,
            ),
            Interface(
                "ATH-03",
                (*_US, "id_num", "op_code", "hint", "time_limit", *_SIGNING),
                (*_US, "id_num", "device_user_def_desc", "op_code", "hint", "sign_data"),
                _TICKET,
            ),
            Interface(
                "WEB-01",
                (*_US, "op_code", "hint", "time_limit", *_SIGNING),
                (*_US, "op_code", "hint", "sign_data"),
                (*_ANSWER, "id_num", "signed_response"),
            ),
            Interface(
                "LF-01",
                (*_US, "id_num"),
                (*_US, "id_num"),
                (*_ANSWER, "is_fido", "is_mcert_sign"),
                resend=True,
            ),
        )
    }
)

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TICKET_ID = r"[A-Za-z0-9._~-]{1,128}"
_BASE64 = r"[A-Za-z0-9+/_-]*={0,2}"
_GRAMMAR = {
    "transaction_id": UUID,
    "sp_service_id": r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}",
    "sp_ticket_id": rf"(?:{TICKET_ID})?",  # a web redirect has no ticket that we know of
    "op_code": r"ATH",
    "op_mode": r"I-SCAN|APP2APP|MWEB2APP",
    "time_limit": r"[1-9][0-9]{1,2}",
    "sign_type": r"(?:PKCS#1)?",
    "sign_data": rf"(?:login:{UUID})?",
    "tbs_encoding": r"(?:NONE)?",
    "hash_algorithm": r"(?:SHA256)?",
    "sp_ticket": r"[A-Za-z0-9_-]+={0,2}\.[A-Za-z0-9_-]+={0,2}",
    "hashed_id_num": r"[A-Za-z0-9+/=_-]{1,128}",
    "signed_response": _BASE64,
    "idp_checksum": r"[0-9A-Fa-f]{184}",
    "is_fido": r"[YN]",
    "is_mcert_sign": r"[YN]",
}
_PATTERNS = {name: re.compile(rf"\A(?:{g})\Z", re.ASCII) for name, g in _GRAMMAR.items()}
_LONGEST = 16_384  # characters of any field
_LONGEST_TEXT = 100
_PREFIX = re.compile(r"\ASP-API-[A-Z]{2,4}-[0-9]{2}-", re.ASCII)
_CODE = re.compile(r"\A(?:[A-Z][A-Z0-9_]{1,60}|[1-9][0-9]{0,5}|0)\Z", re.ASCII)

SUCCESS = "0"


def fits(name: str, value: str) -> bool:
    """Whether `value` has the grammar of the field `name`."""
    if name == "id_num":
        return numbers.valid(value)
    if name == "hint":  # the app shows it: words without tricks, and no line of its own
        return 0 < len(value) <= _LONGEST_TEXT and value.isprintable()
    return len(value) <= _LONGEST and bool(_PATTERNS[name].match(value))


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def emit(
    interface: Interface, values: Mapping[str, str], key: str, chance: Callable[[int], bytes]
) -> dict[str, str]:
    """The request as flat fields in the table's order, signed. Nothing unclean is ever signed."""
    fields = {name: values.get(name, "") for name in interface.sends}
    for name, value in fields.items():
        if not fits(name, value):
            raise Disagreement(detail=f"{interface.name}: our {name} is not well-formed")
    sealed = checksum.seal(key, joined(fields, interface.request_sum), chance)
    return {name: value for name, value in fields.items() if value} | {"sp_checksum": sealed}


def document(fields: Mapping[str, str]) -> dict[str, Any]:
    """The flat fields as the JSON of a call: the time an integer, the signing a nested object."""
    signing = {name: fields[name] for name in _SIGNING if name in fields}
    body: dict[str, Any] = {k: v for k, v in fields.items() if k not in signing}
    if "time_limit" in body:
        body["time_limit"] = int(body["time_limit"])
    return {**body, "sign_info": signing} if signing else body


def joined(fields: Mapping[str, str], names: Sequence[str]) -> str:
    return "".join(fields.get(name, "") for name in names)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Code:
    """`raw` stands under the checksum; `bare` is it without the interface before it and the words
    behind it."""

    raw: str
    bare: str

    @property
    def success(self) -> bool:
        return self.raw == SUCCESS


def scalar(value: object) -> str:
    """A string, or a whole number as one: which of them comes differs between installations.
    Anything else, also an absent field, is ""."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if isinstance(value, str) or whole else ""


def code(value: object) -> Code:
    """`SP-API-ATH-02-SPTKT_OVD: words` and `SPTKT_OVD` are one code. Nothing but the digit itself
    is success: "00", " 0" and "0: words" are not."""
    raw = scalar(value)
    if len(raw) > _LONGEST_TEXT * 3 or not raw.isprintable():
        raise Disagreement(detail="error_code is not well-formed")
    bare = _PREFIX.sub("", raw.split(":", 1)[0].strip())
    if not _CODE.match(bare) or (bare == SUCCESS and raw != SUCCESS):
        raise Disagreement(detail="error_code is missing or not well-formed")
    return Code(raw, bare)


def required(fields: Mapping[str, object], name: str) -> str:
    value = scalar(fields.get(name))
    if not fits(name, value):
        raise Disagreement(detail=f"{name} is missing or not well-formed")
    return value


def optional(fields: Mapping[str, object], name: str) -> str:
    """The field, or "" where it is absent, null or empty."""
    return "" if fields.get(name) in (None, "") else required(fields, name)


def text(fields: Mapping[str, object], name: str) -> str:
    """Words for people: printable, at most 100 characters (no bidi tricks on our pages)."""
    clean = "".join(c for c in scalar(fields.get(name)) if c.isprintable())
    return clean[:_LONGEST_TEXT]


def check(keys: Sequence[str], fields: Mapping[str, str], names: Sequence[str], given: str) -> None:
    """Raises Disagreement unless `given` is the checksum of these fields under one of `keys`."""
    if not checksum.matches(keys, joined(fields, names), given):
        raise Disagreement(detail="wrong checksum")
