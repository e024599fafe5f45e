"""The login's state diagram, as a pure function."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.kernel import errors, stored
from idp.login import flow
from idp.login.flow import (
    GRACE,
    AttemptState,
    Drawing,
    Heard,
    LoginTransaction,
    Purpose,
    Step,
    VerificationAttempt,
    why_of,
)
from idp.login.view import PAGES
from idp.verify.twfido.rules import METHODS

NOW, ENDS = 1_790_000_000, 1_790_000_180
SHOWS = ("wait", "scan", "leave")
times = st.integers(ENDS - 400, ENDS + 400)


def login(**changes: Any) -> LoginTransaction:
    known = LoginTransaction(
        id="login",
        browser="browser",
        reference="",
        relying_party="client",
        purpose=Purpose(),
        attempts=1,
        attempt_id="attempt",
        session_id=None,
        created_at=NOW,
        expires_at=NOW + 1800,
        finished_at=None,
    )
    return replace(known, **changes)


def attempt(state: str = "pending", shows: str = "wait", **changes: Any) -> VerificationAttempt:
    known = VerificationAttempt(
        id="attempt",
        login_id="login",
        reference="",
        relying_party="client",
        browser="browser",
        method="scheme:method",
        shows=shows,
        system="",
        handle="h",
        number_index=None,
        number_sealed=None,
        drawing=Drawing(shows),
        sole_relying_party="",
        returned_code="",
        state=AttemptState(state),
        why=None,
        opened_at=NOW,
        expires_at=ENDS,
        asked_at=0,
    )
    return replace(known, **changes)


attempts = st.builds(
    attempt,
    st.sampled_from([state.value for state in AttemptState]),
    st.sampled_from(SHOWS),
    handle=st.sampled_from([None, "h"]),
    returned_code=st.sampled_from(["", "0000"]),
    why=st.sampled_from([None, *Heard, *flow.ENDINGS.values()]),
    asked_at=times,
)

WAYS: list[tuple[str, VerificationAttempt | None, int, Step]] = [
    ("nothing begun", None, NOW, Step.CHOOSE),
    ("another way", attempt("replaced"), NOW, Step.CHOOSE),
    ("being opened", attempt("opening", handle=None), NOW, Step.OPENING),
    ("opening never came back", attempt("opening", handle=None), ENDS, Step.PROBLEM),
    ("push", attempt(), NOW, Step.WAIT),
    ("qr", attempt(shows="scan"), NOW, Step.SCAN),
    ("left", attempt(shows="leave", handle=None), NOW, Step.LEAVE),
    ("left, known by its handle", attempt(shows="leave"), NOW, Step.LEAVE),
    ("came back", attempt(shows="leave", returned_code="0000"), NOW, Step.WAIT),
    ("last second", attempt(), ENDS - 1, Step.WAIT),
    ("time over", attempt(), ENDS, Step.EXPIRED),
    ("approved", attempt("approved"), NOW, Step.APPROVED),
    ("approved at the end", attempt("approved"), ENDS + GRACE - 1, Step.APPROVED),
    ("approved, slept", attempt("approved"), ENDS + GRACE, Step.EXPIRED),
    ("timed out upstream", attempt("ended", why=errors.Expired), NOW, Step.EXPIRED),
    ("a state of a newer version", attempt("nonsense"), NOW, Step.PROBLEM),
    ("denied", attempt("ended", why=errors.Denied), NOW, Step.PROBLEM),
    ("a reason of a newer version", attempt("ended", why=why_of("TF-2999")), NOW, Step.PROBLEM),
]


@pytest.mark.parametrize(("row", "now", "step"), [w[1:] for w in WAYS], ids=[w[0] for w in WAYS])
def test_what_the_browser_sees(row: VerificationAttempt | None, now: int, step: Step) -> None:
    """Each state of an attempt is one page."""
    assert flow.next_step(login(), row, now) is step


@given(attempts, times)
def test_an_ended_login_shows_nothing_else(row: VerificationAttempt, now: int) -> None:
    """Finished or out of time, whatever its attempt says."""
    assert flow.next_step(login(finished_at=NOW), row, now) is Step.FINISHED
    assert flow.next_step(login(expires_at=now), row, now) is Step.FINISHED


@given(attempts, times)
def test_only_an_approval_lets_on(row: VerificationAttempt, now: int) -> None:
    """The one page that completes a login needs an approval, and a fresh one."""
    step = flow.next_step(login(), row, now)
    fresh = now < row.expires_at + GRACE
    assert (step is Step.APPROVED) == (row.state == AttemptState.APPROVED and fresh)


@given(attempts, times, times)
def test_time_only_ends_things(row: VerificationAttempt, one: int, other: int) -> None:
    """As long as nobody acts, what is decided is never waited for again."""
    earlier, later = (flow.next_step(login(), row, now) for now in sorted((one, other)))
    assert flow.decided(later) or not flow.decided(earlier)


@given(attempts, times)
def test_every_page_of_a_failure_has_its_reason(row: VerificationAttempt, now: int) -> None:
    """There is a page for each step, and one that says no also says why."""
    step = flow.next_step(login(), row, now)
    assert step in PAGES
    why = flow.ending(row)
    assert issubclass(why, errors.VerificationError)
    if step in (Step.EXPIRED, Step.PROBLEM):
        assert (step is Step.EXPIRED) == (why is errors.Expired)


@given(attempts, times)
def test_what_is_worth_asking(row: VerificationAttempt, now: int) -> None:
    """The upstream is asked about undecided attempts that it knows and whose browser is not away
    there, never for ever, and only once after their time."""
    if flow.worth_asking(row, now):
        assert row.returned_code or row.shows != "leave"
        assert (row.state, row.handle) == (AttemptState.PENDING, "h")
        assert now < ENDS + GRACE
        assert now < ENDS or not flow.worth_asking(replace(row, asked_at=now), now)


@given(attempts, times)
def test_whoever_waits_can_be_answered(row: VerificationAttempt, now: int) -> None:
    """No page waits for something that nobody would ask about."""
    step = flow.next_step(login(), row, now)
    if step in (Step.WAIT, Step.SCAN) and row.handle:
        assert flow.worth_asking(row, now)


@given(st.sampled_from(Step), st.integers(0, 10), st.sampled_from(Step), st.integers(0, 10))
def test_pages_are_told_apart(one: Step, first: int, other: Step, second: int) -> None:
    """Two pages have one name only if they show the same attempt at the same step."""
    page, another = (
        flow.page_state(login(attempts=first), one),
        flow.page_state(login(attempts=second), other),
    )
    assert (page == another) == ((one, first) == (other, second))


@pytest.mark.parametrize("why", [*Heard, *flow.ENDINGS.values()])
def test_outcomes_are_stored_as_codes(why: type[errors.VerificationError] | Heard) -> None:
    """Every outcome comes back from its code, which is no class's name."""
    code = flow.why_code(why)
    assert flow.why_of(code) is why
    assert code.startswith("TF-") or code in Heard.__members__.values()


