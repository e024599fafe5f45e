"""The calls: time limits, numbers, what is sent twice, and what never leaves the process."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import httpx
import pytest

from idp.kernel.errors import Disagreement, UpstreamAway, VerificationError
from idp.verify import Attempt, Order
from idp.verify.twfido.client import Client
from tests.rules.twfido_upstream import (
    PID,
    QRID,
    SYSCODE,
    Answer,
    Stopwatch,
    Upstream,
    opened,
    settings,
    verifier,
)

ORDER = Order("rp", "twfido:push", PID)
ATTEMPT = Attempt("rp", "twfido:push", SYSCODE, QRID, PID)


def boom(*_: Any) -> httpx.Response:
    raise httpx.ReadTimeout(f"while sending {PID}")


NO_ANSWER: dict[str, Answer] = {
    "status 500": lambda *_: httpx.Response(500, json={"rcode": "0000"}),
    "status 204": lambda *_: httpx.Response(204),
    "redirect": lambda *_: httpx.Response(302, headers={"location": "https://evil.test/"}),
    "html": lambda *_: httpx.Response(200, text="<title>維護中</title>"),
    "too large": lambda *_: httpx.Response(200, content=b" " * 65_537),
    "compressed": lambda *_: httpx.Response(
        200, content=gzip.compress(b"{}"), headers={"content-encoding": "gzip"}
    ),
    "timeout": boom,
}


@pytest.mark.parametrize("kind", NO_ANSWER)
async def test_openings_are_never_sent_twice(kind: str) -> None:
    """Whatever goes wrong, FEXCH-01 and FATH-01 are sent once: a second one would ring twice."""
    for method in ("push", "qr"):
        upstream = Upstream(NO_ANSWER[kind])
        with pytest.raises(UpstreamAway) as away:
            await verifier(upstream).start(Order("rp", f"twfido:{method}", PID))
        assert len(upstream.seen) == 1
        assert PID not in str(away.value)
        assert away.value.__cause__ is None


@pytest.mark.parametrize("kind", NO_ANSWER)
async def test_asking_is_repeated_once_with_a_new_number(kind: str) -> None:
    """FATH-02 is asked a second time after a transport error, under another tranSeq."""
    upstream = Upstream(NO_ANSWER[kind])
    with pytest.raises(UpstreamAway):
        await verifier(upstream).poll(ATTEMPT)
    assert len(set(upstream.sequences)) == len(upstream.sequences) == 2


async def test_the_second_answer_counts() -> None:
    """A lost first answer is made good by the second one."""
    answers: Iterator[Answer] = iter([boom, lambda *_: {"rcode": "0000"}])
    upstream = Upstream(lambda interface, sent: next(answers)(interface, sent))
    assert (await verifier(upstream).poll(ATTEMPT)).number == PID


async def test_an_answer_that_contradicts_is_not_asked_again() -> None:
    """A wrong checksum is no transport error: nothing is repeated until a lie is believed."""
    upstream = Upstream(lambda *_: {"rcode": "0000", "chksum": "0" * 16})
    await verifier(upstream).poll(ATTEMPT)
    assert len(upstream.seen) == 1


async def test_every_call_has_its_own_number() -> None:
    """tranSeq is reserved before each sending and never used twice, polls included."""
    upstream = Upstream(lambda i, _: opened() if i == "fath-01" else {"rcode": "2001"})
    ours = verifier(upstream)
    await ours.start(ORDER)
    for _ in range(3):
        await ours.poll(ATTEMPT)
    assert len(set(upstream.sequences)) == 4


@pytest.mark.parametrize("number", ["1", SYSCODE, "x" * 20, "1" * 21])
async def test_a_bad_reservation_is_our_own_fault(number: str) -> None:
    """A number that is not 20 digits, or that is the syscode itself, is never sent."""
    upstream, known = Upstream(lambda *_: opened()), settings()

    async def reserve(_: str) -> str:
        return number

    client = Client(known, httpx.MockTransport(upstream), reserve)
    with pytest.raises((ValueError, Disagreement)):
        await client.open("FATH-01", known.own_system, PID)
    assert upstream.seen == []


async def test_the_whole_call_has_a_limit() -> None:
    """An upstream that trickles is left after the total time, a retry included."""

    class Trickle(httpx.AsyncBaseTransport):
        calls = 0

        async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
            Trickle.calls += 1

            async def body() -> AsyncIterator[bytes]:
                while True:
                    yield b" "
                    await asyncio.sleep(0.01)

            return httpx.Response(200, content=body())

    ours = verifier(Trickle(), total_timeout=0.1)
    with pytest.raises(UpstreamAway):
        async with asyncio.timeout(1):
            await ours.poll(ATTEMPT)


async def test_a_call_is_plain() -> None:
    """JSON and the headers that say so; a cookie that an answer sets is not sent back."""

    class Baker(httpx.AsyncBaseTransport):
        def __init__(self) -> None:
            self.seen: list[httpx.Request] = []

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.seen.append(request)
            return httpx.Response(200, json={"rcode": "9999"}, headers={"set-cookie": "a=b"})

    line = Baker()
    ours = verifier(line)
    for _ in range(2):
        with pytest.raises(VerificationError):
            await ours.start(ORDER)
    assert len(line.seen) == 2
    for request in line.seen:
        names = set(request.headers)
        assert names == {
            "host", "accept", "accept-encoding", "content-length", "content-type", "user-agent",
        }  # fmt: skip
        assert request.headers["host"] == request.url.netloc.decode()
        assert request.headers["content-type"] == "application/json"
        assert set(json.loads(request.content)) >= {"syscode", "tranSeq", "chksum"}


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    """Reading stops at 64 KiB, whatever the length that was announced."""
    sent = 0

    class Endless(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert request.headers["accept-encoding"] == "identity"

            async def body() -> AsyncIterator[bytes]:
                nonlocal sent
                while True:
                    sent += 1024
                    yield b" " * 1024

            return httpx.Response(200, content=body())

    with pytest.raises(UpstreamAway):
        await verifier(Endless()).start(ORDER)
    assert sent <= 66 * 1024


async def test_a_full_house_fails_at_once() -> None:
    """With all places taken the next call is refused without waiting, and places come back."""
    gate, entered = asyncio.Event(), asyncio.Semaphore(0)

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
            entered.release()
            await gate.wait()
            return httpx.Response(500)

    ours = verifier(Slow(), max_in_flight=2)
    calls = [asyncio.create_task(ours.start(ORDER)) for _ in range(2)]
    for _ in calls:
        await entered.acquire()
    with pytest.raises(UpstreamAway, match="in flight"):
        await ours.start(ORDER)
    calls[0].cancel()
    gate.set()
    await asyncio.gather(*calls, return_exceptions=True)
    with pytest.raises(UpstreamAway, match="500"):
        await ours.start(ORDER)


async def test_the_circuit_opens_and_closes_by_itself() -> None:
    """After ten failures calls fail without being sent; a probe after the pause closes it."""
    clock, broken = Stopwatch(), True
    upstream = Upstream(lambda *_: httpx.Response(503) if broken else opened())
    ours = verifier(upstream, monotonic=clock)
    for _ in range(12):
        with pytest.raises(UpstreamAway):
            await ours.start(ORDER)
    assert len(upstream.seen) == 10
    broken = False
    clock.now += 3.5
    assert (await ours.start(ORDER)).handle == QRID
    assert not ours.client.breaker.is_open


async def test_an_upstream_that_says_no_is_not_away() -> None:
    """9999 and 4002 are answers: one person's trouble does not open the circuit for all."""
    upstream = Upstream(lambda *_: {"rcode": "9999"})
    ours = verifier(upstream)
    for _ in range(20):
        await ours.poll(ATTEMPT)
    assert len(upstream.seen) == 20


