"""What a step of the road does to clients, in the transaction of the step.

A case has two clients of its own: `NUMBER-test` in the sandbox and `NUMBER` in production. One that
an operator has removed meanwhile is left alone: the case goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from idp.kernel.database import Transaction
from idp.onboarding.forms import Application, GoLive, Stage, registration_of
from idp.onboarding.store import Found
from idp.onboarding.workflow import Case, Effect, Kind, State
from idp.registry.changes import Registrar, Step
from idp.registry.clients import Clients
from idp.registry.organisations import Organisations

Erase = Callable[[Transaction, str], Awaitable[None]]  # what anybody gave a client


def sandbox_client(number: str) -> str:
    return f"{number}-test"


def production_client(number: str) -> str:
    return number


class Effects:
    """`erase` deletes all that the logins of a client have left."""

    def __init__(
        self, registrar: Registrar, clients: Clients, organisations: Organisations, erase: Erase
    ) -> None:
        self._registrar, self._clients = registrar, clients
        self._organisations, self._erase = organisations, erase

    async def carry_out(
        self, effect: Effect, found: Found, first: Step, parent: Found | None = None
    ) -> None:
        """`first` writes the step; both are done or neither. `parent` is the case that a change or
        a removal is about. Raises what the registry raises, BadForm."""
        number = (parent or found).case.number
        test, live = sandbox_client(number), production_client(number)
        match effect:
            case Effect.OPEN_SANDBOX:
                await self._open(found, test, Stage.SANDBOX, self._with_owner(found, first))
            case Effect.OPEN_PILOT:
                await self._open(found, live, Stage.PILOT, first)
            case Effect.OPEN_PRODUCTION:
                registration = registration_of(*_papers(found), Stage.PRODUCTION, _go_live(found))
                await self._registrar.update_all({live: registration}, first)
            case Effect.CHANGE:
                await self._change(found, parent or found, first)
            case Effect.ERASE_SANDBOX:
                await self._switch((test,), first=self._erasing(test, first), enabled=False)
            case Effect.CLOSE | Effect.REMOVE:
                await self._switch((test, live), first=first, enabled=False)
            case Effect.REOPEN:
                await self._switch((test, live), first=first, enabled=True)

    async def _open(self, found: Found, client_id: str, stage: Stage, first: Step) -> None:
        """Nobody knows its secret: the applicant asks for one, which is shown once."""
        go_live = _go_live(found) if stage is Stage.PILOT else None
        registration = registration_of(*_papers(found), stage, go_live)
        owner = found.case.number
        await self._registrar.create(registration, client_id, organisation=owner, first=first)

    async def _change(self, found: Found, parent: Found, first: Step) -> None:
        """The client of the sandbox, and that of production where there is one."""
        number, kind = parent.case.number, parent.case.kind
        application = _papers(found)[1]
        wanted = {sandbox_client(number): registration_of(kind, application, Stage.SANDBOX)}
        go_live = _go_live(found) or _go_live(parent)
        if go_live and found.case.production:
            stage = Stage.PILOT if _in_pilot(parent.case) else Stage.PRODUCTION
            wanted[production_client(number)] = registration_of(kind, application, stage, go_live)
        there = {name: r for name, r in wanted.items() if await self._clients.find(name)}
        await self._registrar.update_all(there, first)

    async def _switch(self, client_ids: tuple[str, ...], *, first: Step, enabled: bool) -> None:
        there = [name for name in client_ids if await self._clients.find(name)]
        await self._registrar.switch(*there, enabled=enabled, first=first)

    def _with_owner(self, found: Found, first: Step) -> Step:
        owner = _papers(found)[1].organisation

        async def work(tx: Transaction) -> None:
            await first(tx)
            await self._organisations.add(tx, found.case.number, owner.name, owner.name_en)

        return work

    def _erasing(self, client_id: str, first: Step) -> Step:
        async def work(tx: Transaction) -> None:
            await first(tx)
            await self._erase(tx, client_id)

        return work


def _papers(found: Found) -> tuple[Kind, Application]:
    return found.case.kind, Application.model_validate(found.document.application)


def _go_live(found: Found) -> GoLive | None:
    paper = found.document.papers.get("go_live")
    return GoLive.model_validate(paper) if paper else None


def _in_pilot(case: Case) -> bool:
    states = (State.PILOT, State.REPORT_REVIEW, State.SCHEDULED)
    return case.state in states or case.before in states
