"""The server machines as tables: INVITE (RFC 3261 figure 7, as RFC 6026 amends it) and non-INVITE (figure 8).

The INVITE machine runs as an object. The non-INVITE one has none: `layer` tells a state by where it keeps the key.

Transport errors are no event. RFC 6026 §8.8 replaces what RFC 3261 §17.2.4 says of them for both machines: the state stays
as it is, since a later sending may get through, and the transaction user is told, which here is who found out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from math import inf
from typing import Final, Generic, TypeVar

from sipreg.transaction.timers import Timers

DestinationT = TypeVar("DestinationT")
"""Where a response goes: the caller's own value, handed back as it was given."""


class State(IntEnum):
    """Where a transaction stands; the names are those of the figures. Integers, because they hash in no time."""

    TRYING = 1
    PROCEEDING = 2
    ACCEPTED = 3
    COMPLETED = 4
    CONFIRMED = 5
    TERMINATED = 6


class Event(IntEnum):
    """What can happen to a transaction."""

    RETRANSMISSION = 1
    """The request came again."""
    ACK = 2
    PROVISIONAL = 3
    """The transaction user answers with 1xx."""
    SUCCESS = 4
    """It answers an INVITE with 2xx."""
    FAILURE = 5
    """It answers an INVITE with 300 to 699."""
    FINAL = 6
    """It answers another request with 200 to 699."""
    ABANDONED = 7
    """The transaction user will not answer, or has not for so long that nobody waits: in no figure, ours."""
    TIMER_G = 8
    TIMER_H = 9
    TIMER_I = 10
    TIMER_J = 11
    TIMER_L = 12


class Action(IntEnum):
    """What is to be done about an event."""

    IGNORE = 1
    """Nothing: the event has no meaning in this state."""
    SEND = 2
    """Send the response that the transaction user gave."""
    RESEND = 3
    """Send the last response once more, if there is one."""
    ABSORB = 4
    """Nothing: the message has done its work here and goes no further."""
    PASS = 5
    """Give the message to the transaction user."""
    FORGET = 6
    """The transaction is over."""
    GIVE_UP = 7
    """The transaction is over, and the peer never acknowledged the answer."""


Table = Mapping[tuple[State, Event], tuple[State, Action]]

#: RFC 3261 §17.2.2, figure 8, row by row. A pair that is absent is ignored on purpose: a retransmission before
#: anything was answered, or any response after the final one, changes nothing and sends nothing.
#: Timer J is no event that `layer` awaits: keys whose time is over are dropped by the thousand.
NON_INVITE: Final[Table] = {
    (State.TRYING, Event.PROVISIONAL): (State.PROCEEDING, Action.SEND),
    (State.TRYING, Event.FINAL): (State.COMPLETED, Action.SEND),
    (State.TRYING, Event.ABANDONED): (State.TERMINATED, Action.FORGET),
    (State.PROCEEDING, Event.RETRANSMISSION): (State.PROCEEDING, Action.RESEND),
    (State.PROCEEDING, Event.PROVISIONAL): (State.PROCEEDING, Action.SEND),
    (State.PROCEEDING, Event.FINAL): (State.COMPLETED, Action.SEND),
    (State.PROCEEDING, Event.ABANDONED): (State.TERMINATED, Action.FORGET),
    (State.COMPLETED, Event.RETRANSMISSION): (State.COMPLETED, Action.RESEND),
    (State.COMPLETED, Event.TIMER_J): (State.TERMINATED, Action.FORGET),
}

#: RFC 3261 §17.2.1, figure 7, with the Accepted state of RFC 6026 §7.1, row by row. A pair that is absent is ignored
#: on purpose: an ACK before a final answer acknowledges nothing, an INVITE behind its own ACK is a straggler, and a
#: second final answer is not sent, unless both are 2xx.
INVITE: Final[Table] = {
    (State.PROCEEDING, Event.RETRANSMISSION): (State.PROCEEDING, Action.RESEND),
    (State.PROCEEDING, Event.PROVISIONAL): (State.PROCEEDING, Action.SEND),
    (State.PROCEEDING, Event.SUCCESS): (State.ACCEPTED, Action.SEND),
    (State.PROCEEDING, Event.FAILURE): (State.COMPLETED, Action.SEND),
    (State.PROCEEDING, Event.ABANDONED): (State.TERMINATED, Action.FORGET),
    # Here the transaction user sends again, not we; other 2xx come from the other branches of a fork.
    (State.ACCEPTED, Event.RETRANSMISSION): (State.ACCEPTED, Action.ABSORB),
    (State.ACCEPTED, Event.SUCCESS): (State.ACCEPTED, Action.SEND),
    (State.ACCEPTED, Event.ACK): (State.ACCEPTED, Action.PASS),
    (State.ACCEPTED, Event.TIMER_L): (State.TERMINATED, Action.FORGET),
    (State.COMPLETED, Event.RETRANSMISSION): (State.COMPLETED, Action.RESEND),
    (State.COMPLETED, Event.TIMER_G): (State.COMPLETED, Action.RESEND),
    (State.COMPLETED, Event.ACK): (State.CONFIRMED, Action.ABSORB),
    (State.COMPLETED, Event.TIMER_H): (State.TERMINATED, Action.GIVE_UP),
    # Not drawn, but what the state is for according to the text: further ACKs end here.
    (State.CONFIRMED, Event.ACK): (State.CONFIRMED, Action.ABSORB),
    (State.CONFIRMED, Event.TIMER_I): (State.TERMINATED, Action.FORGET),
}

