"""Rows of logins and attempts. Every change of state is one UPDATE whose row count decides."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text, and_, bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from idp.kernel.database import Row
from idp.kernel.housekeeping import kept
from idp.kernel.tables import attempts, handles, landings, logins, upstream_sequences
from idp.login.flow import AttemptState

_L, _A = logins.c, attempts.c

INSERT_LOGIN = insert(logins)
_OF_ATTEMPT = {column.name: f"attempt__{column.name}" for column in _A}
_LOGINS = select(  # with the attempt that counts in it: this is what every poll asks
    logins, *(column.label(_OF_ATTEMPT[column.name]) for column in _A)
).join_from(logins, attempts, _A.id == _L.attempt_id, isouter=True)
LOGIN = _LOGINS.where(_L.id == bindparam("id"))
TOGETHER = 32  # logins that LOGINS reads: always so many, so that it is prepared once
LOGINS = _LOGINS.where(_L.id.in_([bindparam(f"id{n}") for n in range(TOGETHER)]))
ATTEMPT = select(attempts).where(_A.id == bindparam("id"))


def attempt_in(login: Row) -> Row | None:
    """The attempt that LOGIN brought along, as ATTEMPT would have."""
    if login["attempt__id"] is None:
        return None
    return {name: login[label] for name, label in _OF_ATTEMPT.items()}


NEW_ATTEMPT = (  # one attempt counts; a finished or used-up login takes no more, and of two
    # presses of the same button only the first counts
    update(logins)
    .where(
        _L.id == bindparam("key"),
        _L.finished_at.is_(None),
        _L.expires_at > bindparam("now"),
        _L.attempts == bindparam("seen"),
        _L.attempts < bindparam("most"),
    )
    .values(attempts=_L.attempts + 1, attempt_id=bindparam("attempt"))
)
DROP_ATTEMPT = (
    update(logins)
    .where(_L.id == bindparam("key"), _L.finished_at.is_(None))
    .values(attempt_id=None)
)
FINISH = (
    update(logins)
    .where(
        _L.id == bindparam("key"),
        _L.finished_at.is_(None),
        _L.expires_at > bindparam("now"),
        _L.attempt_id == bindparam("attempt"),
    )
    .values(finished_at=bindparam("now"), session_id=bindparam("session"))
)
CANCEL = (
    update(logins)
    .where(_L.id == bindparam("key"), _L.finished_at.is_(None))
    .values(finished_at=bindparam("now"))
)

INSERT_ATTEMPT = insert(attempts)


def _one_of(*states: AttemptState) -> ColumnElement[bool]:
    return or_(*(_A.state == state.value for state in states))


_UNDECIDED = _one_of(AttemptState.OPENING, AttemptState.PENDING, AttemptState.APPROVED)
REPLACE = (
    update(attempts)
    .where(_A.login_id == bindparam("login"), _UNDECIDED)
    .values(state=AttemptState.REPLACED.value)
)


def _move(old: AttemptState, new: AttemptState, *also: ColumnElement[bool], **values: Any) -> Any:
    return (
        update(attempts)
        .where(and_(_A.id == bindparam("key"), _A.state == old.value, *also))
        .values(state=new.value, **values)
    )


OPENED = (  # the handle is kept even if the attempt was replaced meanwhile: its phone rings
    update(attempts)
    .where(_A.id == bindparam("key"))
    .values(
        state=case(
            (_A.state == AttemptState.OPENING.value, AttemptState.PENDING.value), else_=_A.state
        ),
        system=bindparam("system"),
        handle=bindparam("handle"),
        challenge=bindparam("challenge"),
        only_for=bindparam("only_for"),
        expires_at=bindparam("expires"),
    )
    .returning(_A.state)
)
NOT_OPENED = _move(AttemptState.OPENING, AttemptState.ENDED, why=bindparam("why"))
APPROVED = _move(
    AttemptState.PENDING,
    AttemptState.APPROVED,
    number_index=bindparam("index"),
    number_sealed=bindparam("sealed"),
)
ENDED = _move(AttemptState.PENDING, AttemptState.ENDED, why=bindparam("why"))
HEARD = _move(  # said too late; written down so that nobody asks again
    AttemptState.REPLACED, AttemptState.REPLACED, _A.why == "", why=bindparam("why")
)
USED = _move(AttemptState.APPROVED, AttemptState.USED, _A.expires_at > bindparam("grace"))
BROUGHT_BACK = _move(
    AttemptState.PENDING,
    AttemptState.PENDING,
    _A.handle.is_(None),
    handle=bindparam("handle"),
    brought=bindparam("code"),
    number_index=func.coalesce(_A.number_index, bindparam("index", type_=Text)),
    number_sealed=func.coalesce(_A.number_sealed, bindparam("sealed", type_=Text)),
)
ASKED = (  # whoever wins may ask the upstream; the others take the stored outcome
    update(attempts)
    .where(
        _A.id == bindparam("key"),
        _one_of(AttemptState.PENDING, AttemptState.REPLACED),
        _A.asked_at <= bindparam("before"),
    )
    .values(asked_at=bindparam("now"))
)
UNHEARD = (  # calls on this person's phone of which nobody has asked how they ended
    select(attempts)
    .where(
        _A.number_index == bindparam("index"),
        _A.method == bindparam("method"),
        _A.handle.is_not(None),
        _one_of(AttemptState.PENDING, AttemptState.REPLACED),
        _A.why == "",
        _A.opened_at > bindparam("since"),
        _A.asked_at <= bindparam("before"),
    )
    .order_by(_A.opened_at.desc())
    .limit(3)
)
PENDING_ELSEWHERE = (
    select(_A.expires_at)
    .where(
        _A.number_index == bindparam("index"),
        _A.login_id != bindparam("login"),
        _A.method == bindparam("method"),
        _one_of(AttemptState.OPENING, AttemptState.PENDING),
        _A.expires_at > bindparam("now"),
    )
    .order_by(_A.expires_at.desc())
    .limit(1)
)
OF_BROWSER = (  # newest first, whatever became of them
    select(attempts)
    .where(_A.browser == bindparam("browser"), _A.opened_at > bindparam("since"))
    .order_by(_A.opened_at.desc(), _A.id)
    .limit(20)
)
BY_HANDLE = select(attempts).where(_A.handle == bindparam("handle"))

TAKE_HANDLE = insert(handles)
HANDLE = select(handles).where(handles.c.handle == bindparam("handle"))

INSERT_LANDING = insert(landings)
TAKE_LANDING = (
    delete(landings)
    .where(landings.c.id == bindparam("id"), landings.c.expires_at > bindparam("now"))
    .returning(landings.c.fields_sealed)
)

RESERVE_SEQUENCES = insert(upstream_sequences)

DAY = 86_400
RETENTION = (
    kept(landings.c.expires_at, 0),
    kept(upstream_sequences.c.reserved_at, 7 * DAY),
    kept(handles.c.seen_at, 30 * DAY),
    kept(_L.expires_at, 3 * DAY),
)