def test_an_unknown_outcome_is_a_failure() -> None:
    """A code of a newer version, or a class name of an older one; no code means nothing yet."""
    assert flow.why_of("TF-2999") is flow.why_of("Denied") is errors.Failed
    assert flow.why_of("") is None


words = st.text(max_size=20)


@given(
    st.builds(Purpose, words, words, words, words, words, methods=st.tuples(words)),
    st.builds(Drawing, st.sampled_from(SHOWS), words, fields_sealed=words),
)
def test_what_is_stored_is_read_again(purpose: Purpose, drawing: Drawing) -> None:
    """Purpose and drawing come back from the store as they went in."""
    assert purpose == stored.read(Purpose, stored.dump(purpose))
    assert drawing == stored.read(Drawing, stored.dump(drawing))


@pytest.mark.parametrize("kind", [Purpose, Drawing])
def test_a_document_of_a_future_version_is_read(kind: type[Purpose | Drawing]) -> None:
    """What a newer worker added is ignored, and what it left out has a default."""
    known = stored.dump(kind()).replace("{", '{"of_tomorrow": null, ', 1)
    assert stored.read(kind, known) == stored.read(kind, "{}") == kind()


def test_no_step_is_named_after_a_method() -> None:
    """The diagram is the same for every way to verify."""
    names = {step.value for step in (*Step, *AttemptState)}
    assert not names & set(METHODS)
