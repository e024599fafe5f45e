"""The pretend TW FidO towards servers: the JSON interfaces and the personas."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from idp.verify.simulated.numbers import valid_pid
from idp.verify.twfido.simulator import SimulatedSystem, create_simulator
from idp.verify.twfido.simulator.checksum import checksum
from idp.verify.twfido.simulator.personas import PERSONAS

KEY = "59C55AAD2AEADF8A87EC55317CA148E7"  # published on the ministry's own slide
SYSCODE = "20190326031900012556"
QRID = "85cf3c68-bb09-4330-ae18-f72c204fbb17"
STEADY, LATER, DENIES, SILENT, STRANGER, FAILS, BROKEN, WAITS, SPOILT, OTHER, SLOW, EARLY = PERSONAS
ANYONE = "B222222228"
SYSTEM = SimulatedSystem(
    SYSCODE, KEY, "戶役政", "http://rp.test/return", "http://rp.test/twfido/callback"
)
SIGNED = {
    "fexch-01": ("pid", "syscode", "tranSeq"),
    "fath-01": ("pid", "syscode", "tranSeq"),
    "fath-02": ("qrid", "syscode", "tranSeq"),
    "reg-01": ("pid", "syscode", "tranSeq"),
    "que-01": ("syscode", "tranSeq"),
    "que-02": ("pid", "syscode", "tranSeq"),
}


class Bench:
    """A simulator in process, a clock that stands still, and the system that it calls back."""

    def __init__(self) -> None:
        self.time = 1_600_000_000.0  # 2020-09-13 20:26:40 in Taipei
        self.slept: list[float] = []
        self.callbacks: list[dict[str, str]] = []
        self.events: list[str] = []
        listener = Starlette(routes=[Route("/twfido/callback", self._listen, methods=["POST"])])
        self.app = create_simulator(
            [SYSTEM],
            clock=lambda: self.time,
            sleep=self._sleep,
            transport=httpx.ASGITransport(listener),
        )
        self.world = self.app.state.simulator
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://localhost:8100"
        )
        self._numbers = itertools.count(2020091300000001)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    async def _listen(self, request: Request) -> JSONResponse:
        self.callbacks.append(await request.json())
        self.events.append("callback")
        return JSONResponse({"rcode": "0000"})

    def signed(self, name: str, **fields: str) -> dict[str, str]:
        fields = {"syscode": SYSCODE, "tranSeq": str(next(self._numbers)), **fields}
        return {"chksum": checksum(KEY, *(fields[f] for f in SIGNED[name])), **fields}

    async def call(self, name: str, **fields: str) -> dict[str, Any]:
        return await self.send(name, self.signed(name, **fields))

    async def send(self, name: str, fields: dict[str, str]) -> dict[str, Any]:
        answer = await self.http.post(f"/rp-api-{name}", json=fields)
        assert answer.status_code == 200
        self.events.append("answer")
        return dict(answer.json())

    async def opened(self, name: str, pid: str) -> str:
        return str((await self.call(name, pid=pid))["qrid"])

    async def result(self, qrid: str) -> str:
        return str((await self.call("fath-02", qrid=qrid))["rcode"])

    async def until(self, happened: Callable[[], bool]) -> None:
        for _ in range(100):
            if happened():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never happened")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("name", ["fexch-01", "fath-01"])
async def test_opening(bench: Bench, name: str) -> None:
    """An opening answers every field of the papers, signed over qrid and tranSeq."""
    request = bench.signed(name, pid=ANYONE)
    answer = await bench.send(name, request)
    expected = {
        "op": "Nty",
        "sysaction": "您是否正在嘗試登入",
        "sysname": "戶役政",
        "pid": ANYONE,
        "rcode": "0000",
        "msg": "成功",
        "tranSeq": request["tranSeq"],
        "qrid": answer["qrid"],
        "chksum": checksum(KEY, answer["qrid"], request["tranSeq"]),
    }
    assert expected == answer


async def test_result_of_a_push(bench: Bench) -> None:
    """A push is pending until its person decides, then FATH-02 names the person once approved."""
    qrid = await bench.opened("fath-01", ANYONE)
    pending = await bench.call("fath-02", qrid=qrid)
    bench.world.approve(qrid)
    approved = await bench.call("fath-02", qrid=qrid)
    assert (pending["rcode"], "pid" in pending) == ("2001", False)
    assert (approved["rcode"], approved["pid"]) == ("0000", ANYONE)
    assert checksum(KEY, "0000", approved["tranSeq"]) == approved["chksum"]


async def test_form_encoded_requests(bench: Bench) -> None:
    """A form-encoded body is understood like JSON."""
    answer = await bench.http.post("/rp-api-reg-01", data=bench.signed("reg-01", pid=ANYONE))
    assert answer.json()["rcode"] == "0000"


@pytest.mark.parametrize(
    ("pid", "expected"),
    [(ANYONE, ("0000", "Y")), (STRANGER, ("0000", "N")), (BROKEN, ("9999", "N"))],
)
async def test_enrolment(bench: Bench, pid: str, expected: tuple[str, str]) -> None:
    """REG-01 tells who has bound a phone."""
    answer = await bench.call("reg-01", pid=pid)
    assert expected == (answer["rcode"], answer["isDevice"])
    assert checksum(KEY, answer["rcode"], answer["tranSeq"]) == answer["chksum"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"pid": "A123456788"}, "9003"),
        ({"pid": ""}, "9003"),
        ({"tranSeq": "123456789012345678901"}, "9003"),
        ({"tranSeq": "１２３"}, "9003"),
        ({"chksum": "0000000000000000"}, "9003"),
        ({"chksum": ""}, "9003"),
        ({"syscode": "2019"}, "9003"),
        ({"syscode": "99999999999999999999"}, "1002"),
    ],
)
async def test_refused_requests(bench: Bench, change: dict[str, str], expected: str) -> None:
    """What is malformed, unsigned or from an unknown system is refused with the right rcode."""
    request = {**bench.signed("fath-01", pid=ANYONE), **change}
    answer = await bench.http.post("/rp-api-fath-01", json=request)
    assert (200, expected) == (answer.status_code, answer.json()["rcode"])
    assert bench.world.transactions == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 60_000,
        b'"x"',
        b"\xff",
        b"{}",
        b" " * 70_000,
        b'{"tranSeq":"\\ud800"}',
    ],
)
async def test_unreadable_bodies(bench: Bench, body: bytes) -> None:
    """A body that is not a JSON object of reasonable size is 9003, never a crash."""
    answer = await bench.http.post("/rp-api-fath-02", content=body)
    assert (answer.status_code, answer.json()["rcode"]) == (200, "9003")


async def test_checksum_letter_case(bench: Bench) -> None:
    """A request's checksum is accepted in lower case as well."""
    request = bench.signed("fath-01", pid=ANYONE)
    answer = await bench.send("fath-01", {**request, "chksum": request["chksum"].lower()})
    assert answer["rcode"] == "0000"


