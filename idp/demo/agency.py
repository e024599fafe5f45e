"""A small agency service: log in, see the verified claims and how they came, refresh, log out.

Everything that speaks OpenID Connect here is Authlib's Starlette client; the settings are the
issuer and the client's own credentials, as for any other provider.
"""

from __future__ import annotations

import secrets
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from jinja2 import Environment, FileSystemLoader
from joserfc.errors import JoseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from idp.demo.trace import Trace, follow, listen
from idp.demo.words import language_of, words

SCOPES = "openid profile email phone twid offline_access"
# Chromium holds redirects after a form to form-action: logging out leads by way of the issuer
CSP = (
    "default-src 'none'; style-src 'self'; img-src data:; frame-ancestors 'none'; "
    "form-action 'self' {issuer}"
)


WISHES = ("prompt", "acr_values", "ui_locales", "max_age", "login_hint")
T = TypeVar("T")


@dataclass(slots=True)
class Kept(Generic[T]):
    """What this service remembers of its visitors; a real one would use its own store."""

    by_id: dict[str, T] = field(default_factory=dict)

    def keep(self, what: T) -> str:
        key = secrets.token_urlsafe(16)
        self.by_id[key] = what
        if len(self.by_id) > 1000:
            del self.by_id[next(iter(self.by_id))]
        return key


class Agency:
    """`url` is where this service itself is reached; its callback is url/callback. `phone` is the
    page where a newcomer without a phone decides. `trusted`: which certificates of the issuer."""

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        client_secret: str,
        url: str,
        phone: str,
        templates: Path,
        trusted: ssl.SSLContext | bool = True,
    ) -> None:
        self._issuer, self._url, self._phone, self._templates = issuer, url, phone, templates
        self._client_id = client_id
        self._visits, self._traces = Kept[dict[str, Any]](), Kept[Trace]()
        self._pages = Environment(loader=FileSystemLoader(templates), autoescape=True)
        oauth = OAuth()
        self._idp = oauth.register(
            "idp",
            server_metadata_url=f"{issuer}/.well-known/openid-configuration",
            client_id=client_id,
            client_secret=client_secret,
            client_kwargs={
                "scope": SCOPES,
                "code_challenge_method": "S256",
                "verify": trusted,
                "event_hooks": {"response": [listen]},
            },
        )

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.home),
                Route("/login", self.login),
                Route("/callback", self.callback),
                Route("/refresh", self.refresh, methods=["POST"]),
                Route("/logout", self.logout, methods=["POST"]),
                Route("/trace", self.trace),
                Route("/demo.css", self.style),
            ],
            middleware=[
                # Lax: the way back from the bridge is a top-level GET and brings the cookie
                Middleware(
                    SessionMiddleware,
                    secret_key=secrets.token_urlsafe(32),
                    session_cookie="demo_agency",
                    same_site="lax",
                )
            ],
        )

    def _page(self, name: str, status: int = 200, **context: Any) -> Response:
        html = self._pages.get_template(f"demo/{name}.html").render(issuer=self._issuer, **context)
        headers = {
            "Content-Security-Policy": CSP.format(issuer=self._issuer),
            "Cache-Control": "no-store",
        }
        return HTMLResponse(html, status, headers)

    def _refused(self, request: Request, refused: AuthlibBaseError | JoseError) -> Response:
        return self._page(
            "refused",
            400,
            error=refused.error,
            description=refused.description,
            traced=self._trace(request) is not None,
        )

    def _visit(self, request: Request) -> dict[str, Any] | None:
        return self._visits.by_id.get(request.session.get("visit", ""))

    def _trace(self, request: Request) -> Trace | None:
        return self._traces.by_id.get(request.session.get("trace", ""))

    async def home(self, request: Request) -> Response:
        visit = self._visit(request)
        if visit:
            return self._page("home", visit=visit, traced=self._trace(request) is not None)
        return self._page("welcome", phone=self._phone)

    async def login(self, request: Request) -> Response:
        wishes = {key: told for key in WISHES if (told := request.query_params.get(key))}
        answer: Response = await self._idp.authorize_redirect(
            request, f"{self._url}/callback", **wishes
        )
        metadata = await self._idp.load_server_metadata()
        trace = Trace(self._issuer, self._client_id, metadata)
        trace.began(answer.headers["location"])
        request.session["trace"] = self._traces.keep(trace)
        return answer

    async def callback(self, request: Request) -> Response:
        trace = self._trace(request)
        if trace is not None:
            trace.returned(f"{self._url}/callback", request.query_params)
        follow(trace)
        try:
            token, claims = await self._redeem(request, trace)
        except (AuthlibBaseError, JoseError) as refused:
            return self._refused(request, refused)
        visit = {"token": dict(token), "id_claims": token["userinfo"], "claims": dict(claims)}
        traced = request.session.get("trace", "")
        request.session.clear()
        request.session.update(visit=self._visits.keep(visit), trace=traced)
        return RedirectResponse("/", 303)

    async def _redeem(self, request: Request, trace: Trace | None) -> tuple[Any, Any]:
        """Token response and UserInfo. Authlib checks state, iss, code, nonce, signature, issuer,
        audience and times. Raises AuthlibBaseError, JoseError."""
        try:
            token = await self._idp.authorize_access_token(request)
        finally:
            if trace is not None:
                trace.read_id_token()
        return token, await self._idp.userinfo(token=token)

    async def refresh(self, request: Request) -> Response:
        visit = self._visit(request)
        if visit is None or "refresh_token" not in visit["token"]:
            return RedirectResponse("/", 303)
        try:
            token = await self._idp.fetch_access_token(
                grant_type="refresh_token", refresh_token=visit["token"]["refresh_token"]
            )
            visit["claims"] = dict(await self._idp.userinfo(token=token))
        except AuthlibBaseError as refused:
            return self._refused(request, refused)
        visit["token"].update(token)
        visit["refreshed"] = visit.get("refreshed", 0) + 1
        return RedirectResponse("/", 303)

    async def logout(self, request: Request) -> Response:
        visit = self._visit(request)
        request.session.clear()
        if visit is None:
            return RedirectResponse("/", 303)
        metadata = await self._idp.load_server_metadata()
        query = {
            "id_token_hint": visit["token"].get("id_token", ""),
            "post_logout_redirect_uri": f"{self._url}/",
        }
        return RedirectResponse(f"{metadata['end_session_endpoint']}?{urlencode(query)}", 303)

    async def trace(self, request: Request) -> Response:
        """Each step of the login that this browser began last."""
        trace, language = self._trace(request), language_of(request)
        if trace is None:
            return RedirectResponse("/", 303)
        return self._page(
            "trace", steps=trace.steps, failed=trace.failed, words=words(language), lang=language
        )

    async def style(self, _request: Request) -> Response:
        css = (self._templates / "demo" / "demo.css").read_text(encoding="utf-8")
        return Response(css, media_type="text/css")
