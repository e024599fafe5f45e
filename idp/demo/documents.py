"""The documents as a web site, under /docs/, where `make site` has built it."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

BUILT = Path(__file__).resolve().parents[2] / "build/site"  # in a checkout
NOT_BUILT = """<!doctype html><html lang="zh-TW"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>說明文件尚未建置</title>
<h1>說明文件尚未建置</h1><p>請於原始碼目錄執行 <code>make site</code>，再重新整理本頁。</p>
<p lang="en">The documents are not built yet. Run <code>make site</code> in a checkout, then load
this page again.</p></html>"""


def create_documents(folder: Path = BUILT) -> ASGIApp:
    """Looks for the site at every request, so that it may be built while this runs."""
    files = StaticFiles(directory=folder, html=True, check_dir=False)

    async def documents(request: Request) -> Response:
        if not (folder / "index.html").is_file():
            return HTMLResponse(NOT_BUILT, 404)
        if request.url.path == "/docs":
            return RedirectResponse("/docs/")
        path = request.path_params["path"]
        return await files.get_response(path or ".", request.scope)

    return Starlette(routes=[Route("/docs", documents), Route("/docs/{path:path}", documents)])
