"""What the SP-API answered, checked: one dataclass and one reader an interface. Pure.

The envelope is {error_code, error_message, result}. A reader holds the fields to the grammar,
verifies the checksum, and only then gives them meaning. Numbers of people stay out of every repr.

Success always has a checksum. An error need not: public programs show errors without a result, and
so without one. Such an answer can end an attempt, and never approve one; whoever can forge it has
broken TLS, and could as well say nothing. A checksum that is there must fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from idp.kernel.errors import Disagreement
from idp.verify.spapi import ticket, wire
from idp.verify.spapi.wire import INTERFACES, SUCCESS

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Proof:
    """What an answer is checked against: the keys (newest first) and the transaction_id that we
    sent. It stands under every checksum, so no answer fits another transaction."""

    keys: Sequence[str] = field(repr=False)
    transaction_id: str


@dataclass(frozen=True, slots=True)
class Opened:
    """ATH-01, ATH-03. A ticket if and only if `code` is 0."""

    code: str
    ticket: ticket.Ticket | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """ATH-02. `cert` is not under the checksum, and no answer names a number."""

    code: str
    hashed_id_num: str = field(default="", repr=False)
    signed_response: str = field(default="", repr=False)
    cert: str = field(default="", repr=False)

    @property
    def success(self) -> bool:
        return self.code == SUCCESS


@dataclass(frozen=True, slots=True)
class BrowserAnswer:
    """WEB-01: carried by a browser. Its checksum binds number and transaction; still it is a
    bearer's message, and proves nothing of who brings it."""

    code: str
    transaction_id: str
    id_num: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """LF-01: whether a phone is bound, and whether it can sign."""

    code: str
    is_fido: bool = False
    is_mcert_sign: bool = False


def opened(interface: str, answer: Fields, proof: Proof) -> Opened:
    code, result = _envelope(interface, answer, proof)
    if not code.success:
        _verify(interface, proof, code, result)
        return Opened(code.bare)
    sp_ticket = wire.required(result, "sp_ticket")
    _verify(interface, proof, code, result, sp_ticket=sp_ticket)
    return Opened(code.bare, ticket.read(sp_ticket))


def result(answer: Fields, proof: Proof) -> Result:
    code, found = _envelope("ATH-02", answer, proof)
    hashed = wire.optional(found, "hashed_id_num")
    signed = wire.optional(found, "signed_response")
    _verify("ATH-02", proof, code, found, hashed_id_num=hashed, signed_response=signed)
    if not code.success:
        return Result(code.bare)
    return Result(code.bare, hashed, signed, cert=wire.scalar(found.get("cert")))


def device_status(answer: Fields, proof: Proof) -> DeviceStatus:
    code, result = _envelope("LF-01", answer, proof)
    if not code.success:
        _verify("LF-01", proof, code, result)
        return DeviceStatus(code.bare)
    flags = {name: wire.required(result, name) for name in ("is_fido", "is_mcert_sign")}
    _verify("LF-01", proof, code, result, **flags)
    return DeviceStatus(code.bare, flags["is_fido"] == "Y", flags["is_mcert_sign"] == "Y")


def browser_answer(fields: Fields, keys: Sequence[str]) -> BrowserAnswer:
    """A browser brings it: unlike an answer over TLS, nothing of it is believed unsigned."""
    transaction_id = wire.required(fields, "transaction_id")
    code = wire.code(fields.get("error_code"))
    id_num = wire.optional(fields, "id_num")
    if code.success and not id_num:
        raise Disagreement(detail="WEB-01: success without id_num")
    values = {
        "transaction_id": transaction_id,
        "error_code": code.raw,
        "id_num": id_num,
        "signed_response": wire.optional(fields, "signed_response"),
    }
    given = wire.required(fields, "idp_checksum")
    wire.check(keys, values, INTERFACES["WEB-01"].answer_sum, given)
    return BrowserAnswer(code.bare, transaction_id, id_num)


def _envelope(interface: str, answer: Fields, proof: Proof) -> tuple[wire.Code, Fields]:
    code = wire.code(answer.get("error_code"))
    if answer.get("transaction_id") not in (None, "", proof.transaction_id):
        raise Disagreement(detail=f"{interface}: the answer is to another transaction")
    found = answer.get("result")
    if not isinstance(found, dict):
        if found not in (None, "") or code.success:
            raise Disagreement(detail=f"{interface}: no result")
        found = {}
    return code, found


def _verify(interface: str, proof: Proof, code: wire.Code, result: Fields, **more: str) -> None:
    """What is under the checksum and not in `more` counts as empty."""
    if not code.success and result.get("idp_checksum") in (None, ""):
        return
    values = {"transaction_id": proof.transaction_id, "error_code": code.raw, **more}
    given = wire.required(result, "idp_checksum")
    wire.check(proof.keys, values, INTERFACES[interface].answer_sum, given)
