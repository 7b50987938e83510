"""From bytes to whoever answers them, and from every outcome to its response: the one place where errors become SIP.

All of it runs in the callback that read the bytes; the answer follows in the same one, or in that of the store's reply.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sip_edge.flow import Flow
from sip_edge.metrics import Metrics
from sipreg.clock import Clock
from sipreg.errors import (
    BadExtension,
    BadMessage,
    InternalFault,
    MethodNotAllowed,
    RequestRefused,
    SipregError,
    StoreUnavailable,
    TooManyHops,
)
from sipreg.message.model import Request
from sipreg.message.parser import BadRequest, parse_message
from sipreg.message.via import Via, stamped
from sipreg.message.writer import REASONS, header_line, response_bytes, response_head
from sipreg.registrar.registration import Arrival
from sipreg.registrar.service import Accepted, Answer, Outcome, Registrar
from sipreg.tokens import TokenSource
from sipreg.transaction.key import is_unique, legacy_key, server_key
from sipreg.transaction.layer import Receipt, ServerTransactions

logger = logging.getLogger("sipreg.edge")

_HOPS: Final = frozenset(map(str, range(1, 256)))
"""Max-Forwards as it stands where some are left (RFC 3261 §20.22)."""

_NEW: Final = Receipt.NEW
"""Named once, as the class of an enumeration takes its time on Python 3.11."""

ALLOW: Final = "REGISTER, OPTIONS"
STORE_RETRY_AFTER_S: Final = 5
"""Retry-After where the store is unavailable and no `retry_after` is set: about the time that a failover takes."""


KEEP_ALIVE: Final = b"\r\n\0"
"""What a datagram that only keeps a NAT binding alive is made of (RFC 5626 §4.4, and what older phones send)."""

Destination = tuple[Flow, str, int]
"""Where an answer goes: flow, address, port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherParts:
    """What a dispatcher is made of."""

    registrar: Registrar
    transactions: ServerTransactions[Destination]
    metrics: Metrics
    clock: Clock
    tokens: TokenSource
    node_id: str


