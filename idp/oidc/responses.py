"""Answers of the authorization endpoint: to the exact registered URI, with state and iss."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from idp.kernel.answers import say
from idp.kernel.errors import IdpError
from idp.kernel.ground import Ground
from idp.kernel.web import no_store, origin_of


def answer(
    ground: Ground,
    request: Request,
    redirect_uri: str,
    mode: str,
    state: str | None,
    params: dict[str, str],
) -> Response:
    """Success and error alike; `iss` always (RFC 9207), `state` as it came."""
    fields = {**params, "iss": ground.settings.issuer}
    if state is not None:
        fields["state"] = state
    if mode == "form_post":
        return ground.templates.page(
            request,
            "oidc/form_post.html",
            form_targets=(origin_of(redirect_uri),),
            action=redirect_uri,
            fields=fields,
        )
    return away(extended(redirect_uri, fields))


def extended(uri: str, fields: dict[str, str]) -> str:
    """The registered URI is not touched: what was registered is what is called."""
    joint = "" if uri.endswith(("?", "&")) else "&" if "?" in uri else "?"
    return uri + joint + urlencode(fields)


def away(location: str) -> Response:
    """A redirect to a relying party; never 307, which would carry the form (RFC 9700 §4.12)."""
    response = RedirectResponse(location, status_code=303)
    response.headers["location"] = location  # Starlette would quote it anew
    return no_store(response)


def refusal(
    ground: Ground,
    request: Request,
    redirect_uri: str,
    mode: str,
    state: str | None,
    error: IdpError,
) -> Response:
    say(error)
    params = {"error": error.error, "error_description": error.description}
    return answer(ground, request, redirect_uri, mode, state, params)
