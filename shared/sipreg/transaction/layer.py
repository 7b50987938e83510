"""All server transactions of one process: retransmissions end here, and nothing is answered twice (RFC 3261 §17.2).

A non-INVITE transaction has no object. Its state is where its key is kept: among those being worked on it is Trying,
and Proceeding if a provisional response stands beside; among the answered it is Completed; nowhere, it is over. What
follows from a state is read from the tables of `server`, as for INVITE.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from heapq import heappop, heappush
from typing import Final, Generic, NamedTuple

from sipreg.transaction.answered import DEFAULT_MAX_BYTES, Answered
from sipreg.transaction.server import NON_INVITE, Action, DestinationT, Event, InviteServerTransaction, State
from sipreg.transaction.timers import Timers

DEFAULT_MAX_LIVE: Final = 100_000
"""A store that stands still for three seconds at thirty thousand requests a second does not yet exceed it."""

INVITE_PATIENCE_S: Final = 360.0
"""Seconds of silence after which an INVITE counts as left behind: twice the three minutes within which a proxy or a ringing
phone must have spoken (timer C, RFC 3261 §16.6 step 11, §13.3.1.1)."""

_OF_INVITE: Final = frozenset(("INVITE", "ACK"))


class Receipt(Enum):
    """What became of a request that is not to be answered with the same bytes again."""

    NEW = "new"
    """Pass it on: a new transaction, or an ACK that is none of ours to absorb."""
    ABSORBED = "absorbed"
    """Nothing is to be done: it is being worked on, or an ACK has done its work."""
    OVERLOAD = "overload"
    """Too much is unanswered: answer 503 without a transaction (§21.5.4), and do no work."""


# What the hot path needs, looked up once: CPython 3.11 takes 0.1 µs to find a member of an enumeration.
_FIRST_AND_FINAL: Final = NON_INVITE[State.TRYING, Event.FINAL]
_COMPLETED: Final = State.COMPLETED
_SEND: Final = Action.SEND
_NEW: Final = Receipt.NEW


class Resend(NamedTuple, Generic[DestinationT]):
    """A response to be sent once more."""

    key: str
    response: bytes
    destination: DestinationT | None
    """As it was given to `ServerTransactions.respond`."""


class ServerTransactions(Generic[DestinationT]):
    """The server transactions that are alive, by the key that `key` makes of a request.

    All times are monotonic seconds. Memory is bounded: the answered non-INVITE ones by ``max_bytes``, the responses to
    INVITE and the provisional ones by as much again, and each kind of unanswered by number.
    """

    def __init__(self, timers: Timers, max_bytes: int = DEFAULT_MAX_BYTES, max_live: int = DEFAULT_MAX_LIVE) -> None:
        """Start with none.

        Args:
            timers: the base values of the RFC.
            max_bytes: for each of the two bounds above.
            max_live: how many non-INVITE requests may be unanswered at a time, and how many INVITE transactions alive.
                They do not share it, so that a flood of calls leaves room for registrations.
        """
        self._timers = timers
        self._max_bytes = max_bytes
        self._max_live = max_live
        self._working: dict[str, float] = {}
        self._provisional: dict[str, bytes] = {}
        self._answered = Answered(max_bytes, timers.j(reliable=False))
        self._invites: dict[str, InviteServerTransaction[DestinationT]] = {}
        self._alarms: list[tuple[float, str]] = []
        self._held_bytes = 0
        self._sweep_at = 0.0
        self.unacknowledged = 0
        """INVITE transactions whose final answer no ACK came for (timer H), so far."""

    @property
    def live(self) -> int:
        """Transactions that are unanswered, or an INVITE's in any state."""
        return len(self._working) + len(self._invites)

    @property
    def answered(self) -> int:
        """Non-INVITE transactions whose answer is kept for retransmissions."""
        return len(self._answered)

    @property
    def held_bytes(self) -> int:
        """What all kept responses take: at most twice ``max_bytes``, and what is in flight for INVITE."""
        return self._answered.held_bytes + self._held_bytes

    def receive(self, key: str, method: str, now: float) -> Receipt | bytes:
        """Tell what to do with a request: a `Receipt`, or the bytes to send again to where it came from (§17.2.3)."""
        if method in _OF_INVITE:
            return self._receive_invite(key, method, now)
        if key in self._working:
            return self._retransmitted(key, self._provisional.get(key))
        response = self._answered.recall(key, now)
        if response is not None:
            return self._retransmitted(key, response)
        if len(self._working) >= self._max_live:
            return Receipt.OVERLOAD
        self._working[key] = now
        return _NEW

    def respond(self, key: str, response: bytes, status: int, reliable: bool, now: float, destination: DestinationT | None = None) -> bool:
        """Record a response and tell whether to send it: no, if the transaction is over or has its final one.

        Only a 2xx to an INVITE may be followed by others: those of a fork, or the same once more (RFC 6026 §7.1).

        Args:
            key: of the request.
            response: the whole message.
            status: its status code.
            reliable: whether the transport loses nothing; then a retransmission need not be provided for.
            now: monotonic seconds.
            destination: where it goes, for an INVITE; `advance` hands it back.
        """
        if key not in self._working:
            return self._respond_invite(key, response, status, reliable, now, destination)
        if status >= 200 and key not in self._provisional:
            state, action = _FIRST_AND_FINAL
        else:
            state, action = NON_INVITE[self._state(key), Event.FINAL if status >= 200 else Event.PROVISIONAL]
        if state is _COMPLETED:
            del self._working[key]
            if self._provisional:
                self._drop_provisional(key)
            if not reliable:  # else Timer J is zero
                self._answered.remember(key, response, now)
        else:
            self._keep_provisional(key, response)
        return action is _SEND

    def abandon(self, key: str) -> None:
        """Forget a request that will not be answered, so that its retransmission is taken as new; no effect on others."""
        invite = self._invites.get(key)
        if invite is not None:
            before = _books(invite)
            invite.handle(Event.ABANDONED, now=0.0)  # any instant will do, as no timer starts at an end
            self._settle(key, invite, *before)
        elif NON_INVITE.get((self._state(key), Event.ABANDONED)) is not None:
            del self._working[key]
            self._drop_provisional(key)

    def awaits_answer(self, key: str) -> bool:
        """Whether a request is being worked on and has no final response: what CANCEL can still have an effect on (§9.2)."""
        invite = self._invites.get(key)
        return key in self._working or (invite is not None and invite.state is State.PROCEEDING)

    def next_deadline(self) -> float | None:
        """When `advance` has something to do, in the past if it is late; None while nothing is kept."""
        return min(self._deadlines(), default=None)

    def advance(self, now: float) -> list[Resend[DestinationT]]:
        """Let all timers happen that are due, forget what is over, and return what is to be sent again (timer G)."""
        resends = []
        while self._alarms and self._alarms[0][0] <= now:
            _, key = heappop(self._alarms)
            # Not every alarm still has its reason: they are never searched for to be taken back.
            invite = self._invites.get(key)
            if invite is None:
                continue
            before = _books(invite)
            action = invite.fire(now)
            self.unacknowledged += action is Action.GIVE_UP
            if action is Action.RESEND and invite.response is not None:
                resends.append(Resend(key, invite.response, invite.destination))
            self._settle(key, invite, *before)
        if now >= self._sweep_at:
            self._sweep(now)
        self._answered.expire(now)
        return resends

    def _deadlines(self) -> Iterator[float]:
        if self._alarms:
            yield self._alarms[0][0]
        if self._working or self._invites:
            yield self._sweep_at
        drop_at = self._answered.next_deadline()
        if drop_at is not None:
            yield drop_at

    def _receive_invite(self, key: str, method: str, now: float) -> Receipt | bytes:
        """Find the INVITE transaction that an INVITE or ACK belongs to, or begin one."""
        invite = self._invites.get(key)
        if invite is None:
            if method == "ACK":
                return Receipt.NEW
            if len(self._invites) >= self._max_live or self._held_bytes > self._max_bytes:
                return Receipt.OVERLOAD
            self._invites[key] = InviteServerTransaction(self._timers, now)
            return Receipt.NEW
        before = _books(invite)
        action = invite.handle(Event.ACK if method == "ACK" else Event.RETRANSMISSION, now)
        self._settle(key, invite, *before)
        return _outcome(action, invite.response)

    def _respond_invite(self, key: str, response: bytes, status: int, reliable: bool, now: float, destination: DestinationT | None) -> bool:
        invite = self._invites.get(key)
        if invite is None:
            # Over, abandoned, or a non-INVITE that is Completed: its table has no row for a response there.
            return False
        before = _books(invite)
        action = invite.respond(response, status, reliable, destination, now)
        self._settle(key, invite, *before)
        return action is Action.SEND

    def _settle(self, key: str, invite: InviteServerTransaction[DestinationT], held: int, deadline: float | None) -> None:
        """Bring our books in line with an INVITE transaction that held so much and had this deadline before."""
        held_now, due = _books(invite)
        self._held_bytes += held_now - held
        if invite.state is State.TERMINATED:
            del self._invites[key]
            return
        if due is not None and due != deadline:
            heappush(self._alarms, (due, key))

    def _state(self, key: str) -> State:
        """Where a non-INVITE transaction stands; one that is over counts as Completed, with nothing to show for it."""
        if key not in self._working:
            return State.COMPLETED
        return State.PROCEEDING if key in self._provisional else State.TRYING

    def _retransmitted(self, key: str, response: bytes | None) -> Receipt | bytes:
        _, action = NON_INVITE.get((self._state(key), Event.RETRANSMISSION), (None, Action.IGNORE))
        return _outcome(action, response)

    def _drop_provisional(self, key: str) -> None:
        self._held_bytes -= len(self._provisional.pop(key, b""))

    def _keep_provisional(self, key: str, response: bytes) -> None:
        held = self._held_bytes + len(response) - len(self._provisional.get(key, b""))
        # Beyond the bound the request stays in Trying: its retransmissions are absorbed instead of answered.
        if held <= self._max_bytes:
            self._held_bytes = held
            self._provisional[key] = response

    def _sweep(self, now: float) -> None:
        """Forget what nobody has answered: whoever forgot to abandon it, it must not stay for ever.

        A request is swept out once its client has given up, and since we sweep as often, before twice that time.
        """
        patience = self._timers.patience
        left_behind = [key for key, since in self._working.items() if now - since >= patience]
        left_behind += [
            key
            for key, invite in self._invites.items()
            if invite.state is State.PROCEEDING and now - invite.touched_at >= INVITE_PATIENCE_S
        ]
        for key in left_behind:
            self.abandon(key)
        self._sweep_at = now + patience


def _books(invite: InviteServerTransaction[DestinationT]) -> tuple[int, float | None]:
    """What we keep books of: the bytes that an INVITE transaction keeps to send again, and its next deadline."""
    return (0 if invite.response is None else len(invite.response)), invite.next_deadline()


def _outcome(action: Action, response: bytes | None) -> Receipt | bytes:
    """What the caller is told about a message that belongs to a transaction already known."""
    if action is Action.RESEND and response is not None:
        return response
    return Receipt.NEW if action is Action.PASS else Receipt.ABSORBED