class Dispatcher:
    """Takes what the transports read; sends every answer."""

    __slots__ = ("_clock", "_registers", "_tokens", "_transactions", "metrics", "node_id", "pending", "registrar")

    def __init__(self, parts: DispatcherParts) -> None:
        self.registrar = parts.registrar
        self.metrics = parts.metrics
        self.node_id = parts.node_id
        self._transactions = parts.transactions
        self._clock = parts.clock
        self._tokens = parts.tokens
        self._registers: list[tuple[Request, Arrival, Answer]] = []
        """REGISTERs of the batch at hand."""
        self.pending = 0
        """Requests that are not answered yet."""

    def receive(self, data: bytes, flow: Flow, host: str, port: int) -> None:
        """Take one message; never raises, whatever the bytes.

        Args:
            data: a datagram, or one framed message of a stream.
            flow: where its answer goes.
            host: address that it came from, IPv6 without brackets.
            port: port that it came from.
        """
        self.receive_batch([(data, (host, port))], flow)

    def receive_batch(self, batch: Sequence[tuple[bytes, tuple[str, int]]], flow: Flow) -> None:
        """Take several datagrams with their sources; they go through each stage together, which is kinder to the processor's caches."""
        parsed = [self._parsed(data) for data, _ in batch]
        for message, (_, source) in zip(parsed, batch, strict=True):
            if message is not None:
                self._received(message, flow, source[0], source[1])
        if self._registers:
            registers, self._registers = self._registers, []
            try:
                self.registrar.register_batch(registers)
            except Exception:
                self.metrics.counters["internal_errors"] += 1
                logger.exception("requests failed: count=%d", len(registers))

    def _parsed(self, data: bytes) -> Request | BadRequest | None:
        """Parse a message; None where nobody can be answered."""
        try:
            message = parse_message(data)
        except BadRequest as bad:
            return bad
        except BadMessage:
            if data.strip(KEEP_ALIVE):
                self.metrics.counters["unparsable_messages"] += 1
            return None
        if isinstance(message, Request):
            return message
        self.metrics.counters["responses_received"] += 1
        return None

    def _received(self, parsed: Request | BadRequest, flow: Flow, host: str, port: int) -> None:
        message, refusal = (parsed.request, parsed) if isinstance(parsed, BadRequest) else (parsed, None)
        try:
            self._request(message, refusal, flow, host, port)
        except BadMessage:
            # Without its Via, From, To, Call-ID and CSeq a request cannot even be refused (RFC 3261 §8.2.6).
            self.metrics.counters["unparsable_messages"] += 1
        except Exception:
            self.metrics.counters["internal_errors"] += 1
            logger.exception("request failed: method=%s source=%s:%s", message.method[:32], host, port)

    def _request(self, request: Request, refusal: BadMessage | None, flow: Flow, host: str, port: int) -> None:
        via, via_text = request.top_via
        key = _transaction_key(request, via, host)
        now = self._clock.now()
        receipt = self._transactions.receive(key, request.method, now)
        if receipt is not _NEW:
            self._known(request, via, receipt, flow, host, port)
            return
        if request.method == "ACK":
            return
        self.metrics.request(flow.transport, request.method)
        try:
            head = response_head(request, self._tokens.token32(), stamped(via_text, via, host, port))
        except BadMessage:
            self._transactions.abandon(key)
            raise
        exchange = _Exchange(self, request.method, flow, host, port if via.rport is not None else via.reply_port, key, head, now)
        self.pending += 1
        flow.pending += 1
        try:
            if refusal is not None:
                raise refusal
            self._check(request)
            self._dispatch(request, flow, host, port, exchange)
        except SipregError as error:
            exchange.answer(error)
        except Exception:
            exchange.fail()
            raise

    def _known(self, request: Request, via: Via, receipt: Receipt | bytes, flow: Flow, host: str, port: int) -> None:
        """See to a request that is no new one, or that there is no room for."""
        if receipt is Receipt.OVERLOAD:
            via_text = request.top_via[1]
            head = response_head(request, self._tokens.token32(), stamped(via_text, via, host, port))
            extra = header_line("Retry-After", str(STORE_RETRY_AFTER_S))
            receipt = response_bytes(503, "Overloaded", head, extra)
            self.metrics.request(flow.transport, request.method)
            self.metrics.response(request.method, 503, 0.0)
        else:
            self.metrics.counters["retransmissions"] += 1
        if isinstance(receipt, bytes):
            flow.send(receipt, host, port if via.rport is not None else via.reply_port)

    def _check(self, request: Request) -> None:
        """Check what is the same for every method (RFC 3261 §8.2, §16.3)."""
        if request.cseq.method != request.method:
            raise BadMessage("CSeq names another method")
        first = request.headers.first
        if first.get("max-forwards") not in _HOPS and request.max_forwards == 0 and request.method != "OPTIONS":
            raise TooManyHops("Too many hops")
        if "require" in first:
            supported = self.registrar.option_tags
            unsupported = tuple(tag for tag in request.option_tags("require") if tag not in supported)
            if unsupported:
                raise BadExtension(unsupported)

    def _dispatch(self, request: Request, flow: Flow, host: str, port: int, exchange: _Exchange) -> None:
        if request.method == "REGISTER":
            arrival = Arrival(self._clock.now_ms(), host, port, flow.socket_name, self.node_id, flow.name)
            self._registers.append((request, arrival, exchange.answer))
        elif request.method == "OPTIONS":
            extra = header_line("Allow", ALLOW) + header_line("Accept", "application/sdp")
            # An empty Supported would say the same as none, and some clients stumble over it.
            if supported := ", ".join(sorted(self.registrar.option_tags)):
                extra += header_line("Supported", supported)
            exchange.respond(200, "OK", extra)
        elif request.method == "CANCEL":
            # §9.2: nothing that could be cancelled is ever pending here.
            exchange.respond(481, REASONS[481])
        else:
            raise MethodNotAllowed("Method Not Allowed", (("Allow", ALLOW),))

    def finish(self, exchange: _Exchange, status: int, response: bytes) -> None:
        """Send the final answer of an exchange, unless it has had one."""
        now = self._clock.now()
        flow = exchange.flow
        self.pending -= 1
        flow.pending -= 1
        if self._transactions.respond(exchange.key, response, status, flow.reliable, now, (flow, exchange.host, exchange.port)):
            flow.send(response, exchange.host, exchange.port)
        self.metrics.response(exchange.method, status, now - exchange.started)

    def note_fault(self, fault: InternalFault) -> None:
        """Count and log a fault of ours that the peer hears of as 500."""
        self.metrics.counters["internal_errors"] += 1
        logger.error("request failed", exc_info=fault)

    def abandon(self, exchange: _Exchange) -> None:
        """Forget an exchange that failed for a fault of ours: a retransmission gets another try."""
        self.pending -= 1
        exchange.flow.pending -= 1
        self._transactions.abandon(exchange.key)

    def next_deadline(self) -> float | None:
        """Return when `advance` wants to be called, in monotonic seconds; None for never."""
        return self._transactions.next_deadline()

    def advance(self) -> None:
        """Send again what is due to be sent again."""
        for resend in self._transactions.advance(self._clock.now()):
            if resend.destination is not None:
                flow, host, port = resend.destination
                flow.send(resend.response, host, port)

    def gauges(self) -> dict[str, float]:
        """Return how much is kept at present."""
        return {"transactions_live": self._transactions.live, "transactions_answered": self._transactions.answered}