async def test_tran_seq_once(bench: Bench) -> None:
    """A tranSeq serves one call of a system, polls included; a refused call spends none."""
    request = bench.signed("fath-01", pid=ANYONE)
    spoilt = await bench.send("fath-01", {**request, "chksum": "0" * 16})
    first = await bench.send("fath-01", request)
    poll = bench.signed("fath-02", qrid=first["qrid"], tranSeq=request["tranSeq"])
    assert [
        spoilt["rcode"],
        first["rcode"],
        (await bench.send("fath-02", poll))["rcode"],
    ] == ["9003", "0000", "9003"]


async def test_foreign_qrid(bench: Bench) -> None:
    """An unknown qrid has failed (2002), and so has one of another system."""
    second = SimulatedSystem("1" * 20, KEY, "其他", "http://other.test/return")
    bench.world.systems[second.syscode] = second
    qrid = await bench.opened("fath-01", STEADY)
    theirs = await bench.call("fath-02", qrid=qrid, syscode=second.syscode)
    assert (await bench.result(QRID), theirs["rcode"]) == ("2002", "2002")


@pytest.mark.parametrize(
    ("pid", "expected"),
    [
        (STEADY, ["0000", "0000", "0000", "0000"]),
        (LATER, ["2001", "0000", "0000", "0000"]),
        (DENIES, ["9004", "9004", "9004", "9004"]),
        (SILENT, ["2001", "2001", "2001", "2003"]),
        (FAILS, ["2002", "2002", "2002", "2002"]),
        (BROKEN, ["9999", "9999", "9999", "9999"]),
        (WAITS, ["9000", "9000", "0000", "0000"]),
        (ANYONE, ["2001", "2001", "2001", "2003"]),
    ],
)
async def test_personas(bench: Bench, pid: str, expected: list[str]) -> None:
    """Asked at 0, 3, 179 and 180 s, each persona's result is what the table promises."""
    start, heard = bench.time, []
    qrid = await bench.opened("fath-01", pid)
    for age in (0, 3, 179, 180):
        bench.time = start + age
        heard.append(await bench.result(qrid))
    assert expected == heard


async def test_not_registered(bench: Bench) -> None:
    """A100000056 opens nothing: 4002 with an empty qrid, correctly signed."""
    answer = await bench.call("fexch-01", pid=STRANGER)
    assert (answer["rcode"], answer["qrid"]) == ("4002", "")
    assert checksum(KEY, answer["tranSeq"]) == answer["chksum"]


