"""The application: routes, errors and what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from fastapi import FastAPI
from starlette.routing import BaseRoute

from registrar_api.dependencies import Service
from registrar_api.problems import add_problem_handlers
from registrar_api.routes import bindings


def create_app(service: Service, probes: Sequence[BaseRoute]) -> FastAPI:
    """Return the API.

    Args:
        service: what is behind it.
        probes: routes for /livez, /readyz and /metrics, which whoever runs the process knows.
    """
    app = FastAPI(
        title="sipreg",
        version=version("sipreg"),
        summary="Where a phone can be reached: the bindings of addresses of record.",
        docs_url="/docs",
        redoc_url=None,
    )
    app.state.service = service
    add_problem_handlers(app)
    app.include_router(bindings.router)
    app.router.routes.extend(probes)
    return app
