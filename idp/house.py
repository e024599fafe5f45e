"""The rooms, put together: what each is made of stands here, and nothing happens here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.routing import Route

from idp.kernel.answers import Answers
from idp.kernel.services import Services
from idp.login.desk import Desk
from idp.login.pages import Login
from idp.login.persons import Persons
from idp.login.sequences import Sequences
from idp.login.session import Sessions
from idp.login.upstream_routes import UpstreamRoutes
from idp.members.directory import Directory
from idp.members.routes import routes as member_routes
from idp.oidc.routes import routes as oidc_routes
from idp.registry.accounts import Accounts
from idp.registry.clients import Clients
from idp.settings import Settings
from idp.verify import Ports, Verifier
from idp.verify.schemes import Schemes
from idp.verify.twfido.verifier import TwFido

# a scheme is one line here, and its section in idp/settings.py
SCHEMES: Mapping[str, Callable[[Any, Ports], Verifier]] = {
    "twfido": TwFido,
}


def schemes_of(settings: Settings, ports: Ports) -> list[Verifier]:
    """Those that are configured, in the order of preference."""
    return [SCHEMES[name](section, ports) for name, section in settings.upstreams.items()]


@dataclass(frozen=True, slots=True)
class House:
    services: Services
    settings: Settings
    clients: Clients
    accounts: Accounts
    schemes: Schemes
    desk: Desk
    login: Login
    upstream: UpstreamRoutes
    directory: Directory

    def routes(self, answers: Answers) -> list[Route]:
        return [
            *oidc_routes(
                self.services, self.settings.oidc, self.clients, self.login, self.directory, answers
            ),
            *self.login.routes(answers),
            *self.upstream.routes(answers),
            *member_routes(
                self.services, self.settings.members, self.login, self.directory, answers
            ),
        ]


def build(
    services: Services,
    settings: Settings,
    transport: httpx.AsyncBaseTransport | None = None,
    further: Sequence[Verifier] = (),
) -> House:
    """`transport` replaces the network to every upstream; `further` schemes come first."""
    clients = Clients(services)
    accounts = Accounts(services.database, services.vault, services.clock, services.trail)
    ports = Ports(
        transport=transport,
        reserve=Sequences(services.database, services.clock).reserve,
        accounts=accounts,
        monotonic=services.clock.monotonic,
    )
    schemes = Schemes([*further, *schemes_of(settings, ports)], settings.login.schemes)
    services.templates.name_app(schemes.app())
    persons, sessions = Persons(services), Sessions(services, settings.login.session)
    desk = Desk(services, settings.login, schemes, persons)
    login = Login(services, settings.login, desk, persons, sessions)
    upstream = UpstreamRoutes(services, desk, schemes)
    directory = Directory(services)
    return House(services, settings, clients, accounts, schemes, desk, login, upstream, directory)
