"""Requests under way over UDP: sent, matched to their answers by the number in the branch, counted, given up after a second.

Two ways to send: `saturate` keeps a window of requests outstanding, which measures what a request costs; `pace` sends at a given
rate whether answers come or not, which measures how long an answer takes.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Callable, Sequence
from select import select
from time import perf_counter_ns
from typing import Final

from sipreg_cli.bench.messages import BRANCH, NUMBER_WIDTH

LOSS_NS: Final = 1_000_000_000
"""A request that has no answer after this long is lost; its place in the window is used again."""

MAX_UNDER_WAY: Final = 8192
"""Requests that `pace` lets pile up before it waits: above it the target has long been overrun, and the figures say so."""

_RECEIVED: Final = 4096
"""Bytes read of an answer: an answer with one contact has 700, and a larger buffer costs more than the read."""

_SWEEP_NS: Final = 50_000_000
_TICK_S: Final = 0.05
_QUIET_S: Final = 0.2
"""Without a late answer for this long, the target has worked off what it had queued."""

_SETTLE_NS: Final = 5_000_000_000
"""The longest time that late answers are waited for."""

Request = Callable[[int], tuple[int, bytes]]
"""From the number of a request to (index of the socket to send on, the datagram)."""


class Flight:
    """The requests of one run and what became of them."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        request: Request,
        expected: bytes,
        unusual: Callable[[int, bytes], bool],
        now: Callable[[], int] = perf_counter_ns,
    ) -> None:
        """Make ready to send.

        Args:
            sockets: connected and non-blocking.
            request: makes the datagram for a number.
            expected: what a good answer begins with.
            unusual: told of the number and the bytes of every other answer; True if it is in order all the same.
            now: nanoseconds that only go forward.
        """
        self.sockets = sockets
        self.outstanding: dict[int, int] = {}
        """Number to the time of sending, oldest first, because a dict keeps the order of insertion."""
        self.latencies_ns = array("q")
        self.sent = 0
        self.answered = 0
        self.lost = 0
        self.stray = 0
        """Answers to nothing that is under way: late, doubled, or not ours."""
        self.refused = 0
        """Sends or reads that the kernel refused, as it does where nobody listens; each such request ends up lost."""
        self.last_answer_ns = 0
        self._request = request
        self._expected = expected
        self._unusual = unusual
        self._now = now

    def send(self, number: int) -> None:
        """Send one request and remember when."""
        index, datagram = self._request(number)
        self.sent += 1
        self.outstanding[number] = self._now()
        try:
            self.sockets[index].send(datagram)
        except OSError:
            self.refused += 1

    def drain(self, sock: socket.socket) -> None:
        """Take every answer that waits in the socket."""
        receive, now, land, expected = sock.recv, self._now, self.outstanding.pop, self._expected
        latencies = self.latencies_ns
        try:
            while True:
                answer = receive(_RECEIVED)
                at = answer.find(BRANCH) + len(BRANCH)
                digits = answer[at : at + NUMBER_WIDTH]
                started = land(int(digits), None) if digits.isdigit() else None
                if started is None:
                    self.stray += 1
                    continue
                arrived = now()
                self.answered += 1
                self.last_answer_ns = arrived
                if answer.startswith(expected) or self._unusual(int(digits), answer):
                    latencies.append(arrived - started)
        except BlockingIOError:
            pass
        except OSError:
            self.refused += 1

    def wait(self, seconds: float) -> None:
        """Wait for answers, at most this long, and take them."""
        ready, _, _ = select(self.sockets, (), (), seconds)
        for sock in ready:
            self.drain(sock)

    def give_up(self) -> None:
        """Count as lost what was sent more than `LOSS_NS` ago."""
        limit = self._now() - LOSS_NS
        while self.outstanding:
            oldest = next(iter(self.outstanding))
            if self.outstanding[oldest] > limit:
                return
            del self.outstanding[oldest]
            self.lost += 1

    def land(self) -> None:
        """Wait until nothing is under way any more: at most `LOSS_NS`, and if something was lost, until late answers cease as well.

        A target that was overrun works off what it has queued; that is part of this run, and must not weigh on the next one.
        """
        while self.outstanding:
            self.wait(_TICK_S)
            self.give_up()
        stop, seen = self._now() + _SETTLE_NS, -1
        while self.lost and self.stray > seen and self._now() < stop:
            seen = self.stray
            self.wait(_QUIET_S)


def saturate(flight: Flight, numbers: range, window: int, seconds: float) -> None:
    """Send these numbers with ``window`` of them outstanding at any time; stop after ``seconds``."""
    start = swept = perf_counter_ns()
    stop = start + int(seconds * 1e9)
    number, end, send, outstanding = numbers.start, numbers.stop, flight.send, flight.outstanding
    while number < end:
        now = perf_counter_ns()
        if now > stop:
            break
        if now - swept > _SWEEP_NS:
            flight.give_up()
            swept = now
        last = min(end, number + window - len(outstanding))
        while number < last:
            send(number)
            number += 1
        flight.wait(_TICK_S)
    flight.land()


def pace(flight: Flight, numbers: range, rate: float, seconds: float) -> None:
    """Send these numbers at ``rate`` a second, each at its own instant; stop after ``seconds``."""
    start = swept = perf_counter_ns()
    stop = start + int(seconds * 1e9)
    gap = 1e9 / rate
    number, end, send, outstanding = numbers.start, numbers.stop, flight.send, flight.outstanding
    while number < end:
        now = perf_counter_ns()
        if now > stop:
            break
        if now - swept > _SWEEP_NS:
            flight.give_up()
            swept = now
        due = min(end, numbers.start + 1 + int((now - start) / gap))
        while number < due and len(outstanding) < MAX_UNDER_WAY:
            send(number)
            number += 1
        next_at = start + (number - numbers.start) * gap
        flight.wait(min(_TICK_S, max(0.0, (next_at - perf_counter_ns()) / 1e9)))
    flight.land()
