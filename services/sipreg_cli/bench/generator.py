"""The load generator: a process of its own, told what to do by lines of JSON, and ended by the end of its input.

Run as ``python -m sipreg_cli.bench.generator``. The first line is a `Setup`, every further one an `Order`, each answered by one
`Outcome`. It remembers its phones from order to order: CSeq, nonce and nonce count.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, TextIO

from sipreg_cli.bench.flight import Flight, Request, pace, saturate
from sipreg_cli.bench.messages import Account, Challenge, Templates, challenge_in

_BUFFER: Final = 4 << 20
"""Bytes asked of the kernel for each socket's queues, so that a burst of answers is not dropped on our side."""

_EXAMPLE: Final = 300
"""Characters kept of the first answer that was not expected."""

_FRESH: Final = 1_000_000_000
"""First user number of the phones that a `register` run makes: far above those that are remembered."""


class Mode(StrEnum):
    """What one run sends."""

    OPTIONS = "options"
    REGISTER = "register"
    """First registrations: every request another AoR."""
    REFRESH = "refresh"
    """The remembered phones in turn: same Call-ID and contact, CSeq rising."""
    REFRESH_DIGEST = "refresh-digest"
    """The same with an Authorization for the nonce of each phone."""
    FETCH = "fetch"
    """REGISTER without Contact."""
    CHALLENGE = "challenge"
    """REGISTER without credentials, to learn a nonce for every phone."""
    FORGET = "forget"
    """Remove what the `register` runs made."""
    LEAVE = "leave"
    """Remove the remembered phones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Whom to ask and as whom; stays for the life of the process."""

    host: str
    port: int
    namespace: str
    """Begins every user name, so that two runs never share an AoR."""
    aors: int
    domain: str = "bench.example"
    sources: int = 1
    """Sockets, so source ports: a server with several workers spreads by them."""
    expires: int = 600
    """Seconds that each contact asks for."""
    algorithm: str = "MD5"
    password: str = ""
    echo: bool = False
    """The target sends back what it gets, as a floor does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run."""

    mode: Mode
    requests: int
    """At most so many."""
    seconds: float = 10.0
    """At most so long, and one second more for what is under way."""
    window: int = 64
    """Requests outstanding at any time, where ``rate`` is 0."""
    rate: float = 0.0
    """Requests a second, whether answers come or not."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one run."""

    sent: int = 0
    answered: int = 0
    lost: int = 0
    """Without an answer for a second."""
    stray: int = 0
    """Answers to nothing under way."""
    challenged: int = 0
    """Answered 401 with ``stale=true``, or to a phone without a nonce yet: it takes the new one for its next turn."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Answers that were not 200, by status."""
    example: str = ""
    """The first of them."""
    elapsed_s: float = 0.0
    """From the first request to the last answer."""
    cpu_s: float = 0.0
    """CPU time of the generator."""
    p50_us: float = 0.0
    p90_us: float = 0.0
    p99_us: float = 0.0
    max_us: float = 0.0

    @property
    def unexpected(self) -> int:
        """Answers that were not what a run of this mode should get."""
        return sum(self.statuses.values())


