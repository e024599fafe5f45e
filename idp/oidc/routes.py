"""The protocol on one screen.

endpoint          method      who asks            reads        answers
/authorize        GET POST    browser             strictly     redirect or page
/authorize/{id}   GET         the same browser    cookie       redirect or page
  …/consent       POST        the same browser    CSRF         redirect
  …/cancelled     GET         the same browser    cookie       redirect
/token            POST        client (any way)    strictly     JSON
/userinfo         GET POST    bearer token        strictly     JSON
/introspect       POST        confidential client strictly     JSON
/revoke           POST        client              strictly     200
/logout           GET POST    browser             strictly     redirect or page
/account          GET         its person          session      page
  …/sessions etc. POST        its person          CSRF         redirect
discovery, /jwks  GET         anybody             nothing      bytes
realm paths       POST GET    client, anybody     as above     JSON
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from idp.kernel.answers import Answers, Endpoint
from idp.kernel.services import Services
from idp.login.pages import Login
from idp.oidc import token, userinfo
from idp.oidc.account import Account
from idp.oidc.authorize import Authorize
from idp.oidc.core import Core
from idp.oidc.discovery import Published, metadata
from idp.oidc.grants import register
from idp.oidc.logout import Logout
from idp.oidc.manage import Manage
from idp.oidc.people import Directory, People
from idp.oidc.request import Rules
from idp.oidc.settings import OidcSettings
from idp.oidc.token import Token
from idp.oidc.tokens import Tokens
from idp.oidc.userinfo import UserInfo
from idp.registry.clients import Clients

WELL_KNOWN = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


def routes(
    services: Services,
    settings: OidcSettings,
    clients: Clients,
    login: Login,
    directory: Directory,
    answers: Answers,
) -> list[Route]:
    issuer = services.settings.issuer
    rules = Rules(
        settings.scopes, tuple(m.acr for m in sorted(login.methods, key=lambda m: m.rank))
    )
    tokens = Tokens(issuer, settings, services.keyring, services.vault, services.clock)
    people = People(services, directory, login.masked)
    core = register(Core(tokens, clients))

    authorize = Authorize(services, clients, tokens, people, login, rules)
    endpoint = Token(services, core, clients, tokens, people)
    info = UserInfo(services, clients, tokens, people)
    manage = Manage(services, clients, tokens, endpoint)
    logout = Logout(services, clients, tokens, login)
    account = Account(services, settings, clients, login)
    withdraw = either(account.looking(account.withdraw_page), account.acting(account.withdraw))
    not_me = either(account.looking(account.not_me_page), account.acting(account.not_me))
    published = Published(
        metadata(issuer, rules, services.templates.languages), services.keyring, settings
    )

    def page(path: str, handler: Endpoint, *methods: str) -> Route:
        return Route(path, answers.page(handler), methods=list(methods))

    def program(path: str, handler: Endpoint, challenge: str, *methods: str) -> Route:
        return Route(path, answers.program(handler, challenge), methods=list(methods))

    def public(path: str, handler: Endpoint) -> Route:
        return Route(path, answers.program(handler), methods=["GET"])

    basic, bearer = token.CHALLENGE, userinfo.CHALLENGE
    return [  # the busiest first, since they are tried in order
        program("/token", endpoint.post, basic, "POST"),
        program("/introspect", manage.introspect, basic, "POST"),
        program("/userinfo", info.answer, bearer, "GET", "POST"),
        program("/revoke", manage.revoke, basic, "POST"),
        page("/authorize", either(authorize.get, authorize.post), "GET", "POST"),
        page("/authorize/{id}", authorize.resume, "GET"),
        page("/authorize/{id}/consent", authorize.consent, "POST"),
        page("/authorize/{id}/cancelled", authorize.cancelled, "GET"),
        page("/logout", either(logout.get, logout.post), "GET", "POST"),
        page("/logout/confirm", logout.confirm, "POST"),
        page("/account", account.looking(account.show), "GET"),
        page("/account/left", account.left, "GET"),
        page("/account/sessions", account.acting(account.end), "POST"),
        page("/account/withdraw", withdraw, "GET", "POST"),
        page("/account/not-me", not_me, "GET", "POST"),
        page("/account/push", account.acting(account.resume), "POST"),
        public("/jwks", published.jwks),
        *(public(path, published.discovery) for path in WELL_KNOWN),
        *(program(p, endpoint.realm, basic, "POST") for p in realm_paths(settings, "token")),
        *(public(path, published.jwks) for path in realm_paths(settings, "certs")),
    ]


def either(get: Endpoint, post: Endpoint) -> Endpoint:
    """One path, two methods."""

    async def handler(request: Request) -> Response:
        return await (post if request.method == "POST" else get)(request)

    return handler


def cors_paths(settings: OidcSettings) -> list[str]:
    """What programs in browsers may call."""
    return ["/token", "/userinfo", "/revoke", *realm_paths(settings, "token")]


def realm_paths(settings: OidcSettings, last: str) -> list[str]:
    """The TDX shape, and the modern one without /auth."""
    return [
        f"{prefix}/{realm}/protocol/openid-connect/{last}"
        for realm in settings.realms
        for prefix in ("/auth/realms", "/realms")
    ]
