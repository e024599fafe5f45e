"""The pages of a person's own account. Each is seen and used by that person only."""

from __future__ import annotations

from starlette.routing import Route

from idp.account.pages import Account
from idp.kernel.answers import Answers, Endpoint
from idp.kernel.services import Services
from idp.login.entrance import Entrance
from idp.oidc.routes import by_method
from idp.registry.clients import Clients


def routes(
    services: Services, seconds: int, clients: Clients, login: Entrance, answers: Answers
) -> list[Route]:
    account = Account(services, seconds, clients, login)
    looking, acting = account.own.looking, account.own.acting

    def page(path: str, **handlers: Endpoint) -> Route:
        return Route(path, answers.page(by_method(handlers)), methods=list(handlers))

    return [
        page("/account", GET=looking(account.show)),
        page("/account/record.csv", GET=looking(account.record)),
        page("/account/left", GET=account.left),
        page("/account/sessions", POST=acting(account.end)),
        page(
            "/account/withdraw",
            GET=looking(account.withdraw_page),
            POST=acting(account.withdraw),
        ),
        page("/account/not-me", GET=looking(account.not_me_page), POST=acting(account.not_me)),
        page("/account/push", POST=acting(account.resume)),
    ]
