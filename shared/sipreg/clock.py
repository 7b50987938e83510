"""Time as an argument: what the rim reads, and the core is given."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The two times that sipreg knows."""

    def now_ms(self) -> int:
        """Unix time in milliseconds: for deadlines that others read, too."""

    def now(self) -> float:
        """Seconds that only ever go forward: for timers within this process."""


class WallClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    now = staticmethod(time.monotonic)
    """Monotonic seconds; the function itself, because it is asked several times for every request."""
