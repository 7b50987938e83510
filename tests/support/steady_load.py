"""A steady stream of REGISTERs by many phones through several edges, each answer kept; and a watch over the edges' probes meanwhile."""

from __future__ import annotations

import random
import selectors
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Final, Self

from sipreg.message.model import Response
from sipreg.message.parser import parse_message
from support.edges import DOMAIN, RunningEdge
from support.sip_client import Phone, SipClient, listed

UNANSWERED_S: Final = 5.0
"""After this long a request counts as never answered."""

_CHALLENGES: Final = 3
_TICK_S: Final = 0.05
_PROBE_S: Final = 0.1
_SHORTEST_S: Final = 600


class Kind(Enum):
    """What a phone asks for."""

    REFRESH = auto()
    FETCH = auto()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One request, and what became of it; times are monotonic seconds."""

    line: Line
    kind: Kind
    edge: int
    seconds: int
    """The interval that a refresh asked for; 0 for a fetch."""
    sent_at: float
    answered_at: float
    status: int
    """0 if no answer came."""
    retry_after: str | None
    contacts: dict[str, int]
    """What a 200 lists: URI to seconds left."""

    @property
    def latency_s(self) -> float:
        """How long it took."""
        return self.answered_at - self.sent_at

    def __str__(self) -> str:
        return f"{self.status} to {self.kind.name} of {self.line.phone.user} at edge {self.edge} after {self.latency_s:.3f} s"


@dataclass(kw_only=True, eq=False)
class Line:
    """One phone, which has one request under way at most (RFC 3261 §10.2)."""

    phone: Phone
    sent: dict[int, int] = field(default_factory=dict)
    """CSeq of each REGISTER with a Contact -> the seconds that it asked for, different from one to the next."""
    answered: int = 0
    """The last CSeq of these that was answered 200."""
    kind: Kind = Kind.REFRESH
    edge: int = 0
    sent_at: float = 0.0
    waits: bool = False
    challenges: int = 0

    @property
    def aor(self) -> str:
        """Its AoR."""
        return f"{self.phone.user}@{self.phone.domain}"

    def request(self) -> list[str]:
        """Return the lines of its next request."""
        if self.kind is Kind.FETCH:
            return self.phone.register(contacts=[], expires=None)
        seconds = _SHORTEST_S + (self.phone.cseq + 1) % 1000
        lines = self.phone.register(expires=seconds)
        self.sent[self.phone.cseq] = seconds
        return lines


class SteadyLoad:
    """Phones that register at first, then refresh and fetch at random, while new ones join; on a thread of its own while it is entered."""

    def __init__(self, edges: Sequence[RunningEdge], users: Sequence[str], newcomers: Sequence[str], password: str, rate: int) -> None:
        """Prepare it.

        Args:
            edges: each request goes to one of them at random.
            users: registered one after the other by `register_all`.
            newcomers: of whom one joins with every eighth request, as long as there are any.
            password: of all of them.
            rate: requests in a second.
        """
        self._edges = edges
        self._chance = random.Random(1)
        self._interval_s = 1 / rate
        self._clients: list[SipClient] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self._failure: BaseException | None = None
        self._newcomers = [self._line(user, password) for user in newcomers]
        self.lines = [self._line(user, password) for user in users]
        """The phones that take part, those that joined included."""
        self.answers: list[Answer] = []
        """All final answers but challenges, in order."""
        self._by_call_id = {line.phone.call_id: line for line in (*self.lines, *self._newcomers)}

    @staticmethod
    def _line(user: str, password: str) -> Line:
        return Line(phone=Phone(user=user, domain=DOMAIN, password=password))

    def register_all(self) -> None:
        """Register every user once, and demand a 200."""
        for line in self.lines:
            line.kind = Kind.REFRESH
            client = self._clients[line.edge]
            response = client.ask(line.request())
            if response.status == 401:
                line.phone.take_challenge(response)
                response = client.ask(line.request())
            assert response.status == 200, f"{line.aor}: {response.status}"
            line.answered = line.phone.cseq

    def __enter__(self) -> Self:
        self._clients = [edge.client() for edge in self._edges]
        self.register_all()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        for client in self._clients:
            client.socket.close()
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                for client in self._clients:
                    client.socket.setblocking(False)
                    selector.register(client.socket, selectors.EVENT_READ, client)
                self._serve(selector)
        except BaseException as error:  # noqa: BLE001 (it is raised again where the load is left)
            self._failure = error

    def _serve(self, selector: selectors.BaseSelector) -> None:
        due = time.monotonic()
        while not self._stop.is_set() or any(line.waits for line in self._by_call_id.values()):
            if time.monotonic() >= due and not self._stop.is_set():
                due += self._interval_s
                self._begin()
            for key, _ in selector.select(max(0.0, min(due - time.monotonic(), _TICK_S))):
                self._receive(key.data)
            self._give_up()

    def _begin(self) -> None:
        """Let one phone that has nothing under way ask for something."""
        chance = self._chance
        if self._newcomers and chance.random() < 1 / 8:
            line = self._newcomers.pop()
            self.lines.append(line)
        else:
            idle = [line for line in chance.sample(self.lines, min(len(self.lines), 20)) if not line.waits]
            if not idle:
                return
            line = idle[0]
        line.kind = Kind.FETCH if line.answered and chance.random() < 0.3 else Kind.REFRESH
        line.edge = chance.randrange(len(self._edges))
        line.challenges = 0
        line.sent_at = time.monotonic()
        self._send(line)

    def _send(self, line: Line) -> None:
        line.waits = True
        client = self._clients[line.edge]
        client.send(client.message(line.request()))

    def _receive(self, client: SipClient) -> None:
        while True:
            try:
                data = client.socket.recv(65536)
            except BlockingIOError:
                return
            response = parse_message(data)
            assert isinstance(response, Response)
            line = self._by_call_id[response.call_id]
            assert line.waits, f"a second answer: {data!r}"
            assert response.cseq.number == line.phone.cseq, f"the answer to something else: {data!r}"
            if response.status == 401 and line.challenges < _CHALLENGES:
                line.challenges += 1
                line.phone.take_challenge(response)
                self._send(line)
            else:
                self._finish(line, response)

    def _finish(self, line: Line, response: Response | None) -> None:
        line.waits = False
        status = 0 if response is None else response.status
        self.answers.append(
            Answer(
                line=line,
                kind=line.kind,
                edge=line.edge,
                seconds=line.sent.get(line.phone.cseq, 0),
                sent_at=line.sent_at,
                answered_at=time.monotonic(),
                status=status,
                retry_after=None if response is None else response.headers.get("retry-after"),
                contacts=listed(response) if response is not None and status == 200 else {},
            )
        )
        if status == 200 and line.kind is Kind.REFRESH:
            line.answered = line.phone.cseq

    def _give_up(self) -> None:
        late = time.monotonic() - UNANSWERED_S
        for line in self.lines:
            if line.waits and line.sent_at < late:
                self._finish(line, None)


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What an edge said of itself at one moment, in monotonic seconds."""

    at: float
    edge: int
    livez: int
    readyz: int


class ProbeWatch:
    """Asks every edge's probes ten times a second, on a thread of its own while it is entered."""

    def __init__(self, edges: Sequence[RunningEdge]) -> None:
        self._edges = edges
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probes")
        self.seen: list[Probed] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_PROBE_S):
            for number, edge in enumerate(self._edges):
                at = time.monotonic()
                self.seen.append(Probed(at=at, edge=number, livez=edge.get("/livez")[0], readyz=edge.get("/readyz")[0]))

    def ready(self, edge: int, begin: float, end: float) -> set[int]:
        """Return the statuses of an edge's /readyz between two moments."""
        return {probed.readyz for probed in self.seen if probed.edge == edge and begin <= probed.at < end}
