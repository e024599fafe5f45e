"""Applications from the first draft on: the only place where cases are written.

    found = await cases.open(Kind.SERVICE, person, email)       a draft with a number
    found = await cases.save(number, "system", fields, actor)   kept however wrong it is
    found = await cases.move(number, Move.SUBMIT, actor, …)     by the table, or not at all

A move, its event in the history, what it does to clients, and its mail are one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import structlog

from idp.kernel import audit
from idp.kernel.audit import Trail
from idp.kernel.clock import Clock
from idp.kernel.database import Conflict, Database, Transaction
from idp.kernel.mail import Mailer, an_address
from idp.kernel.templates import Templates
from idp.onboarding import notices, store
from idp.onboarding.calendar import day_of, roc
from idp.onboarding.effects import Effects
from idp.onboarding.forms import (
    DRAFT_BYTES,
    PAPERS,
    STEPS,
    BadForm,
    GoLive,
    Letter,
    Stage,
    asked,
    read_application,
    read_form,
    registration_of,
    steps_of,
)
from idp.onboarding.store import CaseStore, Document, Found, Member, Newer, Stale
from idp.onboarding.workflow import (
    CLOCK,
    Action,
    Actor,
    Case,
    Effect,
    Kind,
    Move,
    Notice,
    Paper,
    Papers,
    Role,
    State,
    Step,
    decide,
    due,
    reminder,
    rules_for,
)

MOVED = audit.event("case.moved", "an application of a relying party went on, or was refused")
MOST_A_DAY = 999  # numbers have three digits
IN_PRODUCTION = frozenset(
    {State.PILOT, State.REPORT_REVIEW, State.SCHEDULED, State.LIVE, State.SUSPENDED}
)
CAN_CHANGE = IN_PRODUCTION | {State.SANDBOX, State.SANDBOX_EXTENDED}

log = structlog.get_logger("idp.onboarding")


class TooMany(Exception):
    """No number is left for today."""


@dataclass(frozen=True, slots=True)
class Post:
    """How a case writes to its applicant."""

    mailer: Mailer
    templates: Templates


class Cases:
    """`scopes`: all that can be asked for in this bridge."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        trail: Trail,
        cases: CaseStore,
        effects: Effects,
        post: Post,
        scopes: Collection[str],
    ) -> None:
        self._database, self._clock, self._trail = database, clock, trail
        self._store, self._effects, self._post = cases, effects, post
        self._scopes = frozenset(scopes)

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    async def find(self, number: str) -> Found:
        """Raises LookupError, Newer."""
        found = await self._store.find(self._database, number)
        if found is None:
            raise LookupError(number)
        return found

    async def events(self, number: str) -> list[store.Event]:
        return await self._store.events(self._database, number)

    # ── writing drafts ─────────────────────────────────────────────────────────────────────────

    async def open(
        self,
        kind: Kind,
        email: str,
        actor: Actor,
        *,
        action: Action = Action.NEW,
        parent: str = "",
        person_id: str = "",
    ) -> Found:
        """A draft. A change or a removal is of a case that is `parent`, and begins with what that
        holds. Raises LookupError, ValueError for an address that is none or a parent that cannot
        be changed, TooMany."""
        email = an_address(email)
        before = await self._parent(action, parent)
        for _ in range(5):  # somebody else may take the number meanwhile
            number = await self._number(kind, before)
            found = self._new(number, kind, action, email, before)
            try:
                await self._database.write(lambda tx, f=found: self._begin(tx, f, actor, person_id))  # type: ignore[misc]
                return found
            except Conflict:
                continue
        raise TooMany(kind)

    async def _parent(self, action: Action, parent: str) -> Found | None:
        if action is Action.NEW:
            return None
        found = await self.find(parent)
        if found.case.action is not Action.NEW or found.case.state not in CAN_CHANGE:
            raise ValueError(f"{parent}: a case that is {found.case.state} cannot be changed")
        return found

    async def _number(self, kind: Kind, parent: Found | None) -> str:
        if parent:
            return f"{parent.case.number}-{await self._later(parent) + 2}"
        prefix = f"{kind.letter}{roc(day_of(self._clock.now()))}"
        last = await store.last_number(self._database, prefix)
        serial = int(last.removeprefix(prefix) or 0) + 1
        if serial > MOST_A_DAY:
            raise TooMany(kind)
        return f"{prefix}{serial:03}"

    async def _later(self, parent: Found) -> int:
        return await store.later_cases(self._database, parent.case.number)

    def _new(
        self, number: str, kind: Kind, action: Action, email: str, parent: Found | None
    ) -> Found:
        now, document = self._clock.now(), Document(email=email)
        production = bool(parent and parent.case.state in IN_PRODUCTION)
        case = Case(number, kind, action, State.DRAFT, production=production)
        if parent is None:
            return Found(case, document, "", "", "", 1, now, now)
        draft = {step: parent.document.draft.get(step, {}) for step in steps_of(kind)}
        document = replace(document, draft=draft, before_that=parent.document.application)
        case = replace(case, kind=parent.case.kind)
        return Found(case, document, parent.case.number, parent.title, parent.agency, 1, now, now)

    async def _begin(self, tx: Transaction, found: Found, actor: Actor, person_id: str) -> None:
        await self._store.insert(tx, found)
        if person_id:
            now = found.created_at
            await store.add_person(tx, found.case.number, person_id, Member.OWNER, now)
        await self._write_down(tx, found, actor, "open", {})

    async def save(
        self, number: str, step: str, fields: Mapping[str, Any], actor: Actor, seen: int = 0
    ) -> Found:
        """What was typed, as it is; with `seen` only into the version that was looked at. Raises
        LookupError, Stale, BadForm for what could never be kept."""
        found = await self._seen(number, seen)
        if found.case.state is not State.DRAFT:
            raise Stale(number)
        if step not in steps_of(found.case.kind):
            raise BadForm({step: "no such part of the application"})
        known = {field.name for field in asked(STEPS[step])}
        if unknown := sorted(set(fields) - known):
            raise BadForm({f"{step}.{name}"[:100]: "no such field" for name in unknown[:10]})
        draft = {**found.document.draft, step: dict(fields)}
        if len(json.dumps(draft, ensure_ascii=False).encode()) > DRAFT_BYTES:
            raise BadForm({step: f"the application is longer than {DRAFT_BYTES} bytes"})
        title = _name_in(draft, "system") or found.title
        agency = _name_in(draft, "organisation") or found.agency
        changed = replace(
            found, document=replace(found.document, draft=draft), title=title, agency=agency
        )
        await self._database.write(lambda tx: self._store.change(tx, changed))
        return replace(changed, version=found.version + 1)

    async def _seen(self, number: str, seen: int) -> Found:
        found = await self.find(number)
        if seen and seen != found.version:
            raise Stale(number)
        return found

    # ── moving ─────────────────────────────────────────────────────────────────────────────────

    async def move(
        self,
        number: str,
        move: Move,
        actor: Actor,
        given: Mapping[str, Any] | None = None,
        seen: int = 0,
    ) -> Found:
        """`given` is the paper that the move needs, as it was typed; remarks are by `step.field`,
        or "" for the whole. Raises LookupError, NotNow, NotYours, Stale, BadForm, and what the
        registry raises."""
        found = await self._seen(number, seen)
        needed = _paper_for(found.case, move, actor.role)
        document, papers = self._with_paper(found, needed, given or {})
        try:
            step = decide(found.case, move, actor, self._clock.now(), papers)
        except ValueError as missing:
            raise BadForm({needed.value if needed else "": str(missing)}) from None
        if needed is not Paper.REMARKS and move is not Move.WITHDRAW:
            document = replace(document, remarks={})
        detail = _told(needed, given or {}, document)
        after = replace(found, case=step.case, document=document, state_at=self._clock.now())
        await self._take(found, after, step, actor, detail)
        return replace(after, version=found.version + 1)

    def _with_paper(
        self, found: Found, needed: Paper | None, given: Mapping[str, Any]
    ) -> tuple[Document, Papers]:
        """Raises BadForm."""
        document, there = found.document, frozenset({needed} if needed else ())
        match needed:
            case None:
                return document, Papers()
            case Paper.REMARKS:
                return replace(document, remarks=_remarks(given)), Papers(there)
            case Paper.APPLICATION:
                return self._submitted(found), Papers(there)
            case Paper.LETTER:
                letter = read_form(Letter, "letter", given)
                kept = letter.model_dump(mode="json")
                return replace(document, letters=(*document.letters, kept)), Papers(
                    there, until=letter.until
                )
        form = read_form(PAPERS[needed.value], needed.value, given)
        document = replace(
            document, papers={**document.papers, needed.value: form.model_dump(mode="json")}
        )
        planned: date | None = None
        if isinstance(form, GoLive):
            planned = form.planned
            application = read_application(found.case.kind, document.draft)
            registration_of(found.case.kind, application, Stage.PILOT, form)
        return document, Papers(there, planned=planned)

    def _submitted(self, found: Found) -> Document:
        """The draft as an application. Raises BadForm."""
        document = found.document
        if found.case.action is Action.REMOVAL:
            return document
        application = read_application(found.case.kind, document.draft)
        asked_for = application.protocol.scopes if application.protocol else ()
        unknown = [s for s in (line.split(" ")[0] for line in asked_for) if s not in self._scopes]
        if unknown:
            raise BadForm({"protocol.scopes": f"there is no scope {', '.join(unknown)}"})
        before = document.application or document.before_that
        kept = application.model_dump(mode="json", exclude_none=True)
        return replace(document, application=kept, before_that=before)

    async def _take(
        self, found: Found, after: Found, step: Step, actor: Actor, detail: Mapping[str, Any]
    ) -> None:
        """The step and everything that belongs to it, at once."""
        rule, effect = step.rule, step.rule.effect
        parent = await self._store.find(self._database, found.parent) if found.parent else None

        async def write(tx: Transaction) -> None:
            await self._store.change(tx, after)
            await self._write_down(tx, after, actor, rule.move.value, detail)
            if rule.notice:
                await self._tell(tx, after, rule.notice)
            if parent and effect in (Effect.CHANGE, Effect.REMOVE):
                await self._change_parent(tx, parent, after, effect, actor)

        if effect:
            await self._effects.carry_out(effect, after, write, parent)
        else:
            await self._database.write(write)

    async def _change_parent(
        self, tx: Transaction, parent: Found, later: Found, effect: Effect, actor: Actor
    ) -> None:
        """What was approved is from now on what the case says."""
        if effect is Effect.REMOVE:
            case = replace(parent.case, state=State.DELETED)
            changed = replace(parent, case=case, state_at=self._clock.now())
        else:
            document = replace(
                parent.document,
                draft=later.document.draft,
                application=later.document.application,
                before_that=parent.document.application,
                papers={**parent.document.papers, **later.document.papers},
            )
            changed = replace(parent, document=document, title=later.title, agency=later.agency)
        await self._store.change(tx, changed)
        detail = {"by": later.case.number}
        await self._write_down(tx, changed, actor, effect.value, detail)

    async def _write_down(
        self, tx: Transaction, found: Found, actor: Actor, move: str, detail: Mapping[str, Any]
    ) -> None:
        case, now = found.case, self._clock.now()
        await self._store.note(tx, case, now, actor, move, detail)
        who = {"person_id": actor.name} if actor.role is Role.APPLICANT else {}
        officer = {"officer": actor.name} if actor.role.officer else {}
        await self._trail.write(
            tx,
            audit.entry(
                MOVED, case=case.number, move=move, state=case.state.value, **who, **officer
            ),
        )

    async def _tell(self, tx: Transaction, found: Found, notice: Notice) -> None:
        post, number = self._post, found.case.number
        letter = notices.letter(post.templates, notice, found, self._clock.now())
        await post.mailer.put(tx, number, letter)

    # ── time ───────────────────────────────────────────────────────────────────────────────────

    async def look(self) -> None:
        """A worker's job: what time does and says. Any number of workers may look at once: a case
        is changed by one of them. One that fails does not hold up the others."""
        for number in await store.due(self._database, self._clock.now()):
            try:
                await self._look_at(number)
            except (Stale, Newer):  # somebody was first; or it waits for the next version
                continue
            except Exception as broken:
                log.error("case.stuck", number=number, exc_info=broken)

    async def _look_at(self, number: str) -> None:
        found, now = await self.find(number), self._clock.now()
        if due(found.case, now):
            await self.move(number, Move.TIME, CLOCK, seen=found.version)
            return
        note = reminder(found.case, now)
        told = replace(found.case, reminded=note[1]) if note else found.case
        after = replace(found, case=told)

        async def write(tx: Transaction) -> None:
            await self._store.change(tx, after)
            if note:
                await self._tell(tx, after, note[0])

        await self._database.write(write)


