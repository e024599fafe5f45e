"""The circuit breaker, on a clock of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from idp.verify.breaker import Breaker


def opened_at(now: float) -> Breaker:
    breaker = Breaker(failures=10, window=10, pause=3)
    for _ in range(10):
        breaker.failed(now)
    return breaker


def test_opens_after_ten_failures_in_ten_seconds() -> None:
    """Nine failures change nothing; the tenth within the window opens it."""
    breaker = Breaker(failures=10, window=10, pause=3)
    for second in range(9):
        breaker.failed(second)
        assert breaker.allow(second)
    breaker.failed(9.5)
    assert not breaker.allow(9.6)


def test_old_failures_are_forgotten() -> None:
    """Ten failures spread over more than the window leave it closed."""
    breaker = Breaker(failures=10, window=10, pause=3)
    for failure in range(30):
        breaker.failed(failure * 1.2)
    assert not breaker.is_open


def test_a_few_failures_among_many_calls() -> None:
    """A busy service that loses one call in ten stays open for business."""
    breaker = Breaker(failures=10, window=10, pause=3)
    for call in range(200):
        (breaker.failed if call % 10 == 9 else breaker.succeeded)(call / 50)
    assert not breaker.is_open


def test_one_probe_a_pause() -> None:
    """While open, one call per pause goes through and all others are refused at once."""
    breaker = opened_at(100)
    assert [breaker.allow(t) for t in (100, 102.9, 103, 103, 105, 106.1)] == [
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_closes_by_itself() -> None:
    """A probe that succeeds closes it, and the old failures do not count again."""
    breaker = opened_at(100)
    assert breaker.allow(103)
    breaker.succeeded(103.1)
    breaker.failed(103.2)
    assert breaker.allow(103.3)


def test_a_failed_probe_waits_another_pause() -> None:
    """A probe that fails keeps it open for one more pause."""
    breaker = opened_at(100)
    assert breaker.allow(103)
    breaker.failed(104)
    assert not breaker.allow(106.9)
    assert breaker.allow(107)


def test_a_lost_probe_holds_nothing_up() -> None:
    """If whoever probed goes away without a word, the next pause brings another probe."""
    breaker = opened_at(100)
    assert breaker.allow(103)
    assert breaker.allow(106)


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=60))
def test_it_always_comes_back(history: list[tuple[float, bool]]) -> None:
    """Whatever happened, one pause later a call is let through, and its success closes it."""
    breaker, now = Breaker(failures=3, window=10, pause=3), 0.0
    for step, good in history:
        now += step
        (breaker.succeeded if good else breaker.failed)(now)
    assert breaker.allow(now + 3.001)
    breaker.succeeded(now + 3.001)
    assert not breaker.is_open
    assert breaker.retry_after(now) >= 1
