"""The pretend TW FidO towards testers: control, clock, faults, and when it refuses to exist."""

from __future__ import annotations

import httpx
import pytest

from idp.verify.twfido.simulator import SimulatedSystem, create_simulator
from idp.verify.twfido.simulator.checksum import checksum
from tests.contracts.test_simulator_browser import ANYONE, KEY, STEADY, SYSCODE, SYSTEM, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_control_decides(bench: Bench) -> None:
    """A test approves by qrid, also in another's name, once; the ledger remembers who and when."""
    qrid = await bench.push(ANYONE)
    answers = [
        (await bench.control("/control/approve", qrid=q, pid=STEADY)).status_code
        for q in (qrid, qrid, "nothing")
    ]
    rows = (await bench.http.get("/ledger")).json()
    assert answers == [200, 409, 404]
    assert [row["event"] for row in rows] == ["opened", "approved"]
    assert (qrid, STEADY, "0000", bench.time) == tuple(
        rows[1][k] for k in ("qrid", "pid", "result", "time")
    )


async def test_control_denies(bench: Bench) -> None:
    """A test denies by qrid."""
    qrid = await bench.push(ANYONE)
    await bench.control("/control/deny", qrid=qrid)
    assert (await bench.poll(qrid))["rcode"] == "9004"


async def test_control_clock(bench: Bench) -> None:
    """Shifting the clock lets a transaction expire at once."""
    qrid = await bench.push(ANYONE)
    await bench.control(clock_offset=180)
    assert bench.world.ledger[-1].event == "expired"
    assert (await bench.poll(qrid))["rcode"] == "2003"


async def test_control_registers_and_resets(bench: Bench) -> None:
    """A system can be added while running; a reset brings the first day back."""
    system = {"syscode": "3" * 20, "api_key": "0123456789ABCDEFFEDCBA9876543210", "name": "n"}
    added = await bench.control("/control/systems", **system, success_url="http://x.test/")
    refused = await bench.control("/control/systems", **system, success_url="javascript:x")
    await bench.control(latency=2, faults={"*": 500})
    reset = await bench.control("/control/reset")
    assert (added.status_code, refused.status_code) == (201, 400)
    assert list(bench.world.systems) == [SYSCODE]
    assert (reset.json()["latency"], reset.json()["faults"], bench.world.ledger) == (0, {}, [])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json", "host": "evil.example"}, 403),
        ({"content-type": "application/json", "host": "127.0.0.1:8100"}, 200),
        ({"content-type": "application/json", "host": "[::1]:8100"}, 200),
        ({"content-type": "application/json", "host": "[::1"}, 403),
    ],
)
async def test_control_is_not_for_web_pages(
    bench: Bench, headers: dict[str, str], expected: int
) -> None:
    """A web page elsewhere can drive the control neither with a form nor by rebinding a name."""
    answer = await bench.http.post("/control", content=b"{}", headers=headers)
    assert expected == answer.status_code


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"unknown":1}',
        b'{"faults":{"NOPE-01":500}}',
        b'{"faults":{"FATH-02":"nope"}}',
        b'{"faults":{"FATH-02":{"status":99}}}',
        b'{"latency":-1}',
        b'{"clock_offset":NaN}',
        b"[" * 60_000,
    ],
)
async def test_control_refuses_nonsense(bench: Bench, body: bytes) -> None:
    """An order that is not understood changes nothing and says so."""
    headers = {"content-type": "application/json"}
    assert (await bench.http.post("/control", content=body, headers=headers)).status_code == 400
    assert (await bench.http.get("/control")).json()["faults"] == {}


async def test_faults_of_the_answer(bench: Bench) -> None:
    """Status, garbage, a cut and a huge answer can be ordered per interface."""
    qrid = await bench.push(ANYONE)

    async def answer(fault: object) -> httpx.Response:
        await bench.control(faults={"FATH-02": fault})
        fields = bench.signed("qrid", "syscode", "tranSeq", qrid=qrid)
        return await bench.http.post("/rp-api-fath-02", json=fields)

    assert (await answer(503)).status_code == 503
    assert (await answer("garbage")).text.startswith("<!doctype html>")
    cut = (await answer("cut")).text
    assert (cut.startswith("{"), cut.endswith("}")) == (True, False)
    assert len((await answer("huge")).content) > 10 * 1024 * 1024
    assert bench.slept == []
    await answer({"hang": 9})
    assert bench.slept == [9]


async def test_faults_of_the_fields(bench: Bench) -> None:
    """A wrong tranSeq and another's pid are signed correctly, a wrong checksum is only that."""
    qrid = await bench.push(STEADY)
    await bench.control(faults={"FATH-02": {"wrong_transeq": True, "other_pid": True}})
    lie = await bench.poll(qrid)
    await bench.control(faults={"FATH-02": "bad_checksum"})
    spoilt = await bench.poll(qrid)
    assert lie["tranSeq sent"] != lie["tranSeq"]
    assert lie["pid"] != STEADY
    assert checksum(KEY, "0000", lie["tranSeq"]) == lie["chksum"]
    assert spoilt["pid"] == STEADY
    assert checksum(KEY, "0000", spoilt["tranSeq"]) != spoilt["chksum"]


async def test_every_third_call(bench: Bench) -> None:
    """A fault can befall every third call only, and latency every call."""
    qrid = await bench.push(STEADY)
    await bench.control(latency=0.5, faults={"FATH-02": {"status": 500, "every": 3}})
    fields = [bench.signed("qrid", "syscode", "tranSeq", qrid=qrid) for _ in range(6)]
    statuses = [(await bench.http.post("/rp-api-fath-02", json=f)).status_code for f in fields]
    assert statuses == [200, 200, 500, 200, 200, 500]
    assert bench.slept == [0.5] * 6


@pytest.mark.parametrize(
    ("issuer", "refused"),
    [
        ("https://id.gov.example", True),
        ("https://localhost:8443", False),
        ("https://127.0.0.1", False),
        ("http://127.0.0.1:8000", False),
        (None, False),
    ],
)
def test_production_issuer(issuer: str | None, refused: bool) -> None:
    """The simulator does not start beside an issuer that real people use."""
    if refused:
        with pytest.raises(ValueError, match="production issuer"):
            create_simulator([SYSTEM], beside_issuer=issuer)
    else:
        assert create_simulator([SYSTEM], beside_issuer=issuer)


@pytest.mark.parametrize(
    "change",
    [
        {"syscode": "1"},
        {"api_key": "xyz"},
        {"api_key": "0" * 32},
        {"name": ""},
        {"success_url": "ftp://x"},
        {"callback_url": ""},
    ],
)
def test_faulty_systems(change: dict[str, str]) -> None:
    """A system that could never work is refused when it is described."""
    good = {"syscode": SYSCODE, "api_key": KEY, "name": "n", "success_url": "http://x.test/"}
    with pytest.raises(ValueError, match=r"."):
        SimulatedSystem(**{**good, **change})
