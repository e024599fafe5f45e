"""Attempts: one verification upstream each. Rows in, dataclasses out.

Every change of state is one UPDATE whose row count decides, so each function that changes says
whether it did.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text, and_, bindparam, case, func, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from idp.kernel import stored
from idp.kernel.database import Reader, Row, Transaction, Writer
from idp.kernel.tables import attempts, logins
from idp.login.flow import AttemptState, Drawing, Heard, VerificationAttempt, Why, why_code, why_of

_L, _A = logins.c, attempts.c

# ── reading attempts ────────────────────────────────────────────────────────────────────────────


def _one_of(*states: AttemptState) -> ColumnElement[bool]:
    return or_(*(_A.state == state.value for state in states))


_ATTEMPTS = select(attempts, _L.reference).join_from(attempts, logins, _L.id == _A.login_id)
_ATTEMPT = _ATTEMPTS.where(_A.id == bindparam("id"))
_BY_HANDLE = _ATTEMPTS.where(_A.handle == bindparam("handle"))
_OF_BROWSER = (
    _ATTEMPTS.where(_A.browser == bindparam("browser"), _A.opened_at > bindparam("since"))
    .order_by(_A.opened_at.desc(), _A.id)
    .limit(20)
)
_UNHEARD = (
    _ATTEMPTS.where(
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
_RINGING = _ATTEMPTS.where(
    _A.number_index == bindparam("index"),
    _A.login_id != bindparam("login"),
    _A.method == bindparam("method"),
    _one_of(AttemptState.OPENING, AttemptState.PENDING),
    _A.expires_at > bindparam("now"),
)
_NUMBERS_TRIED = select(_A.number_index).where(
    _A.login_id == bindparam("login"), _A.number_index.is_not(None)
)


async def find_attempt(reader: Reader, attempt_id: str) -> VerificationAttempt | None:
    row = await reader.one(_ATTEMPT, id=attempt_id)
    return read_attempt(row) if row else None


async def attempt_with_handle(reader: Reader, handle: str) -> VerificationAttempt | None:
    """The attempt that the upstream knows by this name."""
    row = await reader.one(_BY_HANDLE, handle=handle)
    return read_attempt(row) if row else None


async def attempts_of_browser(
    reader: Reader, browser: str, since: int
) -> list[VerificationAttempt]:
    """The newest 20 that this browser opened, newest first, whatever became of them."""
    rows = await reader.all(_OF_BROWSER, browser=browser, since=since)
    return [read_attempt(row) for row in rows]


async def unheard_attempts(
    reader: Reader, number_index: str, method: str, since: int, before: int
) -> list[VerificationAttempt]:
    """Calls to this person's phone whose ending nobody has asked about, last asked `before`."""
    params = {"index": number_index, "method": method, "since": since, "before": before}
    return [read_attempt(row) for row in await reader.all(_UNHEARD, **params)]


async def ringing(reader: Reader, attempt: VerificationAttempt) -> list[VerificationAttempt]:
    """The attempts of other logins that ask the same person by the same method right now."""
    rows = await reader.all(
        _RINGING,
        index=attempt.number_index,
        login=attempt.login_id,
        method=attempt.method,
        now=attempt.opened_at,
    )
    return [read_attempt(row) for row in rows]


async def numbers_tried(reader: Reader, login_id: str) -> set[str | None]:
    """The keyed indexes of the numbers that were tried in a login."""
    return {row["number_index"] for row in await reader.all(_NUMBERS_TRIED, login=login_id)}


def read_attempt(row: Row) -> VerificationAttempt:
    drawing = stored.read(Drawing, row["challenge"])
    return VerificationAttempt(
        id=row["id"],
        login_id=row["login_id"],
        reference=row["reference"],
        relying_party=row["relying_party"],
        browser=row["browser"],
        method=row["method"],
        shows=row["shows"] or drawing.shows,  # "": written by a version without the column
        system=row["system"],
        handle=row["handle"],
        number_index=row["number_index"],
        number_sealed=row["number_sealed"],
        drawing=drawing,
        sole_relying_party=row["only_for"],
        returned_code=row["brought"],
        state=AttemptState(row["state"]),
        why=why_of(row["why"]),
        opened_at=row["opened_at"],
        expires_at=row["expires_at"],
        asked_at=row["asked_at"],
    )


# ── changing attempts ───────────────────────────────────────────────────────────────────────────

_INSERT_ATTEMPT = insert(attempts)
_UNDECIDED = _one_of(AttemptState.OPENING, AttemptState.PENDING, AttemptState.APPROVED)
_REPLACE = (
    update(attempts)
    .where(_A.login_id == bindparam("login"), _UNDECIDED)
    .values(state=AttemptState.REPLACED.value)
)
_STOP = (  # nobody asks any more how they ended: a denial that is heard now would show
    update(attempts)
    .where(
        _A.number_index == bindparam("index"),
        or_(_UNDECIDED, and_(_A.state == AttemptState.REPLACED.value, _A.why == "")),
    )
    .values(state=AttemptState.REPLACED.value, why=Heard.STOPPED.value)
)


def _move(old: AttemptState, new: AttemptState, *also: ColumnElement[bool], **values: Any) -> Any:
    return (
        update(attempts)
        .where(and_(_A.id == bindparam("key"), _A.state == old.value, *also))
        .values(state=new.value, **values)
    )


