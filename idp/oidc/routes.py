"""The protocol on one screen: every endpoint, who asks, how errors are answered, what it does.

The routes are made from GRID, and so is the table of docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from idp.kernel.answers import Answers, Challenge, Endpoint
from idp.kernel.services import Services
from idp.login.endings import KIND
from idp.login.entrance import Entrance
from idp.oidc import authenticate, userinfo
from idp.oidc.authenticate import Authenticator
from idp.oidc.authorize import Authorize
from idp.oidc.backchannel import BackChannel
from idp.oidc.core import Core
from idp.oidc.discovery import Published, metadata
from idp.oidc.grants import register
from idp.oidc.hints import Hints
from idp.oidc.loading import Loader
from idp.oidc.logout import Logout
from idp.oidc.manage import Manage
from idp.oidc.people import People, Profiles
from idp.oidc.possession import Possession
from idp.oidc.pushed import PushedRequests
from idp.oidc.register import Registrations
from idp.oidc.request import Rules
from idp.oidc.settings import OidcSettings
from idp.oidc.token import TokenEndpoint
from idp.oidc.tokens import Tokens
from idp.oidc.userinfo import UserInfo
from idp.registry.admissions import Admissions
from idp.registry.changes import Registrar
from idp.registry.clients import Clients


@dataclass(frozen=True, slots=True)
class Parts:
    """What answers."""

    authorize: Authorize
    pushed: PushedRequests
    registrations: Registrations
    token: TokenEndpoint
    userinfo: UserInfo
    manage: Manage
    logout: Logout
    published: Published


class Errors(StrEnum):
    """How an endpoint answers an error that is not redirected."""

    PAGE = "page"
    JSON = "JSON"


class Origins(StrEnum):
    """Which browser programs of other origins may read the answers (never at /authorize:
    RFC 9700 §2.6)."""

    NONE = "none"
    OWN = "own"  # those of redirect addresses of public clients, and what an operator lists
    ANY = "any"  # what is public anyway


Handler = Callable[[Parts], Endpoint]


@dataclass(frozen=True, slots=True)
class Cell:
    """One endpoint of the grid. `handlers` by method; `who` asks, and by what it is proven;
    `challenge` makes that of a 401."""

    path: str
    handlers: Mapping[str, Handler]
    who: str
    what: str
    errors: Errors = Errors.JSON
    challenge: Challenge | None = None
    origins: Origins = Origins.NONE
    setting: str = ""  # the one of `oidc` that turns it on

    def served(self, settings: OidcSettings) -> bool:
        return not self.setting or bool(getattr(settings, self.setting))

    def paths(self, realms: tuple[str, ...]) -> list[str]:
        if "{realm}" not in self.path:
            return [self.path]
        return [self.path.replace("{realm}", realm) for realm in realms]

    def routes(self, parts: Parts, answers: Answers, realms: tuple[str, ...]) -> list[Route]:
        chosen = {method: handler(parts) for method, handler in self.handlers.items()}
        endpoint = by_method(chosen)
        if self.errors is Errors.PAGE:
            endpoint = answers.page(endpoint)
        else:
            endpoint = answers.program(endpoint, self.challenge)
        return [Route(path, endpoint, methods=list(chosen)) for path in self.paths(realms)]


def by_method(handlers: Mapping[str, Endpoint]) -> Endpoint:
    """One path, several methods; HEAD is a GET."""

    async def endpoint(request: Request) -> Response:
        return await (handlers.get(request.method) or handlers["GET"])(request)

    return endpoint


def _get(handler: Handler) -> Mapping[str, Handler]:
    return {"GET": handler}


def _post(handler: Handler) -> Mapping[str, Handler]:
    return {"POST": handler}


def _both(get: Handler, post: Handler) -> Mapping[str, Handler]:
    return {"GET": get, "POST": post}


_BASIC, _BEARER = authenticate.challenge, userinfo.challenge
_OWN, _ANY, _PAGE = Origins.OWN, Origins.ANY, Errors.PAGE
_TDX, _MODERN = (f"{p}/{{realm}}/protocol/openid-connect" for p in ("/auth/realms", "/realms"))
_DISCOVERY = "metadata, with ETag and `Cache-Control`"
_SAME_BROWSER, _OUR_FORM = "the browser that began", "the browser that began, by our form"

# the busiest first, since they are tried in order
GRID: tuple[Cell, ...] = (
    Cell(
        "/token",
        _post(lambda p: p.token.post),
        "client",
        "tokens",
        challenge=_BASIC,
        origins=_OWN,
    ),
    Cell(
        "/introspect",
        _post(lambda p: p.manage.introspect),
        "confidential client",
        "is this access token active",
        challenge=_BASIC,
    ),
    Cell(
        "/userinfo",
        _both(lambda p: p.userinfo.answer, lambda p: p.userinfo.answer),
        "access token, in the header or the form",
        "claims",
        challenge=_BEARER,
        origins=_OWN,
    ),
    Cell(
        "/revoke",
        _post(lambda p: p.manage.revoke),
        "client",
        "end an access token, or a refresh token with its family",
        challenge=_BASIC,
        origins=_OWN,
    ),
    Cell(
        "/par",
        _post(lambda p: p.pushed.post),
        "client",
        "push an authorization request (RFC 9126)",
        challenge=_BASIC,
        origins=_OWN,
    ),
    Cell(
        "/authorize",
        _both(lambda p: p.authorize.get, lambda p: p.authorize.post),
        "browser",
        "the authorization endpoint",
        _PAGE,
    ),
    Cell(
        "/register",
        _post(lambda p: p.registrations.post),
        "initial access token",
        "register a client (RFC 7591), if `oidc.registration` is on",
        challenge=_BEARER,
        setting="registration",
    ),
    Cell(
        "/register/{client_id}",
        {
            "GET": lambda p: p.registrations.get,
            "PUT": lambda p: p.registrations.put,
            "DELETE": lambda p: p.registrations.delete,
        },
        "registration access token",
        "read, replace or end a registered client (RFC 7592)",
        challenge=_BEARER,
        setting="registration",
    ),
    Cell(
        "/authorize/{id}",
        _get(lambda p: p.authorize.resume),
        _SAME_BROWSER,
        "go to what is missing: login, consent, or nothing",
        _PAGE,
    ),
    Cell(
        "/authorize/{id}/consent",
        _post(lambda p: p.authorize.consent),
        _OUR_FORM,
        "allow or deny",
        _PAGE,
    ),
    Cell(
        "/authorize/{id}/cancelled",
        _get(lambda p: p.authorize.cancelled),
        _SAME_BROWSER,
        "back to the client with `access_denied`",
        _PAGE,
    ),
    Cell(
        "/logout",
        _both(lambda p: p.logout.get, lambda p: p.logout.post),
        "browser",
        "end the session",
        _PAGE,
    ),
    Cell(
        "/logout/confirm",
        _post(lambda p: p.logout.confirm),
        "browser, by our form",
        "the button of the logout page",
        _PAGE,
    ),
    Cell(
        "/logout/deliveries",
        _both(lambda p: p.manage.deliveries, lambda p: p.manage.deliveries),
        "confidential client",
        "what became of the logout tokens that it was sent",
        challenge=_BASIC,
    ),
    Cell(
        "/jwks",
        _get(lambda p: p.published.jwks),
        "anybody",
        "the published keys, each with `kid`, `alg`, `use`",
        origins=_ANY,
    ),
    Cell(
        "/.well-known/openid-configuration",
        _get(lambda p: p.published.discovery),
        "anybody",
        _DISCOVERY,
        origins=_ANY,
    ),
    Cell(
        "/.well-known/oauth-authorization-server",
        _get(lambda p: p.published.discovery),
        "anybody",
        _DISCOVERY,
        origins=_ANY,
    ),
    Cell(
        userinfo.METADATA,
        _get(lambda p: p.published.resource),
        "anybody",
        "metadata of `/userinfo` as a protected resource",
        origins=_ANY,
    ),
    *(
        cell
        for realm in (_TDX, _MODERN)
        for cell in (
            Cell(
                f"{realm}/token",
                _post(lambda p: p.token.realm),
                "client",
                "as `/token`, for programs written for TDX",
                challenge=_BASIC,
                origins=_OWN,
            ),
            Cell(
                f"{realm}/certs",
                _get(lambda p: p.published.jwks),
                "anybody",
                "as `/jwks`",
                origins=_ANY,
            ),
        )
    ),
)


def routes(
    services: Services,
    settings: OidcSettings,
    clients: Clients,
    login: Entrance,
    profiles: Profiles,
    answers: Answers,
) -> list[Route]:
    parts = _parts(services, settings, clients, login, profiles)
    return [
        route
        for cell in GRID
        if cell.served(settings)
        for route in cell.routes(parts, answers, settings.realms)
    ]


def cors_paths(settings: OidcSettings) -> dict[str, bool]:
    """What programs in browsers may call, and whether those of any origin may."""
    return {
        path: cell.origins is Origins.ANY
        for cell in GRID
        if cell.origins is not Origins.NONE
        for path in cell.paths(settings.realms)
    }


def _parts(
    services: Services,
    settings: OidcSettings,
    clients: Clients,
    login: Entrance,
    profiles: Profiles,
) -> Parts:
    issuer, database = services.settings.issuer, services.database
    levels = dict.fromkeys(m.acr for m in sorted(login.methods, key=lambda m: m.rank))
    rules = Rules(
        settings.scopes,
        tuple(levels),
        settings.require_pkce,
        settings.require_nonce,
        settings.require_pushed_authorization_requests,
        settings.registration,
        issuer,
    )
    tokens = Tokens(issuer, settings, services.keyring, services.vault, services.clock)
    people = People(services.vault, profiles, login.masked)
    authenticator = Authenticator(services, clients, settings)
    loader = Loader(database, tokens, people)
    possession = Possession(services, demanded=settings.dpop_nonces)
    core = register(Core(tokens))
    services.outbox.serve(KIND, BackChannel(services, clients, tokens, login.persons).deliver)
    hints = Hints(tokens, services.vault, login.canonical)
    document = metadata(issuer, rules, services.templates.languages, services.settings.mtls)
    return Parts(
        authorize=Authorize(services, clients, tokens, people, login, rules, hints),
        pushed=PushedRequests(
            services, settings, authenticator, possession, hints, rules, login.admit
        ),
        registrations=_registrations(services, clients, settings),
        token=TokenEndpoint(services, core, authenticator, loader, possession),
        userinfo=UserInfo(database, clients, tokens, people, possession),
        manage=Manage(services, clients, tokens, authenticator),
        logout=Logout(services, clients, tokens, login),
        published=Published(document, services.keyring, settings),
    )


def _registrations(services: Services, clients: Clients, settings: OidcSettings) -> Registrations:
    kept = (services.database, services.clock, services.vault, services.trail)
    registrar, admissions = Registrar(clients, *kept), Admissions(*kept)
    calls = settings.registrations_per_minute
    return Registrations(services, clients, registrar, admissions, calls)
