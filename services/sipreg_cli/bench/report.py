"""From samples to a table that says what it was measured on, and whether the budget is met. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Final, NamedTuple

from sipreg_cli.bench.machine import Machine

ECHO: Final = "echo"
"""The name under which the floor is sampled."""

BUDGET_MODE: Final = "refresh-digest"
"""The budget is for a refresh of one contact with digest, state in Redis, saturated."""

BUDGET_RATE: Final = 10_000
"""Requests a second at which the budget limits the latency."""

MAX_EDGE_US: Final = 40.0
MAX_RATIO: Final = 6.0
MAX_STORE_US: Final = 16.0
MAX_P50_US: Final = 1000.0

_RATE_KEPT: Final = 0.95
"""Part of the ordered rate that must have been answered for a latency to be one at that rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one mode."""

    mode: str
    round: int
    rate: float
    """Requests a second that were ordered; 0 for a saturated run."""
    sent: int
    answered: int
    lost: int
    late: int
    """Answers that came after their request had been given up; they cost the edge as much as any other."""
    challenged: int
    unexpected: int
    """Answers that were not 200, challenges for a stale nonce aside."""
    example: str
    elapsed_s: float
    edge_ns: int
    """CPU time of what is measured, with its children."""
    waited_ns: int
    """How long what is measured was ready to run and had to wait, because its CPU was taken by others."""
    store_ns: int | None
    generator_ns: int
    calibration_ns: float
    """What a turn of the calibration loop took around the run; greater than 0."""
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float

    @property
    def edge_us(self) -> float:
        """CPU time of what is measured, in microseconds per answer."""
        return self._each(self.edge_ns)

    @property
    def store_us(self) -> float | None:
        """CPU time of the store, in microseconds per answer."""
        return None if self.store_ns is None else self._each(self.store_ns)

    @property
    def generator_us(self) -> float:
        """CPU time of the generator, in microseconds per answer."""
        return self._each(self.generator_ns)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.answered / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def busy(self) -> float:
        """CPUs that the measured processes kept busy; 1.0 is one worker saturated."""
        return self.edge_ns / 1e9 / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def disturbed(self) -> float:
        """Part of the time in which what is measured waited for its CPU; on a quiet machine next to nothing."""
        return self.waited_ns / 1e9 / self.elapsed_s if self.elapsed_s else 0.0

    def _each(self, nanoseconds: int) -> float:
        return nanoseconds / 1000 / (self.answered + self.late) if self.answered else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of one bench."""

    date: str
    """ISO 8601."""
    machine: Machine
    store: str
    settings: dict[str, str]
    """What was asked for, as name and value, in the order to show."""
    samples: tuple[Sample, ...] = field(default=())


class Verdict(NamedTuple):
    """One line of the budget."""

    what: str
    limit: float
    value: float | None
    """None: not measured."""
    unit: str

    @property
    def met(self) -> bool | None:
        """Whether the limit is kept; None if nothing was measured."""
        return None if self.value is None else self.value <= self.limit


def verdicts(report: Report) -> list[Verdict]:
    """Hold the samples against the budget.

    Times count at their least, the machine's fast state, for which the budget was set; the ratio to the echo of the same round at its
    median, because it holds in any state.
    """
    runs = [sample for sample in report.samples if sample.mode == BUDGET_MODE and not sample.rate and sample.answered]
    paced = [sample for sample in report.samples if sample.mode == BUDGET_MODE and sample.rate == BUDGET_RATE and _kept_up(sample)]
    ratios = _ratios(report, BUDGET_MODE)
    stores = [sample.store_us for sample in runs if sample.store_us is not None]
    return [
        Verdict("edge CPU per request", MAX_EDGE_US, min((sample.edge_us for sample in runs), default=None), "µs"),
        Verdict("edge CPU, times the echo's", MAX_RATIO, median(ratios) if ratios else None, "x"),
        Verdict("store CPU per request", MAX_STORE_US, min(stores, default=None), "µs"),
        Verdict(f"p50 at {BUDGET_RATE:,} requests a second", MAX_P50_US, min((sample.p50_us for sample in paced), default=None), "µs"),
    ]


def as_json(report: Report) -> str:
    """Return the report with every sample, for programs."""
    judged = [{**verdict._asdict(), "met": verdict.met} for verdict in verdicts(report)]
    return json.dumps({**asdict(report), "budget": judged}, indent=2, ensure_ascii=False) + "\n"


