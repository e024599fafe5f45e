"""Cases as rows: a few columns for lists, the rest as one sealed document.

A document that a newer version wrote is readable: members that it lacks have a default. A state of
tomorrow makes a case that nobody moves until this process is that version (`Newer`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import Text, and_, bindparam, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from idp.kernel import stored
from idp.kernel.database import Reader, Row, Transaction
from idp.kernel.tables import case_events, case_people, cases
from idp.kernel.vault import Vault
from idp.onboarding.workflow import Action, Actor, Case, Kind, State, next_look

BATCH = 100  # cases that one look of a worker takes
_SEALED = "case"


class Stale(Exception):
    """Somebody else has changed the case meanwhile."""


class Newer(Exception):
    """A newer version wrote this case, in words that this one does not know."""


class Member(StrEnum):
    """Of the applicant: a viewer looks, a developer also has the keys, an owner also applies."""

    OWNER = "owner"
    DEVELOPER = "developer"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Document:
    """What is sealed. `draft` is as it was typed; `application` as it was submitted last, and
    `before` the one before it; `remarks` are by `step.field`, or "" for the whole; `email` gets the
    mails. The rest are papers, as their forms have them, and members of `workflow.Case`."""

    email: str = ""
    draft: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    application: Mapping[str, Any] = field(default_factory=dict)
    before_that: Mapping[str, Any] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    papers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    letters: tuple[Mapping[str, Any], ...] = ()
    returns_to: str = ""
    until: int | None = None
    planned: str = ""
    asked_at: int | None = None
    reminded: int | None = None
    extended: bool = False
    production: bool = False
    applicants: tuple[str, ...] = ()
    approved_by: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A case with all that is written about it."""

    case: Case
    document: Document
    parent: str
    title: str
    agency: str
    version: int
    created_at: int
    state_at: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A line of a list. `state` is a plain word: also one of tomorrow is shown."""

    number: str
    kind: str
    action: str
    state: str
    title: str
    agency: str
    created_at: int
    state_at: int


@dataclass(frozen=True, slots=True)
class Event:
    at: int
    role: str
    actor: str
    move: str
    state: str
    detail: Mapping[str, Any]


_C, _P, _E = cases.c, case_people.c, case_events.c
_INSERT = insert(cases)
_ONE = select(cases).where(_C.number == bindparam("number"))
_CHANGE = (
    update(cases)
    .where(_C.number == bindparam("key"), _C.version == bindparam("seen"))
    .values(
        version=_C.version + 1,
        state=bindparam("now_state"),
        title=bindparam("now_title"),
        agency=bindparam("now_agency"),
        document_sealed=bindparam("document"),
        state_at=bindparam("since"),
        look_at=bindparam("look"),
    )
)
_LAST = select(func.max(_C.number).label("number")).where(
    _C.number.like(bindparam("pattern", type_=Text)), func.length(_C.number) == bindparam("size")
)
_LATER = select(func.count().label("n")).where(_C.number.like(bindparam("pattern", type_=Text)))
_DUE = (
    select(_C.number, _C.version)
    .where(_C.look_at <= bindparam("now"))
    .order_by(_C.look_at)
    .limit(BATCH)
)
_SUMMARY = (_C.number, _C.kind, _C.action, _C.state, _C.title, _C.agency, _C.created_at,
            _C.state_at)  # fmt: skip
_PAGE = (
    select(*_SUMMARY)
    .where(
        or_(bindparam("state", type_=Text) == "", _C.state == bindparam("state", type_=Text)),
        or_(
            _C.created_at < bindparam("at"),
            and_(_C.created_at == bindparam("at"), _C.number < bindparam("number")),
        ),
    )
    .order_by(_C.created_at.desc(), _C.number.desc())
    .limit(bindparam("most"))
)
_MINE = (
    select(*_SUMMARY, _P.role)
    .select_from(cases.join(case_people, _P.number == _C.number))
    .where(_P.person_id == bindparam("person"))
    .order_by(_C.created_at.desc(), _C.number.desc())
)
_OF_STATES = select(_C.state, func.count().label("n")).group_by(_C.state)
_ROLE = select(_P.role).where(_P.number == bindparam("number"), _P.person_id == bindparam("person"))
_ADD = upsert(case_people).on_conflict_do_nothing(index_elements=[_P.number, _P.person_id])
_NOTE = insert(case_events).values(
    {c.name: bindparam(c.name) for c in case_events.c if c.name != "id"}
)
_EVENTS = select(case_events).where(_E.number == bindparam("number")).order_by(_E.id)


class CaseStore:
    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def insert(self, tx: Transaction, found: Found) -> None:
        """Raises Conflict for a number that is taken."""
        case = found.case
        await tx.run(
            _INSERT,
            number=case.number,
            kind=case.kind.value,
            action=case.action.value,
            parent=found.parent,
            state=case.state.value,
            title=found.title,
            agency=found.agency,
            version=found.version,
            document_sealed=self._sealed(found),
            created_at=found.created_at,
            state_at=found.state_at,
            look_at=next_look(case),
        )

    async def change(self, tx: Transaction, found: Found) -> None:
        """`found.version` is the one that was read. Raises Stale."""
        case = found.case
        changed = await tx.run(
            _CHANGE,
            key=case.number,
            seen=found.version,
            now_state=case.state.value,
            now_title=found.title,
            now_agency=found.agency,
            document=self._sealed(found),
            since=found.state_at,
            look=next_look(case),
        )
        if not changed:
            raise Stale(case.number)

    async def find(self, reader: Reader, number: str) -> Found | None:
        """Raises Newer."""
        row = await reader.one(_ONE, number=number)
        return self._read(row) if row else None

    async def note(
        self,
        tx: Transaction,
        case: Case,
        at: int,
        actor: Actor,
        move: str,
        detail: Mapping[str, Any],
    ) -> None:
        await tx.run(
            _NOTE,
            number=case.number,
            at=at,
            role=actor.role.value,
            actor=actor.name,
            move=move,
            state=case.state.value,
            detail_sealed=self._vault.seal(_SEALED, json.dumps(detail, ensure_ascii=False)),
        )

    async def events(self, reader: Reader, number: str) -> list[Event]:
        return [
            Event(
                at=row["at"],
                role=row["role"],
                actor=row["actor"],
                move=row["move"],
                state=row["state"],
                detail=json.loads(self._vault.open(_SEALED, row["detail_sealed"])),
            )
            for row in await reader.all(_EVENTS, number=number)
        ]

    def _sealed(self, found: Found) -> str:
        case = found.case
        document = replace(
            found.document,
            returns_to=case.before.value if case.before else "",
            until=case.until,
            planned=case.planned.isoformat() if case.planned else "",
            asked_at=case.asked_at,
            reminded=case.reminded,
            extended=case.extended,
            production=case.production,
            applicants=case.applicants,
            approved_by=case.approved_by,
        )
        return self._vault.seal(_SEALED, stored.dump(document))

    def _read(self, row: Row) -> Found:
        document = stored.read(Document, self._vault.open_text(_SEALED, row["document_sealed"]))
        return Found(
            _case(row, document),
            document,
            parent=row["parent"],
            title=row["title"],
            agency=row["agency"],
            version=row["version"],
            created_at=row["created_at"],
            state_at=row["state_at"],
        )


def _case(row: Row, document: Document) -> Case:
    """Raises Newer."""
    try:
        return Case(
            number=row["number"],
            kind=Kind(row["kind"]),
            action=Action(row["action"]),
            state=State(row["state"]),
            before=State(document.returns_to) if document.returns_to else None,
            until=document.until,
            planned=date.fromisoformat(document.planned) if document.planned else None,
            asked_at=document.asked_at,
            reminded=document.reminded,
            extended=document.extended,
            production=document.production,
            applicants=document.applicants,
            approved_by=document.approved_by,
        )
    except ValueError as word:
        raise Newer(f"{row['number']}: {word}") from None


# ── numbers and lists ───────────────────────────────────────────────────────────────────────────


async def last_number(reader: Reader, prefix: str) -> str:
    """The highest of a day, or ""."""
    row = await reader.one(_LAST, pattern=f"{prefix}%", size=len(prefix) + 3)
    return (row["number"] or "") if row else ""


async def later_cases(reader: Reader, number: str) -> int:
    """How many there are on top of a case."""
    row = await reader.one(_LATER, pattern=f"{number}-%")
    return row["n"] if row else 0


async def due(reader: Reader, now: int) -> list[str]:
    return [row["number"] for row in await reader.all(_DUE, now=now)]


async def page(
    reader: Reader, state: str = "", after: tuple[int, str] | None = None, most: int = 20
) -> list[Summary]:
    """The newest first; `after` is the last of the page before (created_at, number)."""
    at, number = after or (2**62, "")
    rows = await reader.all(_PAGE, state=state, at=at, number=number, most=most)
    return [_summary(row) for row in rows]


async def of_person(reader: Reader, person_id: str) -> list[tuple[Summary, str]]:
    """Each with the person's role in it."""
    rows = await reader.all(_MINE, person=person_id)
    return [(_summary(row), row["role"]) for row in rows]


async def counts(reader: Reader) -> dict[str, int]:
    return {row["state"]: row["n"] for row in await reader.all(_OF_STATES)}


async def role_of(reader: Reader, number: str, person_id: str) -> str:
    """Of a person in a case, or ""."""
    row = await reader.one(_ROLE, number=number, person=person_id)
    return row["role"] if row else ""


async def add_person(tx: Transaction, number: str, person_id: str, role: Member, now: int) -> None:
    await tx.run(_ADD, number=number, person_id=person_id, role=role.value, since=now)


def _summary(row: Row) -> Summary:
    return Summary(**{name.name: row[name.name] for name in _SUMMARY})
