"""Every Verifier keeps one contract; TW FidO's keeps it against the simulator, which was written
from the ministry's papers and not from our client. A paper passport keeps it too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from idp.kernel.errors import (
    Denied,
    Disagreement,
    Expired,
    Failed,
    NotStarted,
    UpstreamAway,
    VerificationError,
)
from idp.verify import (
    Attempt,
    Challenge,
    Order,
    Outcome,
    State,
    Verifier,
)
from tests.contracts.ministry import Ministry
from tests.contracts.paper_passport import CardCounter, PaperPassport
from tests.contracts.successor import Successor

HAND = "A123456789"  # decides on the phone page
HASTY = 0.4  # a time limit, seconds, that six slow seconds exceed


def attempt_of(challenge: Challenge, order: Order) -> Attempt:
    return Attempt(
        order.relying_party, order.method, challenge.system, challenge.handle, order.number
    )


@pytest.fixture
async def ministry() -> AsyncIterator[Ministry]:
    made = Ministry()
    yield made
    await made.http.aclose()


@pytest.fixture
async def hasty() -> AsyncIterator[Ministry]:
    made = Ministry(total_timeout=HASTY)
    yield made
    await made.http.aclose()


# ── the contract ────────────────────────────────────────────────────────────────────────────────


class Decide(Protocol):
    def __call__(self, handle: str, yes: bool) -> Awaitable[None]: ...


@dataclass
class Case:
    """A verifier, a number as somebody types it, and a hand that decides."""

    verifier: Verifier
    typed: str
    decide: Decide


def twfido_case() -> Case:
    made = Ministry()
    return Case(made.verifier, " ａ123456789", made.decide)


def passport_case() -> Case:
    made = PaperPassport()
    return Case(made, " 123456789 ", made.decide)


def card_case() -> Case:
    made = CardCounter()
    return Case(made, " ａ123456789", made.decide)


def spapi_case() -> Case:
    made = Successor()
    return Case(made.verifier, " ａ123456789", made.decide)


@pytest.fixture(
    params=[twfido_case, spapi_case, passport_case, card_case],
    ids=["twfido", "spapi", "passport", "idcard"],
)
def case(request: pytest.FixtureRequest) -> Case:
    make: Callable[[], Case] = request.param
    return make()


async def started(case: Case) -> Attempt:
    method = next(m for m in case.verifier.methods.values() if m.shows == "wait")
    order = Order("rp", method.id, case.verifier.canonical_number(case.typed))
    return attempt_of(await case.verifier.start(order), order)


async def test_methods_are_distinct(case: Case) -> None:
    """Methods have distinct ids, levels and ranks, and stand under their own id."""
    methods = case.verifier.methods
    assert all(name == method.id for name, method in methods.items())
    assert len({m.acr for m in methods.values()}) == len(methods)
    assert len({m.rank for m in methods.values()}) == len(methods)
    assert all(m.amr and m.rank > 0 for m in methods.values())


async def test_numbers_are_normalised_and_masked(case: Case) -> None:
    """What is typed becomes canonical once and for all; a mask hides most of it."""
    number = case.verifier.canonical_number(case.typed)
    assert number is not None
    assert number == case.verifier.canonical_number(number)
    assert case.verifier.canonical_number("nobody") is None
    assert number[2:-4] not in case.verifier.masked(number)


async def test_operators_are_told_how_it_is(case: Case) -> None:
    """Each check says what was looked at and what was seen, and what to do where it is not well;
    an account that cannot be one is refused."""
    for check in await case.verifier.checks(production=True):
        assert check.what and check.seen
        assert (check.result == "ok") == (not check.remedy)
    with pytest.raises(ValueError, match=r"."):
        case.verifier.account_document("nothing", (), "")


async def test_yes(case: Case) -> None:
    """An attempt is pending until somebody approves; then it names the person."""
    attempt = await started(case)
    assert attempt.handle is not None
    assert (await case.verifier.poll(attempt)).state is State.PENDING
    await case.decide(attempt.handle, True)
    outcome = await case.verifier.poll(attempt)
    assert (outcome.state, outcome.number) == (State.APPROVED, attempt.number)
    assert (outcome.why, outcome.alarm) == (None, None)


async def test_no(case: Case) -> None:
    """A denial ends the attempt, names nobody, and is no alarm."""
    attempt = await started(case)
    assert attempt.handle is not None
    await case.decide(attempt.handle, False)
    outcome = await case.verifier.poll(attempt)
    assert (outcome.state, outcome.number, outcome.alarm) == (State.ENDED, None, None)
    assert outcome.why is Denied


async def test_handles_are_never_shared(case: Case) -> None:
    """Two attempts of one person have two handles, and one decision decides one of them."""
    one, two = await started(case), await started(case)
    assert one.handle != two.handle
    assert one.handle is not None
    await case.decide(one.handle, True)
    assert (await case.verifier.poll(two)).state is State.PENDING


@pytest.mark.parametrize(("method", "number"), [("fax", "x"), (None, None)])
async def test_what_cannot_be_started(case: Case, method: str | None, number: str | None) -> None:
    """An unknown method, or no number where one is needed, is the neutral NotStarted."""
    needing = next(m.id for m in case.verifier.methods.values() if m.needs_number)
    with pytest.raises(NotStarted):
        await case.verifier.start(Order("rp", method or needing, number))


async def test_nonsense_from_outside(case: Case) -> None:
    """Nonsense brought by a browser or a callback is a Disagreement, never a crash."""
    attempt = await started(case)
    for fields in ({}, {"a": "b"}, {"qrid": "x", "chksum": "\0"}):
        with pytest.raises(Disagreement):
            await case.verifier.accept(attempt, fields)
    for body in (b"", b"a=b", b"qrid=x&chksum=%00", b'{"qrid":["x"]}', b"\xff", b"[" * 50_000):
        with pytest.raises(Disagreement):
            await case.verifier.wakeup(body)


async def test_cancelling_never_fails(case: Case) -> None:
    """Cancelling is a courtesy: it works twice, and for an attempt without a handle."""
    attempt = await started(case)
    for given in (attempt, attempt, replace(attempt, handle=None)):
        await case.verifier.cancel(given)


# ── the twelve personas ─────────────────────────────────────────────────────────────────────────


async def drive(ministry: Ministry, method: str, number: str) -> list[Outcome]:
    """Start, then poll at once, and once more with the clock turned on to 3 s and to 180 s,
    until it is decided."""
    order = Order("rp", f"twfido:{method}", number)
    attempt = attempt_of(await ministry.verifier.start(order), order)
    seen: list[Outcome] = []
    for seconds in (0, 1, 3, 177):
        ministry.now += seconds
        seen.append(await ministry.verifier.poll(attempt))
        if seen[-1].state is not State.PENDING:
            break
    return seen


APPROVED, ENDED = State.APPROVED, State.ENDED
# number, polls, how it ends, why, alarm
PERSONAS: list[tuple[str, int, State, type[VerificationError] | None, bool]] = [
    ("A100000010", 1, APPROVED, None, False),
    ("A100000029", 3, APPROVED, None, False),
    ("A100000038", 1, ENDED, Denied, False),
    ("A100000047", 4, ENDED, Expired, False),
    ("A100000065", 1, ENDED, Failed, False),
    ("A100000074", 1, ENDED, UpstreamAway, False),
    ("A100000083", 3, APPROVED, None, False),
    ("A100000092", 1, ENDED, Disagreement, True),
    ("A100000109", 1, ENDED, Disagreement, True),
    ("A100000127", 1, APPROVED, None, False),
]


@pytest.mark.parametrize("method", ["push", "qr"])
@pytest.mark.parametrize(("number", "polls", "state", "why", "alarm"), PERSONAS)
async def test_personas(
    ministry: Ministry,
    method: str,
    number: str,
    polls: int,
    state: State,
    why: type[VerificationError] | None,
    alarm: bool,
) -> None:
    """Each of the simulator's people ends as the papers say, by push and by QR."""
    seen = await drive(ministry, method, number)
    last = seen[-1]
    assert (len(seen), last.state, last.why, bool(last.alarm)) == (polls, state, why, alarm)
    assert last.number == (number if state is APPROVED else None)