def as_markdown(report: Report) -> str:
    """Return the report as Markdown: the machine, the saturated runs, the paced runs, the budget, what went wrong."""
    parts = [_heading(report), _saturated(report), _paced(report), _budget(report), _troubles(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(report: Report) -> str:
    machine = report.machine
    build = "profile-guided build" if machine.optimised else "build without profile-guided optimisation"
    calibrations = [sample.calibration_ns for sample in report.samples]
    state = f"{min(calibrations):.0f} to {max(calibrations):.0f} ns a turn (greater is slower)" if calibrations else "not measured"
    lines = [
        f"Measured on {report.date}.",
        "",
        f"* Machine: {machine.cpu}, {machine.cores} CPUs, {machine.system}",
        f"* Python: {machine.python}, {build}; uvloop {machine.uvloop}, hiredis {machine.hiredis}",
        f"* Store: {report.store}",
        f"* Settings: {', '.join(f'{name} {value}' for name, value in report.settings.items())}",
        f"* Calibration loop: {state}",
    ]
    return "\n".join(lines)


def _saturated(report: Report) -> str:
    header = (
        "mode",
        "requests",
        "lost",
        "not 200",
        "stale",
        "edge CPU µs",
        "x echo",
        "store CPU µs",
        "answers/s",
        "edge busy",
        "disturbed",
    )
    rows = []
    for mode in _modes(report):
        runs = _runs(report, mode, paced=False)
        if not runs:
            continue
        stores = [sample.store_us for sample in runs if sample.store_us is not None]
        edges = [sample.edge_us for sample in runs]
        rows.append(
            (
                *_counts(mode, runs),
                _least_and_median(edges, "{:.1f}"),
                "" if mode == ECHO else _least_and_median(_ratios(report, mode), "{:.1f}"),
                "" if mode == ECHO else _least_and_median(stores, "{:.1f}"),
                f"{median(sample.per_second for sample in runs):,.0f}",
                f"{median(sample.busy for sample in runs):.0%}",
                f"{median(sample.disturbed for sample in runs):.0%}",
                _least_and_median([sample.generator_us for sample in runs], "{:.1f}"),
                _least_and_median([sample.calibration_ns for sample in runs], "{:.0f}"),
            )
        )
    if not rows:
        return ""
    title = (
        "Saturated: CPU time per answer, least / median of the rounds. The ratio is to the echo of the same round, each time measured in "
        "turns of the calibration loop around it. Disturbed: part of the time in which the edge waited for its CPU because others "
        "had it.\n\n"
    )
    return title + _table((*header, "generator CPU µs", "calibration ns"), rows)


def _paced(report: Report) -> str:
    rows = []
    for mode in _modes(report):
        runs = _runs(report, mode, paced=True)
        if not runs:
            continue

        def milliseconds(value: Callable[[Sample], float], runs: Sequence[Sample] = runs) -> str:
            return _least_and_median([value(sample) / 1000 for sample in runs], "{:.2f}")

        reached = f"{median(sample.per_second for sample in runs):,.0f}" + ("" if all(map(_kept_up, runs)) else " (did not keep up)")
        rows.append(
            (
                *_counts(mode, runs),
                reached,
                _least_and_median([sample.edge_us for sample in runs], "{:.1f}"),
                milliseconds(lambda sample: sample.p50_us),
                milliseconds(lambda sample: sample.p90_us),
                milliseconds(lambda sample: sample.p99_us),
                milliseconds(lambda sample: sample.max_us),
            )
        )
    if not rows:
        return ""
    rate = next(sample.rate for sample in report.samples if sample.rate)
    title = f"At {rate:,.0f} requests a second, sent on time whether answers come or not: latency, least / median of the rounds.\n\n"
    header = ("mode", "requests", "lost", "not 200", "stale", "answers/s", "edge CPU µs", "p50 ms", "p90 ms", "p99 ms", "max ms")
    return title + _table(header, rows)


def _budget(report: Report) -> str:
    rows = []
    for verdict in verdicts(report):
        measured = "not measured" if verdict.value is None else f"{verdict.value:.1f} {verdict.unit}"
        word = {True: "met", False: "**not met**", None: ""}[verdict.met]
        rows.append((verdict.what, f"at most {verdict.limit:g} {verdict.unit}", measured, word))
    title = f"Budget, for `{BUDGET_MODE}` on one worker: times at their least, the ratio at its median.\n\n"
    return title + _table(("what", "budget", "measured", "verdict"), rows)


def _troubles(report: Report) -> str:
    seen: dict[str, str] = {}
    for sample in report.samples:
        if sample.example:
            seen.setdefault(sample.mode, sample.example.split("\r\n")[0])
    return "\n".join(f"* First unexpected answer to `{mode}`: `{line}`" for mode, line in seen.items())


def _counts(mode: str, runs: Sequence[Sample]) -> tuple[str, ...]:
    sums = [sum(values) for values in zip(*((s.sent, s.lost, s.unexpected, s.challenged) for s in runs), strict=True)]
    return (mode, *(f"{value:,}" for value in sums))


def _modes(report: Report) -> Iterable[str]:
    return dict.fromkeys(sample.mode for sample in report.samples)


def _runs(report: Report, mode: str, *, paced: bool) -> list[Sample]:
    return [sample for sample in report.samples if sample.mode == mode and bool(sample.rate) is paced]


def _ratios(report: Report, mode: str) -> list[float]:
    """Return, round by round, how many times the echo's CPU time a request took.

    Each time is first divided by that of the calibration loop around it: within a round, too, the machine may change its speed.
    """
    floors = {sample.round: _steadied(sample) for sample in _runs(report, ECHO, paced=False) if sample.answered}
    runs = _runs(report, mode, paced=False)
    return [_steadied(sample) / floors[sample.round] for sample in runs if sample.answered and floors.get(sample.round)]


def _steadied(sample: Sample) -> float:
    return sample.edge_us / sample.calibration_ns


def _kept_up(sample: Sample) -> bool:
    return sample.per_second >= sample.rate * _RATE_KEPT


def _least_and_median(values: Sequence[float], form: str) -> str:
    return f"{form.format(min(values))} / {form.format(median(values))}" if values else "not measured"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