class Generator:
    """The phones of one process and the sockets that they share."""

    def __init__(self, setup: Setup) -> None:
        """Open the sockets; raises OSError where the target's address cannot be used."""
        self._setup = setup
        self._sockets = [_connected(setup.host, setup.port) for _ in range(setup.sources)]
        self._templates = [Templates(setup.namespace, setup.domain, *_own_address(sock)) for sock in self._sockets]
        self._uri = f"sip:{setup.domain}"
        self._cseq = array("L", bytes(array("L").itemsize * setup.aors))
        self._accounts: dict[int, Account] = {}
        self._next = 1
        self._fresh: list[int] = []
        self._first = 0
        self._outcome = Outcome()
        self._mode = Mode.OPTIONS

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets:
            sock.close()

    def run(self, order: Order) -> Outcome:
        """Send what is ordered; returns after at most ``order.seconds`` and one second more."""
        count = {Mode.FORGET: len(self._fresh), Mode.LEAVE: self._setup.aors, Mode.CHALLENGE: self._setup.aors}.get(order.mode)
        numbers = range(self._next, self._next + (order.requests if count is None else count))
        self._next = numbers.stop
        self._first, self._mode, self._outcome = numbers.start, order.mode, Outcome()
        flight = Flight(self._sockets, self._request_of(order.mode), self._expected(order.mode), self._unusual)
        begun, cpu = time.perf_counter_ns(), time.process_time_ns()
        if order.rate:
            pace(flight, numbers, order.rate, order.seconds)
        else:
            saturate(flight, numbers, order.window, order.seconds)
        cpu = time.process_time_ns() - cpu
        if order.mode is Mode.REGISTER:
            self._fresh += range(numbers.start, numbers.start + flight.sent)
        elif order.mode is Mode.FORGET:
            self._fresh = []
        return self._told(flight, begun, cpu)

    def _expected(self, mode: Mode) -> bytes:
        """Return what a good answer begins with; an empty challenge cannot be one, so that each goes through `_unusual`."""
        if self._setup.echo:
            return b"REGISTER "
        return b"SIP/2.0 401 \r\n" if mode is Mode.CHALLENGE else b"SIP/2.0 200 "

    def _told(self, flight: Flight, begun: int, cpu: int) -> Outcome:
        outcome = self._outcome
        outcome.sent, outcome.answered, outcome.lost, outcome.stray = flight.sent, flight.answered, flight.lost, flight.stray
        outcome.elapsed_s = max(0, flight.last_answer_ns - begun) / 1e9
        outcome.cpu_s = cpu / 1e9
        if flight.refused and not flight.answered:
            outcome.example = f"nothing listens at udp:{self._setup.host}:{self._setup.port}"
        outcome.p50_us, outcome.p90_us, outcome.p99_us, outcome.max_us = percentiles(flight.latencies_ns)
        return outcome

    def _request_of(self, mode: Mode) -> Request:
        """Return what makes the requests of a mode; it is called for each request, so it does only what its mode needs."""
        aors, many, templates, cseqs, accounts = self._setup.aors, len(self._sockets), self._templates, self._cseq, self._accounts
        expires = 0 if mode in (Mode.LEAVE, Mode.FORGET) else self._setup.expires
        fresh, first = self._fresh, self._first

        def plain(number: int) -> tuple[int, bytes]:
            aor = number % aors
            cseqs[aor] = cseq = cseqs[aor] + 1
            return aor % many, templates[aor % many].register(number, b"%010d" % aor, cseq, expires)

        def authorized(number: int) -> tuple[int, bytes]:
            aor = number % aors
            account = accounts.get(aor)
            if account is None:
                return plain(number)
            cseqs[aor] = cseq = cseqs[aor] + 1
            return aor % many, templates[aor % many].authorized(number, b"%010d" % aor, cseq, expires, account.credentials())

        def register(number: int) -> tuple[int, bytes]:
            return number % many, templates[number % many].register(number, b"%010d" % (_FRESH + number), 1, expires)

        def forget(number: int) -> tuple[int, bytes]:
            born = fresh[number - first]
            return born % many, templates[born % many].register(number, b"%010d" % (_FRESH + born), 2, expires)

        def fetch(number: int) -> tuple[int, bytes]:
            aor = number % aors
            cseqs[aor] = cseq = cseqs[aor] + 1
            return aor % many, templates[aor % many].fetch(number, b"%010d" % aor, cseq)

        def options(number: int) -> tuple[int, bytes]:
            return number % many, templates[number % many].options(number, b"%010d" % (number % aors))

        makers: dict[Mode, Request] = {
            Mode.OPTIONS: options,
            Mode.REGISTER: register,
            Mode.REFRESH: plain,
            Mode.REFRESH_DIGEST: authorized,
            Mode.FETCH: fetch,
            Mode.CHALLENGE: plain,
            Mode.FORGET: forget,
            Mode.LEAVE: authorized,
        }
        return makers[mode]

    def _unusual(self, number: int, answer: bytes) -> bool:
        """Judge an answer that is not 200; True for the challenge that was asked for."""
        challenge = challenge_in(answer, self._setup.algorithm) if answer.startswith(b"SIP/2.0 401 ") else None
        if challenge is not None:
            aor = number % self._setup.aors
            if self._mode is Mode.CHALLENGE:
                self._accept(aor, challenge)
                return True
            if self._mode in (Mode.REFRESH_DIGEST, Mode.LEAVE) and (challenge.stale or aor not in self._accounts):
                self._accept(aor, challenge)
                self._outcome.challenged += 1
                return False
        status = answer[8:11].decode("ascii", "replace")
        self._outcome.statuses[status] = self._outcome.statuses.get(status, 0) + 1
        self._outcome.example = self._outcome.example or answer.decode("utf-8", "replace")[:_EXAMPLE]
        return False

    def _accept(self, aor: int, challenge: Challenge) -> None:
        user = f"{self._setup.namespace}{aor:010d}"
        self._accounts[aor] = Account(challenge, user, self._setup.password, self._uri)


def percentiles(latencies_ns: Sequence[int]) -> tuple[float, float, float, float]:
    """Return (p50, p90, p99, greatest) in microseconds; noughts where there is nothing."""
    if not latencies_ns:
        return 0.0, 0.0, 0.0, 0.0
    ordered = sorted(latencies_ns)
    last = len(ordered) - 1
    half, most, nearly, full = (ordered[min(last, int(len(ordered) * part))] / 1000 for part in (0.5, 0.9, 0.99, 1.0))
    return half, most, nearly, full


def _connected(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    sock.connect(address)
    sock.setblocking(False)
    return sock


def _own_address(sock: socket.socket) -> tuple[str, int]:
    host, port = sock.getsockname()[:2]
    return (f"[{host}]" if sock.family is socket.AF_INET6 else host), port


def serve(orders: TextIO, outcomes: TextIO) -> None:
    """Do what each line of ``orders`` says, until they end."""
    generator = Generator(Setup(**json.loads(orders.readline())))
    try:
        for line in orders:
            fields: dict[str, Any] = json.loads(line)
            outcome = generator.run(Order(**{**fields, "mode": Mode(fields["mode"])}))
            outcomes.write(json.dumps(asdict(outcome)) + "\n")
            outcomes.flush()
    finally:
        generator.close()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
