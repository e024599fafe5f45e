"""`idp case …`: applications of relying parties, for officers and for what comes on paper."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from idp.cli.clients import Json
from idp.cli.common import Reason, Stop, chosen, operator, show, when, with_services
from idp.house import cases_of
from idp.kernel.services import Services
from idp.onboarding import store
from idp.onboarding.calendar import days_left
from idp.onboarding.cases import Cases, TooMany
from idp.onboarding.forms import BadForm, changes
from idp.onboarding.store import Found, Newer, Stale, Summary
from idp.onboarding.workflow import Action, Actor, Kind, Move, NotNow, NotYours, Role, State, moves

T = TypeVar("T")
MOST = 500  # lines of a list
group = typer.Typer(no_args_is_help=True, help="Applications of relying parties.")
Number = Annotated[str, typer.Argument(help="of the case, e.g. B1150211001")]
PaperFile = Annotated[
    Path | None, typer.Option("--file", help="JSON of the paper that the move needs")
]


@group.command("list")
def list_(
    context: typer.Context,
    state: Annotated[State | None, typer.Option(help="only cases in this state")] = None,
    as_json: Json = False,
) -> None:
    """The newest applications first."""

    async def work(services: Services) -> list[Summary]:
        return await store.page(services.database, state.value if state else "", most=MOST)

    found = with_services(context, work)
    show([_line(summary) for summary in found], as_json=as_json)
    if not found and not as_json:
        typer.echo("none")


def _line(summary: Summary) -> dict[str, Any]:
    return {
        "number": summary.number,
        "kind": summary.kind,
        "action": summary.action,
        "state": summary.state,
        "since": when(summary.state_at),
        "system": summary.title,
        "agency": summary.agency,
    }


@group.command("show")
def show_(context: typer.Context, number: Number, as_json: Json = False) -> None:
    """A case: what it says, what changed, its history, and what can be done now."""

    async def work(services: Services, cases: Cases) -> dict[str, Any]:
        found = await cases.find(number)
        return _described(found, services.clock.now()) | {
            "history": [
                f"{when(event.at)}  {event.role} {event.actor}  {event.move} → {event.state}"
                for event in await cases.events(number)
            ]
        }

    described = _with_cases(context, work)
    if as_json:
        show(described, as_json=True)
        return
    for name, value in described.items():
        lines = value if isinstance(value, list) else [value]
        typer.echo(f"{name}: {lines[0] if lines else ''}")
        for line in lines[1:]:
            typer.echo(f"{' ' * len(name)}  {line}")


def _described(found: Found, now: int) -> dict[str, Any]:
    case, document = found.case, found.document
    can = [f"{role}: {move}" for role in Role for move in moves(case, role, now)]
    said = changes({}, document.application or document.draft)
    told: dict[str, Any] = {
        "number": case.number,
        "kind": case.kind.value,
        "action": case.action.value,
        "state": case.state.value,
        "since": when(found.state_at),
        "system": found.title,
        "agency": found.agency,
        "mail": document.email,
        "application": [f"{c.where}: {c.after}".replace("\n", " | ") for c in said],
        "remarks": [f"{where or 'all'}: {text}" for where, text in document.remarks.items()],
        "letters": [f"{letter['number']} of {letter['day']}" for letter in document.letters],
        "can": can,
    }
    if case.until is not None:
        told["until"] = f"{when(case.until)}, {days_left(case.until, now)} days"
    if case.planned:
        told["planned"] = case.planned.isoformat()
    if document.before_that and document.application:
        changed = changes(document.before_that, document.application)
        told["changed"] = [f"{c.where}: {c.before!r} → {c.after!r}" for c in changed]
    return told


@group.command("open")
def open_(
    context: typer.Context,
    kind: Annotated[Kind, typer.Option(help="what is applied for")],
    email: Annotated[str, typer.Option(help="gets the mails")],
    file: Annotated[Path, typer.Option(help="JSON of the application: step → field → value")],
    change_of: Annotated[str, typer.Option(help="number of the case that it changes")] = "",
    removal_of: Annotated[str, typer.Option(help="number of the case that it removes")] = "",
    submit: Annotated[bool, typer.Option("--submit", help="and submit it")] = False,
    reason: Reason = "",
) -> None:
    """Write down an application that came on paper."""
    if change_of and removal_of:
        raise Stop("--change-of or --removal-of, not both")
    action = Action.CHANGE if change_of else Action.REMOVAL if removal_of else Action.NEW
    steps = _json(file)
    if not all(isinstance(fields, dict) for fields in steps.values()):
        raise Stop(f"{file}: step → field → value")
    applicant = Actor(Role.APPLICANT, email)

    async def work(_services: Services, cases: Cases) -> Found:
        found = await cases.open(
            kind, email, applicant, action=action, parent=change_of or removal_of
        )
        for step, fields in steps.items():
            found = await cases.save(found.case.number, step, fields, applicant)
        if submit:
            found = await cases.move(found.case.number, Move.SUBMIT, applicant)
        return found

    found = _with_cases(context, work, reason)
    typer.echo(f"{found.case.number}: {found.case.state}")


@group.command()
def move(
    context: typer.Context,
    number: Number,
    move: Annotated[Move, typer.Argument(help="what to do")],
    role: Annotated[Role, typer.Option("--as", help="in which role")] = Role.REVIEWER,
    file: PaperFile = None,
    remark: Annotated[
        list[str] | None,
        typer.Option(help="why, for the applicant: TEXT, or step.field=TEXT; may be repeated"),
    ] = None,
    reason: Reason = "",
) -> None:
    """Approve, return, reject, record a letter, suspend … as the table of the road allows."""
    if role is Role.CLOCK:
        raise Stop("nobody acts for time")
    given = _remarks(remark) if remark else _json(file) if file else {}

    async def work(_services: Services, cases: Cases) -> Found:
        actor = operator()
        if role is Role.APPLICANT:  # a paper that was signed by them
            actor = (await cases.find(number)).document.email
        return await cases.move(number, move, Actor(role, actor), given)

    found = _with_cases(context, work, reason)
    typer.echo(f"{number}: {found.case.state}")


def _remarks(texts: list[str]) -> dict[str, str]:
    """The name of a field holds a dot and no blank."""
    found = {}
    for text in texts:
        where, mark, said = text.partition("=")
        named = bool(mark) and "." in where and " " not in where
        found[where if named else ""] = said if named else text
    return found


def _json(file: Path) -> dict[str, Any]:
    """Raises Stop."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as broken:
        raise Stop(f"{file}: {broken}") from None
    if not isinstance(found, dict):
        raise Stop(f"{file}: a JSON object is needed")
    return found


def _with_cases(
    context: typer.Context, work: Callable[[Services, Cases], Awaitable[T]], reason: str = ""
) -> T:
    """Raises Stop with a line for each fault."""
    settings = chosen(context).settings()

    async def inner(services: Services) -> T:
        try:
            return await work(services, cases_of(services, settings))
        except BadForm as bad:
            lines = [f"{where or 'the case'}: {why}" for where, why in bad.faults.items()]
            raise Stop("\n".join(lines)) from None
        except LookupError as unknown:
            raise Stop(f"there is no case {unknown.args[0]}") from None
        except Stale:
            raise Stop("somebody else has changed the case meanwhile: look again") from None
        except TooMany:
            raise Stop("no number is left for today") from None
        except (NotNow, NotYours, Newer, ValueError) as refused:
            raise Stop(str(refused)) from None

    return with_services(context, inner, reason)
