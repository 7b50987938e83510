"""T1, T2, T4 and what follows from them (RFC 3261 §17 and Appendix A, table 4; RFC 6026 §7.1)."""

from __future__ import annotations

from dataclasses import dataclass

from sipreg.errors import SettingWrong

_ROUNDS = 64
"""How many T1 a peer goes on for: seven sendings at doubling distance, then as long again for the last to arrive (§17.1.1.2)."""


@dataclass(frozen=True, slots=True)
class Timers:
    """The base values in seconds, and the timers of a server; each tells how long it runs from its start.

    Those that differ by transport take ``reliable``: whether the transport loses nothing (TCP, TLS, WS, WSS).

    Raises:
        SettingWrong: a value is not above zero, or T2 is below T1: retransmissions would come without a pause.
    """

    t1: float = 0.5
    """The round-trip time to reckon with (§17.1.1.1)."""
    t2: float = 4.0
    """The longest pause between retransmissions (§17.1.2.2)."""
    t4: float = 5.0
    """The longest that a message stays in the network (§17.1.2.2)."""

    def __post_init__(self) -> None:
        if not 0 < self.t1 <= self.t2 or not self.t4 > 0:
            raise SettingWrong(f"t1={self.t1:g} t2={self.t2:g} t4={self.t4:g}: seconds above zero, t1 at most t2")

    def g(self, reliable: bool) -> float | None:
        """Until the final answer to an INVITE is sent again for the first time; None where nothing is lost (§17.2.1)."""
        return None if reliable else self.t1

    def g_after(self, interval: float) -> float:
        """Until it is sent again after a pause of ``interval``: twice that, at most T2 (§17.2.1)."""
        return min(2 * interval, self.t2)

    def h(self, reliable: bool) -> float:
        """How long an ACK is waited for, whatever the transport: it comes from end to end (§17.2.1)."""
        return _ROUNDS * self.t1

    def i(self, reliable: bool) -> float:
        """How long further ACKs are absorbed after the first (§17.2.1)."""
        return 0.0 if reliable else self.t4

    def j(self, reliable: bool) -> float:
        """How long a non-INVITE request may still be sent again after it was answered (§17.2.2)."""
        return 0.0 if reliable else _ROUNDS * self.t1

    def l(self, reliable: bool) -> float:  # noqa: E743 - "L" is the timer's name in RFC 6026
        """How long an INVITE that was accepted stays known, whatever the transport (RFC 6026 §7.1)."""
        return _ROUNDS * self.t1

    @property
    def patience(self) -> float:
        """After this a client takes a non-INVITE request for lost (timer F, §17.1.2.2): an answer comes too late for it."""
        return _ROUNDS * self.t1
