"""UDP: a socket that is drained in one callback, so that what it brings shares one write to the store (ADR 0003)."""

from __future__ import annotations

import asyncio
import logging
import socket

from sip_edge.dispatcher import Dispatcher
from sipreg.errors import SettingWrong
from sipreg.message.parser import MAX_MESSAGE_BYTES
from sipreg.settings import ListenAddress

logger = logging.getLogger("sipreg.edge")

BATCH = 64
"""Datagrams read before others get their turn."""

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""What the kernel may hold while we are busy: about 5,000 REGISTERs."""


def bind(address: ListenAddress, kind: socket.SocketKind, *, shared: bool) -> socket.socket:
    """Return a bound, non-blocking socket.

    Args:
        address: where to bind.
        kind: SOCK_DGRAM or SOCK_STREAM.
        shared: whether other workers bind the same address (SO_REUSEPORT); the kernel spreads clients by their address.

    Raises:
        SettingWrong: the address cannot be bound.
    """
    sock = socket.socket(address.family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        raise SettingWrong(f"edge.listen {address}: {error.strerror}") from error
    return sock


class UdpListener:
    """One UDP socket of the edge; the flow of all that comes in on it."""

    transport = "udp"
    reliable = False
    name = ""

    def __init__(self, address: ListenAddress, dispatcher: Dispatcher, *, shared: bool) -> None:
        """Take the address to listen on and where to hand what comes in."""
        self.address = address
        self._dispatcher = dispatcher
        self._sock = bind(address, socket.SOCK_DGRAM, shared=shared)
        self._loop = asyncio.get_running_loop()
        self._outbox: list[tuple[bytes, tuple[str, int]]] = []
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.port: int = self._sock.getsockname()[1]
        self.socket_name = str(address.model_copy(update={"port": self.port}))
        self.pending = 0

    async def start(self) -> None:
        """Read from now on."""
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._readable)

    def _readable(self) -> None:
        """Drain the socket, then see to what came.

        Reading and thinking by turns would cost more, as each drives the other's code out of the processor's cache.
        """
        receive = self._sock.recvfrom
        batch: list[tuple[bytes, tuple[str, int]]] = []
        for _ in range(BATCH):
            try:
                batch.append(receive(MAX_MESSAGE_BYTES))
            except BlockingIOError:
                break
            except OSError:
                # An ICMP error for something that we sent; there will be another datagram.
                continue
        self._dispatcher.receive_batch(batch, self)

    def send(self, data: bytes, host: str, port: int) -> None:
        """Send a datagram with the others of this turn of the event loop."""
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append((data, (host, port)))

    def _flush(self) -> None:
        send = self._sock.sendto
        for data, destination in self._outbox:
            try:
                send(data, destination)
            except OSError:
                # The kernel has no room for it: it is lost, as any datagram may be.
                self._dispatcher.metrics.counters["send_errors"] += 1
        self._outbox.clear()

    def pause(self) -> None:
        """Read no more; answers can still be sent."""
        asyncio.get_running_loop().remove_reader(self._sock.fileno())

    async def close(self) -> None:
        """Send what waits to be sent, and close the socket."""
        self._flush()
        self._sock.close()