async def test_somebody_who_is_not_registered(ministry: Ministry) -> None:
    """A100000056 gets the neutral NotStarted, and REG-01 tells the operator why."""
    with pytest.raises(NotStarted):
        await drive(ministry, "push", "A100000056")
    assert not await ministry.verifier.registered("A100000056")
    assert await ministry.verifier.registered("A100000010")


async def test_somebody_slow(hasty: Ministry) -> None:
    """A100000118 takes longer than the time limit: the upstream counts as away."""
    with pytest.raises(UpstreamAway):
        await drive(hasty, "push", "A100000118")


# ── browser, callback, enquiries ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "form"),
    [("web", {"action": "approve", "pid": HAND}), ("dongle", {"action": "approve"})],
)
async def test_by_way_of_the_browser(ministry: Ministry, method: str, form: dict[str, str]) -> None:
    """Web and dongle: the browser brings the qrid back, and FATH-02 says who approved."""
    order = Order("rp", f"twfido:{method}", None if method == "web" else HAND)
    challenge = await ministry.verifier.start(order)
    attempt = attempt_of(challenge, order)
    fields = await ministry.browse(challenge, **form)
    returned = await ministry.verifier.accept(attempt, fields)
    outcome = await ministry.verifier.poll(replace(attempt, handle=returned.handle))
    assert (outcome.state, outcome.number) == (State.APPROVED, HAND)


