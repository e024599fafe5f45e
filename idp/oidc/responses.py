"""Answers of the authorization endpoint: to the exact registered URI, with state and iss."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp.kernel.answers import say
from idp.kernel.errors import IdpError
from idp.kernel.services import Services
from idp.kernel.web import no_store, origin_of
from idp.oidc.pending import Pending
from idp.oidc.request import SIGNED_MODES
from idp.registry.metadata import ClientMetadata

SIGNED_SECONDS = 600  # JARM §2.1: an answer lives ten minutes at most


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where an answer goes, and how; `silent` where the client wants no page at all."""

    client_id: str
    client: ClientMetadata
    uri: str
    mode: str
    state: str | None
    ui_locales: str = ""
    silent: bool = False


def answer(services: Services, request: Request, to: ReplyTo, params: dict[str, str]) -> Response:
    """Success and error alike; `iss` always (RFC 9207), `state` as it came."""
    fields = {**params, "iss": services.settings.issuer}
    if to.state is not None:
        fields["state"] = to.state
    if to.mode in SIGNED_MODES:
        fields = {"response": _signed(services, to, fields)}
    language = services.templates.language(request, to.ui_locales)
    if to.mode in ("form_post", "form_post.jwt"):
        return services.templates.page(
            request,
            "oidc/form_post.html",
            language=language,
            form_targets=(origin_of(to.uri),),
            action=to.uri,
            fields=fields,
        )
    location = extended(to.uri, fields)
    if to.silent:
        return away(location)
    failed = "error" in params
    return onward(services, request, to.client, location, language=language, failed=failed)


def _signed(services: Services, to: ReplyTo, fields: dict[str, str]) -> str:
    """JARM §2.1. It has no `sub`, so it is never taken for an ID token."""
    expires_at = services.clock.now() + SIGNED_SECONDS
    signer = services.keyring.signer(to.client.authorization_signed_response_alg)
    return signer.sign("JWT", {**fields, "aud": to.client_id, "exp": expires_at})


def needs_press(client: ClientMetadata, location: str) -> bool:
    """Browsers on phones hand an address over to an app only after a press of the person's own
    (RFC 8252 §7.1, §7.2); a loopback port is served by the browser's own machine."""
    return client.native and not location.startswith("http:")


def onward(
    services: Services,
    request: Request,
    client: ClientMetadata,
    location: str,
    *,
    language: str | None = None,
    failed: bool = False,
) -> Response:
    """To the client, by a page where that needs a press."""
    if not needs_press(client, location):
        return away(location)
    return services.templates.page(
        request,
        "oidc/return_app.html",
        language=language or services.templates.language(request),
        client=client,
        location=location,
        failed=failed,
    )


def extended(uri: str, fields: dict[str, str]) -> str:
    """The registered URI is not touched: what was registered is what is called."""
    joint = "" if uri.endswith(("?", "&")) else "&" if "?" in uri else "?"
    return uri + joint + urlencode(fields)


def away(location: str) -> Response:
    """A redirect to a relying party; never 307, which would carry the form (RFC 9700 §4.12)."""
    response = RedirectResponse(location, status_code=303)
    response.headers["location"] = location  # Starlette would quote it anew
    return no_store(response)


def reply_to(pending: Pending) -> ReplyTo:
    asked = pending.request
    return ReplyTo(
        pending.client.client_id,
        pending.client.metadata,
        asked.redirect_uri,
        asked.response_mode,
        asked.state,
        asked.ui_locales,
        silent="none" in asked.prompt,
    )


def refusal(services: Services, request: Request, to: ReplyTo, error: IdpError) -> Response:
    say(error)
    params = {"error": error.error, "error_description": error.description}
    return answer(services, request, to, params)
