"""What is counted: plain integers on the way, made into Prometheus metrics when somebody asks.

Labels are small closed sets. Workers hand their figures to the process that serves /metrics as plain data, and it adds them up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

METHODS = frozenset({"REGISTER", "OPTIONS", "INVITE", "ACK", "BYE", "CANCEL", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH"})
"""Methods with a label of their own; a peer's inventions share ``OTHER``."""

LATENCY_BOUNDS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Figures(msgspec.Struct):
    """The figures of one worker, or of several added up."""

    requests: dict[str, int] = msgspec.field(default_factory=dict)
    """By ``transport method``."""
    responses: dict[str, int] = msgspec.field(default_factory=dict)
    """By ``method status``."""
    counters: dict[str, int] = msgspec.field(default_factory=dict)
    """By name, without ``sipreg_`` and ``_total``."""
    gauges: dict[str, float] = msgspec.field(default_factory=dict)
    latency: list[int] = msgspec.field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    """Requests by the bound that their time to the final answer is under."""
    latency_sum_s: float = 0.0

    def add(self, other: Figures) -> None:
        """Add another worker's figures."""
        for mine, theirs in ((self.requests, other.requests), (self.responses, other.responses), (self.counters, other.counters)):
            for key, value in theirs.items():
                mine[key] = mine.get(key, 0) + value
        for key, level in other.gauges.items():
            self.gauges[key] = self.gauges.get(key, 0) + level
        self.latency = [a + b for a, b in zip(self.latency, other.latency, strict=True)]
        self.latency_sum_s += other.latency_sum_s


class Metrics:
    """The counters of this worker, cheap to raise."""

    __slots__ = ("_latency", "_latency_sum_s", "_requests", "_responses", "counters")

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], int] = {}
        self._responses: dict[tuple[str, int], int] = {}
        self._latency = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._latency_sum_s = 0.0
        self.counters = {
            "unparsable_messages": 0,
            "retransmissions": 0,
            "responses_received": 0,
            "send_errors": 0,
            "connections_refused": 0,
            "internal_errors": 0,
        }

    def request(self, transport: str, method: str) -> None:
        """Count a request that is new."""
        key = (transport, method if method in METHODS else "OTHER")
        try:
            self._requests[key] += 1
        except KeyError:
            self._requests[key] = 1

    def response(self, method: str, status: int, seconds: float) -> None:
        """Count a final answer and the time that it took, in seconds."""
        key = (method if method in METHODS else "OTHER", status)
        try:
            self._responses[key] += 1
        except KeyError:
            self._responses[key] = 1
        self._latency[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self._latency_sum_s += seconds

    def figures(self, counters: dict[str, int], gauges: dict[str, float]) -> Figures:
        """Return all figures so far, with those that others keep."""
        return Figures(
            requests={f"{transport} {method}": count for (transport, method), count in self._requests.items()},
            responses={f"{method} {status}": count for (method, status), count in self._responses.items()},
            counters={**self.counters, **counters},
            gauges=gauges,
            latency=list(self._latency),
            latency_sum_s=self._latency_sum_s,
        )


class _FiguresCollector(Collector):
    """Figures as Prometheus metrics."""

    def __init__(self, figures: Figures, constants: dict[str, float]) -> None:
        self._figures = figures
        self._constants = constants

    def collect(self) -> Iterable[Metric]:
        figures = self._figures
        requests = CounterMetricFamily("sipreg_requests", "SIP requests received, without retransmissions.", labels=("transport", "method"))
        for key, count in figures.requests.items():
            requests.add_metric(key.split(" "), count)
        yield requests
        responses = CounterMetricFamily("sipreg_responses", "Final SIP responses sent.", labels=("method", "status"))
        for key, count in figures.responses.items():
            responses.add_metric(key.split(" "), count)
        yield responses
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, LATENCY_BOUNDS_S), "+Inf"], figures.latency, strict=True):
            total += count
            buckets.append((bound, total))
        yield HistogramMetricFamily(
            "sipreg_response_seconds", "Seconds from a request to its final response.", buckets=buckets, sum_value=figures.latency_sum_s
        )
        for name, count in figures.counters.items():
            yield CounterMetricFamily(f"sipreg_{name}", _HELP[name], value=count)
        for name, level in [*figures.gauges.items(), *self._constants.items()]:
            yield GaugeMetricFamily(f"sipreg_{name}", _HELP[name], value=level)


_HELP = {
    "unparsable_messages": "Messages that were no SIP.",
    "retransmissions": "Retransmitted requests that their transaction took care of.",
    "responses_received": "SIP responses that nobody waited for.",
    "send_errors": "Answers that the network refused to take.",
    "connections_refused": "Connections closed at once because there were too many.",
    "internal_errors": "Requests that failed for a fault of our own.",
    "registrar_accepted_regs": "REGISTERs that were accepted (accepted_regs).",
    "registrar_rejected_regs": "REGISTERs that were rejected (rejected_regs).",
    "transactions_live": "Server transactions that have no final answer yet.",
    "transactions_answered": "Answers that are kept for retransmissions.",
    "connections": "Open SIP connections.",
    "store_available": "Workers whose store answers.",
    "workers": "Worker processes that run.",
    "registrar_max_expires": "Setting registrar.max_expires, in seconds (max_expires).",
    "registrar_max_contacts": "Setting registrar.max_contacts (max_contacts).",
    "registrar_default_expires": "Setting registrar.default_expires, in seconds (defaults_expires).",
}


def render(figures: Figures, constants: dict[str, float]) -> bytes:
    """Return the text of /metrics.

    Args:
        figures: of all workers.
        constants: gauges that are the same for each of them, such as settings.
    """
    registry = CollectorRegistry()
    registry.register(_FiguresCollector(figures, constants))
    return generate_latest(registry)
