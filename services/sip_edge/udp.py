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
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.port: int = self._sock.getsockname()[1]
        self.socket_name = str(address.model_copy(update={"port": self.port}))
        self.pending = 0

    async def start(self) -> None:
        """Read from now on."""
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._readable)

    def _readable(self) -> None:
        receive, handle = self._sock.recvfrom, self._dispatcher.receive
        for _ in range(BATCH):
            try:
                data, source = receive(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                # An ICMP error for something that we sent; there will be another datagram.
                continue
            if len(data) > 4 or data.strip(b"\r\n\0"):
                handle(data, self, source[0], source[1])

    def send(self, data: bytes, host: str, port: int) -> None:
        """Send a datagram; one that the kernel has no room for is lost, as any may be."""
        try:
            self._sock.sendto(data, (host, port))
        except OSError:
            self._dispatcher.metrics.counters["send_errors"] += 1

    def pause(self) -> None:
        """Read no more; answers can still be sent."""
        asyncio.get_running_loop().remove_reader(self._sock.fileno())

    async def close(self) -> None:
        """Close the socket."""
        self._sock.close()