_OPENED = (
    update(attempts)
    .where(_A.id == bindparam("key"))
    .values(
        state=case(
            (_A.state == AttemptState.OPENING.value, AttemptState.PENDING.value), else_=_A.state
        ),
        system=bindparam("account"),
        handle=bindparam("name"),
        challenge=bindparam("document"),
        only_for=bindparam("sole"),
        expires_at=bindparam("expires"),
    )
    .returning(_A.state)
)
_NOT_OPENED = _move(AttemptState.OPENING, AttemptState.ENDED, why=bindparam("code"))
_APPROVED = _move(
    AttemptState.PENDING,
    AttemptState.APPROVED,
    number_index=bindparam("index"),
    number_sealed=bindparam("number"),
)
_ENDED = _move(AttemptState.PENDING, AttemptState.ENDED, why=bindparam("code"))
_HEARD = _move(AttemptState.REPLACED, AttemptState.REPLACED, _A.why == "", why=bindparam("code"))
_USED = _move(AttemptState.APPROVED, AttemptState.USED, _A.expires_at > bindparam("grace"))
_BROUGHT_BACK = _move(
    AttemptState.PENDING,
    AttemptState.PENDING,
    _A.brought == "",
    or_(_A.handle.is_(None), _A.handle == bindparam("name")),
    handle=bindparam("name"),
    brought=bindparam("code"),
    number_index=func.coalesce(_A.number_index, bindparam("index", type_=Text)),
    number_sealed=func.coalesce(_A.number_sealed, bindparam("number", type_=Text)),
)
_CLAIM_ASKING = (
    update(attempts)
    .where(
        _A.id == bindparam("key"),
        _one_of(AttemptState.PENDING, AttemptState.REPLACED),
        _A.asked_at <= bindparam("before"),
    )
    .values(asked_at=bindparam("now"))
)


async def insert_attempt(tx: Transaction, attempt: VerificationAttempt) -> None:
    await tx.run(
        _INSERT_ATTEMPT,
        id=attempt.id,
        login_id=attempt.login_id,
        relying_party=attempt.relying_party,
        browser=attempt.browser,
        method=attempt.method,
        shows=attempt.shows,
        system=attempt.system,
        handle=attempt.handle,
        number_index=attempt.number_index,
        number_sealed=attempt.number_sealed,
        challenge=stored.dump(attempt.drawing),
        only_for=attempt.sole_relying_party,
        brought=attempt.returned_code,
        state=attempt.state.value,
        why=_code(attempt.why),
        opened_at=attempt.opened_at,
        expires_at=attempt.expires_at,
        asked_at=attempt.asked_at,
    )


def _code(why: Why) -> str:
    return why_code(why) if why else ""


async def replace_attempts(tx: Transaction, login_id: str) -> None:
    """No attempt of this login can be approved any more."""
    await tx.run(_REPLACE, login=login_id)


async def stop_attempts(tx: Transaction, number_index: str) -> None:
    """Everything that is out for this person is over, and nobody asks how it ended."""
    await tx.run(_STOP, index=number_index)


async def attempt_opened(tx: Transaction, attempt: VerificationAttempt) -> AttemptState | None:
    """Stores what the upstream gave: system, handle, drawing, end. It is stored even if the
    attempt was replaced meanwhile, because its phone rings; the answer is the state it has now."""
    row = await tx.one(
        _OPENED,
        key=attempt.id,
        account=attempt.system,
        name=attempt.handle,
        document=stored.dump(attempt.drawing),
        sole=attempt.sole_relying_party,
        expires=attempt.expires_at,
    )
    return AttemptState(row["state"]) if row else None


async def attempt_not_opened(tx: Transaction, attempt_id: str, why: Why) -> bool:
    return bool(await tx.run(_NOT_OPENED, key=attempt_id, code=_code(why)))


async def attempt_approved(tx: Transaction, attempt_id: str, index: str, sealed: str) -> bool:
    """The upstream approved this number."""
    return bool(await tx.run(_APPROVED, key=attempt_id, index=index, number=sealed))


async def attempt_ended(tx: Transaction, attempt_id: str, why: Why) -> bool:
    return bool(await tx.run(_ENDED, key=attempt_id, code=_code(why)))


async def attempt_heard(tx: Transaction, attempt_id: str, why: Why) -> bool:
    """The upstream said this of an attempt that no longer counts: nobody asks again."""
    return bool(await tx.run(_HEARD, key=attempt_id, code=_code(why)))


async def use_attempt(tx: Transaction, attempt_id: str, grace: int) -> bool:
    """An approval lets somebody in once, and only if the attempt ended after `grace`."""
    return bool(await tx.run(_USED, key=attempt_id, grace=grace))


async def attempt_returned(
    tx: Transaction, attempt_id: str, handle: str, code: str, index: str | None, sealed: str | None
) -> bool:
    """A browser brought the handle back, with a code and perhaps a number. False if the attempt
    has another handle, came back before, or is over."""
    params = {"name": handle, "code": code, "index": index, "number": sealed}
    return bool(await tx.run(_BROUGHT_BACK, key=attempt_id, **params))


async def claim_asking(writer: Writer, attempt_id: str, before: int, now: int) -> bool:
    """Whether this caller may ask the upstream; everybody else takes the stored outcome."""
    return bool(await writer.run(_CLAIM_ASKING, key=attempt_id, before=before, now=now))
