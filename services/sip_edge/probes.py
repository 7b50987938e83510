"""/livez, /readyz and /metrics of an edge, over all of its workers."""

from __future__ import annotations

from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sip_edge.metrics import Figures, render
from sipreg.settings import RegistrarSection


class Workers(Protocol):
    """The workers of an edge, one in this process or several in others."""

    async def available(self) -> bool:
        """Whether requests are welcome and every worker's store answers."""

    async def figures(self) -> Figures:
        """The figures of all of them, added up."""


def probe_routes(workers: Workers, registrar: RegistrarSection) -> list[Route]:
    """Return the routes; /livez never asks the store."""
    constants = {
        "registrar_max_expires": float(registrar.max_expires),
        "registrar_max_contacts": float(registrar.max_contacts),
        "registrar_default_expires": float(registrar.default_expires),
    }

    async def livez(request: Request) -> Response:
        del request
        return PlainTextResponse("alive\n")

    async def readyz(request: Request) -> Response:
        del request
        ready = await workers.available()
        return PlainTextResponse("ready\n" if ready else "not ready\n", status_code=200 if ready else 503)

    async def metrics(request: Request) -> Response:
        del request
        return Response(render(await workers.figures(), constants), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


def probe_app(workers: Workers, registrar: RegistrarSection) -> Starlette:
    """Return an application that has the probes alone."""
    return Starlette(routes=list(probe_routes(workers, registrar)))
