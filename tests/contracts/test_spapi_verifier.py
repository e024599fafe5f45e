"""The SP-API's verifier against its simulator: the twelve personas, browser and app, and every
lie that the simulator knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

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
from idp.verify import Attempt, Challenge, Order, Outcome, State
from idp.verify.spapi import wire
from idp.verify.spapi.simulator import reading
from tests.contracts.successor import Successor

HAND = "A123456789"  # decides on the phone page
HASTY = 0.4  # a time limit, seconds, that six slow seconds exceed
APPROVED, ENDED, PENDING = State.APPROVED, State.ENDED, State.PENDING


def attempt_of(challenge: Challenge, order: Order) -> Attempt:
    return Attempt(
        order.relying_party, order.method, challenge.system, challenge.handle, order.number
    )


@pytest.fixture
async def ministry() -> AsyncIterator[Successor]:
    made = Successor()
    yield made
    await made.http.aclose()


@pytest.fixture
async def hasty() -> AsyncIterator[Successor]:
    made = Successor(total_timeout=HASTY)
    yield made
    await made.http.aclose()


async def begun(ministry: Successor, method: str, number: str) -> Attempt:
    order = Order("rp", f"spapi:{method}", number)
    return attempt_of(await ministry.verifier.start(order), order)


def test_two_readings_of_one_table() -> None:
    """Client and simulator have the same interfaces and checksums, each written for itself."""
    theirs = {row.name: (row.signed, row.answer_signed) for row in reading.ALL}
    ours = {row.name: (row.request_sum, row.answer_sum) for row in wire.INTERFACES.values()}
    assert ours == theirs


# ── the twelve personas ─────────────────────────────────────────────────────────────────────────

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
    ("A100000127", 2, APPROVED, None, False),
]


async def drive(ministry: Successor, method: str, number: str) -> list[Outcome]:
    """Start, then poll at once, and once more with the clock turned on to 3 s and to 180 s,
    until it is decided."""
    attempt = await begun(ministry, method, number)
    seen: list[Outcome] = []
    for seconds in (0, 1, 3, 177):
        ministry.now += seconds
        seen.append(await ministry.verifier.poll(attempt))
        if seen[-1].state is not PENDING:
            break
    return seen


@pytest.mark.parametrize("method", ["push", "qr"])
@pytest.mark.parametrize(("number", "polls", "state", "why", "alarm"), PERSONAS)
async def test_personas(
    ministry: Successor,
    method: str,
    number: str,
    polls: int,
    state: State,
    why: type[VerificationError] | None,
    alarm: bool,
) -> None:
    """Each of the simulator's people ends as the table says, by push and by QR."""
    seen = await drive(ministry, method, number)
    last = seen[-1]
    assert (len(seen), last.state, last.why, bool(last.alarm)) == (polls, state, why, alarm)
    assert last.number == (number if state is APPROVED else None)


async def test_somebody_who_is_not_registered(ministry: Successor) -> None:
    """A100000056 gets the neutral NotStarted, and LF-01 tells the operator why."""
    with pytest.raises(NotStarted):
        await drive(ministry, "push", "A100000056")
    assert not (await ministry.verifier.registered("A100000056")).is_fido
    assert (await ministry.verifier.registered("A100000010")).is_fido


async def test_somebody_slow(hasty: Successor) -> None:
    """A100000118 takes longer than the time limit: the upstream counts as away."""
    with pytest.raises(UpstreamAway):
        await drive(hasty, "push", "A100000118")


async def test_our_client_never_uses_an_iv_or_a_transaction_twice(ministry: Successor) -> None:
    """After many logins the simulator has noticed no reused IV and no reused transaction."""
    for method in ("push", "qr") * 10:
        await drive(ministry, method, "A100000010")
    events = {row.event for row in ministry.world.ledger}
    assert events == {"opened", "approved", "polled"}


# ── browser and app ─────────────────────────────────────────────────────────────────────────────


async def returned(ministry: Successor, **form: str) -> tuple[Attempt, dict[str, str]]:
    """A redirect that went to the ministry and came back."""
    order = Order("rp", "spapi:web")
    challenge = await ministry.verifier.start(order)
    return attempt_of(challenge, order), await ministry.browse(challenge, **form)


async def test_by_way_of_the_browser(ministry: Successor) -> None:
    """The browser brings back who approved, and ATH-02 says that it is so."""
    attempt, fields = await returned(ministry, action="approve", pid=HAND)
    assert (await ministry.verifier.poll(attempt)).state is PENDING
    back = await ministry.verifier.accept(attempt, fields)
    brought = replace(attempt, returned_code=back.code, number=back.number)
    outcome = await ministry.verifier.poll(brought)
    assert (outcome.state, outcome.number) == (APPROVED, HAND)


async def test_a_denial_by_way_of_the_browser(ministry: Successor) -> None:
    """Even a denial is believed from ATH-02 only, and names nobody."""
    attempt, fields = await returned(ministry, action="deny", pid=HAND)
    back = await ministry.verifier.accept(attempt, fields)
    outcome = await ministry.verifier.poll(replace(attempt, returned_code=back.code))
    assert (back.number, outcome.state, outcome.why) == (None, ENDED, Denied)