async def test_somebody_elses_approval_does_not_open_a_dongle_login(ministry: Ministry) -> None:
    """Who opens a dongle login with a victim's number and brings back the qrid of an approval of
    their own is refused, even by FATH-02 alone."""
    own = Order("rp", "twfido:dongle", HAND)
    fields = await ministry.browse(await ministry.verifier.start(own), action="approve")
    order = Order("rp", "twfido:dongle", "B222222228")
    attempt = attempt_of(await ministry.verifier.start(order), order)
    with pytest.raises(Disagreement):
        await ministry.verifier.accept(attempt, fields)
    outcome = await ministry.verifier.poll(replace(attempt, handle=fields["qrid"]))
    assert (outcome.why, outcome.number) == (Disagreement, None)


async def test_the_simulators_callback_is_understood(ministry: Ministry) -> None:
    """FEXCH-02 as the simulator sends it is signed rightly and names the transaction."""
    order = Order("rp", "twfido:qr", HAND)
    challenge = await ministry.verifier.start(order)
    assert challenge.handle is not None
    await ministry.decide(challenge.handle, True)
    async with asyncio.timeout(5):
        woken = await ministry.verifier.wakeup(await ministry.called.get())
    assert (woken.system, woken.handle) == (challenge.system, challenge.handle)


@pytest.mark.parametrize(
    "fault",
    [
        "garbage",
        "cut",
        "huge",
        {"status": 503},
        {"status": 302},
        {"bad_checksum": True},
        {"wrong_transeq": True},
        {"other_pid": True},
        {"hang": 30},
    ],
    ids=str,
)
async def test_faults_of_the_simulator(hasty: Ministry, fault: Any) -> None:
    """Whatever the upstream's answer suffers, nobody is let in, and it is one of two errors."""
    order = Order("rp", "twfido:push", "A100000010")
    attempt = attempt_of(await hasty.verifier.start(order), order)
    answer = await hasty.http.post("http://localhost/control", json={"faults": {"FATH-02": fault}})
    assert answer.status_code == 200
    try:
        outcome = await hasty.verifier.poll(attempt)
    except UpstreamAway:
        return
    assert (outcome.state, outcome.why, outcome.number) == (State.ENDED, Disagreement, None)


async def test_enquiries(ministry: Ministry) -> None:
    """QUE-01 counts and QUE-02 lists what the simulator has seen."""
    await drive(ministry, "push", "A100000010")
    await drive(ministry, "push", "A100000038")
    day = datetime.fromtimestamp(ministry.now, UTC).date()
    counts = await ministry.verifier.statistics(day, day)
    assert (counts.success, counts.fail) == (1, 1)
    assert [r.status for r in await ministry.verifier.records("A100000010", day, day)] == [
        "success"
    ]