async def test_enquiries_of_operators() -> None:
    """REG-01, QUE-01 and QUE-02 answer operators, and ask for whole days."""
    row = {"status": "fail", "txnDate": "20260101", "txnTime": "000000000"}
    say: dict[str, dict[str, Any]] = {
        "reg-01": {"isDevice": "Y"},
        "que-01": {"data": {"success": 1, "fail": 2, "unhandled": 3}},
        "que-02": {"result": [row]},
    }
    upstream = Upstream(lambda interface, _: {"rcode": "0000", **say[interface]})
    ours, days = verifier(upstream), (date(2026, 1, 1), date(2026, 4, 1))
    assert await ours.registered(PID)
    assert (await ours.statistics(*days)).fail == 2
    assert (await ours.records(PID, *days))[0].status == "fail"
    assert upstream.seen[-1][1]["enddate"] == "20260401"


@pytest.mark.parametrize(
    ("start", "end", "fits"),
    [
        (date(2026, 1, 1), date(2026, 4, 1), True),
        (date(2026, 1, 1), date(2026, 4, 2), False),
        (date(2025, 11, 30), date(2026, 2, 28), True),
        (date(2025, 11, 30), date(2026, 3, 1), False),
        (date(2026, 1, 2), date(2026, 1, 1), False),
    ],
)
async def test_the_range_of_enquiries(start: date, end: date, fits: bool) -> None:
    """At most three months, forwards; nothing is sent otherwise."""
    data = {"success": 0, "fail": 0, "unhandled": 0}
    upstream = Upstream(lambda *_: {"rcode": "0000", "data": data})
    if fits:
        await verifier(upstream).statistics(start, end)
    else:
        with pytest.raises(ValueError, match="3 months"):
            await verifier(upstream).statistics(start, end)
        assert upstream.seen == []
