"""Lies on demand: the accidents that every service has, and fields that are not true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from idp.verify.simulated import weather
from idp.verify.twfido.simulator.checksum import checksum
from idp.verify.twfido.simulator.personas import OTHER_PERSON

INTERFACES = (
    *("FWEB-01", "CTAP-01", "FEXCH-01", "FEXCH-02", "FATH-01", "FATH-02"),
    *("REG-01", "QUE-01", "QUE-02"),
)


class Fault(weather.Fault):
    """Beside the accidents: each of these falsifies a field."""

    bad_checksum: bool = False
    wrong_transeq: bool = False
    other_pid: bool = False


Conditions = weather.Conditions[Fault]
NO_FAULT = Fault()


def seal(
    fields: Mapping[str, Any], signed: Sequence[str], api_key: str, fault: Fault = NO_FAULT
) -> dict[str, Any]:
    """The fields with `chksum` over those in `signed`. A wrong tranSeq and a wrong pid are signed
    correctly, so that the checksum alone does not give them away."""
    sealed = dict(fields)
    if fault.wrong_transeq and sealed.get("tranSeq"):
        last = int(sealed["tranSeq"][-1])
        sealed["tranSeq"] = f"{sealed['tranSeq'][:-1]}{(last + 1) % 10}"
    if fault.other_pid and sealed.get("pid"):
        sealed["pid"] = "B222222228" if sealed["pid"] == OTHER_PERSON else OTHER_PERSON
    value = checksum(api_key, *(sealed[name] for name in signed)) if api_key else ""
    if fault.bad_checksum and value:
        value = f"{int(value, 16) ^ 1:016X}"
    return {**sealed, "chksum": value}
