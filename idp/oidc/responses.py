"""Answers of the authorization endpoint: to the exact registered URI, with state and iss."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

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
    # the registered URI is not touched: what was registered is what is called
    joint = "&" if urlsplit(redirect_uri).query else "?"
    location = redirect_uri + joint + urlencode(fields)
    response = RedirectResponse(location, status_code=303)  # RFC 9700 §4.12: never 307
    response.headers["location"] = location  # Starlette would quote it anew
    no_store(response)
    return response


def refusal(
    ground: Ground,
    request: Request,
    redirect_uri: str,
    mode: str,
    state: str | None,
    error: IdpError,
) -> Response:
    params = {"error": error.error, "error_description": error.description}
    return answer(ground, request, redirect_uri, mode, state, params)