#: Which timer ends the stay in a state of the INVITE machine. Proceeding has none: ringing takes as long as it takes.
_ENDED_BY: Final[Mapping[State, tuple[Event, Callable[[Timers, bool], float]]]] = {
    State.ACCEPTED: (Event.TIMER_L, Timers.l),
    State.COMPLETED: (Event.TIMER_H, Timers.h),
    State.CONFIRMED: (Event.TIMER_I, Timers.i),
}

_RESENDING: Final = frozenset(state for (state, _), (_, action) in INVITE.items() if action is Action.RESEND)
"""States in which the last response is needed again; in the others it would only take memory."""


def invite_event(status: int) -> Event:
    """Tell what a response with this status means to the INVITE machine."""
    if status < 200:
        return Event.PROVISIONAL
    return Event.SUCCESS if status < 300 else Event.FAILURE


class InviteServerTransaction(Generic[DestinationT]):
    """One INVITE that was received; begins in Proceeding, at the instant of its first arrival."""

    __slots__ = ("_ended_by", "_ends_at", "_g_at", "_g_interval", "_timers", "destination", "reliable", "response", "state", "touched_at")

    def __init__(self, timers: Timers, now: float) -> None:
        self._timers = timers
        self._ended_by = Event.TIMER_H
        self._ends_at = inf
        self._g_at = inf
        self._g_interval = timers.t1
        self.state = State.PROCEEDING
        """Read only, from outside."""
        self.response: bytes | None = None
        """The response to send again, while the state has a use for it."""
        self.destination: DestinationT | None = None
        """Where it goes."""
        self.reliable = False
        """Whether the transport of the transaction loses nothing; a transaction never changes its transport."""
        self.touched_at = now
        """When the INVITE first came, or the transaction user last spoke of it."""

    def respond(self, response: bytes, status: int, reliable: bool, destination: DestinationT | None, now: float) -> Action:
        """Take a response of the transaction user; SEND, or IGNORE where a final one went before (RFC 3261 §17.2.1)."""
        self.reliable = reliable
        action = self.handle(invite_event(status), now)
        if action is Action.SEND:
            self.destination = destination
            self.response = response if self.state in _RESENDING else None
            self.touched_at = now
        return action

    def handle(self, event: Event, now: float) -> Action:
        """Let an event happen at ``now`` (monotonic seconds) and tell what is to be done about it."""
        row = INVITE.get((self.state, event))
        if row is None:
            return Action.IGNORE
        entered, action = row
        if entered is not self.state:
            self._enter(entered, now)
        elif event is Event.TIMER_G:
            self._g_interval = self._timers.g_after(self._g_interval)
            self._g_at = now + self._g_interval
        return action

    def fire(self, now: float) -> Action:
        """Let the timer happen that is due at ``now``, if any; at most one, and the one that ends the state first."""
        if now >= self._ends_at:
            return self.handle(self._ended_by, now)
        if now >= self._g_at:
            return self.handle(Event.TIMER_G, now)
        return Action.IGNORE

    def next_deadline(self) -> float | None:
        """When `fire` has something to do, in monotonic seconds; None while no timer runs."""
        deadline = min(self._ends_at, self._g_at)
        return None if deadline == inf else deadline

    def _enter(self, state: State, now: float) -> None:
        """Change the state, stop the timers of the old one and start those of the new one."""
        self.state = state
        if state not in _RESENDING:
            self.response = None
        self._ends_at = self._g_at = inf
        interval = self._timers.g(self.reliable) if (state, Event.TIMER_G) in INVITE else None
        if interval is not None:
            self._g_interval, self._g_at = interval, now + interval
        if state not in _ENDED_BY:
            return
        self._ended_by, lasts = _ENDED_BY[state]
        self._ends_at = now + lasts(self._timers, self.reliable)
        if self._ends_at <= now:
            # A timer of zero fires within the event that starts it: nobody has to come back for it.
            self.handle(self._ended_by, now)
