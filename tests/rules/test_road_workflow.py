"""The table of the road: every pair of state and move, every deadline, every mail."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp.onboarding import workflow
from idp.onboarding.calendar import DAY, day_of, end_of, start_of
from idp.onboarding.workflow import (
    CLOCK,
    ENDED,
    TABLE,
    Action,
    Actor,
    Case,
    Effect,
    Kind,
    Move,
    Notice,
    NotNow,
    NotYours,
    Paper,
    Papers,
    Role,
    State,
    decide,
    due,
    moves,
    next_look,
    reminder,
)

NOW = start_of(date(2026, 11, 30)) + 3600
ANN, REVIEWER, OTHER = (
    Actor(Role.APPLICANT, "ann"),
    Actor(Role.REVIEWER, "rita"),
    Actor(Role.REVIEWER, "otto"),
)
OPERATOR = Actor(Role.OPERATOR, "olga")
ACTORS = {Role.APPLICANT: ANN, Role.REVIEWER: REVIEWER, Role.OPERATOR: OPERATOR, Role.CLOCK: CLOCK}


def papers(now: int, planned: int = 60) -> Papers:
    return Papers(frozenset(Paper), planned=day_of(now) + timedelta(days=planned))


def case(state: State, action: Action = Action.NEW, **more: Any) -> Case:
    return replace(Case("B1151130001", Kind.SERVICE, action, state), **more)


def go(found: Case, move: Move, actor: Actor, now: int = NOW) -> Case:
    return decide(found, move, actor, now, papers(now)).case


def in_sandbox(now: int = NOW) -> Case:
    found = go(case(State.DRAFT), Move.SUBMIT, ANN, now)
    found = go(found, Move.APPROVE, REVIEWER, now)
    return go(found, Move.APPROVE, OPERATOR, now)


# ── the table as a whole ────────────────────────────────────────────────────────────────────────


def test_one_rule_for_each_state_move_role_and_action() -> None:
    keys = [(r.state, r.move, r.role, action) for r in TABLE for action in r.actions]
    assert [key for key, times in Counter(keys).items() if times > 1] == []


def test_every_state_is_reached_and_can_be_left() -> None:
    reached = {rule.to for rule in TABLE} | {State.EMAIL_SENT}
    assert set(State) - reached == set()
    left = {rule.state for rule in TABLE}
    assert set(State) - left == ENDED


def test_nothing_of_the_vocabulary_is_unused() -> None:
    assert {rule.move for rule in TABLE} == set(Move)
    assert {rule.effect for rule in TABLE} - {None} == set(Effect)
    assert {rule.paper for rule in TABLE} - {None} == set(Paper)
    by_time = {Notice.EXTENSION_OPEN, Notice.DAYS_LEFT, Notice.REPORT_DUE}
    assert {rule.notice for rule in TABLE} - {None} | by_time == set(Notice)


def test_a_refusal_says_why() -> None:
    refusals = {Move.REJECT, Move.RETURN, Move.SUSPEND, Move.DELETE}
    assert {r.move for r in TABLE if r.paper is Paper.REMARKS} == refusals
    assert all(r.paper for r in TABLE if r.move in refusals)


@pytest.mark.parametrize(("state", "action"), list(product(State, Action)), ids=str)
def test_what_is_not_in_the_table_is_refused(state: State, action: Action) -> None:
    """Every move by every role: as the table says, or not at all."""
    for move, actor in product(Move, ACTORS.values()):
        known = {
            r.role for r in TABLE if (r.state, r.move) == (state, move) and action in r.actions
        }
        found = case(state, action, before=State.SANDBOX)
        if not known:
            with pytest.raises(NotNow):
                decide(found, move, actor, NOW, papers(NOW))
        elif actor.role not in known:
            with pytest.raises(NotYours):
                decide(found, move, actor, NOW, papers(NOW))


@pytest.mark.parametrize("rule", [r for r in TABLE if r.paper], ids=lambda r: f"{r.state}-{r.move}")
def test_a_paper_that_is_missing_stops_a_move(rule: workflow.Rule) -> None:
    found = case(rule.state, rule.actions[0], until=NOW + DAY, before=State.SANDBOX)
    with pytest.raises(ValueError, match=str(rule.paper)):
        decide(found, rule.move, ACTORS[rule.role], NOW)


# ── the way ─────────────────────────────────────────────────────────────────────────────────────


def test_from_the_first_draft_to_live() -> None:
    found = in_sandbox()
    assert found.until == end_of(date(2027, 2, 28))
    found = go(found, Move.REQUEST_GO_LIVE, ANN)
    found = go(found, Move.APPROVE, REVIEWER)
    assert found.state is State.AWAITING_LETTER
    found = go(found, Move.APPROVE, OPERATOR)
    assert (found.state, found.until) == (State.PILOT, None)
    found = go(found, Move.SUBMIT_REPORT, ANN)
    found = go(found, Move.APPROVE, REVIEWER)
    assert found.state is State.SCHEDULED
    planned = found.planned
    assert planned is not None
    assert not due(found, start_of(planned) - 1)
    assert go(found, Move.TIME, CLOCK, start_of(planned)).state is State.LIVE


def test_a_link_lasts_ten_minutes() -> None:
    sent = case(State.EMAIL_SENT, until=NOW + workflow.LINK_LIFE)
    assert go(sent, Move.CONFIRM, ANN, NOW + 599).state is State.DRAFT
    with pytest.raises(NotNow):
        go(sent, Move.CONFIRM, ANN, NOW + 600)
    late = go(sent, Move.TIME, CLOCK, NOW + 600)
    assert late.state is State.LINK_EXPIRED
    again = go(late, Move.SEND_AGAIN, ANN, NOW + 700)
    assert (again.state, again.until) == (State.EMAIL_SENT, NOW + 1300)


def test_returned_and_submitted_again() -> None:
    found = go(case(State.DRAFT), Move.SUBMIT, ANN)
    found = go(found, Move.RETURN, REVIEWER)
    assert found.state is State.DRAFT
    assert go(found, Move.SUBMIT, ANN).state is State.IN_REVIEW


def test_the_sandbox_ends_by_itself() -> None:
    found = in_sandbox()
    assert found.until is not None
    assert not due(found, found.until - 1)
    with pytest.raises(NotNow):
        go(found, Move.TIME, CLOCK, found.until - 1)
    step = decide(found, Move.TIME, CLOCK, found.until)
    assert (step.case.state, step.rule.effect) == (State.EXPIRED, Effect.ERASE_SANDBOX)
    with pytest.raises(NotNow):  # between the end and the clock's look
        go(found, Move.REQUEST_GO_LIVE, ANN, found.until)


def test_an_extension_is_asked_for_in_the_last_week_and_once() -> None:
    found = in_sandbox()
    assert found.until is not None
    opens = found.until - 7 * DAY
    with pytest.raises(NotNow):
        go(found, Move.REQUEST_EXTENSION, ANN, opens - 1)
    assert Move.REQUEST_EXTENSION not in moves(found, Role.APPLICANT, opens - 1)
    assert Move.REQUEST_EXTENSION in moves(found, Role.APPLICANT, opens)
    asked = go(found, Move.REQUEST_EXTENSION, ANN, opens)
    longer = go(asked, Move.APPROVE, REVIEWER, opens + DAY)
    assert (longer.state, longer.until) == (State.SANDBOX_EXTENDED, end_of(date(2027, 5, 28)))
    with pytest.raises(NotNow):
        go(longer, Move.REQUEST_EXTENSION, ANN, end_of(date(2027, 5, 28)) - DAY)


def test_a_pending_request_stops_the_clock() -> None:
    found = in_sandbox()
    end = found.until
    assert end is not None
    asked = go(found, Move.REQUEST_EXTENSION, ANN, end - 2 * DAY)
    assert not due(asked, end + 30 * DAY)
    refused = go(asked, Move.REJECT, REVIEWER, end + 10 * DAY)
    assert refused.state is State.SANDBOX
    assert refused.until == end + 12 * DAY  # the two days that were left
    granted = go(asked, Move.APPROVE, REVIEWER, end + 10 * DAY)
    assert granted.until == end_of(date(2027, 6, 10))


def test_a_refusal_in_time_changes_no_end() -> None:
    found = in_sandbox()
    asked = go(found, Move.REQUEST_GO_LIVE, ANN, NOW + DAY)
    refused = go(asked, Move.REJECT, REVIEWER, NOW + 5 * DAY)
    assert (refused.state, refused.until) == (found.state, found.until)


def test_a_refused_go_live_leads_back_to_the_extended_sandbox() -> None:
    extended = case(State.SANDBOX_EXTENDED, until=NOW + 60 * DAY, extended=True)
    asked = go(extended, Move.REQUEST_GO_LIVE, ANN)
    passed = go(asked, Move.APPROVE, REVIEWER)
    assert go(passed, Move.REJECT, OPERATOR).state is State.SANDBOX_EXTENDED


def test_a_refused_report_leads_back_to_the_pilot() -> None:
    report = go(case(State.PILOT, planned=date(2027, 1, 1)), Move.SUBMIT_REPORT, ANN)
    assert go(report, Move.REJECT, REVIEWER).state is State.PILOT


def test_a_day_of_going_live_is_more_than_a_week_ahead() -> None:
    found = in_sandbox()
    for days in (-1, 0, 7):
        with pytest.raises(ValueError, match="planned"):
            decide(found, Move.REQUEST_GO_LIVE, ANN, NOW, papers(NOW, days))
    decide(found, Move.REQUEST_GO_LIVE, ANN, NOW, papers(NOW, 8))


def test_a_contract_ends() -> None:
    live = case(State.LIVE, until=NOW + DAY)
    ended = decide(live, Move.TIME, CLOCK, NOW + DAY)
    assert (ended.case.state, ended.rule.effect) == (State.SUSPENDED, Effect.CLOSE)
    back = go(ended.case, Move.RESUME, OPERATOR, NOW + 2 * DAY)
    assert (back.state, back.until) == (State.LIVE, None)


@pytest.mark.parametrize("state", [State.PILOT, State.REPORT_REVIEW, State.SCHEDULED, State.LIVE])
def test_what_was_suspended_goes_on_where_it_stood(state: State) -> None:
    stopped = go(case(state, planned=date(2027, 6, 1)), Move.SUSPEND, OPERATOR)
    assert stopped.state is State.SUSPENDED
    assert go(stopped, Move.RESUME, OPERATOR).state is state


# ── four eyes ───────────────────────────────────────────────────────────────────────────────────


def test_an_applicant_never_reviews() -> None:
    found = go(case(State.DRAFT), Move.SUBMIT, ANN)
    for role in (Role.REVIEWER, Role.OPERATOR):
        with pytest.raises(NotYours):
            go(found, Move.APPROVE, Actor(role, "ann"))
    assert go(found, Move.APPROVE, REVIEWER).state is State.AWAITING_FIRST_LETTER


def test_whoever_applied_once_never_reviews_this_case() -> None:
    found = go(in_sandbox(), Move.REQUEST_GO_LIVE, Actor(Role.APPLICANT, "rita"))
    assert found.applicants == ("ann", "rita")
    with pytest.raises(NotYours):
        go(found, Move.APPROVE, REVIEWER)


@pytest.mark.parametrize("action", [Action.CHANGE, Action.REMOVAL])
def test_a_change_of_production_needs_two_officers(action: Action) -> None:
    found = go(case(State.DRAFT, action, production=True), Move.SUBMIT, ANN)
    once = go(found, Move.APPROVE, REVIEWER)
    assert once.state is State.SECOND_REVIEW
    with pytest.raises(NotYours, match="second"):
        go(once, Move.APPROVE, REVIEWER)
    step = decide(once, Move.APPROVE, OTHER, NOW)
    assert step.case.state is State.DONE
    assert step.rule.effect is (Effect.CHANGE if action is Action.CHANGE else Effect.REMOVE)


def test_a_change_of_the_sandbox_needs_one_officer() -> None:
    found = go(case(State.DRAFT, Action.CHANGE), Move.SUBMIT, ANN)
    step = decide(found, Move.APPROVE, REVIEWER, NOW)
    assert (step.case.state, step.rule.effect) == (State.DONE, Effect.CHANGE)
    assert step.rule.notice is Notice.DONE


# ── what time says ──────────────────────────────────────────────────────────────────────────────


def walk(found: Case, until: int) -> list[tuple[Notice, int]]:
    """What a worker that looks when it should says, up to a time."""
    said = []
    while (at := next_look(found)) is not None and at < until:
        note = reminder(found, at)
        assert note is not None or due(found, at)  # a look for nothing would come again for ever
        if note is None:
            break
        said.append(note)
        found = replace(found, reminded=note[1])
    return said


def test_the_end_is_announced_three_times() -> None:
    found = in_sandbox()
    assert found.until is not None
    assert walk(found, found.until) == [
        (Notice.DAYS_LEFT, 14),
        (Notice.EXTENSION_OPEN, 7),
        (Notice.DAYS_LEFT, 1),
    ]
    extended = replace(found, state=State.SANDBOX_EXTENDED, extended=True)
    assert [notice for notice, _ in walk(extended, found.until)] == [Notice.DAYS_LEFT] * 3


def test_a_worker_that_was_away_says_only_the_latest() -> None:
    found = in_sandbox()
    assert found.until is not None
    assert reminder(found, found.until - 3 * DAY) == (Notice.EXTENSION_OPEN, 7)
    told = replace(found, reminded=7)
    assert reminder(told, found.until - 3 * DAY) is None
    assert reminder(told, found.until) is None  # over: another mail says so


def test_the_pilots_report_is_asked_for() -> None:
    pilot = case(State.PILOT, planned=date(2027, 3, 1))
    assert workflow.report_due(pilot) == date(2027, 2, 22)
    assert walk(pilot, NOW + 365 * DAY) == [(Notice.REPORT_DUE, 7)]


def test_a_new_end_is_announced_anew() -> None:
    found = replace(in_sandbox(), reminded=1)
    assert found.until is not None
    asked = go(found, Move.REQUEST_EXTENSION, ANN, found.until - DAY)
    assert go(asked, Move.APPROVE, REVIEWER, found.until - DAY).reminded is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Move), st.integers(0, 100 * DAY)), max_size=40))
def test_any_walk_keeps_what_must_hold(walked: list[tuple[Move, int]]) -> None:
    """Whatever is tried in whatever order: what ended stays ended, applicants are remembered, and
    a case that waits for time says when it wants to be looked at."""
    found, now = case(State.EMAIL_SENT, until=NOW + 600), NOW
    for move, pause in walked:
        now += pause
        actor = next(
            (ACTORS[r.role] for r in TABLE if r.state is found.state and r.move is move), ANN
        )
        before = found
        try:
            found = decide(found, move, actor, now, papers(now)).case
        except (NotNow, NotYours):
            continue
        assert before.state not in ENDED
        assert set(before.applicants) <= set(found.applicants)
        if found.state in workflow.IN_SANDBOX:
            assert found.until is not None and found.until > now
            assert next_look(found) is not None
        if found.state in ENDED:
            assert next_look(found) is None and not due(found, now + 10**9)
