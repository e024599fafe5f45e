"""An IdpError as an answer: a page for people, JSON for programs. Nothing becomes a 500 here
but what is our own fault, and then with a reference instead of a trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from idp.kernel import errors
from idp.kernel.errors import AlreadyFinished, IdpError, RedirectUriMismatch
from idp.kernel.templates import Templates
from idp.kernel.web import no_store

log = structlog.get_logger("idp.web")

Endpoint = Callable[[Request], Awaitable[Response]]
# the challenge of a 401 or 403 (RFC 9110 §11.6.1)
Challenge = Callable[[Request, IdpError], str]


class Answers:
    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    def page(self, endpoint: Endpoint) -> Endpoint:
        """For endpoints that a person sees."""
        return self._guard(endpoint, self.as_page)

    def program(self, endpoint: Endpoint, challenge: Challenge | None = None) -> Endpoint:
        """For endpoints that programs call."""

        def render(request: Request, error: IdpError) -> Response:
            response = as_json(error)
            if challenge and error.status in (401, 403):
                response.headers["WWW-Authenticate"] = challenge(request, error)
            return response

        return self._guard(endpoint, render)

    @staticmethod
    def _guard(endpoint: Endpoint, render: Callable[[Request, IdpError], Response]) -> Endpoint:
        async def guarded(request: Request) -> Response:
            try:
                return await endpoint(request)
            except IdpError as error:
                say(error)
                return render(request, error)

        return guarded

    def as_page(self, request: Request, error: IdpError) -> Response:
        response = self._templates.page(
            request,
            "error.html",
            status=error.status,
            error=error,
            mismatch=error if isinstance(error, RedirectUriMismatch) and error.registered else None,
            finished=error if isinstance(error, AlreadyFinished) and error.home else None,
            repeat=request.method == "GET" and error.status in (429, 503),
        )
        return _with_retry(response, error)

    # ── what Starlette itself refuses ──────────────────────────────────────────────────────────

    async def on_http(self, request: Request, exception: Exception) -> Response:
        status = exception.status_code if isinstance(exception, HTTPException) else 500
        headers = getattr(exception, "headers", None) or {}
        error = errors.MethodNotAllowed() if status == 405 else errors.NotFound()
        wants_page = "text/html" in request.headers.get("accept", "")
        response = self.as_page(request, error) if wants_page else as_json(error)
        response.status_code = status
        response.headers.update(headers)
        if "allow" in response.headers:
            methods = response.headers["allow"].split(", ")
            response.headers["allow"] = ", ".join(sorted(methods))
        return response

    async def on_idp_error(self, request: Request, exception: Exception) -> Response:
        error = exception if isinstance(exception, IdpError) else IdpError()
        say(error)
        return as_json(error)

    async def on_disconnect(self, _request: Request, _exception: Exception) -> Response:
        """The peer hung up before its body was complete: nobody reads the answer."""
        log.info("disconnected")
        return Response(status_code=400)

    async def on_crash(self, request: Request, exception: Exception) -> Response:
        """Our own fault. The trace goes to the log, the reference to the person."""
        log.error("crash", path=request.url.path, exc_info=exception)
        caller = request.scope.get("state", {}).get("caller")
        reference = caller.reference if caller else ""
        text = f"系統發生錯誤 / internal error\n{reference}\n"
        return no_store(PlainTextResponse(text, status_code=500))


def as_json(error: IdpError) -> Response:
    """RFC 6749 §5.2."""
    body = {"error": error.error, "error_description": error.description} if error.error else {}
    response = no_store(JSONResponse(body, status_code=error.status, headers=dict(error.headers)))
    return _with_retry(response, error)


def _with_retry(response: Response, error: IdpError) -> Response:
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def say(error: IdpError) -> None:
    """One line, at the edge."""
    write = log.error if error.status >= 500 else log.info
    write(
        "refused",
        error=error.error,
        what=error.code,
        description=error.description,
        detail=error.detail,
    )