def _transaction_key(request: Request, via: Via, source: str) -> str:
    if is_unique(via.branch):
        return server_key(request.method, via.branch, f"{via.host}:{via.port}", source)
    cseq = request.cseq
    return legacy_key(
        method=request.method,
        request_uri=request.uri_text,
        to_tag=request.to.tag or "",
        from_tag=request.from_.tag or "",
        call_id=request.call_id,
        cseq=cseq.number,
        top_via=request.top_via[1],
        source=source,
    )


class _Exchange:
    """A request that waits for its answer."""

    __slots__ = ("_dispatcher", "_head", "flow", "host", "key", "method", "port", "started")

    def __init__(self, dispatcher: Dispatcher, method: str, flow: Flow, host: str, port: int, key: str, head: str, started: float) -> None:
        self._dispatcher = dispatcher
        self._head = head
        self.method = method
        self.flow = flow
        self.host = host
        self.port = port
        self.key = key
        self.started = started

    def answer(self, outcome: Outcome) -> None:
        """Answer with what became of the request."""
        if isinstance(outcome, Accepted):
            self.respond(200, "OK", outcome.headers)
        elif isinstance(outcome, RequestRefused):
            self._refuse(outcome)
        else:
            if isinstance(outcome, InternalFault):
                self._dispatcher.note_fault(outcome)
            retry_after = self._dispatcher.registrar.parameters.retry_after or STORE_RETRY_AFTER_S
            status, reason = (
                (outcome.status, "Location store unavailable") if isinstance(outcome, StoreUnavailable) else (500, REASONS[500])
            )
            self.respond(status, reason, header_line("Retry-After", str(retry_after)))

    def _refuse(self, refusal: RequestRefused) -> None:
        extra = "".join(header_line(name, value) for name, value in refusal.headers)
        if self.method == "REGISTER" and refusal.status != 401:
            # The specification's place for the reason (rule ERR-1); the phrase says the same to whoever reads that.
            extra += header_line("P-Registrar-Error", refusal.reason)
        self.respond(refusal.status, refusal.reason, extra)

    def respond(self, status: int, reason: str, extra: str = "") -> None:
        """Send the final answer.

        Args:
            status: status code.
            reason: reason phrase.
            extra: further header lines, each with its end.
        """
        self._dispatcher.finish(self, status, response_bytes(status, reason, self._head, extra))

    def fail(self) -> None:
        """Give up for a fault of ours."""
        self._dispatcher.abandon(self)