async def test_wrong_checksum_and_other_person(bench: Bench) -> None:
    """A100000092's result is signed wrongly, A100000109's names somebody else, signed rightly."""
    spoilt = await bench.call("fath-02", qrid=await bench.opened("fath-01", SPOILT))
    other = await bench.call("fath-02", qrid=await bench.opened("fath-01", OTHER))
    assert checksum(KEY, "0000", spoilt["tranSeq"]) != spoilt["chksum"]
    assert checksum(KEY, "0000", other["tranSeq"]) == other["chksum"]
    assert other["pid"] != OTHER
    assert valid_pid(other["pid"])


async def test_slow_answers(bench: Bench) -> None:
    """Each answer about A100000118 takes six seconds, others take none."""
    await bench.result(await bench.opened("fath-01", STEADY))
    assert bench.slept == []
    await bench.result(await bench.opened("fath-01", SLOW))
    assert bench.slept == [6, 6]


async def test_callback(bench: Bench) -> None:
    """A decided QR transaction is reported once by FEXCH-02, and the ledger says so."""
    request = bench.signed("fexch-01", pid=ANYONE)
    qrid = (await bench.send("fexch-01", request))["qrid"]
    bench.world.deny(qrid)
    await bench.until(lambda: bench.world.ledger[-1].event == "callback")
    expected = {
        "qrid": qrid,
        "tranSeq": request["tranSeq"],
        "pid": ANYONE,
        "rcode": "9004",
        "msg": "使用者取消驗證",
        "syscode": SYSCODE,
        "chksum": checksum(KEY, "9004", request["tranSeq"]),
    }
    assert [expected] == bench.callbacks
    assert bench.world.ledger[-1].result == "0000"


async def test_callback_of_a_push(bench: Bench) -> None:
    """Only QR transactions are called back."""
    await bench.opened("fath-01", STEADY)
    await asyncio.sleep(0.01)
    assert bench.callbacks == []


async def test_callback_after_three_seconds(bench: Bench) -> None:
    """A100000029 is called back when the three seconds are over, without any poll."""
    await bench.opened("fexch-01", LATER)
    bench.time += 3
    await bench.until(lambda: bool(bench.callbacks))
    assert bench.slept == [3]


async def test_early_callback(bench: Bench) -> None:
    """A100000127's callback arrives once before the opening answer and twice after it."""
    await bench.opened("fexch-01", EARLY)
    await bench.until(lambda: len(bench.callbacks) == 3)
    assert bench.events == ["callback", "answer", "callback", "callback"]
    assert bench.callbacks[0] == bench.callbacks[1] == bench.callbacks[2]


async def test_failing_callback(bench: Bench) -> None:
    """A system that cannot be called back does no harm; the ledger says what happened."""
    lost = SimulatedSystem(SYSCODE, KEY, "x", "http://rp.test/", "http://rp.test/nowhere")
    bench.world.systems[SYSCODE] = lost
    qrid = await bench.opened("fexch-01", STEADY)
    await bench.until(lambda: bench.world.ledger[-1].event == "callback")
    assert (bench.world.ledger[-1].result, await bench.result(qrid)) == ("HTTP 404", "0000")


async def test_records(bench: Bench) -> None:
    """QUE-01 counts and QUE-02 lists what the ledger holds, newest first, in Taipei's time."""
    for pid in (STEADY, DENIES, SILENT):
        await bench.opened("fath-01", pid)
        bench.time += 1.25
    await bench.opened("fath-01", STEADY)
    period = {"startdate": "20200613", "enddate": "20200913"}
    counted = await bench.call("que-01", **period)
    listed = await bench.call("que-02", pid=STEADY, **period)
    assert counted["data"] == {"success": 2, "fail": 1, "unhandled": 1}
    assert listed["result"] == [
        {"status": "success", "txnDate": "20200913", "txnTime": "202643750"},
        {"status": "success", "txnDate": "20200913", "txnTime": "202640000"},
    ]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("20200613", "20200913", "0000"),
        ("20200612", "20200913", "9003"),
        ("20200914", "20200913", "9003"),
        ("20201130", "20210228", "0000"),
        ("20200230", "20200301", "9003"),
        ("2020-6-1", "20200613", "9003"),
        ("99990101", "99991231", "9003"),
    ],
)
async def test_periods(bench: Bench, start: str, end: str, expected: str) -> None:
    """A period is at most three months of real days in order, else 9003."""
    answer = await bench.call("que-01", startdate=start, enddate=end)
    assert expected == answer["rcode"]


async def test_bounded_memory(bench: Bench) -> None:
    """After an hour a transaction and its tranSeq are forgotten."""
    request = bench.signed("fath-01", pid=STEADY)
    old = (await bench.send("fath-01", request))["qrid"]
    bench.time += 3601
    again = await bench.send("fath-01", request)
    assert (again["rcode"], await bench.result(old)) == ("0000", "2002")
    assert len(bench.world.transactions) == 1
