"""Settings in, ASGI application out. Everything is made here; the lifespan opens and closes it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from idp import health
from idp.house import House, build
from idp.jobs import flush, jobs
from idp.kernel import logs
from idp.kernel.answers import Answers, Endpoint
from idp.kernel.edge import Edge
from idp.kernel.errors import IdpError
from idp.kernel.housekeeping import follow_database_clock, running
from idp.kernel.services import make_services
from idp.kernel.settings import BrandSettings
from idp.oidc.cors import Cors
from idp.oidc.routes import cors_paths
from idp.settings import Settings, read_settings

CONFIG_VARIABLE = "IDP_CONFIG_FILES"


def create() -> ASGIApp:
    """`uvicorn --factory idp.app:create`: a worker; its configuration files by environment."""
    names = os.environ.get(CONFIG_VARIABLE, "")
    settings = read_settings([Path(n) for n in names.split(os.pathsep) if n])
    logs.configure(production=settings.environment == "production")
    return create_app(settings)


def create_app(settings: Settings) -> ASGIApp:
    """The bridge, as its settings describe it. Raises BadSettings."""
    return app_for(build(make_services(settings), settings))


def app_for(house: House) -> ASGIApp:
    """What a server serves; its lifespan opens and closes the house."""
    services = house.services
    answers = Answers(services.templates)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with services.opened(), contextlib.aclosing(house.schemes):
            await follow_database_clock(services.database, services.clock)
            await services.keyring.ensure()
            async with running(jobs(house)):
                yield
            await flush(house)

    app = Starlette(
        routes=routes(house, answers),
        exception_handlers={
            HTTPException: answers.on_http,
            IdpError: answers.on_idp_error,
            ClientDisconnect: answers.on_disconnect,
            Exception: answers.on_crash,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    cors = Cors(app, house.allows_origin, cors_paths(house.settings.oidc))
    settings = house.settings
    return Edge(cors, settings.issuer, settings.web, settings.mtls)


def routes(house: House, answers: Answers) -> list[BaseRoute]:
    """The busiest first, since they are tried in order."""
    static = StaticFiles(directory=house.services.templates.directory / "static")
    return [
        *house.routes(answers),
        *health.routes(house.services),
        Route("/brand/{name}", branded(house.settings.brand), methods=["GET"]),
        Mount("/static", static),
    ]


def branded(brand: BrandSettings) -> Endpoint:
    """The agency's own files: those that the configuration names, and no others."""

    async def endpoint(request: Request) -> Response:
        file = brand.files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        return FileResponse(file, headers={"Cache-Control": "public, max-age=300"})

    return endpoint
