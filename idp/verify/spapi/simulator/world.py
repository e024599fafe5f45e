"""The memory of the pretend service: what is the SP-API's own in it."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from idp.verify.simulated import world
from idp.verify.simulated.people import Outcome
from idp.verify.simulated.world import MEMORY
from idp.verify.spapi.simulator import ticket
from idp.verify.spapi.simulator.checksum import secret
from idp.verify.spapi.simulator.personas import PERSONAS

SERVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_SERVICES = 10_000
REMEMBERED = 200_000  # IVs and transaction_ids, over all services


@dataclass(frozen=True, slots=True)
class SimulatedService:
    """One connected service: `aes_key` is 32 bytes in base64, `name` is what the phone shows,
    `return_url` is where WEB-01 and the app link lead back. ValueError."""

    sp_service_id: str
    aes_key: str = field(repr=False)
    name: str
    return_url: str

    def __post_init__(self) -> None:
        if not SERVICE_ID.fullmatch(self.sp_service_id):
            raise ValueError("sp_service_id: letters and digits")
        secret(self.aes_key)
        if not self.name or not isinstance(self.name, str):
            raise ValueError(f"name of {self.sp_service_id}: must not be empty")
        if urlsplit(self.return_url).scheme not in ("http", "https"):
            raise ValueError(f"return_url of {self.sp_service_id}: http or https")


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """`time` is seconds since 1970; `result` is a code without its interface."""

    time: float
    event: str  # opened approved denied failed broken expired polled refused reused_iv
    interface: str
    sp_service_id: str
    transaction_id: str
    sp_ticket_id: str
    pid: str
    result: str


@dataclass(slots=True, kw_only=True)
class Transaction(world.Transaction):
    """`sp_ticket` is "" for WEB-01. `looked`: somebody has asked for the result; `given`: it was
    told."""

    service: SimulatedService
    hint: str
    sign_data: str
    sp_ticket_id: str = ""
    sp_ticket: str = field(default="", repr=False)
    looked: bool = False
    given: bool = False


class World(world.World[Transaction]):
    codes: ClassVar = {
        Outcome.PENDING: "20002",
        Outcome.APPROVED: "0",
        Outcome.DENIED: "APP_USER_CANCEL",
        Outcome.FAILED: "APP_SIGN_FAILURE",
        Outcome.BROKEN: "UNDEFINED",
        Outcome.EXPIRED: "SPTKT_OVD",
    }

    def __init__(self, services: Sequence[SimulatedService], clock: Callable[[], float]) -> None:
        self._first = {service.sp_service_id: service for service in services}
        if len(self._first) != len(services):
            raise ValueError("two simulated services have the same sp_service_id")
        super().__init__(clock)

    def reset(self) -> None:
        super().reset()
        self.services = dict(self._first)
        self.salt = ""
        self._seen: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def register(self, described: dict[str, Any]) -> dict[str, str]:
        """A known service gets its new key and address. ValueError, TypeError."""
        service = SimulatedService(**described)
        known = service.sp_service_id in self.services
        if len(self.services) >= MAX_SERVICES and not known:
            raise ValueError(f"at most {MAX_SERVICES} services")
        self.services[service.sp_service_id] = service
        return {"sp_service_id": service.sp_service_id}

    def first_time(self, *what: str) -> bool:
        """Whether this IV or transaction_id was not seen within the last hour."""
        horizon = self.now() - MEMORY
        while self._seen and (
            len(self._seen) >= REMEMBERED or next(iter(self._seen.values())) < horizon
        ):
            self._seen.popitem(last=False)
        if what in self._seen:
            return False
        self._seen[what] = self.now()
        return True

    def hashed(self, pid: str) -> str:
        """hashed_id_num: how the real one is made is not public. `salt` changes it for all."""
        return hashlib.sha256(f"simulated{self.salt}{pid}".encode()).hexdigest()

    def open(
        self, interface: str, service: SimulatedService, fields: Mapping[str, str]
    ) -> Transaction:
        opened = Transaction(
            handle=fields["transaction_id"],
            interface=interface,
            name=service.name,
            pid=fields.get("id_num", ""),
            opened=self.now(),
            lifetime=int(fields.get("time_limit") or 60),
            by_phone=interface != "WEB-01",
            people=PERSONAS,
            service=service,
            hint=fields["hint"],
            sign_data=fields.get("sign_data", ""),
        )
        if opened.by_phone:
            opened.sp_ticket_id = str(uuid.uuid4())
            opened.sp_ticket = self._ticket(opened, fields)
        return self.keep(opened, "0")

    def _ticket(self, opened: Transaction, fields: Mapping[str, str]) -> str:
        return ticket.write(
            {
                "transaction_id": opened.handle,
                "op_code": fields["op_code"],
                "op_mode": fields.get("op_mode") or "PUSH",
                "sp_service_id": opened.service.sp_service_id,
                "sp_ticket_id": opened.sp_ticket_id,
                "sp_name": opened.service.name,
                "hint": opened.hint,
                "expiration_time": str(int(opened.opened) + opened.lifetime),
                "hashed_id_num": self.hashed(opened.pid),
                "version": "2.9",
            }
        )

    def poll(self, transaction: Transaction) -> str:
        """What ATH-02 says now; 20003 wears off by being asked."""
        first, transaction.looked = not transaction.looked, True
        if first and transaction.persona.early:
            return "SPTKTID_TXNLOG_NF"
        if transaction.outcome is Outcome.APPROVED and transaction.waits > 0:
            transaction.waits -= 1
            return "20003"
        return self.result(transaction)

    def record(
        self,
        event: str,
        interface: str,
        *,
        service: str = "",
        transaction_id: str = "",
        ticket_id: str = "",
        pid: str = "",
        result: str = "",
    ) -> None:
        row = LedgerRow(
            self.now(), event, interface, service, transaction_id, ticket_id, pid, result
        )
        self.rows.append(row)

    def note(self, transaction: Transaction, event: str, result: str) -> None:
        self.record(
            event,
            transaction.interface,
            service=transaction.service.sp_service_id,
            transaction_id=transaction.handle,
            ticket_id=transaction.sp_ticket_id,
            pid=transaction.person or transaction.pid,
            result=result,
        )
