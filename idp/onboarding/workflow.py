"""How an application gets from its first draft to production: one table, and nothing that waits.

    step = decide(case, Move.APPROVE, actor, now)   raises NotNow, NotYours
    due(case, now)       what time alone does to a case
    reminder(case, now)  a mail that is due
    next_look(case)      when either of these can be something else

States, moves, deadlines and mails are those of MyData's online application and of the ministry's
paper form. TABLE is the whole of it: state and move and role lead to a state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum

from idp.onboarding.calendar import DAY, day_of, days_left, end_of, months_after, start_of

LINK_LIFE = 600  # seconds that a confirmation link works
SANDBOX_MONTHS = EXTENSION_MONTHS = 3
EXTENSION_WINDOW = 7  # days before the end in which an extension may be asked for
REPORT_BEFORE = 7  # days before the planned date on which the pilot's report is due
REMINDERS = (14, 7, 1)  # days before the end of the sandbox


class Kind(StrEnum):
    """The type of an application, and the letter of its number."""

    DATA = "data"
    SERVICE = "service"
    COUNTER = "counter"

    @property
    def letter(self) -> str:
        return {"data": "A", "service": "B", "counter": "C"}[self.value]


class Action(StrEnum):
    NEW = "new"
    CHANGE = "change"
    REMOVAL = "removal"


class State(StrEnum):
    EMAIL_SENT = "email_sent"
    LINK_EXPIRED = "link_expired"
    DRAFT = "draft"
    IN_REVIEW = "in_review"
    SECOND_REVIEW = "second_review"
    AWAITING_FIRST_LETTER = "awaiting_first_letter"
    SANDBOX = "sandbox"
    EXTENSION_REVIEW = "extension_review"
    SANDBOX_EXTENDED = "sandbox_extended"
    GO_LIVE_REVIEW = "go_live_review"
    AWAITING_LETTER = "awaiting_letter"
    PILOT = "pilot"
    REPORT_REVIEW = "report_review"
    SCHEDULED = "scheduled"
    LIVE = "live"
    SUSPENDED = "suspended"
    DONE = "done"  # a change or a removal that was carried out
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    DELETED = "deleted"


class Move(StrEnum):
    CONFIRM = "confirm"
    SEND_AGAIN = "send_again"
    SUBMIT = "submit"
    RETURN = "return"
    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_EXTENSION = "request_extension"
    REQUEST_GO_LIVE = "request_go_live"
    SUBMIT_REPORT = "submit_report"
    SUSPEND = "suspend"
    RESUME = "resume"
    WITHDRAW = "withdraw"
    DELETE = "delete"
    TIME = "time"


class Role(StrEnum):
    APPLICANT = "applicant"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    CLOCK = "clock"

    @property
    def officer(self) -> bool:
        return self in (Role.REVIEWER, Role.OPERATOR)


class Notice(StrEnum):
    """The mails."""

    CONFIRMATION = "confirmation"
    IN_REVIEW = "in_review"
    CHANGES_REQUESTED = "changes_requested"
    SEND_FIRST_LETTER = "send_first_letter"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXTENSION_OPEN = "extension_open"
    EXTENSION_REQUESTED = "extension_requested"
    EXTENSION_APPROVED = "extension_approved"
    EXTENSION_REJECTED = "extension_rejected"
    DAYS_LEFT = "days_left"
    TAKEN_DOWN = "taken_down"
    GO_LIVE_REQUESTED = "go_live_requested"
    SEND_LETTER = "send_letter"
    GO_LIVE_REJECTED = "go_live_rejected"
    PILOT_APPROVED = "pilot_approved"
    REPORT_DUE = "report_due"
    REPORT_RECEIVED = "report_received"
    REPORT_REJECTED = "report_rejected"
    SCHEDULED = "scheduled"
    LIVE = "live"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    WITHDRAWN = "withdrawn"
    DONE = "done"


class Effect(StrEnum):
    """What a move does to the clients of the case."""

    OPEN_SANDBOX = "open_sandbox"
    ERASE_SANDBOX = "erase_sandbox"  # taken down, and the data of its logins deleted
    OPEN_PILOT = "open_pilot"
    OPEN_PRODUCTION = "open_production"
    CLOSE = "close"
    REOPEN = "reopen"
    CHANGE = "change"
    REMOVE = "remove"


class Paper(StrEnum):
    """What must come with a move."""

    APPLICATION = "application"
    REMARKS = "remarks"
    LETTER = "letter"
    EXTENSION = "extension"
    GO_LIVE = "go_live"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Actor:
    """`name` is a person's id, or an operator's name on the machine."""

    role: Role
    name: str


CLOCK = Actor(Role.CLOCK, "")


@dataclass(frozen=True, slots=True)
class Case:
    """What the rules look at. `before` is where a refused request leads back to; `until` is the
    end of the sandbox, of a link or of a contract (UTC seconds); `planned` the day of going live;
    `asked_at` when the pending request was made; `reminded` the fewest days that were announced;
    `applicants` are all who ever acted for the applicant, `approved_by` the first of two officers;
    `production` whether a change concerns what is live."""

    number: str
    kind: Kind
    action: Action
    state: State
    before: State | None = None
    until: int | None = None
    planned: date | None = None
    asked_at: int | None = None
    reminded: int | None = None
    extended: bool = False
    production: bool = False
    applicants: tuple[str, ...] = ()
    approved_by: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """`to` None: back to where the request came from."""

    state: State
    move: Move
    role: Role
    to: State | None
    notice: Notice | None = None
    effect: Effect | None = None
    paper: Paper | None = None
    actions: tuple[Action, ...] = (Action.NEW,)


class NotNow(Exception):
    """The case is in another state, or the time for this move is not there."""


class NotYours(Exception):
    """This actor may not do it."""


S, M, R, N, E, P = State, Move, Role, Notice, Effect, Paper
_ANY = (Action.NEW, Action.CHANGE, Action.REMOVAL)
_LATER = (Action.CHANGE, Action.REMOVAL)

TABLE: tuple[Rule, ...] = (
    # the account
    Rule(S.EMAIL_SENT, M.CONFIRM, R.APPLICANT, S.DRAFT),
    Rule(S.EMAIL_SENT, M.TIME, R.CLOCK, S.LINK_EXPIRED),
    Rule(S.LINK_EXPIRED, M.SEND_AGAIN, R.APPLICANT, S.EMAIL_SENT, N.CONFIRMATION),
    # the application
    Rule(S.DRAFT, M.SUBMIT, R.APPLICANT, S.IN_REVIEW, N.IN_REVIEW, paper=P.APPLICATION,
         actions=_ANY),
    Rule(S.DRAFT, M.WITHDRAW, R.APPLICANT, S.WITHDRAWN, actions=_ANY),
    Rule(S.IN_REVIEW, M.RETURN, R.REVIEWER, S.DRAFT, N.CHANGES_REQUESTED, paper=P.REMARKS,
         actions=_ANY),
    Rule(S.IN_REVIEW, M.REJECT, R.REVIEWER, S.REJECTED, N.REJECTED, paper=P.REMARKS, actions=_ANY),
    Rule(S.IN_REVIEW, M.WITHDRAW, R.APPLICANT, S.WITHDRAWN, N.WITHDRAWN, actions=_ANY),
    Rule(S.IN_REVIEW, M.APPROVE, R.REVIEWER, S.AWAITING_FIRST_LETTER, N.SEND_FIRST_LETTER),
    Rule(S.AWAITING_FIRST_LETTER, M.REJECT, R.OPERATOR, S.REJECTED, N.REJECTED, paper=P.REMARKS),
    Rule(S.AWAITING_FIRST_LETTER, M.WITHDRAW, R.APPLICANT, S.WITHDRAWN, N.WITHDRAWN),
    Rule(S.AWAITING_FIRST_LETTER, M.APPROVE, R.OPERATOR, S.SANDBOX, N.APPROVED, E.OPEN_SANDBOX,
         P.LETTER),
    # a change or a removal of what there is; one of production needs a second officer
    Rule(S.IN_REVIEW, M.APPROVE, R.REVIEWER, S.SECOND_REVIEW, actions=_LATER),
    Rule(S.SECOND_REVIEW, M.APPROVE, R.REVIEWER, S.DONE, N.DONE, E.CHANGE,
         actions=(Action.CHANGE,)),
    Rule(S.SECOND_REVIEW, M.APPROVE, R.REVIEWER, S.DONE, N.DONE, E.REMOVE,
         actions=(Action.REMOVAL,)),
    Rule(S.SECOND_REVIEW, M.RETURN, R.REVIEWER, S.DRAFT, N.CHANGES_REQUESTED, paper=P.REMARKS,
         actions=_LATER),
    Rule(S.SECOND_REVIEW, M.REJECT, R.REVIEWER, S.REJECTED, N.REJECTED, paper=P.REMARKS,
         actions=_LATER),
    # the sandbox
    Rule(S.SANDBOX, M.REQUEST_EXTENSION, R.APPLICANT, S.EXTENSION_REVIEW, N.EXTENSION_REQUESTED,
         paper=P.EXTENSION),
    Rule(S.EXTENSION_REVIEW, M.APPROVE, R.REVIEWER, S.SANDBOX_EXTENDED, N.EXTENSION_APPROVED),
    Rule(S.EXTENSION_REVIEW, M.REJECT, R.REVIEWER, None, N.EXTENSION_REJECTED, paper=P.REMARKS),
    *(
        rule
        for state in (S.SANDBOX, S.SANDBOX_EXTENDED)
        for rule in (
            Rule(state, M.TIME, R.CLOCK, S.EXPIRED, N.TAKEN_DOWN, E.ERASE_SANDBOX),
            Rule(state, M.REQUEST_GO_LIVE, R.APPLICANT, S.GO_LIVE_REVIEW, N.GO_LIVE_REQUESTED,
                 paper=P.GO_LIVE),
        )
    ),
    *(
        rule
        for state in (S.SANDBOX, S.EXTENSION_REVIEW, S.SANDBOX_EXTENDED, S.GO_LIVE_REVIEW,
                      S.AWAITING_LETTER)
        for rule in (
            Rule(state, M.WITHDRAW, R.APPLICANT, S.WITHDRAWN, N.WITHDRAWN, E.ERASE_SANDBOX),
            Rule(state, M.DELETE, R.OPERATOR, S.DELETED, N.WITHDRAWN, E.ERASE_SANDBOX, P.REMARKS),
        )
    ),
    # production
    Rule(S.GO_LIVE_REVIEW, M.APPROVE, R.REVIEWER, S.AWAITING_LETTER, N.SEND_LETTER),
    Rule(S.GO_LIVE_REVIEW, M.REJECT, R.REVIEWER, None, N.GO_LIVE_REJECTED, paper=P.REMARKS),
    Rule(S.AWAITING_LETTER, M.APPROVE, R.OPERATOR, S.PILOT, N.PILOT_APPROVED, E.OPEN_PILOT,
         P.LETTER),
    Rule(S.AWAITING_LETTER, M.REJECT, R.OPERATOR, None, N.GO_LIVE_REJECTED, paper=P.REMARKS),
    Rule(S.PILOT, M.SUBMIT_REPORT, R.APPLICANT, S.REPORT_REVIEW, N.REPORT_RECEIVED,
         paper=P.REPORT),
    Rule(S.REPORT_REVIEW, M.APPROVE, R.REVIEWER, S.SCHEDULED, N.SCHEDULED),
    Rule(S.REPORT_REVIEW, M.REJECT, R.REVIEWER, S.PILOT, N.REPORT_REJECTED, paper=P.REMARKS),
    Rule(S.SCHEDULED, M.TIME, R.CLOCK, S.LIVE, N.LIVE, E.OPEN_PRODUCTION),
    Rule(S.LIVE, M.TIME, R.CLOCK, S.SUSPENDED, N.SUSPENDED, E.CLOSE),  # the contract is over
    *(
        rule
        for state in (S.PILOT, S.REPORT_REVIEW, S.SCHEDULED, S.LIVE)
        for rule in (
            Rule(state, M.SUSPEND, R.OPERATOR, S.SUSPENDED, N.SUSPENDED, E.CLOSE, P.REMARKS),
            Rule(state, M.WITHDRAW, R.APPLICANT, S.WITHDRAWN, N.WITHDRAWN, E.CLOSE),
            Rule(state, M.DELETE, R.OPERATOR, S.DELETED, N.WITHDRAWN, E.CLOSE, P.REMARKS),
        )
    ),
    Rule(S.SUSPENDED, M.RESUME, R.OPERATOR, None, N.RESUMED, E.REOPEN),
    Rule(S.SUSPENDED, M.DELETE, R.OPERATOR, S.DELETED, N.WITHDRAWN, E.CLOSE, P.REMARKS),
)  # fmt: skip

ENDED = frozenset({S.REJECTED, S.EXPIRED, S.WITHDRAWN, S.DELETED, S.DONE})
IN_SANDBOX = frozenset({S.SANDBOX, S.SANDBOX_EXTENDED})
PENDING = frozenset({S.EXTENSION_REVIEW, S.GO_LIVE_REVIEW, S.AWAITING_LETTER, S.REPORT_REVIEW})
REQUESTS = frozenset({M.REQUEST_EXTENSION, M.REQUEST_GO_LIVE, M.SUBMIT_REPORT, M.SUSPEND})


@dataclass(frozen=True, slots=True)
class Step:
    """What a move comes to. `case` is what is stored."""

    case: Case
    rule: Rule


@dataclass(frozen=True, slots=True)
class Papers:
    """What the rules need of the papers that come with a move: which are there, the planned day,
    and the last day of the contract, where a letter names one."""

    there: frozenset[Paper] = field(default_factory=frozenset)
    planned: date | None = None
    until: date | None = None


def rules_for(case: Case) -> Iterator[Rule]:
    """What could be done in this state, by anybody."""
    for rule in TABLE:
        if rule.state is case.state and case.action in rule.actions:
            yield rule


def moves(case: Case, role: Role, now: int) -> list[Move]:
    """What this role can do at this moment: the buttons."""
    rules = [rule for rule in rules_for(case) if rule.role is role]
    return [rule.move for rule in rules if not _too_early(case, rule, now)]


def decide(case: Case, move: Move, actor: Actor, now: int, papers: Papers | None = None) -> Step:
    """Raises NotNow, NotYours; ValueError for a paper that is missing or cannot be."""
    papers = papers or Papers()
    rules = [rule for rule in rules_for(case) if rule.move is move]
    if not rules:
        raise NotNow(f"a case that is {case.state} knows no {move}")
    rule = next((rule for rule in rules if rule.role is actor.role), None)
    if rule is None:
        raise NotYours(f"{move} is for the {rules[0].role}")
    _keep_four_eyes(case, rule, actor)
    if reason := _too_early(case, rule, now):
        raise NotNow(reason)
    if rule.paper and rule.paper not in papers.there:
        raise ValueError(f"{move} needs: {rule.paper}")
    if rule.move is M.REQUEST_GO_LIVE and (
        papers.planned is None or papers.planned <= day_of(now) + timedelta(days=REPORT_BEFORE)
    ):
        raise ValueError(f"planned: a day more than {REPORT_BEFORE} days ahead")
    rule = _of_one_officer(case, rule)
    return Step(_after(case, rule, actor, now, papers), rule)


def _keep_four_eyes(case: Case, rule: Rule, actor: Actor) -> None:
    """Whoever acted for the applicant does not judge, and two officers are two."""
    if not actor.role.officer:
        return
    if actor.name in case.applicants:
        raise NotYours("whoever acted for the applicant may not decide")
    if rule.state is S.SECOND_REVIEW and actor.name == case.approved_by:
        raise NotYours("a second officer must decide")


def _of_one_officer(case: Case, rule: Rule) -> Rule:
    """What does not concern production needs no second officer."""
    if rule.to is not S.SECOND_REVIEW or case.production:
        return rule
    last = next(r for r in TABLE if r.state is S.SECOND_REVIEW and r.move is M.APPROVE
                and case.action in r.actions)  # fmt: skip
    return replace(last, state=rule.state)


def _too_early(case: Case, rule: Rule, now: int) -> str:
    """Why this move has to wait, or ""."""
    if rule.move is M.REQUEST_EXTENSION:
        if case.extended:
            return "a sandbox is extended once"
        if days_left(case.until or now, now) > EXTENSION_WINDOW:
            return f"an extension may be asked for in the last {EXTENSION_WINDOW} days"
    if rule.move is M.TIME and _ends_at(case) > now:
        return "the time is not over"
    overdue = case.until is not None and case.until <= now
    if case.state in IN_SANDBOX and rule.role is R.APPLICANT and overdue:
        return "the sandbox is over"
    if rule.move is M.CONFIRM and overdue:
        return "the link is over"
    return ""


def _ends_at(case: Case) -> int:
    """When time moves a case; far away where it does not."""
    never = 2**62
    if case.state is S.SCHEDULED:
        return start_of(case.planned) if case.planned else never
    ending = case.state in IN_SANDBOX or case.state in (S.EMAIL_SENT, S.LIVE)
    return case.until if ending and case.until is not None else never


def _after(case: Case, rule: Rule, actor: Actor, now: int, papers: Papers) -> Case:
    to = rule.to or case.before or case.state
    if rule.role is R.APPLICANT:
        case = replace(case, applicants=(*dict.fromkeys((*case.applicants, actor.name)),))
    after = replace(case, state=to, until=_until(case, rule, to, now, papers))
    if rule.move in REQUESTS or (rule.move is M.TIME and to is S.SUSPENDED):
        after = replace(after, before=case.state, asked_at=now)
    elif to not in PENDING:  # what was asked is decided
        after = replace(after, before=None, asked_at=None)
    if to is S.SECOND_REVIEW:
        after = replace(after, approved_by=actor.name)
    if to is S.SANDBOX_EXTENDED:
        after = replace(after, extended=True)
    if after.until != case.until:
        after = replace(after, reminded=None)
    if rule.move is M.REQUEST_GO_LIVE:
        after = replace(after, planned=papers.planned)
    return after


def _until(case: Case, rule: Rule, to: State, now: int, papers: Papers) -> int | None:
    """The end of what begins. A request that is pending at the end stops the clock: after a
    refusal the days that were left when it was made are left again, one at least."""
    if to is S.EMAIL_SENT:
        return now + LINK_LIFE
    if rule.effect is E.OPEN_SANDBOX:
        return end_of(months_after(day_of(now), SANDBOX_MONTHS))
    if to is S.SANDBOX_EXTENDED and rule.state is S.EXTENSION_REVIEW:
        last = max(case.until or now, now) - 1
        return end_of(months_after(day_of(last), EXTENSION_MONTHS))
    if to in IN_SANDBOX and case.asked_at is not None and (case.until or now) <= now:
        return now + max((case.until or now) - case.asked_at, DAY)
    if to is S.PILOT and rule.effect is E.OPEN_PILOT:
        return end_of(papers.until) if papers.until else None
    over = case.until is not None and case.until <= now
    if to is S.DRAFT or (rule.move is M.RESUME and over):
        return None
    return case.until


# ── what time does ──────────────────────────────────────────────────────────────────────────────


def due(case: Case, now: int) -> bool:
    """Whether the clock moves this case now."""
    return _ends_at(case) <= now


def report_due(case: Case) -> date | None:
    return case.planned - timedelta(days=REPORT_BEFORE) if case.planned else None


def reminder(case: Case, now: int) -> tuple[Notice, int] | None:
    """(mail, days that it announces) if one is due; only the latest of those that were missed."""
    last = _announced(case)
    if last is None or last <= now:
        return None
    left = days_left(last, now)
    marks = [days for days in _marks(case) if left <= days]
    if not marks or (case.reminded is not None and case.reminded <= min(marks)):
        return None
    if case.state is S.PILOT:
        return N.REPORT_DUE, min(marks)
    opens = case.state is S.SANDBOX and min(marks) == EXTENSION_WINDOW
    return (N.EXTENSION_OPEN if opens else N.DAYS_LEFT), min(marks)


def _announced(case: Case) -> int | None:
    """The end that is announced in mails."""
    if case.state in IN_SANDBOX:
        return case.until
    due_on = report_due(case) if case.state is S.PILOT else None
    return end_of(due_on) if due_on else None


def _marks(case: Case) -> tuple[int, ...]:
    return (REPORT_BEFORE,) if case.state is S.PILOT else REMINDERS


def next_look(case: Case) -> int | None:
    """When time can do something to this case, or say something about it. UTC seconds."""
    times = [at for at in [_ends_at(case)] if at < 2**62]
    last = _announced(case)
    if last is not None:
        marks = [d for d in _marks(case) if case.reminded is None or d < case.reminded]
        times += [last - days * DAY for days in marks]
    return min(times, default=None)
