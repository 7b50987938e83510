"""Where a request came from, and so where its answer goes."""

from __future__ import annotations

from typing import Protocol


class Flow(Protocol):
    """A datagram socket or a connection, as the dispatcher sees it."""

    transport: str
    """``udp`` or ``tcp``: what its requests are counted under."""
    reliable: bool
    """Whether what is sent arrives, so that nothing is ever sent again (RFC 3261 §17)."""
    socket_name: str
    """The local socket, as ``transport:host:port``."""
    name: str
    """The connection among those of this node; "" for datagrams."""
    pending: int
    """Requests that came over it and have no final answer yet; the dispatcher counts them."""

    def send(self, data: bytes, host: str, port: int) -> None:
        """Send an answer; never raises. A connection has one peer only, so it does without host and port."""
