"""The commands that serve: everything in one process, or one role."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import click
from starlette.routing import BaseRoute

from sip_edge.probes import probe_app, probe_routes
from sip_edge.workers import LocalWorker, WorkerPool
from sipreg.clock import WallClock
from sipreg.composition import Stores, create_registrar, open_stores, with_running_store
from sipreg.errors import SettingWrong, StoreUnavailable
from sipreg.http import HttpListener
from sipreg.logs import set_up_logging
from sipreg.loop import loop_name, run_loop
from sipreg.settings import Settings, Values
from sipreg_cli.demo import demo_subscribers
from sipreg_cli.options import common_options, edge_options, settings_from, stop_signal

logger = logging.getLogger("sipreg")

STORE_RETRY_S: Final = 0.3
MAX_STORE_RETRY_S: Final = 2.0
"""Seconds between attempts to reach a store that does not answer while we start: at first, and at the most."""

UP_DEFAULTS: Values = {
    "registrar": {"domains": ("127.0.0.1",)},
    "edge": {"listen": ("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060")},
    "log": {"level": "warning"},  # what a new user reads is what it prints
}


@click.command()
@edge_options
@click.option("--demo/--no-demo", default=True, help="Whether to create two demo subscribers.")
def up(demo: bool, **options: Any) -> None:  # noqa: ANN401 (what click hands over)
    """Run everything in one process, on an embedded store, for this machine alone."""
    settings = settings_from(options, "api", UP_DEFAULTS)
    set_up_logging(settings.log.level)
    run_loop(_up(settings, demo=demo))


@click.command()
@edge_options
def edge(**options: Any) -> None:  # noqa: ANN401 (as above)
    """Run a SIP edge against a store that others share."""
    settings = settings_from(options, "edge", {})
    for name, value in (("edge.listen (--listen)", settings.edge.listen), ("registrar.domains (--domain)", settings.registrar.domains)):
        if not value:
            raise SettingWrong(f"{name}: at least one is needed")
    set_up_logging(settings.log.level)
    run_loop(_edge(settings))


@click.command()
@common_options
def api(**options: Any) -> None:  # noqa: ANN401 (as above)
    """Run the HTTP API against a store that others share."""
    settings = settings_from(options, "api", {})
    if settings.store.address.kind == "memory":
        raise SettingWrong("store.url: a memory store belongs to one process; the API needs a store that the edges reach, too")
    set_up_logging(settings.log.level)
    run_loop(_api(settings))


async def _opened(stack: AsyncExitStack, settings: Settings, stop: asyncio.Event) -> Stores | None:
    """Open the stores, however long it takes until they answer; None if it is to end before that.

    A node that starts before its store does has nothing to do but wait; it should not have to be started again.
    """
    pause_s = STORE_RETRY_S
    while not stop.is_set():
        try:
            return await stack.enter_async_context(open_stores(settings))
        except StoreUnavailable as error:
            logger.warning("waiting for the store: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s)
        pause_s = min(pause_s * 1.5, MAX_STORE_RETRY_S)
    return None


async def _start_workers(stack: AsyncExitStack, settings: Settings, stores: Stores) -> LocalWorker | WorkerPool:
    """Start the workers; they are drained when the stack unwinds."""
    workers = LocalWorker(settings, stores) if settings.edge.workers == 1 else WorkerPool(settings)
    stack.push_async_callback(workers.stop)
    await workers.start()
    return workers


async def _listen_http(stack: AsyncExitStack, listener: HttpListener) -> None:
    await listener.start()
    stack.push_async_callback(listener.stop)


async def _listen_api(stack: AsyncExitStack, settings: Settings, stores: Stores, probes: Sequence[BaseRoute] | None = None) -> None:
    """Serve the API, with the probes of an edge or with its own."""
    # An edge does without all this, and with it half of its start.
    from registrar_api.app import create_app  # noqa: PLC0415 (see above)
    from registrar_api.dependencies import Service  # noqa: PLC0415 (see above)
    from registrar_api.probes import api_probes  # noqa: PLC0415 (see above)

    service = Service(create_registrar(settings, stores), WallClock(), settings.api.token)
    app = create_app(service, api_probes(lambda: stores.available) if probes is None else probes)
    await _listen_http(stack, HttpListener(app, settings.api.http, "api.http"))


async def _up(settings: Settings, *, demo: bool) -> None:
    asked = settings.store.address
    stop = stop_signal()
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(with_running_store(settings))
        stores = await stack.enter_async_context(open_stores(settings))
        subscribers = await demo_subscribers(stores, settings) if demo and settings.auth.mode == "digest" else []
        workers = await _start_workers(stack, settings, stores)
        await _listen_api(stack, settings, stores, probe_routes(workers, settings.registrar))
        store = str(asked) if asked == settings.store.address else f"{asked} at {settings.store.address}"
        click.echo(_banner(settings, workers.sockets, store, subscribers))
        await stop.wait()


async def _edge(settings: Settings) -> None:
    stop = stop_signal()
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(with_running_store(settings))
        stores = await _opened(stack, settings, stop)
        if stores is None:
            return
        workers = await _start_workers(stack, settings, stores)
        if settings.edge.http is not None:
            await _listen_http(stack, HttpListener(probe_app(workers, settings.registrar), settings.edge.http, "edge.http"))
        logger.info(
            "serving: node=%s workers=%d loop=%s sip=%s", settings.edge.node_id, settings.edge.workers, loop_name(), workers.sockets
        )
        await stop.wait()
        logger.info("draining: limit_s=%s", settings.edge.drain_s)


async def _api(settings: Settings) -> None:
    stop = stop_signal()
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(with_running_store(settings))
        stores = await _opened(stack, settings, stop)
        if stores is None:
            return
        await _listen_api(stack, settings, stores)
        logger.info("serving: http=%s", settings.api.http)
        await stop.wait()


def _banner(settings: Settings, sockets: list[str], store: str, subscribers: list[tuple[str, str, str]]) -> str:
    """Return what a new user wants to read first.

    Args:
        settings: of this run.
        sockets: what is listened on.
        store: where it is kept, without passwords.
        subscribers: user, domain and password of those to try it with.
    """
    lines = [
        "sipreg is up.",
        "",
        f"  SIP    {'  '.join(sockets)}",
        f"  HTTP   http://{settings.api.http}/docs",
        f"  store  {store}",
        "",
    ]
    if subscribers:
        udp = next((name.removeprefix("udp:") for name in sockets if name.startswith("udp:")), sockets[0].partition(":")[2])
        lines += ["To try it with:", ""]
        for user, domain, password in subscribers:
            lines.append(f"  sip:{user}@{domain}   user name {user}   password {password}   registrar {udp}")
        user, domain, _ = subscribers[0]
        lines += ["", f"See who is registered: curl http://{settings.api.http}/v1/aors/{user}@{domain}/bindings"]
    lines.append("Stop with Ctrl-C.")
    return "\n".join(lines)
