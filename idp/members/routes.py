"""What this room answers: the page of the person, the callback of each WeCard application."""

from __future__ import annotations

from typing import Protocol

from starlette.routing import Route

from idp.kernel.answers import Answers
from idp.kernel.services import Services
from idp.login.own_pages import BeginsLogins, OwnPages
from idp.login.persons import Persons
from idp.login.session import Sessions
from idp.members.binding import PLACE, Binding
from idp.members.callback import CardCallback
from idp.members.directory import Directory
from idp.members.settings import MembersSettings
from idp.members.verdict import CardCheck


class LoginRoom(BeginsLogins, Protocol):
    """What this room needs of the login."""

    @property
    def persons(self) -> Persons: ...
    @property
    def sessions(self) -> Sessions: ...


def routes(
    services: Services,
    settings: MembersSettings,
    login: LoginRoom,
    directory: Directory,
    answers: Answers,
) -> list[Route]:
    own = OwnPages(services, login.sessions, login, PLACE)
    binding = Binding(services, settings, directory, login.persons, own)
    check = CardCheck(services.database, services.clock, services.vault, services.trail, directory)
    return [
        Route(PLACE.path, answers.page(own.looking(binding.show)), methods=["GET"]),
        Route(PLACE.path, answers.page(own.acting(binding.issue)), methods=["POST"]),
        Route(PLACE.left, answers.page(binding.left), methods=["GET"]),
        # last, and without methods: the callback itself says 404, 403, then 405
        Route("/wecard/{path}", CardCallback(services.throttle, settings, check)),
    ]