async def test_a_result_replayed_in_another_login(ministry: Successor) -> None:
    """What one browser brought back is refused for any other login, and approves none."""
    _, fields = await returned(ministry, action="approve", pid=HAND)
    victim, _ = await returned(ministry, action="deny", pid=HAND)
    with pytest.raises(Disagreement):
        await ministry.verifier.accept(victim, fields)
    forged = replace(victim, returned_code="0", number=HAND)
    assert (await ministry.verifier.poll(forged)).number is None


async def test_a_ticket_that_another_login_opened(ministry: Successor) -> None:
    """Neither transaction nor ticket of somebody else's approval opens a login."""
    mine = await begun(ministry, "push", HAND)
    own = await begun(ministry, "push", "A100000010")
    assert (await ministry.verifier.poll(own)).state is APPROVED
    parts = [(a.handle or "").split(":") for a in (mine, own)]
    for mixed in (":".join([*parts[0][:2], parts[1][2]]), ":".join([parts[1][0], *parts[0][1:]])):
        outcome = await ministry.verifier.poll(replace(mine, handle=mixed))
        assert (outcome.state, outcome.number) == (ENDED, None)
    swapped = await ministry.verifier.poll(replace(mine, handle=own.handle))
    # the very handle of one's own approval: the login room gives a handle to one attempt only
    assert swapped.number == mine.number


@pytest.mark.parametrize(("decision", "state"), [("approve", APPROVED), ("deny", ENDED)])
async def test_by_the_link_on_the_same_phone(
    ministry: Successor, decision: str, state: State
) -> None:
    """The link opens the app, which leads back to the login that began."""
    order = Order("rp", "spapi:qr", HAND)
    challenge = await ministry.verifier.start(order)
    attempt = attempt_of(challenge, order)
    led = await ministry.open_link(challenge, decision)
    query = dict(parse_qsl(urlsplit(led).query))
    assert (await ministry.verifier.accept(attempt, query)).handle == attempt.handle
    assert (await ministry.verifier.poll(attempt)).state is state


# ── lies and accidents ──────────────────────────────────────────────────────────────────────────

NOBODY: list[Any] = [
    *({kind: True} for kind in ("garbage", "cut", "huge")),
    *({"status": status} for status in (204, 302, 403, 500, 503)),
    *({kind: True} for kind in ("bad_checksum", "short_checksum", "unsigned", "swapped")),
    *({kind: True} for kind in ("wrong_transaction", "other_person")),
    *({"code": code} for code in ("00", "O", "{}", "0: ok", "SP-API-ATH-02-0", "-0", " ")),
    {"hang": 30},
]


@pytest.mark.parametrize("fault", NOBODY, ids=str)
async def test_faults_let_nobody_in(hasty: Successor, fault: Any) -> None:
    """Whatever the upstream's answer suffers, nobody is let in, and it is one of two errors."""
    attempt = await begun(hasty, "push", "A100000010")
    await hasty.weather(**fault)
    try:
        outcome = await hasty.verifier.poll(attempt)
    except UpstreamAway:
        return
    assert (outcome.state, outcome.why, outcome.number) == (ENDED, Disagreement, None)


@pytest.mark.parametrize("fault", ["upper_checksum", "as_number", "bad_signature", "once"])
async def test_what_is_tolerated(ministry: Successor, fault: str) -> None:
    """Hex digits in the other letter case, a code as a number, and a signature that nobody
    requires do no harm."""
    attempt = await begun(ministry, "push", "A100000010")
    await ministry.weather(**{fault: True})
    assert (await ministry.verifier.poll(attempt)).state is APPROVED


async def test_a_result_that_is_told_once(ministry: Successor) -> None:
    """A result that was fetched before approves nothing a second time."""
    attempt = await begun(ministry, "push", "A100000010")
    await ministry.weather(once=True)
    outcomes = [await ministry.verifier.poll(attempt) for _ in range(2)]
    assert [o.state for o in outcomes] == [APPROVED, ENDED]
    assert (outcomes[1].why, outcomes[1].number) == (Failed, None)


@pytest.mark.parametrize("code", ["SOMETHING_NEW", "SOMETHING_NEW: words", "12345", "DB_CONN_ERR"])
async def test_unknown_codes_are_pending(ministry: Successor, code: str) -> None:
    """A code that we do not know approves nothing and ends nothing: time does."""
    attempt = await begun(ministry, "push", "A100000010")
    await ministry.weather(code=code)
    assert (await ministry.verifier.poll(attempt)).state is PENDING


@pytest.mark.parametrize(("fault", "state"), [({}, APPROVED), ({"bad_signature": True}, ENDED)])
async def test_signatures_that_are_required(
    tmp_path: Path, fault: dict[str, bool], state: State
) -> None:
    """With the issuers configured, a citizen's signature over our words is verified to the end;
    one over other words lets nobody in."""
    ministry = Successor(issuers=tmp_path / "issuers.pem", require=True)
    attempt = await begun(ministry, "push", "A100000010")
    await ministry.weather(**fault)
    assert (await ministry.verifier.poll(attempt)).state is state
    await ministry.http.aclose()