def _paper_for(case: Case, move: Move, role: Role) -> Paper | None:
    """What this move asks for; the rules themselves say later whether it may be made."""
    return next(
        (rule.paper for rule in rules_for(case) if (rule.move, rule.role) == (move, role)), None
    )


def _remarks(given: Mapping[str, Any]) -> dict[str, str]:
    """By field, or "" for the whole. Raises BadForm."""
    known = {f"{step}.{field.name}" for step, form in STEPS.items() for field in asked(form)}
    known |= {""} | set(PAPERS)
    found = {where: str(text).strip()[:2000] for where, text in given.items() if str(text).strip()}
    if not found:
        raise BadForm({"remarks": "say what is wrong: the applicant reads it"})
    if unknown := [where for where in found if where not in known]:
        raise BadForm({"remarks": f"no such field: {unknown[0][:100]}"})
    return found


def _told(paper: Paper | None, given: Mapping[str, Any], document: Document) -> Mapping[str, Any]:
    """What the history says of the paper."""
    if paper is Paper.REMARKS:
        return {"remarks": dict(document.remarks)}
    if paper is Paper.LETTER:
        return {"letter": dict(document.letters[-1])}
    if paper is Paper.APPLICATION:
        return {}
    return {paper.value: dict(document.papers[paper.value])} if paper else {}


def _name_in(draft: Mapping[str, Mapping[str, Any]], step: str) -> str:
    """For lists; what is not a short line is left out there."""
    name = draft.get(step, {}).get("name", "")
    return name.strip()[:100] if isinstance(name, str) and name.isprintable() else ""
