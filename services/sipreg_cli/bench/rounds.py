"""The order of a bench: everything prepared, then all modes and the floor in turn, round by round.

In turn, because the machine has slow minutes: what is compared must share them. Each round starts with another mode, so that none always
follows the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sipreg_cli.bench.children import BenchFailed
from sipreg_cli.bench.generator import Mode, Order, Outcome
from sipreg_cli.bench.measure import calibrate, cpu_ns, pinned, waited_ns
from sipreg_cli.bench.report import Sample
from sipreg_cli.bench.stage import GeneratorProcess, Store

PACED_S: Final = 3.0
"""How long a run at a given rate lasts at most: 30,000 answers at 10,000 a second show a p99 well enough."""

_PREPARING_WINDOW: Final = 32
_PREPARED: Final = 0.99
"""Part of the phones that must have been answered before a measurement means anything; the rest are losses that a turn mends."""

_WORTH_SAYING: Final = 0.1
"""Part of a run in which others had the CPU, above which the line of the run says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much to measure."""

    requests: int
    """Per run, at most."""
    seconds: float
    """Per run, at most."""
    window: int
    rounds: int
    rate: float
    """Of the paced runs; 0 leaves them out."""


class Entry(NamedTuple):
    """One line of the table: who is asked for what."""

    name: str
    mode: Mode
    generator: GeneratorProcess
    pids: Sequence[int]


def prepare(generator: GeneratorProcess, mode: Mode) -> Outcome:
    """Have every phone of a generator do one thing: learn a nonce (`Mode.CHALLENGE`), or register.

    Raises:
        BenchFailed: too many were not answered as they should have been.
    """
    aors = generator.setup.aors
    seconds = 30.0 + aors / 1000
    outcome = generator.run(Order(mode=mode, requests=aors, seconds=seconds, window=min(_PREPARING_WINDOW, aors)))
    good = outcome.answered - outcome.unexpected - outcome.challenged
    if good < aors * _PREPARED:
        raise BenchFailed(f"only {good} of {aors} phones got through `{mode}`; first trouble: {outcome.example or 'no answer'}")
    return outcome


def run_rounds(entries: Sequence[Entry], amount: Amount, store: Store, cpus: Sequence[int], say: Callable[[str], None]) -> list[Sample]:
    """Measure all entries, `Amount.rounds` times; ``cpus`` are those of what is measured, ``say`` is told of each run."""
    samples = []
    for turn in range(amount.rounds):
        start = turn % len(entries)
        for entry in [*entries[start:], *entries[:start]]:
            for order in orders(entry.mode, amount):
                sample = measure(entry, order, turn + 1, store, cpus)
                samples.append(sample)
                say(_line(sample, amount.rounds))
            if entry.mode is Mode.REGISTER:
                _forget(entry, amount)
    return samples


def orders(mode: Mode, amount: Amount) -> list[Order]:
    """Return the saturated run and, if a rate is given, the paced one."""
    window = min(amount.window, amount.requests)
    found = [Order(mode=mode, requests=amount.requests, seconds=amount.seconds, window=window)]
    if amount.rate:
        requests = min(amount.requests, max(1, int(amount.rate * PACED_S)))
        found.append(Order(mode=mode, requests=requests, seconds=min(amount.seconds, PACED_S + 1), rate=amount.rate))
    return found


def measure(entry: Entry, order: Order, turn: int, store: Store, cpus: Sequence[int]) -> Sample:
    """Carry out one order and read the clocks around it."""
    with pinned(cpus):
        before = calibrate()
    edge, waited, kept = cpu_ns(entry.pids), waited_ns(entry.pids), store.cpu_ns()
    outcome = entry.generator.run(order)
    edge, waited, after = cpu_ns(entry.pids) - edge, waited_ns(entry.pids) - waited, store.cpu_ns()
    with pinned(cpus):
        calibration = (before + calibrate()) / 2
    return Sample(
        mode=entry.name,
        round=turn,
        rate=order.rate,
        sent=outcome.sent,
        answered=outcome.answered,
        lost=outcome.lost,
        late=outcome.stray,
        challenged=outcome.challenged,
        unexpected=outcome.unexpected,
        example=outcome.example,
        elapsed_s=outcome.elapsed_s,
        edge_ns=edge,
        waited_ns=waited,
        store_ns=None if kept is None or after is None else after - kept,
        generator_ns=int(outcome.cpu_s * 1e9),
        calibration_ns=calibration,
        p50_us=outcome.p50_us,
        p90_us=outcome.p90_us,
        p99_us=outcome.p99_us,
        max_us=outcome.max_us,
    )


def _forget(entry: Entry, amount: Amount) -> None:
    """Remove what a run of first registrations made, so that every round meets a store of the same size."""
    seconds = 30.0 + amount.requests / 1000
    entry.generator.run(Order(mode=Mode.FORGET, requests=0, seconds=seconds, window=_PREPARING_WINDOW))


def _line(sample: Sample, rounds: int) -> str:
    kind = f"{sample.rate:,.0f}/s" if sample.rate else "saturated"
    store = "" if sample.store_us is None else f", store {sample.store_us:.1f} µs"
    disturbed = f", disturbed {sample.disturbed:.0%}" if sample.disturbed > _WORTH_SAYING else ""
    trouble = f", {sample.lost} lost, {sample.unexpected} unexpected" if sample.lost or sample.unexpected else ""
    return (
        f"round {sample.round}/{rounds} {sample.mode:<15}{kind:<10} {sample.per_second:>8,.0f}/s  CPU {sample.edge_us:.1f} µs{store}, "
        f"p50 {sample.p50_us / 1000:.2f} ms, p99 {sample.p99_us / 1000:.2f} ms{disturbed}{trouble}"
    )
