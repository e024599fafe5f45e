"""Templates, headers and the two static files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

_HEADERS = {
    # Forms lead to whatever system registered, and from there to wherever it redirects.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "form-action *; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
STATIC = {"simulator.css": "text/css", "simulator.js": "text/javascript"}


def templates_folder() -> Path:
    """In an installed package beside the code, in the repository at its top."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "_templates" / "simulator"
    return installed if installed.is_dir() else package.parent / "templates" / "simulator"


class Pages:
    """`service` is what the pretend service is called."""

    def __init__(self, service: str) -> None:
        self._folder = templates_folder()
        self._templates = Environment(
            loader=FileSystemLoader(self._folder), autoescape=True, undefined=StrictUndefined
        )
        self._templates.globals["service"] = service

    def show(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        html = self._templates.get_template(template).render(values)
        return HTMLResponse(html, status, _HEADERS)

    def problem(self, rcode: str, message: str, status: int = 400) -> HTMLResponse:
        return self.show("problem.html", status, rcode=rcode, message=message)

    def routes(self) -> list[Route]:
        return [Route(f"/{name}", self._static, name=name) for name in STATIC]

    async def _static(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        return FileResponse(self._folder / name, media_type=STATIC[name])
