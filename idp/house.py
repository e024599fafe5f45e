"""The rooms, put together: what each is made of stands here, and nothing happens here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.routing import Route

from idp.account.routes import routes as account_routes
from idp.kernel.answers import Answers
from idp.kernel.database import Transaction
from idp.kernel.services import Services
from idp.login import history
from idp.login.asking import AttemptPoller
from idp.login.budgets import Budgets
from idp.login.complete import Completion
from idp.login.endings import SessionEnds
from idp.login.entrance import Entrance
from idp.login.offer import Offers
from idp.login.opening import AttemptOpener
from idp.login.pages import LoginPages
from idp.login.persons import Persons
from idp.login.sealing import Sealing
from idp.login.sequences import Sequences
from idp.login.session import Sessions
from idp.login.upstream_routes import UpstreamRoutes
from idp.members.directory import Directory
from idp.members.routes import routes as member_routes
from idp.oidc import consents
from idp.oidc.routes import routes as oidc_routes
from idp.oidc.scopes import CLAIMS
from idp.onboarding.cases import Cases, Post
from idp.onboarding.effects import Effects
from idp.onboarding.store import CaseStore
from idp.registry.accounts import Accounts
from idp.registry.changes import Registrar
from idp.registry.clients import Clients
from idp.registry.organisations import Organisations
from idp.settings import Settings
from idp.verify import Ports, Verifier
from idp.verify.schemes import Schemes
from idp.verify.spapi.verifier import SpApi
from idp.verify.twfido.verifier import TwFido

# a scheme is one line here, and its section in idp/settings.py
SCHEMES: Mapping[str, Callable[[Any, Ports], Verifier]] = {
    "twfido": TwFido,
    "spapi": SpApi,
}


def schemes_of(settings: Settings, ports: Ports) -> list[Verifier]:
    """Those that are configured, in the order of preference."""
    return [SCHEMES[name](section, ports) for name, section in settings.upstreams.items()]


def clients_of(services: Services) -> Clients:
    return Clients(services.database, services.clock, services.vault)


def registrar_of(services: Services, clients: Clients | None = None) -> Registrar:
    """For commands, and whatever else changes clients. `clients`: the cache to be kept true."""
    return Registrar(
        clients or clients_of(services),
        services.database,
        services.clock,
        services.vault,
        services.trail,
    )


def organisations_of(services: Services) -> Organisations:
    return Organisations(services.database, services.clock, services.trail)


def cases_of(services: Services, settings: Settings, clients: Clients | None = None) -> Cases:
    """`clients`: the cache to be kept true."""
    clients = clients or clients_of(services)
    effects = Effects(
        registrar_of(services, clients), clients, organisations_of(services), erase_client
    )
    return Cases(
        services.database,
        services.clock,
        services.trail,
        CaseStore(services.vault),
        effects,
        Post(services.mailer, services.templates),
        (*CLAIMS, *settings.oidc.scopes),
    )


async def erase_client(tx: Transaction, client_id: str) -> None:
    """Everything that logins for a client have left."""
    await consents.erase_client(tx, client_id)
    await history.erase_client(tx, client_id)


def ends_of(services: Services) -> SessionEnds:
    return SessionEnds(services.database, services.outbox, services.clock)


def persons_of(services: Services) -> Persons:
    return Persons(services.database, services.vault, services.clock, ends_of(services))


def directory_of(services: Services) -> Directory:
    return Directory(
        services.database,
        services.clock,
        services.vault,
        services.trail,
        persons_of(services),
    )


@dataclass(frozen=True, slots=True)
class House:
    services: Services
    settings: Settings
    clients: Clients
    accounts: Accounts
    schemes: Schemes
    login: Entrance
    pages: LoginPages
    upstream: UpstreamRoutes
    directory: Directory
    cases: Cases

    def routes(self, answers: Answers) -> list[Route]:
        return [
            *oidc_routes(
                self.services, self.settings.oidc, self.clients, self.login, self.directory, answers
            ),
            *account_routes(
                self.services, self.settings.oidc.account_seconds, self.clients, self.login, answers
            ),
            *self.pages.routes(answers),
            *self.upstream.routes(answers),
            *member_routes(
                self.services, self.settings.members, self.login, self.directory, answers
            ),
        ]

    async def allows_origin(self, origin: str) -> bool:
        """Whether a browser program of this origin may read the answers of the token endpoint."""
        if origin in self.settings.oidc.cors_origins:
            return True
        return origin in await self.clients.browser_origins()


def build(
    services: Services,
    settings: Settings,
    transport: httpx.AsyncBaseTransport | None = None,
    further: Sequence[Verifier] = (),
) -> House:
    """`transport` replaces the network to every upstream; `further` schemes come first."""
    clients = clients_of(services)
    accounts = Accounts(services.database, services.vault, services.clock, services.trail)
    ports = Ports(
        transport=transport,
        reserve=Sequences(services.database, services.clock).reserve,
        accounts=accounts,
        monotonic=services.clock.monotonic,
        now=services.clock.now,
        issuer=settings.issuer,
    )
    verifiers = [*further, *schemes_of(settings, ports)]
    schemes = Schemes(verifiers, settings.login.schemes, sandbox=settings.sandbox)
    services.templates.name_app(schemes.app())
    persons = persons_of(services)
    sessions = Sessions(
        services.database,
        services.clock,
        services.forms.cookies,
        settings.login.session,
        ends_of(services),
    )
    login = Entrance(services, settings.login, schemes, persons, sessions)
    pages, upstream = _login_doors(services, login, schemes, clients)
    directory, cases = directory_of(services), cases_of(services, settings, clients)
    services.mailer.serve()
    return House(
        services, settings, clients, accounts, schemes, login, pages, upstream, directory, cases
    )


def _login_doors(
    services: Services, login: Entrance, schemes: Schemes, clients: Clients
) -> tuple[LoginPages, UpstreamRoutes]:
    """What a browser meets during a login, and where the upstream reaches us."""
    settings, persons, budgets = login.settings, login.persons, Budgets(login.settings)
    poller = AttemptPoller(services, settings, schemes, persons, budgets)
    opener = AttemptOpener(services, settings, schemes, persons, budgets, poller, clients)
    sealing, sessions = Sealing(services.vault), login.sessions
    completion = Completion(
        services.database, services.trail, services.clock, persons, sessions, sealing, budgets
    )
    offers = Offers(schemes, sealing, budgets)
    pages = LoginPages(services, login, offers, poller, opener, completion)
    return pages, UpstreamRoutes(services, poller, schemes, persons)
