"""The six interfaces between servers: one decision each, one way in and out for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from idp.verify.simulated.weather import spoil, to_json
from idp.verify.twfido.simulator import reading, records
from idp.verify.twfido.simulator.callbacks import Courier
from idp.verify.twfido.simulator.faults import Conditions, seal
from idp.verify.twfido.simulator.personas import persona
from idp.verify.twfido.simulator.reading import MESSAGES, Call, Interface, Refused
from idp.verify.twfido.simulator.world import SYSACTION, SimulatedSystem, Transaction, World


@dataclass(frozen=True, slots=True)
class Reply:
    """`fields` without tranSeq and msg. `delay` seconds; `spoiled`: with a wrong checksum."""

    rcode: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    delay: float = 0
    spoiled: bool = False
    opened: Transaction | None = None


Decide = Callable[[World, Call], Reply]


def open_for(interface: str) -> Decide:
    def decide(world: World, call: Call) -> Reply:
        system, who = call.system, persona(call.pid)
        shown = {"op": "Nty", "sysaction": SYSACTION, "sysname": system.name, "pid": call.pid}
        if not who.registered:
            world.record(
                "opened",
                interface,
                syscode=system.syscode,
                tran_seq=call.tran_seq,
                pid=call.pid,
                result="4002",
            )
            return Reply("4002", {"qrid": "", **shown}, who.delay)
        opened = world.open(interface, system, call.tran_seq, call.pid)
        return Reply("0000", {"qrid": opened.qrid, **shown}, who.delay, opened=opened)

    return decide


def result(world: World, call: Call) -> Reply:
    """FATH-02 answers for the qrid of every method; the pid only with a success."""
    qrid = call.fields["qrid"]
    transaction = world.of_system(qrid, call.system.syscode)
    rcode = "2002" if transaction is None else world.poll(transaction)
    pid = transaction.named if transaction and rcode == "0000" else ""
    world.record(
        "polled",
        "FATH-02",
        syscode=call.system.syscode,
        qrid=qrid,
        tran_seq=call.tran_seq,
        pid=pid,
        result=rcode,
    )
    if transaction is None:
        return Reply(rcode)
    who = transaction.persona
    spoiled = who.spoils_checksum and rcode != "2001"
    return Reply(rcode, {"pid": pid} if pid else {}, who.delay, spoiled)


def enrolled(_: World, call: Call) -> Reply:
    who = persona(call.pid)
    if who.decides == "broken":
        return Reply("9999", {"isDevice": "N"})
    return Reply("0000", {"isDevice": "Y" if who.registered else "N"}, who.delay)


def statistics(world: World, call: Call) -> Reply:
    if not records.valid_period(call.fields["startdate"], call.fields["enddate"]):
        return Reply("9003")
    found = Counter(record.status for record in records.of(world, call))
    counts = {status: found[status] for status in ("success", "fail", "unhandled")}
    return Reply("0000", {"data": counts})


def records_of_person(world: World, call: Call) -> Reply:
    if not records.valid_period(call.fields["startdate"], call.fields["enddate"]):
        return Reply("9003")
    rows = [r.printed() for r in records.of(world, call) if r.pid == call.pid]
    return Reply("0000", {"result": rows}, persona(call.pid).delay)


TABLE: dict[Interface, Decide] = {
    **{interface: open_for(interface.name) for interface in reading.OPENINGS},
    reading.RESULT: result,
    reading.ENROLLED: enrolled,
    reading.STATISTICS: statistics,
    reading.RECORDS: records_of_person,
}


class Interfaces:
    def __init__(self, world: World, conditions: Conditions, courier: Courier) -> None:
        self._world = world
        self._conditions = conditions
        self._courier = courier

    def routes(self) -> list[Route]:
        return [
            Route(interface.path, self._endpoint(interface, decide), methods=["POST"])
            for interface, decide in TABLE.items()
        ]

    def _endpoint(self, interface: Interface, decide: Decide) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                fields = await reading.read_fields(request)
                call = reading.read_call(self._world, interface, fields)
            except Refused as refused:
                reading.note(self._world, interface, refused)
                reply = Reply(refused.rcode)
                return await self._answer(interface, reply, refused.system, refused.tran_seq)
            reply = decide(self._world, call)
            if reply.opened:
                await self._courier.announce(reply.opened)
            return await self._answer(interface, reply, call.system, call.tran_seq)

        return endpoint

    async def _answer(
        self, interface: Interface, reply: Reply, system: SimulatedSystem | None, tran_seq: str
    ) -> Response:
        """HTTP 200 whatever the rcode. Without a known system there is no key to sign with."""
        fault = self._conditions.strike(interface.name)
        fields = {"rcode": reply.rcode, "msg": MESSAGES[reply.rcode], "tranSeq": tran_seq}
        if "qrid" in interface.answer_signed:
            fields["qrid"] = ""  # an opening that is refused has none, and signs the empty one
        sealed = seal(
            {**fields, **reply.fields},
            interface.answer_signed,
            system.api_key if system else "",
            fault.model_copy(update={"bad_checksum": fault.bad_checksum or reply.spoiled}),
        )
        await self._conditions.pause(reply.delay + fault.hang)
        response = spoil(to_json(sealed), "application/json", fault)
        if reply.opened:
            response.background = BackgroundTask(self._courier.opened, reply.opened)
        return response
