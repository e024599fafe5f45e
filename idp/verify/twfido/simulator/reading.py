"""Requests in: from bytes to a call that is well-formed, signed by a known system and new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from idp.verify.simulated import bodies
from idp.verify.twfido.simulator.checksum import checksum, same
from idp.verify.twfido.simulator.grammar import well_formed
from idp.verify.twfido.simulator.world import SimulatedSystem, World

MESSAGES = {
    "0000": "成功",
    "1002": "失敗：查無此系統代碼",
    "2001": "尚未驗證",
    "2002": "驗證失敗",
    "2003": "驗證逾時",
    "4002": "使用者未註冊",
    "5002": "驗證失敗",
    "5003": "驗證逾時",
    "9000": "已驗證，等待回呼應用系統",
    "9003": "資料格式錯誤",
    "9004": "使用者取消驗證",
    "9999": "系統錯誤",
}


@dataclass(frozen=True, slots=True)
class Interface:
    """`signed` and `answer_signed` are the fields under the checksums, in their order;
    `plain` are required as well but not signed."""

    name: str
    signed: tuple[str, ...]
    answer_signed: tuple[str, ...] = ("rcode", "tranSeq")
    plain: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return f"/rp-api-{self.name.lower()}"


_PERSON = ("pid", "syscode", "tranSeq")
_PERIOD = ("startdate", "enddate")
OPENINGS = (
    Interface("FEXCH-01", _PERSON, ("qrid", "tranSeq")),
    Interface("FATH-01", _PERSON, ("qrid", "tranSeq")),
)
RESULT = Interface("FATH-02", ("qrid", "syscode", "tranSeq"))
ENROLLED = Interface("REG-01", _PERSON)
STATISTICS = Interface("QUE-01", ("syscode", "tranSeq"), plain=_PERIOD)
RECORDS = Interface("QUE-02", _PERSON, plain=_PERIOD)
WEB = Interface("FWEB-01", ("syscode", "tranSeq"), ("pid", "rcode"))
DONGLE = Interface("CTAP-01", _PERSON, ("pid", "rcode"))


@dataclass(frozen=True, slots=True)
class Call:
    system: SimulatedSystem
    tran_seq: str
    fields: Mapping[str, str]

    @property
    def pid(self) -> str:
        return self.fields.get("pid", "")


@dataclass(eq=False)
class Refused(Exception):
    """`system` and `tran_seq` as far as they could be read."""

    rcode: str
    system: SimulatedSystem | None = None
    tran_seq: str = ""


async def read_fields(request: Request) -> dict[str, str]:
    """Refused (9003) if they cannot be read."""
    try:
        return await bodies.read_fields(request)
    except bodies.Unreadable:
        raise Refused("9003") from None


def read_call(world: World, interface: Interface, fields: Mapping[str, str]) -> Call:
    """Check in this order: syscode, grammar, checksum, tranSeq. A refused call spends nothing."""
    tran_seq = fields.get("tranSeq", "")
    if not well_formed("tranSeq", tran_seq):
        tran_seq = ""
    syscode = fields.get("syscode", "")
    if not well_formed("syscode", syscode):
        raise Refused("9003", tran_seq=tran_seq)
    system = world.systems.get(syscode)
    if system is None:
        raise Refused("1002", tran_seq=tran_seq)
    needed = (*interface.signed, *interface.plain, "chksum")
    if not all(well_formed(name, fields.get(name, "")) for name in needed):
        raise Refused("9003", system, tran_seq)
    expected = checksum(system.api_key, *(fields[name] for name in interface.signed))
    if not same(expected, fields["chksum"]):
        raise Refused("9003", system, tran_seq)
    if not world.use(syscode, tran_seq):
        raise Refused("9003", system, tran_seq)
    return Call(system, tran_seq, {name: fields[name] for name in needed})


def note(world: World, interface: Interface, refused: Refused) -> None:
    world.record(
        "refused",
        interface.name,
        syscode=refused.system.syscode if refused.system else "",
        tran_seq=refused.tran_seq,
        result=refused.rcode,
    )
