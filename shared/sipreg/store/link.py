"""How the store's commands reach Redis: what a link offers, and its limits. The hot path has a client of its own for this.

The general clients open a connection for each concurrent command or take one at a time, and cost ten times as much as all the rest of a
REGISTER (ADR 0004). A link keeps one connection to a server and writes all commands of one turn of the event loop at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sipreg.errors import StoreUnavailable

Reply = bytes | int | list[Any] | StoreUnavailable | None
"""What Redis answered, or why it did not."""

Done = Callable[[Reply], None]
"""Called once, at once or later from the event loop. What it raises is logged and harms no other command."""


class Link(Protocol):
    """A way to the server, or to all servers of a cluster."""

    @property
    def available(self) -> bool:
        """Whether any server can be asked at present."""

    async def open(self) -> None:
        """Connect; from then on lost connections are made anew until `close`.

        Raises:
            StoreUnavailable: no server answered within twice `LinkLimits.timeout_s`; `close` it.
        """

    async def close(self) -> None:
        """End it; what is under way fails."""

    def call(self, slot: int, command: bytes, done: Done) -> None:
        """Send a packed command to the server of a cluster slot; elsewhere the slot means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """What a link may use."""

    timeout_s: float = 1.0
    """Seconds within which a command is answered, and a connection made; else the connection is given up and everything on it fails."""

    max_in_flight: int = 4096
    """Commands on one connection that wait for their reply; more fail at once."""

    first_backoff_s: float = 0.05
    max_backoff_s: float = 1.0
    """Seconds before a connection is tried again, doubled each time, give or take a half."""


DEFAULT_LIMITS: Final = LinkLimits()
