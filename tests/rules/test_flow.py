"""The login's state diagram, as a pure function."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.kernel import errors
from idp.login import flow
from idp.login.flow import GRACE, AttemptState, Picture, Purpose, Step
from idp.login.view import PAGES
from idp.verify.twfido.rules import METHODS

NOW, ENDS = 1_790_000_000, 1_790_000_180
SHOWS = ("wait", "scan", "leave")
times = st.integers(ENDS - 400, ENDS + 400)


def login(**changes: Any) -> dict[str, Any]:
    return {"finished_at": None, "expires_at": NOW + 1800, "attempts": 1, **changes}


def attempt(state: str = "pending", shows: str = "wait", **changes: Any) -> dict[str, Any]:
    picture = Picture(shows).dump()
    known = {"state": state, "challenge": picture, "handle": "h", "why": "", "asked_at": 0}
    return {**known, "brought": "", "expires_at": ENDS, **changes}


attempts = st.builds(
    attempt,
    st.sampled_from([state.value for state in AttemptState]),
    st.sampled_from(SHOWS),
    handle=st.sampled_from([None, "h"]),
    brought=st.sampled_from(["", "0000"]),
    why=st.sampled_from(["", "Nonsense", *flow.ENDINGS]),
    asked_at=times,
)

WAYS: list[tuple[str, dict[str, Any] | None, int, Step]] = [
    ("nothing begun", None, NOW, Step.CHOOSE),
    ("another way", attempt("replaced"), NOW, Step.CHOOSE),
    ("being opened", attempt("opening", handle=None), NOW, Step.OPENING),
    ("opening never came back", attempt("opening", handle=None), ENDS, Step.PROBLEM),
    ("push", attempt(), NOW, Step.WAIT),
    ("qr", attempt(shows="scan"), NOW, Step.SCAN),
    ("left", attempt(shows="leave", handle=None), NOW, Step.LEAVE),
    ("left, known by its handle", attempt(shows="leave"), NOW, Step.LEAVE),
    ("came back", attempt(shows="leave", brought="0000"), NOW, Step.WAIT),
    ("last second", attempt(), ENDS - 1, Step.WAIT),
    ("time over", attempt(), ENDS, Step.EXPIRED),
    ("approved", attempt("approved"), NOW, Step.APPROVED),
    ("approved at the end", attempt("approved"), ENDS + GRACE - 1, Step.APPROVED),
    ("approved, slept", attempt("approved"), ENDS + GRACE, Step.EXPIRED),
    ("timed out upstream", attempt("ended", why="Expired"), NOW, Step.EXPIRED),
    ("denied", attempt("ended", why="Denied"), NOW, Step.PROBLEM),
    ("a reason of a newer version", attempt("ended", why="Nonsense"), NOW, Step.PROBLEM),
]


@pytest.mark.parametrize(("row", "now", "step"), [w[1:] for w in WAYS], ids=[w[0] for w in WAYS])
def test_what_the_browser_sees(row: dict[str, Any] | None, now: int, step: Step) -> None:
    """Each state of an attempt is one page."""
    assert flow.next_step(login(), row, now) is step


@given(attempts, times)
def test_an_ended_login_shows_nothing_else(row: dict[str, Any], now: int) -> None:
    """Finished or out of time, whatever its attempt says."""
    assert flow.next_step(login(finished_at=NOW), row, now) is Step.FINISHED
    assert flow.next_step(login(expires_at=now), row, now) is Step.FINISHED


@given(attempts, times)
def test_only_an_approval_lets_on(row: dict[str, Any], now: int) -> None:
    """The one page that completes a login needs an approval, and a fresh one."""
    step = flow.next_step(login(), row, now)
    fresh = now < row["expires_at"] + GRACE
    assert (step is Step.APPROVED) == (row["state"] == AttemptState.APPROVED and fresh)


@given(attempts, times, times)
def test_time_only_ends_things(row: dict[str, Any], one: int, other: int) -> None:
    """As long as nobody acts, what is decided is never waited for again."""
    earlier, later = (flow.next_step(login(), row, now) for now in sorted((one, other)))
    assert flow.decided(later) or not flow.decided(earlier)


@given(attempts, times)
def test_every_page_of_a_failure_has_its_reason(row: dict[str, Any], now: int) -> None:
    """There is a page for each step, and one that says no also says why."""
    step = flow.next_step(login(), row, now)
    assert step in PAGES
    why = flow.ending(row)
    assert issubclass(why, errors.VerificationError)
    if step in (Step.EXPIRED, Step.PROBLEM):
        assert (step is Step.EXPIRED) == (why is errors.Expired)


@given(attempts, times)
def test_what_is_worth_asking(row: dict[str, Any], now: int) -> None:
    """The upstream is asked about undecided attempts that it knows and whose browser is not away
    there, never for ever, and only once after their time."""
    if flow.worth_asking(row, now):
        assert row["brought"] or Picture.read(row["challenge"]).shows != "leave"
        assert (row["state"], row["handle"]) == (AttemptState.PENDING, "h")
        assert now < ENDS + GRACE
        assert now < ENDS or not flow.worth_asking({**row, "asked_at": now}, now)


@given(attempts, times)
def test_whoever_waits_can_be_answered(row: dict[str, Any], now: int) -> None:
    """No page waits for something that nobody would ask about."""
    step = flow.next_step(login(), row, now)
    if step in (Step.WAIT, Step.SCAN) and row["handle"]:
        assert flow.worth_asking(row, now)


@given(st.sampled_from(Step), st.integers(0, 10), st.sampled_from(Step), st.integers(0, 10))
def test_a_mark_tells_pages_apart(one: Step, first: int, other: Step, second: int) -> None:
    """Two pages have one mark only if they show the same attempt at the same step."""
    marks = flow.mark(login(attempts=first), one), flow.mark(login(attempts=second), other)
    assert (marks[0] == marks[1]) == ((one, first) == (other, second))


words = st.text(max_size=20)


@given(
    st.builds(Purpose, words, words, words, words, words, methods=st.tuples(words)),
    st.builds(Picture, st.sampled_from(SHOWS), words, fields_sealed=words),
)
def test_what_is_stored_is_read_again(purpose: Purpose, picture: Picture) -> None:
    """Purpose and picture come back from the store as they went in."""
    assert purpose == Purpose.read(purpose.dump())
    assert asdict(picture) == asdict(Picture.read(picture.dump()))


def test_no_step_is_named_after_a_method() -> None:
    """The diagram is the same for every way to verify."""
    names = {step.value for step in (*Step, *AttemptState)}
    assert not names & set(METHODS)
