"""The four interfaces between servers: one decision each, one way in and out for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from idp.verify.simulated.people import ANYBODY, OTHER_PERSON, Outcome, Persona
from idp.verify.simulated.weather import spoil, to_json
from idp.verify.spapi.simulator import reading
from idp.verify.spapi.simulator.authority import Authority
from idp.verify.spapi.simulator.faults import Conditions, Fault, envelope, seal
from idp.verify.spapi.simulator.personas import PERSONAS
from idp.verify.spapi.simulator.reading import MESSAGES, Call, Interface, Refused
from idp.verify.spapi.simulator.world import SimulatedService, Transaction, World


@dataclass(frozen=True, slots=True)
class Reply:
    """`fields` beside transaction_id and error_code. `delay` seconds; `spoiled`: with a wrong
    checksum."""

    code: str
    fields: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    spoiled: bool = False
    opened: Transaction | None = None


def persona(pid: str) -> Persona:
    return PERSONAS.get(pid, ANYBODY)


def written(interface: str, code: str) -> str:
    """A code of words as the service writes it: the interface before it, words behind it."""
    return f"SP-API-{interface}-{code}: {MESSAGES.get(code, '')}" if code.isupper() else code


class Interfaces:
    def __init__(self, world: World, conditions: Conditions, authority: Authority) -> None:
        self._world = world
        self._conditions = conditions
        self._authority = authority

    def routes(self) -> list[Route]:
        table: dict[Interface, Callable[[Call, Fault], Reply]] = {
            reading.QR: self._open(reading.QR),
            reading.PUSH: self._open(reading.PUSH),
            reading.RESULT: self._result,
            reading.DEVICE: self._device,
        }
        return [
            Route(interface.path, self._endpoint(interface, decide), methods=["POST"])
            for interface, decide in table.items()
        ]

    def _open(self, interface: Interface) -> Callable[[Call, Fault], Reply]:
        def decide(call: Call, _: Fault) -> Reply:
            who = persona(call.pid)
            if not who.registered:
                self._world.record(
                    "opened",
                    interface.name,
                    service=call.service.sp_service_id,
                    transaction_id=call.transaction_id,
                    pid=call.pid,
                    result="IDNUM_DEVPROF_NF",
                )
                return Reply("IDNUM_DEVPROF_NF", delay=who.delay)
            opened = self._world.open(interface.name, call.service, call.fields)
            return Reply("0", {"sp_ticket": opened.sp_ticket}, who.delay, opened=opened)

        return decide

    def _result(self, call: Call, fault: Fault) -> Reply:
        """Answers for a ticket, and for a redirect, which has none."""
        found = self._world.find(call.transaction_id)
        ticket_id = call.fields.get("sp_ticket_id", "")
        mine = found and found.service is call.service and found.sp_ticket_id == ticket_id
        transaction = found if mine else None
        code = self._world.poll(transaction) if transaction else "SPTKTID_SPTKT_NF"
        if transaction and code == "0":
            if transaction.given and fault.once:
                code = "SPTKTID_SPTKT_RDM"
            transaction.given = True
        self._world.record(
            "polled",
            "ATH-02",
            service=call.service.sp_service_id,
            transaction_id=call.transaction_id,
            ticket_id=ticket_id,
            pid=transaction.named if transaction and code == "0" else "",
            result=code,
        )
        if transaction is None:
            return Reply(code)
        who = transaction.persona
        spoiled = who.spoils_checksum and transaction.outcome is not Outcome.PENDING
        fields = self._told(transaction, fault) if code == "0" else {}
        return Reply(code, fields, who.delay, spoiled)

    def _told(self, transaction: Transaction, fault: Fault) -> dict[str, str]:
        named = OTHER_PERSON if fault.other_person else transaction.named
        words = transaction.sign_data + ("x" if fault.bad_signature else "")
        signed = bool(transaction.sign_data)
        return {
            "hashed_id_num": self._world.hashed(named),
            "signed_response": self._authority.sign(words) if signed else "",
            "cert": self._authority.certificate(named) if signed else "",
        }

    def _device(self, call: Call, _: Fault) -> Reply:
        who = persona(call.pid)
        if who.decides == "broken":
            return Reply("UNDEFINED", delay=who.delay)
        bound = "Y" if who.registered else "N"
        return Reply("0", {"is_fido": bound, "is_mcert_sign": bound}, who.delay)

    def _endpoint(
        self, interface: Interface, decide: Callable[[Call, Fault], Reply]
    ) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            fault = self._conditions.strike(interface.name)
            try:
                fields = await reading.read_fields(request)
                call = reading.read_call(self._world, interface, fields)
            except Refused as refused:
                reading.note(self._world, interface, refused)
                reply, named = Reply(refused.code), refused.transaction_id
                return await self._answer(interface, reply, refused.service, named, fault)
            reply = decide(call, fault)
            return await self._answer(interface, reply, call.service, call.transaction_id, fault)

        return endpoint

    async def _answer(
        self,
        interface: Interface,
        reply: Reply,
        service: SimulatedService | None,
        transaction_id: str,
        fault: Fault,
    ) -> Response:
        """HTTP 200 whatever the code. Without a known service there is no key to sign with."""
        code = fault.code or written(interface.name, reply.code)
        told = {"transaction_id": transaction_id, "error_code": code}
        sealed = seal(
            {**told, **reply.fields},
            interface.answer_signed,
            service.aes_key if service else "",
            fault.model_copy(update={"bad_checksum": fault.bad_checksum or reply.spoiled}),
        )
        await self._conditions.pause(reply.delay + fault.hang)
        document = envelope(interface.name, sealed, fault, MESSAGES.get(reply.code, ""))
        response = spoil(to_json(document), "application/json", fault)
        if reply.opened:
            response.background = BackgroundTask(self._answered, reply.opened)
        return response

    async def _answered(self, transaction: Transaction) -> None:
        """The opening answer has left; from here the persona acts."""
        transaction.answered = True
        self._world.settle(transaction)
