"""TCP: connections, cut into messages (RFC 3261 §18)."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from typing import cast

from sip_edge.dispatcher import Dispatcher
from sip_edge.udp import bind
from sipreg.errors import BadMessage
from sipreg.message.framer import KeepAlive, StreamFramer
from sipreg.settings import ListenAddress

READ_BYTES = 65536
UNFINISHED_S = 32.0
"""Seconds that a message, or the first of a connection, may take to arrive in full; as long as a transaction lives (Timer F)."""
SWEEP_S = 2.0
WRITE_HIGH_BYTES = 256 * 1024
"""What may wait to be sent to one peer before we stop reading from it."""


class TcpListener:
    """One listening socket and its connections."""

    def __init__(self, address: ListenAddress, dispatcher: Dispatcher, *, shared: bool, max_connections: int, idle_s: float) -> None:
        """Take where to listen, whom to hand messages to, and the limits of settings `edge`."""
        self.address = address
        self.dispatcher = dispatcher
        self.max_connections = max_connections
        self._idle_s = idle_s
        self._sock = bind(address, socket.SOCK_STREAM, shared=shared)
        self.port: int = self._sock.getsockname()[1]
        self.socket_name = str(address.model_copy(update={"port": self.port}))
        self.connections: set[TcpConnection] = set()
        self.buffer = memoryview(bytearray(READ_BYTES))
        """Shared by all connections: what is read is taken out of it before the next one reads."""
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self.numbers = itertools.count(1)

    async def start(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: TcpConnection(self), sock=self._sock, backlog=1024)
        self._sweeper = loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle for too long, with one timer for all."""
        now = time.monotonic()
        for connection in list(self.connections):
            if now - connection.active_at > (UNFINISHED_S if connection.unfinished else self._idle_s):
                connection.abort()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def pause(self) -> None:
        """Accept and read no more; each connection is closed once its requests are answered."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.end()

    async def close(self) -> None:
        """Close all connections, what was sent to them still goes out."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.close()
        self._sock.close()


class TcpConnection(asyncio.BufferedProtocol):
    """One connection; the flow of its requests."""

    transport = "tcp"
    reliable = True

    def __init__(self, listener: TcpListener) -> None:
        """Take the listener that accepted it."""
        self._listener = listener
        self._framer = StreamFramer()
        self._link: asyncio.Transport | None = None
        self._host, self._port = "", 0
        self.socket_name = listener.socket_name
        self.name = f"{self.transport}-{next(listener.numbers)}"
        self.pending = 0
        self._ending = False
        self.active_at = time.monotonic()
        """Monotonic seconds at which a whole message came last."""
        self.unfinished = True
        """Whether a message is on its way in, or none has come yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it if there are too many."""
        link = cast("asyncio.Transport", transport)
        if len(self._listener.connections) >= self._listener.max_connections:
            self._listener.dispatcher.metrics.counters["connections_refused"] += 1
            link.abort()
            return
        self._link = link
        self._host, self._port = link.get_extra_info("peername")[:2]
        link.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it; answers to its requests go nowhere."""
        del exc
        self._link = None
        self._listener.connections.discard(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        del sizehint
        return self._listener.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        framer = self._framer
        try:
            complete = framer.feed(self._listener.buffer[:nbytes])
            self._take(complete)
            if complete and framer.holds_part:
                framer.feed(b"")  # tells now if what follows the last message is broken
        except BadMessage:
            # Where the next message begins can no longer be told (§18.3).
            self._listener.dispatcher.metrics.counters["unparsable_messages"] += 1
            self.end()

    def _take(self, complete: list[bytes | KeepAlive]) -> None:
        if complete:
            self.active_at = time.monotonic()
        self.unfinished = self._framer.holds_part
        for item in complete:
            if item is KeepAlive.PING:
                self.send(b"\r\n", "", 0)
            elif isinstance(item, bytes):
                self._listener.dispatcher.receive(item, self, self._host, self._port)

    def eof_received(self) -> bool:
        """The peer sends no more; it may still wait for answers."""
        self._ending = True
        # Whatever comes of those answers, the sweep ends it.
        self.unfinished, self.active_at = True, time.monotonic()
        return self.pending > 0

    def pause_writing(self) -> None:
        """Read no more from a peer that does not read what it gets."""
        if self._link is not None and not self._ending:
            self._link.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        if self._link is not None and not self._ending:
            self._link.resume_reading()

    def send(self, data: bytes, host: str, port: int) -> None:
        """Send to the peer, wherever it is; what comes after the connection has gone is lost."""
        del host, port
        if self._link is None or self._link.is_closing():
            self._listener.dispatcher.metrics.counters["send_errors"] += 1
            return
        self._link.write(data)
        if self._ending and not self.pending:
            self._link.close()

    def end(self) -> None:
        """Read no more, and close once all requests that came over it are answered."""
        if self._link is None or self._ending:
            return
        self._ending = True
        self.unfinished = True
        if self.pending:
            self._link.pause_reading()
        else:
            self._link.close()

    def close(self) -> None:
        """Close once all is sent."""
        if self._link is not None:
            self._link.close()

    def abort(self) -> None:
        """Close at once."""
        if self._link is not None:
            self._link.abort()
