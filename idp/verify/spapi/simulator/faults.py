"""Lies on demand: the accidents that every service has, and answers that are not true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from idp.verify.simulated import weather
from idp.verify.spapi.simulator.checksum import checksum
from idp.verify.spapi.simulator.reading import ALL

INTERFACES = tuple(interface.name for interface in ALL)


class Fault(weather.Fault):
    """Beside the accidents. Of the checksum: `bad_checksum` another one, `upper_checksum` its
    letter case, `short_checksum` its length, `unsigned` none. Signed rightly: `wrong_transaction`
    for another one, `other_person` in hashed_id_num and id_num, `code` instead of the true one.
    Signed as the truth: `swapped` hashed_id_num and signed_response. `as_number`: a numeric
    error_code as a JSON number. `once`: a result is told once. `bad_signature`: of other words."""

    bad_checksum: bool = False
    upper_checksum: bool = False
    short_checksum: bool = False
    unsigned: bool = False
    wrong_transaction: bool = False
    other_person: bool = False
    swapped: bool = False
    as_number: bool = False
    once: bool = False
    bad_signature: bool = False
    code: str = Field("", max_length=200)


Conditions = weather.Conditions[Fault]
NO_FAULT = Fault()


def seal(
    fields: Mapping[str, str], signed: Sequence[str], aes_key: str, fault: Fault = NO_FAULT
) -> dict[str, str]:
    """`fields` (transaction_id and error_code among them) with `idp_checksum` over those in
    `signed`; an absent one counts as empty."""
    truth = dict(fields)
    if fault.wrong_transaction:
        truth["transaction_id"] = truth["transaction_id"][::-1]
    parts = [truth.get(name, "") for name in signed]
    value = checksum(aes_key, *parts) if aes_key and not fault.unsigned else ""
    if fault.bad_checksum and value:
        value = checksum(aes_key, "another", *parts)
    if fault.short_checksum:
        value = value[:-2]
    if fault.upper_checksum:
        value = value.upper()
    sealed = {**fields, "idp_checksum": value}
    if fault.swapped and "hashed_id_num" in sealed:
        one, other = sealed["hashed_id_num"], sealed["signed_response"]
        sealed["hashed_id_num"], sealed["signed_response"] = other, one
    return sealed


def envelope(interface: str, sealed: dict[str, str], fault: Fault, message: str) -> dict[str, Any]:
    """{error_code, error_message, result} of fields that `seal` made; an unsigned error has no
    result."""
    code = sealed.pop("error_code")
    transaction_id = sealed.pop("transaction_id")
    bare = not sealed["idp_checksum"] and code != "0"
    return {
        "transaction_id": transaction_id,
        "error_code": int(code) if fault.as_number and code.isdigit() else code,
        "error_message": message,
        "result": None if bare else sealed,
    }
