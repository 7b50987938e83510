"""One worker of the edge: its listeners and what is behind them, from start to drained."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence

from sip_edge.dispatcher import Dispatcher
from sip_edge.metrics import Figures
from sip_edge.tcp import TcpListener
from sip_edge.udp import UdpListener
from sipreg.composition import Stores
from sipreg.errors import StoreUnavailable
from sipreg.settings import EdgeSection

logger = logging.getLogger("sipreg.edge")

TIDY_INTERVAL_S = 30.0
"""Seconds in which every bucket's due index is looked through once."""

RESEND_RESOLUTION_S = 0.05
"""How late a retransmission of ours may be."""


class Edge:
    """The listeners of one process."""

    def __init__(self, settings: EdgeSection, stores: Stores, dispatcher: Dispatcher, *, shared: bool) -> None:
        """Bind all listeners.

        Args:
            settings: where to listen, and limits.
            stores: opened; they stay the caller's to close.
            dispatcher: what is behind the listeners.
            shared: whether other workers bind the same addresses.

        Raises:
            SettingWrong: an address cannot be bound.
        """
        self._settings = settings
        self._stores = stores
        self.dispatcher = dispatcher
        self.listeners: list[UdpListener | TcpListener] = []
        self.ready = False
        """Whether requests are welcome."""
        self._timer: asyncio.Task[None] | None = None
        self._tidy: asyncio.Task[None] | None = None
        for address in settings.listen:
            if address.transport == "udp":
                self.listeners.append(UdpListener(address, dispatcher, shared=shared))
            else:
                self.listeners.append(
                    TcpListener(address, dispatcher, shared=shared, max_connections=settings.max_connections, idle_s=settings.idle_s)
                )

    @property
    def sockets(self) -> Sequence[str]:
        """What is listened on, with the ports that the kernel chose."""
        return [listener.socket_name for listener in self.listeners]

    @property
    def available(self) -> bool:
        """Whether requests are welcome, and the store answers."""
        return self.ready and self._stores.available

    async def start(self) -> None:
        """Serve from now on."""
        for listener in self.listeners:
            await listener.start()
        self._timer = asyncio.create_task(self._resend(), name="resend")
        self._tidy = asyncio.create_task(self._keep_house(), name="tidy")
        for task in (self._timer, self._tidy):
            task.add_done_callback(_tell_failure)
        self.ready = True

    async def _resend(self) -> None:
        """Send final answers again that INVITE's transactions want sent again (RFC 3261 §17.2.1)."""
        while True:
            await asyncio.sleep(RESEND_RESOLUTION_S)
            self.dispatcher.advance()

    async def _keep_house(self) -> None:
        """Take AoRs out of the due index that lapsed by themselves; any number of workers may do it at once."""
        stores = self._stores
        while stores.buckets:
            for bucket in range(stores.buckets):
                await asyncio.sleep(TIDY_INTERVAL_S / stores.buckets)
                if stores.available:
                    with contextlib.suppress(StoreUnavailable):
                        await stores.tidy(bucket, time.time_ns() // 1_000_000)

    async def drain(self) -> None:
        """Take no more requests, answer those under way within the limit, and close."""
        self.ready = False
        for listener in self.listeners:
            listener.pause()
        loop = asyncio.get_running_loop()
        limit = loop.time() + self._settings.drain_s
        while self.dispatcher.pending and loop.time() < limit:  # noqa: ASYNC110 (an event would cost every request something)
            await asyncio.sleep(0.01)
        if self.dispatcher.pending:
            logger.warning("stopped with requests under way: pending=%d", self.dispatcher.pending)
        for task in (self._timer, self._tidy):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        for listener in self.listeners:
            await listener.close()

    def figures(self) -> Figures:
        """Return this worker's figures."""
        statistics = self.dispatcher.registrar.statistics
        counters = {"registrar_accepted_regs": statistics.accepted_regs, "registrar_rejected_regs": statistics.rejected_regs}
        connections = sum(len(listener.connections) for listener in self.listeners if isinstance(listener, TcpListener))
        gauges = {
            **self.dispatcher.gauges(),
            "connections": float(connections),
            "store_available": float(self._stores.available),
            "workers": 1.0,
        }
        return self.dispatcher.metrics.figures(counters, gauges)


def _tell_failure(task: asyncio.Task[None]) -> None:
    """Say at once that a task of ours has failed; else nobody would know before the drain."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.error("task failed: name=%s", task.get_name(), exc_info=fault)
