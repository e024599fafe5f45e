"""The room's doors: the page of the person, and the callback of each WeCard application."""

from __future__ import annotations

from starlette.routing import Route

from idp.kernel.answers import Answers
from idp.kernel.services import Services
from idp.members.binding import LEFT, PATH, Binding, Login
from idp.members.callback import Callback
from idp.members.directory import Directory
from idp.members.settings import MembersSettings


def routes(
    services: Services,
    settings: MembersSettings,
    login: Login,
    directory: Directory,
    answers: Answers,
) -> list[Route]:
    binding = Binding(services, settings, directory, login)
    return [
        Route(PATH, answers.page(binding.show), methods=["GET"]),
        Route(PATH, answers.page(binding.issue), methods=["POST"]),
        Route(LEFT, answers.page(binding.left), methods=["GET"]),
        # last, and without methods: the callback itself says 404, 403, then 405
        Route("/wecard/{path}", Callback(services, settings, directory)),
    ]
