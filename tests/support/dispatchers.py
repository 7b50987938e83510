"""A dispatcher without sockets: what it is told comes from a test, what it says goes into a list."""

from __future__ import annotations

from collections.abc import Callable

from sip_edge.dispatcher import Destination, Dispatcher, DispatcherParts
from sip_edge.metrics import Metrics
from sipreg.message.model import Response
from sipreg.message.parser import parse_message
from sipreg.registrar.access import Domains
from sipreg.registrar.hooks import SaveHook
from sipreg.registrar.parameters import Parameters
from sipreg.registrar.ports import Change, CommitOutcome
from sipreg.registrar.service import Registrar, RegistrarParts
from sipreg.store.credentials import MemoryCredentials
from sipreg.store.memory_store import MemoryStore
from sipreg.transaction.layer import ServerTransactions
from sipreg.transaction.timers import Timers
from support.builders import FakeClock, FakeTokens

DOMAIN = "example.com"
PEER = ("192.0.2.1", 5060)


class RecordedFlow:
    """A flow that keeps what is sent on it."""

    socket_name = "udp:198.51.100.1:5060"
    name = ""

    def __init__(self, *, reliable: bool = False) -> None:
        self.reliable = reliable
        self.transport = "tcp" if reliable else "udp"
        self.pending = 0
        self.sent: list[tuple[bytes, str, int]] = []

    def send(self, data: bytes, host: str, port: int) -> None:
        """Keep it."""
        self.sent.append((data, host, port))

    def responses(self) -> list[Response]:
        """Return what was sent, parsed."""
        messages = [parse_message(data) for data, _, _ in self.sent]
        assert all(isinstance(message, Response) for message in messages)
        return [message for message in messages if isinstance(message, Response)]

    def statuses(self) -> list[int]:
        """Return the status of everything that was sent."""
        return [response.status for response in self.responses()]


class HeldStore(MemoryStore):
    """A store that keeps its answers to commits until it is told to give them, as one does that is far away."""

    __slots__ = ("held",)

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, FakeTokens())
        self.held: list[Callable[[], None]] = []

    def commit(self, change: Change, done: Callable[[CommitOutcome], None]) -> None:
        """Commit it later."""
        self.held.append(lambda: super(HeldStore, self).commit(change, done))

    def answer(self) -> None:
        """Give all answers."""
        held, self.held = self.held, []
        for commit in held:
            commit()


class Desk:
    """A dispatcher, its clock and its store, and one flow to it."""

    def __init__(self, *, max_live: int = 1000, reliable: bool = False, hooks: tuple[SaveHook, ...] = ()) -> None:
        self.clock = FakeClock()
        self.store = HeldStore(self.clock)
        self.flow = RecordedFlow(reliable=reliable)
        parts = RegistrarParts(
            store=self.store,
            credentials=MemoryCredentials(),
            digest=None,
            domains=Domains(names=frozenset({DOMAIN})),
            parameters=Parameters(),
            hooks=hooks,
        )
        transactions: ServerTransactions[Destination] = ServerTransactions(Timers(), max_live=max_live)
        self.metrics = Metrics()
        self.dispatcher = Dispatcher(
            DispatcherParts(
                registrar=Registrar(parts),
                transactions=transactions,
                metrics=self.metrics,
                clock=self.clock,
                tokens=FakeTokens(),
                node_id="node",
            )
        )

    def receive(self, *batch: bytes) -> None:
        """Let the flow bring something, all of it at once."""
        self.dispatcher.receive_batch([(data, PEER) for data in batch], self.flow)

    def responses_counted(self) -> int:
        """Return how many final answers were counted."""
        return sum(self.metrics.figures({}, {}).responses.values())


def a_request(method: str = "REGISTER", *extra: str, branch: str = "z9hG4bK1", via: str = "", cseq: str = "") -> bytes:
    """Return a request as a datagram; ``extra`` are further header lines."""
    lines = [
        f"{method} sip:{DOMAIN} SIP/2.0",
        via or f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport",
        f"From: <sip:alice@{DOMAIN}>;tag=1",
        f"To: <sip:alice@{DOMAIN}>",
        "Call-ID: call-1",
        f"CSeq: {cseq or f'1 {method}'}",
        "Max-Forwards: 70",
        *(["Contact: <sip:alice@192.0.2.1>"] if method == "REGISTER" else []),
        *extra,
        "Content-Length: 0",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
