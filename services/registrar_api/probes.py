"""/livez, /readyz and /metrics of an API that runs by itself."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route


def api_probes(store_available: Callable[[], bool]) -> list[Route]:
    """Return the routes; /livez never asks the store."""
    registry = CollectorRegistry()
    gauge = Gauge("sipreg_store_available", "Whether the store of this process answers.", registry=registry)
    gauge.set_function(lambda: float(store_available()))

    async def livez(request: Request) -> Response:
        del request
        return PlainTextResponse("alive\n")

    async def readyz(request: Request) -> Response:
        del request
        ready = store_available()
        return PlainTextResponse("ready\n" if ready else "not ready\n", status_code=200 if ready else 503)

    async def metrics(request: Request) -> Response:
        del request
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
