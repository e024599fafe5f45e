"""Requests in: from a document to a call that is well-formed, signed by a known service and new."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from idp.verify.simulated import bodies
from idp.verify.simulated.numbers import valid_pid
from idp.verify.spapi.simulator.checksum import IV, LENGTH, fits
from idp.verify.spapi.simulator.world import SimulatedService, World

MESSAGES = {
    "0": "成功",
    "20002": "使用者尚未完成",
    "20003": "處理中",
    "APP_SIGN_FAILURE": "APP 簽章失敗",
    "APP_USER_CANCEL": "使用者取消",
    "DB_CONN_ERR": "資料庫連線失敗",
    "IDNUM_DEVPROF_NF": "身分證字號未找到對應之裝置資訊",
    "INV_SP_CHECKSUM": "SP CHECKSUM 檢驗失敗",
    "PM_IDN_FT_ERR": "身分證字號格式錯誤",
    "PM_INV_NF": "缺少參數或者格式不正確",
    "PS_FCM_NOT_FOUND": "APP 推播資源失效",
    "SIGNDATA_LEN_LIMIT": "簽章資料長度到達上限",
    "SPSVCID_NF": "查無 SP 資訊",
    "SPTKTID_SPTKT_NF": "查無 Sp_ticket",
    "SPTKTID_SPTKT_RDM": "Sp_ticket 已經被使用過",
    "SPTKTID_TXNLOG_NF": "查無使用者認證結果",
    "SPTKT_OVD": "Sp_ticket 逾期",
    "SPTKT_TIME_ORV": "逾期時間超過範圍",
    "TXNLOG_INS_ERR": "transaction_id 重複",
    "UNDEFINED": "未定義錯誤",
}


@dataclass(frozen=True, slots=True)
class Interface:
    """`signed` and `answer_signed` are the fields under the checksums, in their order. `opens` a
    transaction: then its transaction_id is new; `needs_new`: so it is here, too."""

    name: str
    path: str
    signed: tuple[str, ...]
    answer_signed: tuple[str, ...]
    opens: bool = False
    needs_new: bool = False


_WHO = ("transaction_id", "sp_service_id")
_TICKET = ("transaction_id", "error_code", "sp_ticket")
QR = Interface(
    "ATH-01",
    "/moise/sp/getSpTicket",
    (*_WHO, "id_num", "op_code", "op_mode", "hint", "sign_data"),
    _TICKET,
    opens=True,
)
PUSH = Interface(
    "ATH-03",
    "/moise/sp/requestAthOrSignPush",
    (*_WHO, "id_num", "device_user_def_desc", "op_code", "hint", "sign_data"),
    _TICKET,
    opens=True,
)
RESULT = Interface(
    "ATH-02",
    "/moise/sp/getAthOrSignResult",
    (*_WHO, "sp_ticket_id"),
    ("transaction_id", "error_code", "hashed_id_num", "signed_response"),
)
WEB = Interface(
    "WEB-01",
    "/fidoRedirect/web",
    (*_WHO, "op_code", "hint", "sign_data"),
    ("transaction_id", "error_code", "id_num", "signed_response"),
    opens=True,
)
DEVICE = Interface(
    "LF-01",
    "/moise/sp/checkDeviceStatus",
    (*_WHO, "id_num"),
    ("transaction_id", "error_code", "is_fido", "is_mcert_sign"),
    needs_new=True,
)
ALL = (QR, RESULT, PUSH, WEB, DEVICE)

_TRANSACTION = re.compile(r"[A-Za-z0-9-]{8,100}")
_CHECKSUM = re.compile(rf"[0-9a-f]{{{LENGTH}}}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_MODES = ("I-SCAN", "APP2APP", "MWEB2APP")


@dataclass(frozen=True, slots=True)
class Call:
    service: SimulatedService
    fields: Mapping[str, str]

    @property
    def transaction_id(self) -> str:
        return self.fields["transaction_id"]

    @property
    def pid(self) -> str:
        return self.fields.get("id_num", "")


@dataclass(eq=False)
class Refused(Exception):
    """`service` and `transaction_id` as far as they could be read."""

    code: str
    service: SimulatedService | None = None
    transaction_id: str = ""


async def read_fields(request: Request) -> dict[str, str]:
    """All fields as texts, what is to be signed among them. Refused (PM_INV_NF)."""
    try:
        document = await bodies.read_document(request)
    except bodies.Unreadable:
        raise Refused("PM_INV_NF") from None
    signing = document.pop("sign_info", None)
    inner = signing if isinstance(signing, dict) else {}
    return {name: _text(value) for name, value in {**document, **inner}.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    return str(value)


def read_call(world: World, interface: Interface, fields: Mapping[str, str]) -> Call:
    """Check in this order: service, checksum, fields, transaction_id. A refused call opens
    nothing; an IV is spent by being seen."""
    transaction_id = fields.get("transaction_id", "")
    if not _TRANSACTION.fullmatch(transaction_id):
        raise Refused("PM_INV_NF")
    service = world.services.get(fields.get("sp_service_id", ""))
    if service is None:
        raise Refused("SPSVCID_NF", transaction_id=transaction_id)
    _check_sum(world, interface, service, fields)
    fault = _fault(interface, fields)
    if fault:
        raise Refused(fault, service, transaction_id)
    fresh = interface.opens or interface.needs_new
    if fresh and not world.first_time("transaction_id", service.sp_service_id, transaction_id):
        raise Refused("TXNLOG_INS_ERR", service, transaction_id)
    return Call(service, fields)


def _check_sum(
    world: World, interface: Interface, service: SimulatedService, fields: Mapping[str, str]
) -> None:
    """Raises Refused (INV_SP_CHECKSUM); a second message under one IV is one of them."""
    given, transaction_id = fields.get("sp_checksum", ""), fields["transaction_id"]
    parts = [fields.get(name, "") for name in interface.signed]
    refused = Refused("INV_SP_CHECKSUM", service, transaction_id)
    if not _CHECKSUM.fullmatch(given) or not fits(service.aes_key, given, *parts):
        raise refused
    if not world.first_time("iv", service.aes_key, given[: 2 * IV]):
        world.record(
            "reused_iv",
            interface.name,
            service=service.sp_service_id,
            transaction_id=transaction_id,
        )
        raise refused


def _fault(interface: Interface, fields: Mapping[str, str]) -> str:
    """The first thing that is wrong with well-signed fields."""
    if "id_num" in interface.signed and not valid_pid(fields.get("id_num", "")):
        return "PM_IDN_FT_ERR"
    if not interface.opens:
        return ""
    limit = fields.get("time_limit", "") or "60"
    if not _SECONDS.fullmatch(limit) or not 30 <= int(limit) <= 600:
        return "SPTKT_TIME_ORV"
    if len(fields.get("sign_data", "")) > 1024:
        return "SIGNDATA_LEN_LIMIT"
    mode = fields.get("op_mode", "")
    bad = fields.get("op_code") != "ATH" or not fields.get("hint")
    return "PM_INV_NF" if bad or (interface is QR and mode not in _MODES) else ""


def note(world: World, interface: Interface, refused: Refused) -> None:
    world.record(
        "refused",
        interface.name,
        service=refused.service.sp_service_id if refused.service else "",
        transaction_id=refused.transaction_id,
        result=refused.code,
    )
